"""Tools from a request to the calls in its reply, and on with their results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.pairs import TINY

from gemma_mtp.api import (
    End,
    Grammar,
    LoadOptions,
    Message,
    Request,
    Sampling,
    TextDelta,
    Tool,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
)
from gemma_mtp.engine.engine import Engine
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


FREE = ToolChoice(constrained=False)


def test_a_call_that_nothing_held_is_mended(engine) -> None:
    grammar = slip(engine, "So.@call:say{text:'hi'}~")
    end, events = write(engine, ASKED, grammar=grammar, tool_choice=FREE)
    assert [call.arguments for call in end.message.calls] == ['{"text": "hi"}']
    assert end.reason == "stop"
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "So."
    assert [e.name for e in events if isinstance(e, ToolCallDelta)] == ["say", ""]


@pytest.mark.parametrize("exact", [True, False])
def test_the_cache_keeps_all_up_to_the_result(engine, exact) -> None:
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


def test_ids_are_the_same_for_the_same_seed_and_differ_otherwise(engine) -> None:
    grammar = slip(engine, "@call:say{}~@call:say{}~")
    ids = [
        tuple(call.id for call in write(engine, ASKED, grammar=grammar, seed=seed)[0].message.calls)
        for seed in (1, 1, 2)
    ]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4
