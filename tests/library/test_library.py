"""`import gemma_mtp`: replies, streams, forms, functions; and its page, run as it stands."""

from __future__ import annotations

import enum
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from support.drawn import png
from support.fakes import FakeEngine, Script
from support.serving import FakeEngines, serving
from support.sounds import flac, wav

import gemma_mtp
from gemma_mtp import GemmaMtpError
from gemma_mtp.api import Audio, Image, Message, Text, ToolChoice
from gemma_mtp.library import Model, Tool
from gemma_mtp.library.forms import declared, schema_of
from gemma_mtp.models import presets
from gemma_mtp.options import Options

ROOT = Path(__file__).parents[2]


@dataclass
class Fruit:
    name: Literal["apple", "pear"]
    ripe: bool = False


def weather(city: str, days: int = 1) -> dict[str, Any]:
    """What the weather will be like."""
    if city == "Atlantis":
        raise LookupError("no such city")
    return {"city": city, "days": days}


def model(*scripts: Script, **options: Any) -> tuple[Model, FakeEngine]:
    engine = FakeEngine([*scripts] or [Script()])
    return Model(engine, Options().with_values(**options)), engine


def test_the_page_runs_as_it_stands(home: Path) -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, cwd=ROOT,
        timeout=120, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("7 + 5 = 12.\n")
    assert "\nlength\n1, 2, 3, 4, 5.thought:" in ran.stdout


def test_the_command_line_goes_without_it() -> None:
    names = "{'gemma_mtp.library', 'pydantic', 'llama_cpp', 'httpx'}"
    code = f"import sys, gemma_mtp, gemma_mtp.cli.app; print(sorted({names} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "[]\n"
    with pytest.raises(AttributeError, match="nothing"):
        gemma_mtp.nothing  # noqa: B018
    assert set(gemma_mtp.__all__) == set(gemma_mtp.library.__all__)  # type: ignore[attr-defined]
    assert (ROOT / "gemma_mtp" / "py.typed").exists()


def test_settings_of_a_model_and_of_a_reply() -> None:
    found, engine = model(temperature=0.0, system="Be brief.", seed=3)
    assert found.chat("Hi", top_k=5, think_budget=9).seed == 3
    asked = engine.requests[0]
    assert [(m.role, m.content) for m in asked.messages] == [
        ("system", "Be brief."), ("user", "Hi"),
    ]  # fmt: skip
    assert (asked.sampling.temperature, asked.sampling.top_k) == (0.0, 5)
    assert (asked.thinks, asked.think_budget, asked.limit_answer) == (True, 9, True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"temperatur": 1}, 'no setting "temperatur"'),
        ({"ctx": 512}, 'no setting "ctx"'),  # of a model, not of a reply
        ({"top_p": 3}, "top_p must be"),
        ({"schema": {"type": "objekt"}}, "objekt"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(home: Path, settings: Any, words: str) -> None:
    with gemma_mtp.open("tiny", keep_alive=0) as real, pytest.raises(GemmaMtpError, match=words):
        real.chat("Hi", **settings)
    with pytest.raises(GemmaMtpError, match="role must be"):
        model()[0].chat({"role": "judge", "content": "Hi"})
    with pytest.raises(GemmaMtpError, match="role and a content"):
        model()[0].chat({"role": "user", "content": ["Hi"]})


def test_a_model_that_is_not_here(home: Path) -> None:
    with pytest.raises(GemmaMtpError) as error:
        gemma_mtp.open("e2b", keep_alive=0)
    assert "pull" in error.value.hint


def test_a_conversation_goes_on() -> None:
    found, engine = model(Script("Hello.", thought="They greet."), Script("Fine."))
    reply = found.chat("Hi", think=True)
    assert (reply.text, reply.thought, reply.reason) == ("Hello.", "They greet.", "stop")
    found.chat([*reply.messages, "How are you?"])
    said = [(m.role, m.content) for m in engine.requests[1].messages]
    assert said == [("user", "Hi"), ("assistant", "Hello."), ("user", "How are you?")]


def test_who_stops_reading_stops_the_reply() -> None:
    found, engine = model(Script("one two three four five six seven eight nine ten"))
    stream = found.stream("Count.")
    pieces = iter(stream)
    assert next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert not hasattr(stream, "reply")
    assert found.chat("Again").reason == "stop"
    assert len(engine.requests) == 2


def test_a_type_as_the_form_of_an_answer() -> None:
    found, engine = model(Script('{"name": "pear", "ripe": true}'))
    assert found.chat("A fruit.", schema=Fruit).value == Fruit("pear", True)
    assert found.chat("A fruit.", schema=schema_of(Fruit)).value["name"] == "pear"
    grammar = engine.requests[0].grammar
    assert grammar is not None
    assert json.loads(grammar.text)["additionalProperties"] is False
    with pytest.raises(GemmaMtpError, match="no schema"):
        print(found.chat("A fruit.").value)
    with pytest.raises(GemmaMtpError, match="before its text was whole"):
        print(found.chat("A fruit.", schema=Fruit, max_tokens=1).value)


def test_functions_are_run_until_there_is_an_answer() -> None:
    calls = [("weather", '{"city": "Oslo", "days": "2"}'), ("weather", '{"city": "Atlantis"}')]
    found, engine = model(Script("", calls=calls), Script("Sun."))
    reply = found.chat("Weather?", tools=[weather])
    assert (reply.text, reply.calls) == ("Sun.", ())
    single = model(Script("Sun."))[0].chat("Weather?")
    assert reply.stats.prompt_tokens > single.stats.prompt_tokens  # of both replies
    results = engine.requests[1].messages[-1].parts
    assert [part.text for part in results] == [  # type: ignore[union-attr]
        '{"city":"Oslo","days":2}', "Error: no such city",
    ]  # fmt: skip
    assert [m.role for m in reply.messages] == ["user", "assistant", "tool", "assistant"]


def test_a_tool_that_is_no_function_ends_the_reply() -> None:
    found, engine = model(Script("I look.", calls=[("lamp", "{}")]))
    reply = found.chat("Light.", tools=[Tool("lamp"), weather])
    assert [call.name for call in reply.calls] == ["lamp"]
    assert len(engine.requests) == 1


def test_functions_that_are_called_for_ever_end() -> None:
    found, engine = model(Script("", calls=[("weather", '{"city": "Oslo"}')]))
    assert found.chat("Weather?", tools=[weather]).calls
    assert len(engine.requests) == 16


def test_a_function_is_declared_by_its_types() -> None:
    tool = declared(weather)
    schema = json.loads(tool.parameters)
    assert (tool.name, tool.description) == ("weather", "What the weather will be like.")
    assert schema["required"] == ["city"]
    assert schema["properties"]["days"]["type"] == "integer"


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("weather", ToolChoice("required", "weather")),
        (weather, ToolChoice("required", "weather")),
    ],
)
def test_a_tool_can_be_demanded_and_the_answer_is_free(choice: Any, asked: ToolChoice) -> None:
    found, engine = model(Script("", calls=[("weather", '{"city": "Oslo"}')]), Script("Sun."))
    assert found.chat("Weather?", tools=[weather], tool_choice=choice).text == "Sun."
    then = asked if choice == "none" else ToolChoice()
    assert [request.tool_choice for request in engine.requests] == [asked, then]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tool_choice": "lamp"}, "none of the tools"),
        ({"tool_choice": 3}, "or one of the tools, not 3"),
        ({"choices": "yes"}, "a list of texts"),
        ({"choices": ["yes"], "schema": Fruit}, "do not go together"),
    ],
)
def test_a_choice_that_is_none_is_said(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(GemmaMtpError, match=words):
        model()[0].chat("Hi", tools=[weather], **wrong)


def test_one_of_several_texts_and_sets(home: Path) -> None:
    with gemma_mtp.open("tiny", keep_alive=0, seed=1) as real:
        assert real.chat("Is the sky blue?", choices=["ja", "nein"]).text in ("ja", "nein")
        with pytest.raises(GemmaMtpError, match="at least one text"):
            real.chat("Is the sky blue?", choices=[])
        letters = real.chat("Letters.", schema=set[Literal["a", "b"]])
        assert letters.value == set(json.loads(letters.text))
        real.chat("Words.", schema=set[str], max_tokens=4)  # is not refused


def test_a_set_has_no_values_twice_where_these_can_be_listed() -> None:
    class Letter(enum.Enum):
        A, B = "a", "b"

    many = Literal["a", "b", "c", "d", "e", "f", "g", "h", "i"]
    unique = ["uniqueItems" in schema_of(set[kind]) for kind in (Letter, Literal["a"], str, many)]
    assert unique == [True, False, False, False]


def test_a_server_elsewhere() -> None:
    engines = FakeEngines()
    engines.say("Hello from afar.")
    with serving(engines) as url:
        with gemma_mtp.open(server=url, model="tiny") as there:
            assert there.chat("Hi", seed=4).text == "Hello from afar."
        with pytest.raises(GemmaMtpError, match="Say which model"):
            gemma_mtp.open("gpt", server=url)


def test_a_model_that_was_closed_says_so_also_in_the_midst_of_a_reply(home: Path) -> None:
    real = gemma_mtp.open("tiny", keep_alive=0)
    stream = iter(real.stream("Tell me a story about a fox."))
    assert next(stream).text  # type: ignore[union-attr]
    real.close()
    real.close()
    for ask in (lambda: next(stream), lambda: real.chat("Hi"), lambda: real.count("Hi")):
        with pytest.raises(GemmaMtpError, match="This model is closed"):
            ask()


@pytest.mark.parametrize("wrong", [{"schema": 3}, {"tools": "x"}, {"tools": [print]}])
def test_what_is_no_type_and_no_function_is_an_error_of_ours(wrong: dict[str, Any]) -> None:
    with pytest.raises(GemmaMtpError):
        model()[0].chat("Hi", **wrong)


@pytest.mark.parametrize("said", ["", " ", None, 3, [3]])
def test_what_says_nothing_is_refused(said: Any) -> None:
    with pytest.raises(GemmaMtpError, match=r"empty|What is said is a text"):
        model()[0].chat(said)


def test_a_preset_opens_with_its_settings_and_begins_each_conversation_once(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy"}]
    data = {"from": "tiny", "system": "Arr.", "temperature": 0.25, "message": first}
    presets.keep(presets.kept_of("pirate", data))
    engine = FakeEngine([Script("Aye.")])
    monkeypatch.setattr("gemma_mtp.resident.attach.attach", lambda *_: engine)
    with gemma_mtp.open("pirate", top_k=3) as found:
        reply = found.chat("hello")
        asked = engine.requests[-1]
        assert [m.content for m in asked.messages] == ["Arr.", "Hi", "Ahoy", "hello"]
        assert (asked.sampling.temperature, asked.sampling.top_k) == (0.25, 3)
        found.chat([*reply.messages, "more"])
    said = [m.content for m in engine.requests[-1].messages]
    assert said == ["Arr.", "Hi", "Ahoy", "hello", "Aye.", "more"]


def test_pictures_are_shown_with_the_last_message(tmp_path: Path) -> None:
    data = png(4, 3)
    (tmp_path / "cat.png").write_bytes(data)
    gemma, engine = model()
    named = Image(data, "image/png", str(tmp_path / "cat.png"))
    first = gemma.chat("What?", images=[tmp_path / "cat.png"])
    assert engine.requests[-1].messages == (Message("user", (named, Text("What?"))),)
    gemma.chat([*first.messages, ""], images=[data, named])
    last = engine.requests[-1].messages[-1]
    assert last == Message("user", (Image(data, "image/png"), named))
    for images, said in (
        ([b"text"], "This is no picture"),
        (["nope.png"], "nope.png cannot be read"),
        ([7], "A picture is the path of a file or its bytes, not 7"),
    ):
        with pytest.raises(GemmaMtpError, match=said):
            gemma.chat("What?", images=images)
    for one in ("cat.png", data):
        with pytest.raises(GemmaMtpError, match="images must be a list"):
            gemma.chat("What?", images=one)  # type: ignore[arg-type]
    assert len(repr(first)) < 3000  # what is printed has no bytes of pictures
    with pytest.raises(GemmaMtpError, match="images: pictures belong to a message of the user"):
        gemma.chat(first.messages, images=[data])


def test_recordings_are_played_behind_the_text_of_the_last_message(tmp_path: Path) -> None:
    (tmp_path / "memo.wav").write_bytes(wav())
    gemma, engine = model()
    gemma.chat("What?", audio=[tmp_path / "memo.wav", flac()], images=[png()])
    named = Audio(wav(), "audio/wav", str(tmp_path / "memo.wav"))
    shown, heard = Image(png(), "image/png"), Audio(flac(), "audio/flac")
    assert engine.requests[-1].messages == (Message("user", (shown, Text("What?"), named, heard)),)
    with pytest.raises(GemmaMtpError, match=r'audio must be a list, as in audio=\["memo\.wav"\]'):
        gemma.chat("What?", audio="memo.wav")  # type: ignore[arg-type]
    with pytest.raises(GemmaMtpError, match="audio: recordings belong to a message of the user"):
        gemma.chat([{"role": "assistant", "content": "Yes."}], audio=[wav()])
