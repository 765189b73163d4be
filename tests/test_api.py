"""What goes in and comes out: messages and turns, checked requests, and all of it as JSON."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from gemma_mtp.api import (
    Audio,
    End,
    Event,
    Image,
    Message,
    PairInfo,
    Prefill,
    Progress,
    Request,
    Sampling,
    Stats,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    from_json,
    to_json,
)
from gemma_mtp.errors import UsageError

PICTURE = Image(b"\x89PNG\x00\xff", "image/png")
CALL = ToolCall("1", "weather", '{"city": "Rome"}')
ASKED = Message.text("user", "What is the weather?")
CALLED = Message("assistant", (Text("Let me look."), CALL), (1, 2, 3))
RESULT = Message("tool", (ToolResult("1", "rain"),))
ANSWERED = Message.text("assistant", "It rains.", (4, 5))
TURN = Turn(ASKED, (CALLED, RESULT, ANSWERED), "Hm.", 7, True, "stop", Stats(rounds=2))


# --- messages and turns ----------------------------------------------------------------------


def test_a_message_of_text() -> None:
    assert Message.text("user", "Hi") == Message("user", (Text("Hi"),))
    assert Message("user", (Text("a"), PICTURE, Text("b"))).content == "ab"
    assert Message("user", ()).content == ""


def test_text_is_added_at_the_end_of_a_message() -> None:
    assert ANSWERED.extended(" Much.", (6,)) == Message.text(
        "assistant", "It rains. Much.", (4, 5, 6)
    )
    assert ANSWERED.extended(" Much.").tokens == ()
    assert ANSWERED.without_tokens().extended("!", (6,)).tokens == ()
    assert CALLED.extended("So").parts == (*CALLED.parts, Text("So"))
    assert Message("assistant", ()).extended("So") == Message.text("assistant", "So")


def test_a_turn_of_several_messages() -> None:
    assert TURN.messages == (ASKED, CALLED, RESULT, ANSWERED)
    assert (TURN.reply, TURN.answer) == (ANSWERED, "Let me look.\n\nIt rains.")
    waiting = replace(TURN, replies=(CALLED, RESULT))
    assert (waiting.reply, waiting.answer) == (None, "Let me look.")
    assert waiting.with_reply(ANSWERED) == TURN
    assert TURN.with_reply(CALLED).replies == (CALLED, RESULT, CALLED)
    assert (Turn(ASKED).reply, Turn(ASKED).answer) == (None, "")


@pytest.mark.parametrize(
    "value",
    [Prefill(1, 2, 0), TextDelta("a"), Progress(Stats()), End("stop", ANSWERED, "", (), 7, Stats()),
     ANSWERED, TURN, Stats(), Request((ASKED,)), Text("a"), PICTURE],
)  # fmt: skip
def test_all_of_it_is_immutable(value: Any) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(value, fields(value)[0].name, None)
    assert hash(value) == hash(replace(value))


# --- requests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            Message("user", "Hi"),  # type: ignore[arg-type]
            "messages must hold messages of parts; Message.text makes one of a text.",
        ),
        (Message("user", ("Hi",)), "A part of a message must be one of api.Part, not 'Hi'."),  # type: ignore[arg-type]
        (Message("assistant", (PICTURE,)), "Only the user shows pictures, not the assistant."),
        (
            Message("assistant", (Audio(b"", "audio/wav"),)),
            "Only the user plays recordings, not the assistant.",
        ),
        (Message("user", (Audio(b"", "audio/wav"),)), "The recording is empty."),
        (Message("user", (Audio(b"", "audio/wav"),) * 2), "Recording 1 of 2 is empty."),
        (
            replace(CALLED, role="user"),
            "Only the assistant calls tools or thinks, not the user.",
        ),
        (
            replace(RESULT, role="user"),
            "Messages of the role tool hold results of tools, and no others do.",
        ),
        (
            Message.text("tool", "rain"),
            "Messages of the role tool hold results of tools, and no others do.",
        ),
        (
            Message.text("robot", "Hi"),  # type: ignore[arg-type]
            'role must be one of system, user, assistant, tool, not "robot".',
        ),
    ],
)
def test_a_message_that_cannot_be_served_is_refused_in_one_sentence(
    message: Message, said: str
) -> None:
    with pytest.raises(UsageError) as error:
        Request((ASKED, message)).check()
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("tools", "choice", "said"),
    [
        ((Tool("get weather"),), ToolChoice(), 'not "get weather"'),
        ((Tool("a"), Tool("a")), ToolChoice(), "Two tools are called a."),
        ((Tool("a", parameters="{"),), ToolChoice(), "The parameters of a are no JSON"),
        ((Tool("a", parameters="[]"),), ToolChoice(), "must be the JSON Schema of an object"),
        ((Tool("a"),), ToolChoice("required", "b"), "names b, which is none of the tools"),
        ((Tool("a"),), ToolChoice("any"), 'not "any"'),  # type: ignore[arg-type]
        ((), ToolChoice("required"), "demands a call"),
    ],
)
def test_tools_that_cannot_be_declared(
    tools: tuple[Tool, ...], choice: ToolChoice, said: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Request((ASKED,), tools=tools, tool_choice=choice).check()


def test_calls_and_their_results_belong_into_a_request() -> None:
    schema = '{"type": "object", "properties": {"city": {"type": "string"}}}'
    Request((ASKED, CALLED, RESULT), tools=(Tool("get_weather", "", schema),)).check()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"messages": ()}, "messages"),
        ({"sampling": Sampling(temperature=-0.1)}, "temperature"),
        ({"sampling": Sampling(temperature=math.nan)}, "temperature"),
        ({"sampling": Sampling(temperature="hot")}, "temperature"),  # type: ignore[arg-type]
        ({"sampling": Sampling(top_k=-1)}, "top_k"),
        ({"sampling": Sampling(top_k=1.5)}, "top_k"),  # type: ignore[arg-type]
        ({"sampling": Sampling(top_p=0)}, "top_p"),
        ({"sampling": Sampling(min_p=1.1)}, "min_p"),
        ({"sampling": Sampling(repeat_penalty=0)}, "repeat_penalty"),
        ({"sampling": Sampling(repeat_last_n=-1)}, "repeat_last_n"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": True}, "seed"),
        ({"draft": 17}, "draft"),
        ({"draft": "off"}, "draft"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"stop": "end"}, "stop"),
        ({"synthetic_acceptance": 1.5}, "synthetic_acceptance"),
    ],
)
def test_a_bad_value_is_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"^{named} must [^.]*.*[.]$"):
        replace(Request((ASKED,)), **fields).check()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Request(), "messages must hold at least one message."),
        (
            Request((ASKED,), prompt="Hi"),
            "prompt takes the place of messages; a request has one of them.",
        ),
        (Request(prompt=7), "prompt must be a text."),  # type: ignore[arg-type]
    ],
)
def test_a_request_has_either_messages_or_a_prompt(bad: Request, said: str) -> None:
    with pytest.raises(UsageError) as error:
        bad.check()
    assert str(error.value) == said
    Request(prompt="").check()


def test_good_requests_pass() -> None:
    Request((ASKED,)).check()
    greedy = Sampling(temperature=0, top_k=0, top_p=1, min_p=0, repeat_last_n=0)
    messages = (Message.text("system", ""), ASKED, ANSWERED)
    Request(messages, greedy, seed=2**63 - 1, exact=True, draft=16, max_tokens=1).check()
    Request(messages, stop=("end",), synthetic_acceptance=0.5).check()


# --- JSON ------------------------------------------------------------------------------------


def invented(kind: Any, rng: random.Random) -> Any:
    """Any value of that type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType, Literal):
        one = rng.choice(inner)
        return one if origin is Literal else invented(one, rng)
    if origin is tuple:
        return tuple(invented(inner[0], rng) for _ in range(rng.randrange(4)))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: invented(hints[f.name], rng) for f in fields(kind)})
    return {
        NoneType: lambda: None,
        bool: lambda: rng.random() < 0.5,
        int: lambda: rng.choice((0, -1, rng.getrandbits(63))),
        float: lambda: rng.choice((0.0, -0.0, 1e300, 5e-324, rng.random())),
        str: lambda: "".join(rng.choices('a "\\\n\0é🦀\ud800\u2028', k=rng.randrange(6))),
        bytes: lambda: rng.randbytes(rng.randrange(6)),
    }[kind]()


@pytest.mark.parametrize(
    "kind", [Request, Message, Turn, Stats, Event, Sampling, PairInfo], ids=str
)
def test_everything_comes_back_from_json_as_it_was(kind: Any) -> None:
    rng = random.Random(str(kind))
    for _ in range(500):
        value = invented(kind, rng)
        again = from_json(kind, json.loads(json.dumps(to_json(value), allow_nan=False)))
        assert again == value
        assert repr(again) == repr(value)  # 0 is not 0.0, nor False


def test_parts_and_events_say_what_they_are() -> None:
    assert to_json(Message("user", (Text("Hi"), PICTURE))) == {
        "role": "user",
        "parts": [
            {"type": "text", "text": "Hi"},
            {"type": "image", "data": "iVBORwD/", "media_type": "image/png", "name": ""},
        ],
        "tokens": [],
    }
    assert to_json(Prefill(1, 2, 0)) == {"type": "prefill", "done": 1, "total": 2, "cached": 0}


def test_what_is_missing_has_its_default_and_what_is_unknown_is_left_out() -> None:
    message = {"role": "user", "parts": [{"type": "text", "text": "Hi", "colour": "red"}]}
    data = {"messages": [message], "sampling": {"top_k": 3}, "joy": 1}
    assert from_json(Request, data) == Request((Message.text("user", "Hi"),), Sampling(top_k=3))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"messages": [{}]}, "messages[0].role is missing."),
        ([], "The value must be an object."),
        ({"messages": "Hi"}, "messages must be a list."),
        ({"messages": [{"role": "user", "parts": "Hi"}]}, "messages[0].parts must be a list."),
        (
            {"messages": [{"role": "robot", "parts": []}]},
            "messages[0].role must be system or user or assistant or tool.",
        ),
        (
            {"messages": [{"role": "user", "parts": [{"type": "text", "text": 1}]}]},
            "messages[0].parts[0].text must be a text.",
        ),
        (
            {"messages": [], "sampling": {"top_p": "1"}},
            "sampling.top_p must be a number.",
        ),
        ({"messages": [], "sampling": {"top_p": math.nan}}, "sampling.top_p must be a number."),
        ({"messages": [], "seed": 10**400}, "seed must be a whole number or null."),
        ({"messages": [], "sampling": {"top_p": 10**400}}, "sampling.top_p must be a number."),
        ({"messages": [], "seed": 1.5}, "seed must be a whole number or null."),
        ({"messages": [], "think": 1}, "think must be true or false."),
        ({"messages": [], "draft": "off"}, "draft must be a whole number or auto."),
        ({"messages": [], "exact": {}}, "exact must be true or false or null."),
    ],
)
def test_json_that_is_no_request_is_refused_by_its_field(data: Any, said: str) -> None:
    with pytest.raises(UsageError) as error:
        from_json(Request, data)
    assert str(error.value) == said


@pytest.mark.parametrize(
    "part", [{"type": "smell"}, {}, None, {"type": ["text"]}, {"type": "image", "data": "?"}]
)
def test_a_part_that_is_none_is_refused(part: Any) -> None:
    with pytest.raises(UsageError, match=r"^parts\[0\]"):
        from_json(Message, {"role": "user", "parts": [part]})
