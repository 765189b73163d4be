"""`create` and `cp`, and what other commands make of a preset's name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fakes import FakeEngine, FakeEnvironment, Outcome, invoke
from support.pairs import TINY

from gemma_mtp.api import PairFiles
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import ExitStatus
from gemma_mtp.models import presets


class Scripted(FakeEnvironment):
    """The store is the real one, the engine is not."""

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        return Environment.resolve(self, model, drafter)


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def there() -> Scripted:
    return Scripted(FakeEngine())


def gemma(there: Scripted, *words: str) -> Outcome:
    return invoke(*words, env=there)


def test_a_name_is_kept_and_answers(there: Scripted) -> None:
    done = gemma(there, "create", "pirate", "--from", "tiny", "--system", "You are a pirate.",
                 "--set", "temperature=0.25", "--set", "num_ctx=512", "--set", "stop=A",
                 "--set", "stop=B")  # fmt: skip
    assert done.status == 0
    assert "pirate is tiny with ctx 512, stop" in done.stderr
    answer = gemma(there, "run", "pirate", "hello", "--json", "--seed", "1")
    request = there.engine.requests[-1]
    assert [(m.role, m.content) for m in request.messages] == [
        ("system", "You are a pirate."),
        ("user", "hello"),
    ]
    assert (request.sampling.temperature, request.stop) == (0.25, ("A", "B"))
    assert there.loaded[-1][1].context == 512
    assert json.loads(answer.stdout)["model"] == "pirate"
    assert there.used[-1] == "pirate"


def test_what_is_typed_counts_more_than_a_preset_and_that_more_than_the_file_of_settings(
    there: Scripted,
) -> None:
    there.configured = {"temperature": 0.5, "top_k": 7, "system": "From the file."}
    gemma(there, "create", "pirate", "--from", "tiny", "--set", "temperature=0.25",
          "--system", "Arr.")  # fmt: skip
    gemma(there, "run", "pirate", "hello")
    sampling, said = there.engine.requests[-1].sampling, there.engine.requests[-1].messages
    assert (sampling.temperature, sampling.top_k, said[0].content) == (0.25, 7, "Arr.")
    gemma(there, "run", "pirate", "hello", "--temperature", "0.75", "--system", "Typed.")
    sampling, said = there.engine.requests[-1].sampling, there.engine.requests[-1].messages
    assert (sampling.temperature, said[0].content) == (0.75, "Typed.")
    gemma(there, "run", "tiny", "hello")
    sampling, said = there.engine.requests[-1].sampling, there.engine.requests[-1].messages
    assert (sampling.temperature, said[0].content) == (0.5, "From the file.")


def test_a_modelfile_is_read_and_its_first_turns_come_before_the_prompt(
    there: Scripted, home: Path
) -> None:
    file = home / "Modelfile"
    file.write_text('FROM tiny\nSYSTEM Be Mario.\nMESSAGE user Hi\nMESSAGE assistant "It is me"\n'
                    "TEMPLATE {{ .Prompt }}\n")  # fmt: skip
    done = gemma(there, "create", "mario", "-f", str(file))
    assert done.status == 0
    assert "TEMPLATE is left out" in done.stderr
    gemma(there, "run", "mario", "hello")
    said = [(m.role, m.content) for m in there.engine.requests[-1].messages]
    assert said == [("system", "Be Mario."), ("user", "Hi"), ("assistant", "It is me"),
                    ("user", "hello")]  # fmt: skip


def test_the_modelfile_of_this_folder_is_read_where_nothing_is_named(
    there: Scripted, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    nothing = gemma(there, "create", "x")
    assert nothing.status == ExitStatus.USAGE
    assert "--from" in nothing.stderr
    (home / "Modelfile").write_text("FROM tiny\nPARAMETER top_k 3\n")
    assert gemma(there, "create", "x").status == 0
    found = presets.find("x")
    assert found is not None
    assert dict(found.preset.values) == {"top_k": 3}


def test_a_preset_is_carried_to_another_machine_as_one_file(there: Scripted, home: Path) -> None:
    gemma(there, "create", "pirate", "--from", "e2b", "--system", "Two\nlines", "--set", "seed=3")
    for flag, name in (("--toml", "p.toml"), ("--modelfile", "Modelfile")):
        (home / name).write_text(gemma(there, "show", "pirate", flag).stdout)
        gemma(there, "create", f"again-{name[0]}", "--file", str(home / name))
    first, *others = presets.all_kept()
    assert {kept.called("pirate") for kept in others} == {first.called("pirate")}


def test_one_that_is_there_is_replaced_only_by_force(there: Scripted) -> None:
    assert gemma(there, "create", "x", "--from", "tiny", "--set", "top_k=1").status == 0
    again = gemma(there, "create", "x", "--from", "tiny")
    assert again.status == ExitStatus.USAGE
    assert "--force" in again.stderr
    assert gemma(there, "create", "x", "--from", "tiny", "--force").status == 0
    assert presets.find("x") == presets.Kept(presets.Preset("x"), "tiny")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("x", "--from", "nosuchmodel"), 4, "no model called"),
        (("x", "--from", "/no/such.gguf"), 4, "There is no file"),
        (("e2b", "--from", "tiny"), 2, "is the name of a model"),
        (("x", "--from", "tiny", "--set", "temprature=1"), 2, "Did you mean temperature"),
        (("x", "--from", "tiny", "--set", "vi=on"), 2, 'There is no setting of a preset "vi"'),
        (("x", "--from", "tiny", "--drafter", "no.gguf"), 4, "no.gguf"),
        (("x", "--from", "e2b", "--drafter", "no.gguf"), 4, "no.gguf"),
        (("x", "--file", "."), 2, ". is a folder"),
        (("my pirate", "--from", "tiny"), 2, "as in pirate:v2"),
        (("x", "--from", "tiny", "--set", "temperature"), 2, "--set temperature=0.5"),
        (("x", "--from", "tiny", "--set", "temperature=hot"), 2, "temperature must be"),
        (("x", "--file", "nosuchfile"), 2, "There is no file nosuchfile"),
    ],
)
def test_mistakes_are_named(
    there: Scripted, words: tuple[str, ...], status: int, said: str
) -> None:
    done = gemma(there, "create", *words)
    assert (done.status, said in done.stderr) == (status, True), done.stderr
    assert presets.names() == []


def test_a_model_that_is_not_here_is_named_with_its_pull(there: Scripted) -> None:
    made = gemma(there, "create", "mine", "--from", "12b")
    assert (made.status, "gemma-mtp pull 12b" in made.stderr) == (0, True)
    run = gemma(there, "run", "mine", "hello")
    assert (run.status, "gemma-mtp pull 12b" in run.stderr) == (4, True)
    assert "mine is a preset of 12b" in run.stderr


def test_a_copy_is_a_preset_of_its_own(there: Scripted) -> None:
    gemma(there, "create", "a", "--from", "tiny", "--set", "top_k=3")
    assert gemma(there, "cp", "a", "b").status == 0
    assert gemma(there, "cp", "tiny", "gpt-4o").status == 0  # a name that programs ask for
    assert gemma(there, "rm", "a").stdout == "The preset a is removed; its model stays.\n"
    assert gemma(there, "list", "-q").stdout == "tiny\nb\ngpt-4o\n"
    assert "preset of tiny" in gemma(there, "list").stdout
    gemma(there, "run", "b", "hello")
    assert there.engine.requests[-1].sampling.top_k == 3


@pytest.mark.parametrize("other", ["--modelfile", "--json", "--check"])
def test_show_prints_one_form(there: Scripted, other: str) -> None:
    done = gemma(there, "show", "tiny", "--toml", other)
    assert (done.status, done.stdout) == (2, "")
    assert f"--toml prints one thing, and {other} another." in done.stderr


def test_show_says_what_a_preset_sets(there: Scripted) -> None:
    gemma(there, "create", "a", "--from", "tiny", "--set", "top_k=3", "--system", "Be brief.")
    said = gemma(there, "show", "a").stdout
    assert said.startswith("a: ")
    assert "top_k: 3" in said
    assert '"Be brief."' in said
    assert "top_k 3" in said
    found = json.loads(gemma(there, "show", "a", "--json").stdout)
    assert (found["preset_of"], found["preset"]) == ("tiny", {"top_k": 3, "system": "Be brief."})


def test_export_command_has_the_settings_of_a_preset(there: Scripted) -> None:
    gemma(there, "create", "a", "--from", "tiny", "--set", "top_k=3", "--set", "ctx=1024")
    said = gemma(there, "export-command", "a", "--for", "llama-server").stdout
    assert "--top-k 3" in said
    assert "-c 1024" in said
    assert "--alias a" in said


def test_first_turns_are_exported_to_ollama_and_named_elsewhere(
    there: Scripted, home: Path
) -> None:
    (home / "Modelfile").write_text("FROM tiny\nMESSAGE user Hi\nMESSAGE assistant Ahoy\n")
    gemma(there, "create", "a", "-f", str(home / "Modelfile"))
    said = gemma(there, "export-command", "a", "--for", "ollama").stdout
    assert 'MESSAGE user """Hi"""\nMESSAGE assistant """Ahoy"""\n' in said
    other = gemma(there, "export-command", "a", "--for", "llama-server").stderr
    assert "The first messages of the preset are not carried over" in other


@pytest.mark.parametrize(
    ("typed", "think", "budget"),
    [
        ("--think=true", True, None),
        ("--think=false", False, None),
        ("--think=low", True, 512),
        ("--think=high", True, None),
        ("--think=none", False, None),
    ],
)
def test_switches_may_be_written_as_ollama_has_them(
    there: Scripted, typed: str, think: bool, budget: int | None
) -> None:
    assert gemma(there, "run", "tiny", "hello", typed).status == 0
    request = there.engine.requests[-1]
    assert (request.thinks, request.think_budget) == (think, budget)
    gemma(there, "run", "tiny", "--", typed)
    assert there.engine.requests[-1].messages[-1].content == typed  # it is the prompt


def test_lines_of_a_batch_are_answered_by_a_preset(there: Scripted, home: Path) -> None:
    gemma(there, "create", "a", "--from", "tiny", "--set", "top_k=3", "--system", "Be brief.")
    (home / "lines").write_text('{"prompt": "hi"}')
    done = gemma(there, "run", "a", "--batch", str(home / "lines"))
    assert json.loads(done.stdout)["model"] == "a"
    request = there.engine.requests[-1]
    assert (request.sampling.top_k, request.messages[0].content) == (3, "Be brief.")


def test_what_was_made_is_said_in_a_sentence(there: Scripted, home: Path) -> None:
    def said(*words: str) -> str:
        return gemma(there, *words).stderr

    assert said("cp", "tiny", "small") == "small is another name for tiny.\n"
    drafter = TINY.drafter
    assert said("create", "a", "--from", "tiny", "--drafter", str(drafter)) == (
        f"a is tiny with the drafter {drafter}.\n"
    )
    file = home / "turns.toml"
    file.write_text('from = "tiny"\n[[message]]\nrole = "user"\ncontent = "Hi"\n'
                    '[[message]]\nrole = "assistant"\ncontent = "Arr"\n')  # fmt: skip
    assert said("create", "b", "--file", str(file)) == "b is tiny with 1 turn to begin with.\n"


def test_a_file_that_is_no_text_is_no_modelfile(there: Scripted, home: Path) -> None:
    file = home / "Modelfile"
    file.write_bytes(b"FROM \xff\xfe")
    done = gemma(there, "create", "x", "--file", str(file))
    assert (done.status, "is no Modelfile: it is no text." in done.stderr) == (2, True)


def test_a_slip_in_the_name_of_a_preset_leads_to_it(there: Scripted) -> None:
    gemma(there, "create", "pirate", "--from", "tiny")
    for command in ("rm", "show", "run"):
        done = gemma(there, command, "pirrate", "hi") if command == "run" else (
            gemma(there, command, "pirrate"))  # fmt: skip
        assert (done.status, "Did you mean pirate?" in done.stderr) == (4, True), command


def test_rm_takes_several_names_and_removes_none_where_one_is_wrong(
    there: Scripted, home: Path
) -> None:
    for name in ("a", "b", "c"):
        gemma(there, "create", name, "--from", "tiny")
    own = home / "own.gguf"
    own.touch()
    for wrong, status in (("nosuch", 4), ("tiny", 2), (str(own), 2)):
        assert gemma(there, "rm", "a", wrong).status == status
    assert presets.names() == ["a", "b", "c"]
    assert gemma(there, "rm", "a", "B", "a").stdout.count("removed") == 2
    assert (presets.names(), own.exists()) == (["c"], True)
    assert gemma(there, "rm", "c", "--json").stdout == '{"removed": "c", "bytes": 0}\n'
