"""Whatever the grammar of a schema lets through is a call that fits the schema."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from gemma_mtp.api import Tool, ToolChoice
from gemma_mtp.engine.detokenizer import ReplyText
from gemma_mtp.engine.tool_calls import Expected, ReplyParts

LONGEST = 400  # tokens of a call; one that is longer was not bounded
SCALARS = [
    {"type": "string", "maxLength": 6},
    {"type": "string", "minLength": 2, "maxLength": 4},
    {"type": "string", "pattern": "^[a-c]{1,3}$|^x[0-9]", "maxLength": 5},
    {"type": "string", "pattern": r"^\d+-\w$", "maxLength": 6},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "ipv4"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"type": "integer"},
    {"type": "integer", "minimum": -3, "exclusiveMaximum": 40},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number"},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    {"type": "boolean"},
    {"type": ["integer", "null"]},
    {"enum": ["red", "grün", 'a "b"', "c\\d", "<turn|>", 1, 2.5, None, True, [1, {"a": "b"}]]},
    {"const": "only"},
    {"type": "string", "enum": ["C", "F"], "description": "Of warmth"},
    {"anyOf": [{"type": "integer", "maximum": 5}, {"type": "string", "maxLength": 2}]},
    {"oneOf": [{"type": "null"}, {"type": "boolean"}]},
    {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 7}]},
    {"not": {"type": ["string", "object", "array", "number"]}},
    {"type": "object", "additionalProperties": {"type": "boolean"}},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}},
    {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "null"}, {"const": 1}], "items": False},
    {"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 5}, "maxItems": 3},
    {"$ref": "#/$defs/node"},
    True,
    {},
]
NAMES = ["city", "City", "b", "A", "days", "x-y", "with blank", "a:b", "größe", "$id", 'q"']
NODE = {
    "type": "object",
    "properties": {"value": {"type": "boolean"}, "next": {"$ref": "#/$defs/node"}},
    "required": ["value"],
    "additionalProperties": False,
}


def random_schema(rng: random.Random, depth: int = 0):
    kind = rng.random()
    if depth < 3 and kind < 0.25:
        return random_object(rng, depth + 1)
    if depth < 3 and kind < 0.4:
        least = rng.randrange(3)
        items = random_schema(rng, depth + 1)
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + 2}
    if depth < 3 and kind < 0.45:
        parts = [random_object(rng, depth + 1), rng.choice(SCALARS)]
        return {"anyOf": parts}
    return rng.choice(SCALARS)


def random_object(rng: random.Random, depth: int = 0):
    names = rng.sample(NAMES, rng.randrange(5))
    return {
        "type": "object",
        "properties": {name: random_schema(rng, depth) for name in names},
        "required": [name for name in names if rng.random() < 0.5],
        **rng.choice([{}, {"additionalProperties": False}, {"description": "Something"}]),
    }


def sampled(engine, matcher, rng):
    """A reply of random tokens that are allowed, marks more often than others; None if it does
    not end."""
    vocabulary, marks = engine.pair.target.vocabulary, engine.call_marks
    ids = [marks.opens]
    ends = vocabulary.end_of_generation
    likely = [*ends, marks.closes, marks.quote, *vocabulary.tokenize("}]", special=False)]
    while len(ids) < LONGEST:
        bits = np.unpackbits(matcher.allowed(), bitorder="little")
        assert bits.any()
        close = [token for token in likely if bits[token]]
        some = close if close and rng.random() < 0.3 else np.flatnonzero(bits)
        token = int(rng.choice(some))
        if token in ends:
            return ids
        matcher.consume(token)
        ids.append(token)
    return None


def calls_of(engine, ids):
    piece = engine.pair.target.vocabulary.piece
    for held in (True, False):
        parts = ReplyParts(ReplyText(piece), piece, engine.call_marks, Expected({}, held))
        for token in ids:
            parts.push(token)
        yield [(call.name, json.loads(call.arguments)) for call in parts.message.calls]


def check(engine, schema, seeds, rng):
    """The calls that came to an end, of as many as `seeds`."""
    tool = Tool("f", "", json.dumps(schema))
    tools, choice = (tool, Tool("other")), ToolChoice("required")
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    count = 0
    for _ in range(seeds):
        matcher, loosened = engine.grammars.calls(tools, choice, engine.call_marks)
        assert not loosened, loosened
        ids = sampled(engine, matcher, rng)
        if ids is None:
            continue
        held, mended = calls_of(engine, ids)
        assert held == mended, ids
        for name, arguments in held:
            assert name in ("f", "other")
            if name == "f":
                validator.validate(arguments)
            else:
                assert arguments == {}
            count += 1
    return count


@pytest.mark.parametrize("number", range(len(SCALARS)))
def test_each_keyword(engine, number) -> None:
    schema = {
        "type": "object",
        "properties": {"a": SCALARS[number]},
        "required": ["a"],
        "$defs": {"node": NODE},
    }
    assert check(engine, schema, 4, random.Random(number))


def test_random_calls_fit(engine) -> None:
    rng = random.Random(1)
    assert sum(check_random(engine, rng) for _ in range(40)) > 60


@pytest.mark.slow
def test_very_many_random_calls_fit(engine) -> None:
    rng, count = random.Random(2), 0
    while count < 20_000:
        count += check_random(engine, rng)


def check_random(engine, rng) -> int:
    schema = random_object(rng) | {"$defs": {"node": NODE}}
    return check(engine, schema, 3, rng)
