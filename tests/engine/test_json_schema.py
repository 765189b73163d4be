"""JSON Schema beyond what the library for grammars knows: enforced, or refused by name."""

from __future__ import annotations

import json

import pytest
from support.schemas import complaints, random_answer

from gemma_mtp.api import Grammar
from gemma_mtp.errors import UsageError

CAT = {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer", "maximum": 9}}}
DOG = {"properties": {"kind": {"const": "dog"}, "name": {"enum": ["Rex"]}}, "required": ["name"]}
KIND = {"type": "object", "properties": {"kind": {"enum": ["a", "b", "c"]}}, "required": ["kind"]}

MANY_CHOICES = [{"anyOf": [{"properties": {f"{end}{n}": {}}} for end in "ab"]} for n in range(40)]

ENFORCED = {
    "oneOf of different types": {"oneOf": [{"type": "boolean"}, {"type": "null"}, {"const": 3}]},
    "oneOf of different constants": {"oneOf": [{"const": "a"}, {"enum": ["b", "c"]}]},
    "oneOf of objects told apart by a constant": {
        "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
        "$defs": {"Cat": {**CAT, "type": "object"}, "Dog": {**DOG, "type": "object"}},
    },
    "oneOf of objects with other properties": {
        "oneOf": [
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    },
    "oneOf of ranges": {"type": "integer", "oneOf": [{"maximum": 30}, {"minimum": 20}]},
    "oneOf of required": {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"const": 2}},
        "additionalProperties": False,
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "oneOf that overlaps in constants": {"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]},
    "not a type": {"not": {"type": ["object", "array", "string"]}},
    "not a constant": {"type": "string", "not": {"const": "a]b"}, "maxLength": 4},
    "not one of some": {"type": "string", "not": {"enum": ["", "a", "ab"]}, "maxLength": 3},
    "not a number": {"type": "number", "minimum": 0, "maximum": 3, "not": {"enum": [1, 2]}},
    "not required": {"type": "object", "not": {"required": ["a"]}, "maxProperties": 2},
    "not a pair": {**KIND, "not": {"properties": {"kind": {"const": "a"}}}},
    "not a bound": {"type": "string", "maxLength": 5, "not": {"maxLength": 2}},
    "if": {
        "type": "object",
        "properties": {"kind": KIND["properties"]["kind"], "size": {"type": "integer"}},
        "required": ["kind"],
        "additionalProperties": False,
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"properties": {"size": {"const": 1}}, "required": ["size"]},
        "else": {"properties": {"size": {"const": 2}}},
    },
    "dependentRequired": {
        "type": "object",
        "properties": {n: {"type": "null"} for n in "abc"},
        "additionalProperties": False,
        "dependentRequired": {"a": ["b"], "b": ["c"]},
    },
    "dependentSchemas": {
        "type": "object",
        "properties": {"a": {"const": 1}, "b": {"type": "boolean"}},
        "dependentSchemas": {"a": {"properties": {"b": {"const": True}}}},
        "additionalProperties": False,
    },
    "propertyNames from an enum": {
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/Colour"},
        "additionalProperties": {"type": "boolean"},
        "$defs": {"Colour": {"enum": ["red", "green"]}},
    },
    "propertyNames by a pattern": {
        "type": "object",
        "propertyNames": {"pattern": "^[ab]{1,2}$"},
        "additionalProperties": {"type": "null"},
        "maxProperties": 3,
    },
    "propertyNames that are texts": {
        "type": "object",
        "propertyNames": {"type": "string"},
        "additionalProperties": {"type": "null"},
        "maxProperties": 2,
    },
    "propertyNames by a length": {
        "type": "object",
        "propertyNames": {"minLength": 2, "maxLength": 3},
        "additionalProperties": {"type": "null"},
        "maxProperties": 2,
    },
    "uniqueItems": {"type": "array", "uniqueItems": True, "items": {"enum": ["a", "b", 3]}},
    "uniqueItems, many": {
        "type": "array",
        "uniqueItems": True,
        "minItems": 1,
        "items": {"enum": [*"abcdefgh"]},
    },
    "contains": {
        "type": "array",
        "items": {"type": "integer", "maximum": 9, "minimum": 0},
        "contains": {"minimum": 7},
        "minContains": 2,
        "maxItems": 4,
    },
    "maxContains": {
        "type": "array",
        "items": {"type": "integer", "maximum": 9, "minimum": 0},
        "contains": {"minimum": 7},
        "maxContains": 1,
        "maxItems": 4,
    },
    "unevaluatedProperties": {
        "$ref": "#/$defs/named",
        "properties": {"size": {"const": 1}},
        "unevaluatedProperties": False,
        "$defs": {"named": {"type": "object", "properties": {"name": {"const": "x"}}}},
    },
    "unevaluatedProperties beside anyOf": {
        "type": "object",
        "anyOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}],
        "unevaluatedProperties": False,
    },
    "unevaluatedItems": {
        "type": "array",
        "prefixItems": [{"const": 1}],
        "unevaluatedItems": False,
        "allOf": [{"prefixItems": [True, {"const": 2}]}],
    },
    "formats": {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "path", "maxLength": 3}},
        "required": ["file"],
        "additionalProperties": False,
    },
    "multipleOf in decimals": {"type": "number", "multipleOf": 0.01, "minimum": 0, "maximum": 99},
    "lengths as floats": {"type": "string", "maxLength": 3.0},
    "all": True,
}


@pytest.mark.parametrize("what", ENFORCED)
def test_every_answer_that_ends_is_valid(engine, what) -> None:
    schema = ENFORCED[what]
    answers = {random_answer(engine, schema, seed) for seed in range(25)} - {None}
    assert len(answers) > 1, "the schema leaves no choice"
    found = {answer: complaints(schema, answer) for answer in answers}
    assert not {answer: said for answer, said in found.items() if said}


def test_all_that_the_schema_allows_can_be_written(engine) -> None:
    for what, several in {
        "oneOf of different types": ["true", "null", "3"],
        "oneOf of ranges": ["3", "31"],
        "oneOf that overlaps in constants": ["1", "3"],
        "not a constant": ['"a]"', '"a]bb"', '"x"', '""'],
        "not one of some": ['"b"', '"aa"', '"abc"'],
        "uniqueItems": ["[]", '["b", "a"]', '[3, "a", "b"]'],
        "if": ['{"kind": "a", "size": 1}', '{"kind": "b"}', '{"kind": "c", "size": 2}'],
        "dependentRequired": ["{}", '{"c": null}', '{"a": null, "b": null, "c": null}'],
        "multipleOf in decimals": ["19.99", "3", "0.5"],
        "maxContains": ["[7]", "[9, 0, 1]"],
    }.items():
        for answer in several:
            assert may_be(engine, ENFORCED[what], answer), (what, answer)


def test_what_is_wrong_cannot_be_written(engine) -> None:
    for what, answer in {
        "oneOf of ranges": "25",
        "oneOf that overlaps in constants": "2",
        "oneOf of objects told apart by a constant": '{"name": "Rex"}',
        "not a constant": '"a]b"',
        "uniqueItems": '["a", "a"]',
        "if": '{"kind": "a", "size": 2}',
        "dependentRequired": '{"b": null}',
        "multipleOf in decimals": "19.999",
    }.items():
        assert not may_be(engine, ENFORCED[what], answer), (what, answer)


def test_an_object_has_what_is_listed_and_no_more_unless_that_is_said(engine) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}}}
    assert may_be(engine, schema, '{"a": 1}')
    assert not may_be(engine, schema, '{"a": 1, "b": 1}')
    assert may_be(engine, {**schema, "additionalProperties": True}, '{"a": 1, "b": 1}')
    constant = {"type": "object", "properties": {"kind": {"const": "x"}}}
    assert not may_be(engine, constant, "{}")
    combined = {"allOf": [schema, {"properties": {"b": {"const": 1}}}]}
    assert may_be(engine, combined, '{"a": 1, "b": 1}')


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"oneOf": [{"pattern": "a"}, {"pattern": "b"}]}, '"oneOf" with "pattern"'),
        ({"not": {"multipleOf": 3}}, '"not" with "multipleOf"'),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}, "not": {"format": "date"}}, '"not"'),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "uniqueItems"),
        ({"propertyNames": {"enum": ["a"], "maxLength": 0}}, "propertyNames"),
        ({"if": {"format": "date"}, "then": {"maxLength": 3}}, '"if" with "format"'),
        ({"unevaluatedItems": False, "contains": {"const": 1}}, "unevaluatedItems"),
        ({"$dynamicRef": "#a"}, "dynamicRef"),
        ({"$ref": "https://example.org/a"}, "https://example.org/a is not in it"),
        ({"oneOf": [{"$ref": "#/$defs/none"}, {"type": "null"}]}, "#/\\$defs/none"),
        ({"format": "regex"}, "regex"),
        ({"oneOf": 3}, "value"),
        ({"properties": []}, "value"),
        ({"type": "object", "properties": {f"p{n}": {} for n in range(900)}}, "optional"),
        ({"contains": {"const": 1}, "minContains": 10**9}, "minContains"),
        ({"type": "string", "not": {"const": "x" * 100_000}}, "not"),
        ({"allOf": MANY_CHOICES, "unevaluatedProperties": False}, "5000 ways"),
        (False, "schema"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(engine, schema, named) -> None:
    with pytest.raises(UsageError, match=named):
        engine.grammars.matcher(Grammar("json_schema", json.dumps(schema)))


def test_a_pattern_of_names_takes_no_time_whatever_it_is(engine) -> None:
    names = {"a" * 40 + "!": {}, "aa": {"const": 1}}
    schema = {"type": "object", "properties": names, "propertyNames": {"pattern": "^(a+)+$"}}
    schema["required"] = ["aa"]
    for seed in range(3):
        answer = random_answer(engine, schema, seed)
        assert answer is None or {*"".join(json.loads(answer))} == {"a"}


def test_a_long_chain_of_references_is_followed(engine) -> None:
    def to(number):
        inner = {"$ref": f"#/$defs/d{number}"}
        return {"type": "object", "properties": {"p": inner}, "required": ["p"]}

    parts = {f"d{n}": to(n + 1) for n in range(5000)} | {"d5000": {"type": "string"}}
    grammar = Grammar("json_schema", json.dumps({**to(0), "$defs": parts}))
    assert engine.grammars.matcher(grammar).allowed().any()


def test_a_schema_that_is_nested_without_end_is_refused(engine) -> None:
    for deep in ('{"not":' * 500 + "true" + "}" * 500, "[" * 100_000):
        with pytest.raises(UsageError, match="schema"):
            engine.grammars.matcher(Grammar("json_schema", deep))


def may_be(engine, schema, answer: str) -> bool:
    """Whether the schema lets this be written, and end."""
    vocabulary = engine.pair.target.vocabulary
    place = engine.grammars.matcher(Grammar("json_schema", json.dumps(schema)))
    for token in [*vocabulary.tokenize(answer, False), min(vocabulary.end_of_generation)]:
        if not place.allowed()[token >> 3] >> (token & 7) & 1:
            return False
        place.consume(token)
    return True
