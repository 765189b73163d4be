"""`run` with --format, --choices and --grammar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fakes import FakeEngine, FakeEnvironment, Script, invoke

from gemma_mtp.api import Grammar


def asked(*options: str) -> Grammar | None:
    """What the engine is asked for."""
    engine = FakeEngine([Script("{}")])
    outcome = invoke("run", "tiny", "Hi", *options, env=FakeEnvironment(engine))
    assert outcome.status == 0, outcome.stderr
    return engine.requests[0].grammar


def test_the_forms(tmp_path: Path) -> None:
    schema, lark, gbnf = tmp_path / "s.json", tmp_path / "g.lark", tmp_path / "g.gbnf"
    schema.write_text('{"type": "array"}')
    lark.write_text('start: "a"')
    gbnf.write_text('root ::= "a"')
    assert asked() is None
    assert asked("--format", "JSON") == Grammar("json")
    assert asked("--format", str(schema)) == Grammar("json_schema", '{"type": "array"}')
    assert asked("--format", '{"type": "string"}') == Grammar("json_schema", '{"type": "string"}')
    assert asked("--grammar", str(lark)) == Grammar("lark", 'start: "a"')
    assert asked("--grammar", str(gbnf)) == Grammar("gbnf", 'root ::= "a"')
    choices = asked("--choices", "yes, no ,grün,")
    assert choices is not None
    assert (choices.kind, json.loads(choices.text)) == ("choices", ["yes", "no", "grün"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--choices", " ,"], "--choices needs at least one text."),
        (["--format", "json", "--choices", "a,b"], "do not go together"),
        (["--format", "missing.json"], "missing.json cannot be read"),
        (["--grammar", "/dev/null"], "is a device"),
        (["--grammar", "/"], "/ is a folder"),
        (["--format", '{"type":'], "What --format has is no JSON: Expecting value"),
    ],
)
def test_mistakes(options: list[str], words: str) -> None:
    outcome = invoke("run", "tiny", "Hi", *options)
    assert outcome.status == 2
    assert words in outcome.stderr
    assert outcome.stdout == ""


def test_a_cut_answer_says_so_and_has_a_status_of_its_own() -> None:
    engine = FakeEngine([Script("one two three four")])
    env = FakeEnvironment(engine)
    outcome = invoke("run", "tiny", "Hi", "--format", "json", "--max-tokens", "2", env=env)
    assert outcome.status == 3
    assert "was cut by --max-tokens" in outcome.stderr
