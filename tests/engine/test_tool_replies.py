"""Tools from a request to the calls in its reply, and on with their results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import validate
from support.pairs import TINY, random_pair

from gemma_mtp.api import (
    End,
    Event,
    Grammar,
    LoadOptions,
    Message,
    Request,
    Sampling,
    TextDelta,
    Thought,
    Tool,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    from_json,
    to_json,
)
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.held import Held
from gemma_mtp.engine.loading import load
from gemma_mtp.llama import load_pair

DATA = Path(__file__).parents[1] / "data" / "templates"
NEW, OLD = "google-gemma-4-31B-it.jinja", "google-gemma-4-31B-it-interleaved.jinja"
SAY = Tool("say", "", '{"properties": {"text": {"type": "string", "maxLength": 8}}}')
ASKED = Message.text("user", "What is the weather in Paris?")


@pytest.fixture(scope="module", params=[NEW, OLD, None], ids=["new", "old", "own"])
def engine(request):
    pair = load_pair(TINY, LoadOptions(context=4096, threads=1))
    if request.param is not None:
        pair.chat_template = (DATA / request.param).read_text()
    engine = Engine(pair)
    yield engine
    engine.close()


def slip(engine, text):
    """A grammar by which the model writes `text`, marks in it as `@` call, `~` end, and `"`."""
    marks = engine.call_marks
    ids = {"@": marks.opens, "~": marks.closes, '"': marks.quote}
    parts = [f"<[{ids[c]}]>" if c in ids else json.dumps(c) for c in text]
    return Grammar("lark", "start: " + " ".join(parts))


def write(engine, *messages, **more):
    request = Request(
        messages,
        Sampling(temperature=1.0),
        **{"tools": (SAY,), "seed": 1, "max_tokens": 99, **more},
    )
    events = list(engine.reply(request))
    assert isinstance(events[-1], End)
    return events[-1], events


@pytest.fixture
def unheld(monkeypatch):
    """The grammar of the request holds all of a reply, calls as well, whatever they are like."""
    monkeypatch.setattr(Held, "_hold_calls", lambda *_: None)


FREE = ToolChoice(constrained=False)


def test_a_call_that_nothing_held_is_mended(engine, unheld) -> None:
    grammar = slip(engine, "So.@call:say{text:'hi'}~")
    end, events = write(engine, ASKED, grammar=grammar, tool_choice=FREE)
    assert [call.arguments for call in end.message.calls] == ['{"text": "hi"}']
    assert end.reason == "stop"
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "So."
    assert [e.name for e in events if isinstance(e, ToolCallDelta)] == ["say", ""]


@pytest.mark.parametrize("exact", [True, False])
def test_the_cache_keeps_all_up_to_the_result(engine, exact, unheld) -> None:
    grammar = slip(engine, "So.@call:say{text:'hi'}~")
    asked = Message.text("user", f"Say something else to me. {exact}")
    called, _ = write(engine, asked, grammar=grammar, tool_choice=FREE, exact=exact)
    result = Message("tool", (ToolResult(called.message.calls[0].id, "sunny"),))
    end, _ = write(engine, asked, called.message, result, exact=exact)
    assert len(called.message.tokens) == len(called.token_ids) - 1  # all but the end of the turn
    assert end.stats.cached_tokens == called.stats.prompt_tokens + len(called.message.tokens)


def test_without_tools_a_call_is_neither_text_nor_a_call(engine) -> None:
    end, _ = write(engine, ASKED, grammar=slip(engine, "So.@call:say{}~"), tools=())
    assert end.message.content == "So."
    assert not end.message.calls
    assert "say" in end.warning


def test_ids_are_the_same_for_the_same_seed_and_differ_otherwise(engine, unheld) -> None:
    grammar = slip(engine, "@call:say{}~@call:say{}~")
    ids = [
        tuple(call.id for call in write(engine, ASKED, grammar=grammar, seed=seed)[0].message.calls)
        for seed in (1, 1, 2)
    ]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4


WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "Unit": {"enum": ["C", "F", None]},
        "place": {
            "type": "object",
            "properties": {"at": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
        },
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = (Tool("weather", "", json.dumps(WEATHER)), Tool("ping"), SAY)
MUST = ToolChoice("required")
AND = (Message.text("assistant", "So."), Message.text("user", "And?"))


def check(call):
    """A call that fits the tool of its name."""
    tool = next(tool for tool in TOOLS if tool.name == call.name)
    schema = json.loads(tool.parameters or '{"maxProperties": 0}')
    validate(json.loads(call.arguments), schema)


@pytest.mark.parametrize("seed", range(5))
def test_calls_fit_their_schemas_whatever_is_drafted(engine, seed) -> None:
    found = {}
    for draft in (0, 1, 3, 7, "auto"):
        end, events = write(
            engine, ASKED, tools=TOOLS, tool_choice=MUST, seed=seed, exact=True, draft=draft,
            max_tokens=300,
        )  # fmt: skip
        found[draft] = end.message, end.token_ids
        assert end.message.calls
        assert not any(isinstance(event, TextDelta) for event in events)
        for call in end.message.calls:
            check(call)
            pieces = [e for e in events if isinstance(e, ToolCallDelta)]
            mine = [e for e in pieces if e.index == end.message.calls.index(call)]
            assert "".join(e.arguments for e in mine) == call.arguments
    assert all(each == found[0] for each in found.values())


def test_one_call_of_the_tool_that_is_named(engine) -> None:
    for constrained in (True, False):
        choice = ToolChoice("required", "weather", parallel=False, constrained=constrained)
        for seed in range(3):
            end, _ = write(engine, ASKED, tools=TOOLS, tool_choice=choice, seed=seed)
            assert [call.name for call in end.message.calls] == ["weather"] * (end.reason == "stop")


def test_no_call_where_none_may_be(engine) -> None:
    request = Request((ASKED,), tools=TOOLS, tool_choice=ToolChoice("none"))
    held = Held(engine, request)
    opens = engine.call_marks.opens
    bits = np.unpackbits(held.text.allowed(), bitorder="little")[
        : engine.pair.target.vocabulary.size
    ]
    assert np.flatnonzero(bits == 0).tolist() == [opens]
    assert held.calls is None


def test_text_that_has_to_follow_a_grammar_or_be_a_call(engine) -> None:
    grammar = Grammar("choices", '["yes", "no"]')
    end, _ = write(engine, ASKED, tools=TOOLS, grammar=grammar)
    assert end.message.content in ("yes", "no")
    end, _ = write(engine, ASKED, tools=TOOLS, grammar=grammar, tool_choice=MUST, max_tokens=300)
    assert end.message.content == ""
    for call in end.message.calls:
        check(call)


def test_what_no_grammar_can_hold_is_named(engine) -> None:
    different = {"properties": {"a": {"type": "array", "uniqueItems": True}}}
    pattern = {"properties": {"a": {"type": "string", "pattern": "(?=x)", "maxLength": 3}}}
    for schema, named in ((different, "uniqueItems"), (pattern, "pattern")):
        tools = (Tool("odd", "", json.dumps(schema)),)
        end, _ = write(engine, ASKED, tools=tools, max_tokens=3)
        assert named in end.warning
        assert "odd" in end.warning


WRONG = {"minLength": [1]}, {"allOf": [{"minimum": "x"}, {"minimum": 1}]}, {"enum": 5}


def deep(levels):
    return {"type": "object", "properties": {"p": deep(levels - 1)}} if levels else {}


def many(count, **more):
    return {"properties": {f"p{n}": {"type": "string", **more} for n in range(count)}}


LARGE = {
    "optional": many(4000),
    "required": {**many(12_000), "required": [f"p{n}" for n in range(12_000)]},
    "nested": deep(300),
    "values": {"properties": {"a": {"enum": [f"v{n}" for n in range(20_000)]}}},
    "patterns": {**many(300), "patternProperties": {f"x{n}y": {} for n in range(300)}},
}


@pytest.mark.parametrize("schema", LARGE.values(), ids=LARGE)
def test_tools_that_are_too_large_are_named_and_can_still_be_called(engine, schema) -> None:
    choice, odd = ToolChoice("required"), Tool("odd", "", json.dumps(schema))
    _, loosened = engine.grammars.calls((odd,), choice, engine.call_marks)
    assert "odd" in loosened[0]


@pytest.mark.parametrize("wrong", [*WRONG, {"type": "object", "required": [["a"]]}])
def test_a_keyword_with_a_value_that_it_cannot_have_is_named(engine, wrong) -> None:
    schema = {"properties": {"a": {"type": "string", **wrong}}}
    end, _ = write(engine, ASKED, tools=(Tool("odd", "", json.dumps(schema)),), max_tokens=3)
    assert "odd" in end.warning


@pytest.mark.parametrize("budget", [None, 20])
def test_a_thought_before_a_call_stays_until_the_user_speaks(engine, budget) -> None:
    asked = Message.text("user", "What is 2 + 3?")
    more = {"think": True, "think_budget": budget, "exact": True}
    called, _ = write(engine, asked, tool_choice=MUST, **more)
    assert called.reason == "stop"
    first, *calls = called.message.parts
    assert isinstance(first, Thought)
    assert calls == [*called.message.calls]
    assert called.thought == first.text
    results = Message("tool", tuple(ToolResult(call.id, "ok") for call in calls))
    end, _ = write(engine, asked, called.message, results, **more)
    assert end.stats.cached_tokens == called.stats.prompt_tokens + len(called.message.tokens)
    request = Request((asked, called.message, results, *AND), tools=(SAY,), think=True)
    assert first.text not in "".join(piece.text for piece in engine.prompts.pieces(request))


def test_events_and_messages_go_over_a_wire(engine) -> None:
    end, events = write(engine, ASKED, tools=TOOLS, tool_choice=MUST, max_tokens=300)
    for event in events:
        assert from_json(Event, json.loads(json.dumps(to_json(event)))) == event
    request = Request((ASKED, end.message), tools=TOOLS, tool_choice=MUST)
    assert from_json(Request, json.loads(json.dumps(to_json(request)))) == request


@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_calls_of_random_weights_fit(tmp_path, count) -> None:
    """Whatever a model would rather write, at temperature 1."""
    engine = load(random_pair(tmp_path), LoadOptions(context=2048, threads=1))
    seed, found = 0, 0
    while found < count:
        drafts = (0, 3, "auto")
        more = {"tools": TOOLS, "tool_choice": MUST, "draft": drafts[seed % 3], "max_tokens": 400}
        end, _ = write(engine, ASKED, seed=seed, exact=False, **more)
        assert end.message.content == ""
        assert end.message.calls or end.reason == "length"
        for call in end.message.calls:
            check(call)
        found, seed = found + len(end.message.calls), seed + 1
    engine.close()
