"""Calls in what a model writes: told from text, mended where nothing held them to the notation."""

from __future__ import annotations

import json
import re

import pytest

from gemma_mtp.api import Text, TextDelta, Thought, ToolCall, ToolCallDelta
from gemma_mtp.engine.detokenizer import Channel, ReplyText
from gemma_mtp.engine.tool_calls import CallMarks, Expected, ReplyParts

MARKS = {"<|channel>": 1, "<channel|>": 2, "<|tool_call>": 3, "<tool_call|>": 4, '<|"|>': 5}
TYPES = {"get_weather": {"city": "string", "days": "integer"}, "say": {"text": "string"}}
CALL = '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:3}<tool_call|>'
ARGUMENTS = '{"city": "Paris", "days": 3}'


def piece(token: int) -> bytes:
    return bytes([token - 256]) if token >= 256 else b""


def tokens(text: str) -> list[int]:
    """A token for each mark, and one for each byte of the rest."""
    found = []
    for part in re.split("(" + "|".join(map(re.escape, MARKS)) + ")", text):
        found += [MARKS[part]] if part in MARKS else [256 + byte for byte in part.encode()]
    return found


def reader(spelled=False, stop=(), **more):
    expected = Expected(**{"types": TYPES, **more})
    if spelled:
        return ReplyParts(ReplyText(piece, stop), piece, CallMarks(), expected)
    channel = Channel(open_id=1, close_id=2)
    return ReplyParts(
        ReplyText(piece, stop, channel, {3, 4, 5}), piece, CallMarks(3, 4, 5), expected
    )


def read(text: str, ended=True, **more):
    """The parts of a reply and the events that came before."""
    parts = reader(**more)
    ids = [256 + b for b in text.encode()] if more.get("spelled") else tokens(text)
    events = [event for token in ids for event in parts.push(token)]
    return parts, events + parts.finish(ended)


def arguments(text: str, **more) -> object:
    parts, _ = read(text, **more)
    (call,) = parts.message.calls
    return json.loads(call.arguments)


WAYS = [{}, {"held": True}, {"spelled": True}]


@pytest.mark.parametrize("way", WAYS)
def test_text_and_calls_in_order(way) -> None:
    parts, events = read(f"Let me look.{CALL}<|tool_call>call:say{{}}<tool_call|>", **way)
    first, second = parts.message.calls
    assert parts.message.parts == (Text("Let me look."), first, second)
    assert (first.name, first.arguments) == ("get_weather", ARGUMENTS)
    assert (second.name, second.arguments) == ("say", "{}")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Let me look."


@pytest.mark.parametrize("way", WAYS)
def test_the_events_make_the_calls(way) -> None:
    parts, events = read(CALL + CALL, **way)
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    for number, call in enumerate(parts.message.calls):
        head, *rest = [delta for delta in deltas if delta.index == number]
        assert (head.id, head.name, head.arguments) == (call.id, call.name, "")
        assert "".join(delta.arguments for delta in rest) == call.arguments
        assert not any(delta.id or delta.name for delta in rest)
        assert len(rest) > 5 or not way.get("held")


def test_the_tokens_are_all_that_was_generated() -> None:
    text = f"<|channel>thought\nHm.\n<channel|>I look.{CALL}"
    message = read(text)[0].message
    assert message.tokens == tuple(tokens(text))
    assert message.parts[:2] == (Thought("Hm."), Text("I look."))
    assert read(text + "\n")[0].message == message
    assert read(text + "And more")[0].message.tokens == ()


def test_a_thought_without_a_call_is_left_out() -> None:
    message = read("<|channel>thought\nHm.\n<channel|>Yes.")[0].message
    assert message.parts == (Text("Yes."),)
    assert message.tokens == tuple(tokens("Yes."))


def test_a_call_ends_a_thought() -> None:
    parts, _ = read("<|channel>thought\nHm." + CALL)
    assert [type(part) for part in parts.message.parts] == [Thought, ToolCall]


@pytest.mark.parametrize("way", WAYS)
def test_a_call_that_was_cut_is_left_out(way) -> None:
    parts, events = read("So: " + CALL + CALL[:40], ended=False, **way)
    assert [type(part) for part in parts.message.parts] == [Text, ToolCall]
    assert not any("call" in event.text for event in events if isinstance(event, TextDelta))
    if not way.get("spelled"):
        assert parts.message.tokens == tuple(tokens("So: " + CALL))


def test_a_call_without_tools_is_not_shown() -> None:
    parts, events = read("So." + CALL, types=None)
    assert parts.message.parts == (Text("So."),)
    assert all(isinstance(event, TextDelta) for event in events)
    assert "get_weather" in parts.warning


def test_stop_strings_count_in_the_text_alone() -> None:
    parts, _ = read("Look." + CALL + "!", stop=("Paris", "!"))
    assert parts.message.calls[0].arguments == ARGUMENTS
    assert parts.text.stopped_at == "!"
    assert read("Paris" + CALL, stop=("Paris",))[0].message.calls == ()


def test_any_text_in_an_argument() -> None:
    for text in ("größer 😀", 'a "b" \\ c\n', "{x}, y: [1]", "<turn|> '", ""):
        written = f'<|tool_call>call:say{{text:<|"|>{text}<|"|>}}<tool_call|>'
        for held in (True, False):
            assert arguments(written, held=held) == {"text": text}


def test_a_string_mark_that_is_spelled_out_is_text() -> None:
    before, after = '<|tool_call>call:say{text:<|"|>', '<|"|>}<tool_call|>'
    for held in (True, False):
        parts = reader(held=held)
        spelled = [256 + byte for byte in b'<|"|>']
        for token in (*tokens(before), *spelled, *tokens(after)):
            parts.push(token)
        assert json.loads(parts.message.calls[0].arguments) == {"text": '<|"|>'}


def test_nested_arguments() -> None:
    inner = '{a:[1,{b:<|"|>x<|"|>},[]],<|"|>c:d<|"|>:{},e:null,f:true,g:-1.5e3}'
    expected = {"a": [1, {"b": "x"}, []], "c:d": {}, "e": None, "f": True, "g": -1500.0}
    for held in (True, False):
        assert arguments(f"<|tool_call>call:say{inner}<tool_call|>", held=held) == expected


SLIPS = {
    "single quotes": "{city:'Paris',days:3}",
    "ordinary quotes": '{city:"Paris",days:3}',
    "no marks": "{city:Paris,days:3}",
    "no opening mark": '{city:Paris<|"|>,days:3}',
    "no closing mark": '{city:<|"|>Paris,days:3}',
    "no mark at the end": '{days:3,city:<|"|>Paris}',
    "raw at the end": "{days:3,city:Paris}",
    "no closing brace": '{city:<|"|>Paris<|"|>,days:3',
    "nothing closed": '{days:3,city:<|"|>Paris',
    "doubled end mark": '{city:<|"|>Paris<|"|><|"|>,days:3}',
    "doubled marks": '{city:<|"|><|"|>Paris<|"|><|"|>,days:3}',
    "doubled brace": '{city:<|"|>Paris<|"|>,days:3}}',
    "no opening brace": 'city:<|"|>Paris<|"|>,days:3}',
    "JSON": '{"city": "Paris", "days": 3}',
    "marked keys": '{<|"|>city<|"|>:<|"|>Paris<|"|>, <|"|>days<|"|>: 3}',
    "blanks": '{ city : <|"|>Paris<|"|> , days : 3 }',
    "JSON with marks": '{<|"|>city<|"|>: "Paris", "days": 3}',
    "lost mark": '{city:<|"|>Paris,days:3,x:<|"|>y<|"|>}',
}


@pytest.mark.parametrize("name", SLIPS)
def test_slips_are_mended(name) -> None:
    found = arguments(f"<|tool_call>call:get_weather{SLIPS[name]}<tool_call|>")
    assert found == json.loads(ARGUMENTS) | ({"x": "y"} if name == "lost mark" else {})


def test_more_slips() -> None:
    def of(inner, name="say"):
        return arguments(f"<|tool_call>call:{name}{inner}<tool_call|>")

    assert of("{text:12345}") == {"text": "12345"}  # it has to be a text
    assert of("{zip:12345}") == {"zip": 12345}
    assert of("{text:it's, well, fine}") == {"text": "it's, well, fine"}
    assert of("{text:'it's'}") == {"text": "it's"}
    assert of("{text:if (x) { y } else [z]}") == {"text": "if (x) { y } else [z]"}
    assert of("{x:[a,b c,'d']}") == {"x": ["a", "b c", "d"]}
    assert of("{x:[1,2}") == {"x": [1, 2]}
    assert of("{x:{y:None,z:True}") == {"x": {"y": None, "z": True}}
    assert of("{Paris}") == {"text": "Paris"}
    assert of("") == of("{}") == of("{") == {}
    assert arguments(f"{CALL}<tool_call|>") == json.loads(ARGUMENTS)
    assert arguments(CALL.removesuffix("<tool_call|>")) == json.loads(ARGUMENTS)
    assert arguments(CALL.replace("call:", "")) == json.loads(ARGUMENTS)


def test_what_cannot_be_read_is_passed_on_or_named() -> None:
    parts, _ = read("<|tool_call>call:get_weather{Paris}<tool_call|>")
    assert json.loads(parts.message.calls[0].arguments) == {"text": "{Paris}"}
    assert "get_weather" in parts.warning
    parts, events = read("<|tool_call>{}<tool_call|>")
    assert not parts.message.calls
    assert not events
    assert "could not be read" in parts.warning
