"""`run` with --tools and --tool-choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fakes import FakeEngine, FakeEnvironment, Outcome, Script, invoke

from gemma_mtp.api import Request, Tool, ToolChoice
from gemma_mtp.tools.definitions import read_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
TOOLS = json.dumps([{"type": "function", "function": WEATHER}, {"name": "clock"}])
CALLS = [("weather", '{"city": "Rome"}'), ("clock", "{}")]


def run(script: Script, *options: str, tools: str = TOOLS) -> tuple[Outcome, list[Request]]:
    engine = FakeEngine([script])
    env = FakeEnvironment(engine)
    return invoke("run", "tiny", "Hi", "--tools", tools, *options, env=env), engine.requests


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "function", "function": WEATHER},
        {"type": "function", **WEATHER, "strict": True},
        {"name": "weather", "description": "The weather.", "input_schema": SCHEMA},
        {"name": "weather", "description": "The weather.", "inputSchema": SCHEMA},
    ],
)
def test_each_form_of_a_tool_is_the_same_tool(declared: dict[str, object]) -> None:
    (tool,) = read_tools(json.dumps([declared]), "t.json")
    assert (tool.name, tool.description, json.loads(tool.parameters)) == (
        *("weather", "The weather."),
        SCHEMA,
    )
    assert read_tools(json.dumps({"tools": [declared]}), "t.json") == (tool,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "t.json is no JSON"),
        ("3", "t.json must be a list of tools"),
        ("[]", "t.json holds no tools"),
        ('["weather"]', "Tool 1 of t.json is no object"),
        ('[{"name": "a"}, {"type": "function"}]', "Tool 2 of t.json has no name"),
        ('[{"type": "web_search"}]', "Tool 1 of t.json is of the type web_search"),
        ('[{"name": "a", "parameters": []}]', "Tool 1 of t.json: the parameters must be"),
        ('[{"name": "a b"}]', 'not "a b"'),
        ('[{"name": "a"}, {"name": "a"}]', "Two tools are called a."),
        ('[{"name": "a", "description": 3}]', "the description must be a text"),
    ],
)
def test_what_is_no_list_of_tools_is_refused_in_a_sentence(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.json").write_text(text)
    outcome, asked = run(Script(), tools="t.json")
    assert (outcome.status, outcome.stdout, asked) == (2, "", [])
    assert words in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_calls_are_printed_as_json_one_a_line() -> None:
    outcome, (request,) = run(Script("", calls=CALLS))
    assert outcome.status == 0
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [
        {"name": "weather", "arguments": {"city": "Rome"}},
        {"name": "clock", "arguments": {}},
    ]
    assert request.tools[0].name == "weather"
    assert request.tools[1] == Tool("clock")
    assert request.tool_choice == ToolChoice()
    assert "There is no answer" not in outcome.stderr


def test_text_before_calls_comes_first_with_a_line_of_its_own() -> None:
    outcome, _ = run(Script("I will look.", calls=CALLS[1:]))
    assert outcome.stdout == 'I will look.\n{"name": "clock", "arguments": {}}\n'


def test_the_field_of_json() -> None:
    outcome, _ = run(Script("I will look.", calls=CALLS[:1]), "--json")
    said = json.loads(outcome.stdout)
    assert said["text"] == "I will look."
    assert said["tool_calls"] == [{"name": "weather", "arguments": {"city": "Rome"}}]
    assert said["finish_reason"] == "tool_calls"
    said = json.loads(run(Script("No."), "--json")[0].stdout)
    assert (said["tool_calls"], said["finish_reason"]) == ([], "stop")
    assert "tool_calls" not in json.loads(invoke("run", "tiny", "Hi", "--json").stdout)


@pytest.mark.parametrize(
    ("word", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("REQUIRED", ToolChoice("required")),
        ("weather", ToolChoice("required", "weather")),
    ],
)
def test_the_choice(word: str, choice: ToolChoice) -> None:
    _, (request,) = run(Script(), "--tool-choice", word)
    assert request.tool_choice == choice


def test_mistakes_with_the_choice() -> None:
    outcome, _ = run(Script(), "--tool-choice", "wether")
    assert outcome.status == 2
    assert 'knows no "wether"' in outcome.stderr
    assert "weather, clock" in outcome.stderr
    outcome = invoke("run", "tiny", "Hi", "--tool-choice", "auto")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "--tool-choice needs tools" in outcome.stderr


def test_a_call_that_was_demanded_and_cut_has_the_status_of_a_cut_form() -> None:
    outcome, _ = run(Script("a b c"), "--tool-choice", "required", "--max-tokens", "2")
    assert outcome.status == 3
    assert run(Script("a b c"), "--max-tokens", "2")[0].status == 0


def test_a_call_that_a_limit_cut_is_named_as_what_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemma_mtp.cli.environment import Environment

    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    options = ["--tools", TOOLS, "--tool-choice", "weather", "--seed", "1", "--max-tokens", "20"]
    outcome = invoke("run", "tiny", "Hi", *options, env=Environment())
    assert (outcome.status, outcome.stdout) == (3, "")
    assert "There is no answer: the token limit came in the midst of a call." in outcome.stderr
    assert "before it was whole" not in outcome.stderr  # once is enough
