"""`chats`, as a person and a script see it."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from support.fakes import Outcome, SavedEnvironment, TerminalText, invoke

from gemma_mtp.api import Message, Turn
from gemma_mtp.cli.app import main


@pytest.fixture
def env(tmp_path: Path) -> SavedEnvironment:
    """Two conversations: 1 about rivers, 2 about stars."""
    env = SavedEnvironment(tmp_path / "state" / "chats.db")
    archive = env.archive()
    for user, reply in (("Name a river.", "The Rhine."), ("Name a star.", "Vega \x1b[31m")):
        turn = Turn(Message.text("user", user), (Message.text("assistant", reply),), reason="stop")
        archive.add([turn], model="e2b")
    archive.close()
    return env


def chats(env: SavedEnvironment, *words: str) -> Outcome:
    return invoke("chats", *words, env=env)


def ids(env: SavedEnvironment) -> list[int]:
    return [one.id for one in env.archive().list()]


# --- list and show ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [(), ("list",)])
def test_list_shows_what_is_saved(env: SavedEnvironment, words: tuple[str, ...]) -> None:
    outcome = chats(env, *words)
    lines = outcome.stdout.splitlines()
    assert (outcome.status, outcome.stderr) == (0, "")
    assert lines[0].split() == ["id", "last", "change", "turns", "model", "title"]
    rows = [re.split("  +", line.strip()) for line in lines[1:]]
    assert {(row[0], row[2], row[3]) for row in rows} == {("1", "1", "e2b"), ("2", "1", "e2b")}
    assert {row[4] for row in rows} == {"Name a river.", "Name a star."}
    title = lines[0].index("title")
    assert all(line[title:].startswith("Name a") for line in lines[1:])


def test_list_searches(env: SavedEnvironment) -> None:
    assert chats(env, "list", "the", "RHINE").stdout.splitlines()[1:] != []
    assert "star" not in chats(env, "list", "the", "RHINE").stdout
    assert chats(env, "list", "moon").stdout == 'No conversation holds "moon".\n'


@pytest.mark.parametrize("words", [("--json",), ("list", "--json")])
def test_list_for_scripts(env: SavedEnvironment, words: tuple[str, ...]) -> None:
    found = json.loads(chats(env, *words).stdout)
    assert [sorted(one) for one in found] == [
        ["id", "model", "state_bytes", "title", "turns", "updated", "words"]
    ] * 2
    assert {one["id"] for one in found} == {1, 2}
    assert json.loads(chats(env, "list", "vega", "--json").stdout)[0]["id"] == 2


def test_nothing_saved_yet(tmp_path: Path) -> None:
    empty = SavedEnvironment(tmp_path / "chats.db")
    assert chats(empty).stdout == "No conversation is saved.\n"
    assert json.loads(chats(empty, "--json").stdout) == []


def test_show(env: SavedEnvironment) -> None:
    assert "## You\n\n> Name a river.\n\n## Gemma\n\nThe Rhine.\n" in chats(env, "show", "1").stdout
    assert json.loads(chats(env, "show", "1", "--json").stdout)["turns"][0] == {
        "role": "user",
        "content": "Name a river.",
    }


def test_control_characters_do_not_act_on_a_terminal(
    env: SavedEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = TerminalText()
    monkeypatch.setattr("sys.stdout", screen)
    assert main(["chats", "show", "2"], env) == 0
    assert "Vega \ufffd[31m" in screen.getvalue()
    assert "\x1b[31m" in chats(env, "show", "2").stdout  # a file gets what was written


# --- rename and delete -----------------------------------------------------------------------


def test_rename(env: SavedEnvironment) -> None:
    outcome = chats(env, "rename", "1", "Long", "rivers")
    assert (outcome.status, outcome.stdout) == (0, 'Conversation 1 is called "Long rivers".\n')
    assert env.archive().read(1).title == "Long rivers"
    outcome = chats(env, "rename", "1", "Wide", "--json")
    assert json.loads(outcome.stdout) == {"id": 1, "title": "Wide"}
    assert chats(env, "rename", "1", " ").status == 2


@pytest.mark.parametrize("words", ["show 1", "rename 1 x", "export 1", "delete --yes 1"])
def test_a_conversation_that_was_emptied_is_gone(env: SavedEnvironment, words: str) -> None:
    archive = env.archive()
    archive.save(1, archive.read(1).turns[:0])
    archive.close()
    outcome = chats(env, *words.split())
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("gemma-mtp: There is no conversation 1.\n")


def test_delete_only_names_them_without_a_yes(env: SavedEnvironment) -> None:
    outcome = chats(env, "delete", "2", "1", "2")
    assert outcome.status == 0
    assert "   2  Name a star.  (1 turn)\n   1  Name a river.  (1 turn)\n" in outcome.stdout
    assert "gemma-mtp chats delete --yes 2 1" in outcome.stdout
    assert sorted(ids(env)) == [1, 2]


def test_delete_with_a_yes(env: SavedEnvironment) -> None:
    assert chats(env, "delete", "1", "--yes").stdout.endswith("Deleted.\n")
    assert ids(env) == [2]
    assert json.loads(chats(env, "delete", "2", "--json").stdout) == {
        "deleted": False,
        "ids": [2],
    }
    found = json.loads(chats(env, "delete", "2", "--json", "--yes").stdout)
    assert found == {"deleted": True, "ids": [2]}
    assert ids(env) == []


@pytest.mark.parametrize("words", ["show abc", "delete 1 abc", "rename abc x", "export abc"])
def test_a_conversation_is_named_by_its_number(env: SavedEnvironment, words: str) -> None:
    outcome = chats(env, *words.split())
    assert (outcome.status, outcome.stderr) == (
        2,
        "gemma-mtp: A conversation is named by its number.\n  What there is: gemma-mtp chats\n",
    )
    assert sorted(ids(env)) == [1, 2]


def test_all_are_there_or_none_is_deleted(env: SavedEnvironment) -> None:
    outcome = chats(env, "delete", "--yes", "1", "9")
    assert outcome.status == 2
    assert outcome.stderr == (
        "gemma-mtp: There is no conversation 9.\n  gemma-mtp chats lists them.\n"
    )
    assert sorted(ids(env)) == [1, 2]


@pytest.mark.parametrize(("answer", "left"), [("y\n", [2]), ("\n", [2, 1]), ("", [2, 1])])
def test_delete_asks_at_a_terminal(
    env: SavedEnvironment, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[int]
) -> None:
    notes = TerminalText()
    monkeypatch.setattr("sys.stdin", TerminalText(answer))
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.stderr", notes)
    assert main(["chats", "delete", "1"], env) == 0
    assert notes.getvalue().startswith("Delete this conversation? [y/N] ")
    assert sorted(ids(env)) == sorted(left)


# --- export ----------------------------------------------------------------------------------


def test_export(env: SavedEnvironment, tmp_path: Path) -> None:
    assert chats(env, "export", "1").stdout == chats(env, "show", "1").stdout
    as_json = chats(env, "export", "1", "--format", "json").stdout
    assert as_json == chats(env, "show", "1", "--json").stdout
    for name, text in (("a.md", chats(env, "show", "1").stdout), ("b.json", as_json)):
        outcome = chats(env, "export", "1", "-o", str(tmp_path / name))
        assert (outcome.status, outcome.stdout) == (0, "")
        assert outcome.stderr == f"{tmp_path / name} is written.\n"
        assert (tmp_path / name).read_text(encoding="utf-8") == text
    assert chats(env, "export", "1", str(tmp_path / "c.md")).status == 0
    assert (tmp_path / "c.md").read_text() == (tmp_path / "a.md").read_text()
    both = chats(env, "export", "1", str(tmp_path / "d.md"), "-o", str(tmp_path / "e.md"))
    assert both.status == 2
    assert "There are two files" in both.stderr
    assert chats(env, "export", "1", "--format", "pdf").status == 2


def test_a_file_that_is_there_is_not_replaced(env: SavedEnvironment, tmp_path: Path) -> None:
    there = tmp_path / "notes.md"
    there.write_text("mine")
    outcome = chats(env, "export", "1", "-o", str(there))
    assert (outcome.status, outcome.stdout) == (2, "")
    hint = "Name another file, or remove that one first."
    assert outcome.stderr == f"gemma-mtp: {there} is there already.\n  {hint}\n"
    assert there.read_text() == "mine"


@pytest.mark.skipif(os.name != "posix", reason="devices")
def test_a_device_takes_an_export_each_time(env: SavedEnvironment) -> None:
    assert [chats(env, "export", "1", "-o", "/dev/null").status for _ in range(2)] == [0, 0]


def test_what_cannot_be_done_is_said(env: SavedEnvironment, tmp_path: Path) -> None:
    outcome = chats(env, "export", "1", "-o", str(tmp_path / "none" / "a.md"))
    assert (outcome.status, outcome.stdout) == (1, "")
    assert "a.md cannot be written: No such file or directory." in outcome.stderr
    assert chats(env, "show", "9").status == 2


def test_a_file_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    for words in ((), ("show", "1"), ("delete", "1", "--yes")):
        outcome = chats(SavedEnvironment(tmp_path / "state" / "chats.db"), *words)
        assert (outcome.status, outcome.stdout) == (1, "")
        assert "state/chats.db" in outcome.stderr


def test_a_damaged_file_is_told_of(env: SavedEnvironment) -> None:
    env.path.write_bytes(b"nonsense" * 1000)
    outcome = chats(env)
    assert (outcome.status, outcome.stdout) == (0, "No conversation is saved.\n")
    assert "was damaged" in outcome.stderr
