"""Answers that a grammar holds to: valid, the same whatever is drafted, and honest when cut."""

from __future__ import annotations

import json
import re

import pytest

from gemma_mtp.api import Grammar, Message, Request, Sampling
from gemma_mtp.errors import UsageError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colours": {"type": "array", "items": {"enum": ["red", "grün"]}, "maxItems": 3},
    },
    "required": ["name", "age", "colours"],
    "additionalProperties": False,
}
SCHEMA = Grammar("json_schema", json.dumps(PERSON))


def write(engine, grammar, seed=1, **more):
    request = Request(
        (Message.text("user", "Tell me about somebody."),),
        Sampling(temperature=1.0),
        grammar,
        **{"seed": seed, "exact": True, "max_tokens": 120, **more},
    )
    *_, end = engine.reply(request)
    return end


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_fits_its_schema_whatever_is_drafted(engine, seed) -> None:
    ends = {draft: write(engine, SCHEMA, seed, draft=draft) for draft in (0, 1, 3, 7, "auto")}
    assert len({end.message.content for end in ends.values()}) == 1
    found = json.loads(ends[0].message.content)
    assert [*found] == ["name", "age", "colours"]
    assert len(found["name"]) <= 12
    assert 0 <= found["age"] <= 120
    assert {*found["colours"]} <= {"red", "grün"}
    assert ends[0].reason == "stop"
    assert ends[3].stats.accepted > 0


def test_what_is_forced_is_a_draft_that_is_right(engine) -> None:
    end = write(engine, SCHEMA, draft="auto")
    forced = next(count for count in end.stats.sources if count.source == "forced")
    assert forced.drafted == forced.accepted > 5


def test_the_same_without_a_seed(engine) -> None:
    end = write(engine, SCHEMA, None, exact=None)
    assert {*json.loads(end.message.content)} == {"name", "age", "colours"}


def test_greedy_and_with_a_repeat_penalty(engine) -> None:
    for sampling in (Sampling(0.0), Sampling(repeat_penalty=1.3), Sampling(top_k=0)):
        request = Request(
            (Message.text("user", "Tell me about somebody."),), sampling, SCHEMA, max_tokens=120
        )
        *_, end = engine.reply(request)
        assert {*json.loads(end.message.content)} == {"name", "age", "colours"}


ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"]}


def test_where_nothing_may_follow_the_answer_says_that_it_is_cut(engine) -> None:
    endless = Grammar("json_schema", json.dumps({"$ref": "#/$defs/n", "$defs": {"n": ENDLESS}}))
    end = write(engine, endless)
    assert end.reason == "length"
    assert "not complete" in end.warning


def test_a_place_where_nothing_may_follow_can_be_left_again(engine) -> None:
    schema = {"anyOf": [{"const": "yes"}, {"$ref": "#/$defs/n"}], "$defs": {"n": ENDLESS}}
    matcher = engine.grammars.matcher(Grammar("json_schema", json.dumps(schema)))
    tokenize, end = engine.pair.target.vocabulary.tokenize, engine.pair.target.vocabulary.eos
    wrong = [*tokenize('{"a"', False), end, end]
    for token in wrong:
        matcher.allowed()
        matcher.consume(token)
    matcher.rollback(len(wrong))
    for token in tokenize('"yes"', False):
        assert matcher.allowed()[token >> 3] >> (token & 7) & 1
        matcher.consume(token)
    assert matcher.may_end


def test_choices_lark_and_gbnf(engine) -> None:
    choices = ["yes", 'with "quotes" and \\', "größer", "new\nline"]
    grammar = Grammar("choices", json.dumps(choices))
    assert {write(engine, grammar, seed).message.content for seed in range(6)} <= {*choices}
    lark = Grammar("lark", 'start: "n" NUMBER\nNUMBER: /[1-9][0-9]{2}/')
    assert re.fullmatch("n[1-9][0-9]{2}", write(engine, lark).message.content)
    gbnf = Grammar("gbnf", 'root ::= "n" [1-9] [0-9] "!"')
    assert re.fullmatch("n[1-9][0-9]!", write(engine, gbnf).message.content)


def test_json_is_an_object(engine) -> None:
    end = write(engine, Grammar("json"), max_tokens=300)
    if end.reason == "stop":
        assert isinstance(json.loads(end.message.content), dict)
    assert end.message.content.startswith("{")


def test_an_answer_that_was_cut_says_so(engine) -> None:
    end = write(engine, SCHEMA, max_tokens=5)
    assert end.reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(end.message.content)


@pytest.mark.parametrize(
    ("grammar", "named"),
    [
        (Grammar("json_schema", '{"type": "array", "uniqueItems": true}'), "uniqueItems"),
        (Grammar("json_schema", '{"not": {"multipleOf": 2}}'), "not"),
        (Grammar("json_schema", "{"), "schema"),
        (Grammar("json_schema", '{"type": "string", "format": "regex"}'), "regex"),
        (Grammar("lark", "start: missing"), "missing"),
        (Grammar("gbnf", "root ::= ("), "grammar"),
        (Grammar("choices", "[]"), "choices"),
        (Grammar("lark", "start: r0\n" + "r0: r0\n" * 10_000), "64k characters"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(engine, grammar, named) -> None:
    with pytest.raises(UsageError, match=named):
        write(engine, grammar)


def test_the_conversation_after_it_is_free_again(engine) -> None:
    write(engine, SCHEMA)
    *_, end = engine.reply(Request((Message.text("user", "What is 2 + 3?"),), Sampling(0.0)))
    assert "5" in end.message.content


@pytest.mark.parametrize(
    ("schema", "longest"),
    [
        ('{"type": "integer"}', "-" + "9" * 20),
        ('{"type": "number"}', "9" * 20 + "." + "9" * 20 + "e-999"),
        ('{"type": "array"}', '["\\\\\\"' + "9" * 30 + '", ' + "9" * 20 + ", " + "9" * 20 + "]"),
    ],
)
def test_a_number_comes_to_an_end(engine, schema, longest) -> None:
    place = engine.grammars.matcher(Grammar("json_schema", schema))
    tokenize, end = engine.pair.target.vocabulary.tokenize, engine.pair.target.vocabulary.eos
    (nine,) = tokenize("9", False)
    for character in longest:
        (token,) = tokenize(character, False)
        assert allows(place, token), character
        place.consume(token)
    assert allows(place, end)
    assert not allows(place, nine)
    place.rollback(len(longest))
    assert allows(place, tokenize(longest[0], False)[0])


def allows(place, token: int) -> bool:
    return bool(place.allowed()[token >> 3] >> (token & 7) & 1)
