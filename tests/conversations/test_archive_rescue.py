"""Saved conversations in files that suffered, or cannot be written: what can be read is shown."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.fakes import FakeEnvironment, Outcome, invoke
from support.talk import Talk

from gemma_mtp.api import Message, Stats, Turn
from gemma_mtp.conversations import database
from gemma_mtp.conversations.archive import Archive

RIVER, STAR = "Name a river.", "Name a star."


def answered(question: str, reply: str) -> Turn:
    message = Message.text("assistant", reply, (1, 2, 3))
    return Turn(Message.text("user", question), (message,), "hm", 7, True, "stop", Stats(rounds=2))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two conversations: 1 about rivers, with two turns, 2 about stars."""
    archive = Archive(tmp_path / "chats.sqlite")
    for turns in ([answered(RIVER, "The Rhine."), answered("And another?", "The Elbe.")],
                  [answered(STAR, "Vega.")]):  # fmt: skip
        archive.add(turns, model="tiny")
    archive.close()
    return tmp_path


@pytest.fixture
def path(home: Path) -> Path:
    return home / "chats.sqlite"


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


def chats(home: Path, *words: str) -> Outcome:
    return invoke("chats", *words, env=FakeEnvironment(home=home))


def talk(home: Path) -> Talk:
    return Talk(home=home)


def texts(path: Path) -> dict[int, list[str]]:
    archive = Archive(path)
    found = {one.id: archive.read(one.id) for one in archive.list()}
    return {
        id: [t for turn in saved.turns for t in (turn.user.content, turn.reply.content)]  # type: ignore[union-attr]
        for id, saved in found.items()
    }


BOTH = {1: [RIVER, "The Rhine.", "And another?", "The Elbe."], 2: [STAR, "Vega."]}


# --- rows that make no sense ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "column"),
    [("conversations", "title"), ("conversations", "model"), ("conversations", "words"),
     ("conversations", "system"), ("conversations", "updated"), ("conversations", "created"),
     ("turns", "user"), ("turns", "reply"), ("turns", "thought"), ("turns", "tokens"),
     ("turns", "seed"), ("turns", "stats"), ("turns", "reason")],
)  # fmt: skip
@pytest.mark.parametrize("value", ["CAST(x'ff4d' AS TEXT)", "x'ff4d'", "12.5"])
def test_one_value_of_nonsense_hides_nothing(
    home: Path, path: Path, table: str, column: str, value: str
) -> None:
    execute(path, f"UPDATE {table} SET {column} = {value} WHERE rowid = 1")
    for words in ((), ("list", "Vega"), ("show", "2")):
        outcome = chats(home, *words)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert "star" in outcome.stdout
    for words in (("show", "1"), ("show", "1", "--json"), ("export", "1")):
        outcome = chats(home, *words)
        assert outcome.status == 0
        assert "The Elbe." in outcome.stdout
    assert "The Elbe." in talk(home).run("/resume 1")
    assert re.search(r"\n +1 .* 2  ", talk(home).run("/chats"))


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("tokens", "[1, 2", "the tokens of turn 1"),
        ("tokens", "[1, -2]", "the tokens of turn 1"),
        ("tokens", '"word"', "the tokens of turn 1"),
        ("tokens", "[" * 100_000, "the tokens of turn 1"),
        ("seed", "seven", "the seed of turn 1"),
        ("seed", "9" * 5000, "the seed of turn 1"),
        ("seed", "-1", "the seed of turn 1"),
        ("reason", "bored", "the end of turn 1"),
        ("stats", "{", "the figures of turn 1"),
        ("stats", "[]", "the figures of turn 1"),
        ("stats", '{"rounds": "many"}', "the figures of turn 1"),
        ("stats", f'{{"rounds": 1{"0" * 400}}}', "the figures of turn 1"),
        ("stats", '{"threads": {"99999999": 1}}', "the figures of turn 1"),
        ("stats", '{"threads": {"many": 1}}', "the figures of turn 1"),
        ("stats", '{"copied": "some"}', "the figures of turn 1"),
        ("stats", '{"decode_seconds": NaN}', "the figures of turn 1"),
        ("stats", '{"accepted_histogram": [null]}', "the figures of turn 1"),
        ("stats", '{"speedup_basis": []}', "the figures of turn 1"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_shown(
    home: Path, path: Path, column: str, value: str, named: str
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE turns SET {column} = ? WHERE rowid = 1", (value,))
    outcome = chats(home, "show", "1")
    assert outcome.status == 0
    assert outcome.stderr == f"gemma-mtp: Conversation 1: Not all of it can be read: {named}.\n"
    assert "The Rhine." in outcome.stdout
    assert json.loads(chats(home, "show", "1", "--json").stdout)["title"] == RIVER
    shown = talk(home).run("/resume 1", "/stats", "And now?")
    assert f"Not all of it can be read: {named}." in shown
    assert texts(path)[1][:4] == BOTH[1]
    assert chats(home, "show", "2").stderr == ""


def test_figures_of_a_later_version_are_no_damage(home: Path, path: Path) -> None:
    execute(path, """UPDATE turns SET stats = '{"rounds": 2, "joy": 9.5}'""")
    assert chats(home, "show", "1").stderr == ""


def test_a_turn_that_is_missing_costs_no_other(path: Path) -> None:
    archive = Archive(path)
    id = archive.save(1, [*archive.read(1).turns, answered("A third?", "The Oder.")])
    archive.close()
    execute(path, "DELETE FROM turns WHERE conversation = 1 AND number = 1")
    again = Archive(path)
    turns = again.read(id).turns
    assert again.save(id, [*turns, answered("A fourth?", "The Main.")]) == id
    assert texts(path)[id] == [
        RIVER, "The Rhine.", "A third?", "The Oder.", "A fourth?", "The Main.",
    ]  # fmt: skip


@pytest.mark.parametrize("id", ["-5", str(2**63), "9" * 30, f"-{'9' * 30}"])
def test_a_number_beyond_all_is_no_conversation(home: Path, id: str) -> None:
    for words in (("show", "--", id), ("delete", "--yes", "--", id), ("rename", "--", id, "x")):
        assert chats(home, *words).status == 2
    assert "There is no conversation" in talk(home).run(f"/resume {id.lstrip('-')}")


# --- files that suffered ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "kept"),
    [
        ("DROP TABLE pieces", BOTH),
        ("DROP VIEW whole", BOTH),
        ("DROP TABLE conversations", BOTH),
        ("ALTER TABLE conversations DROP COLUMN words", BOTH),
        ("PRAGMA user_version = 0", BOTH),
        ("DROP TABLE turns", {}),
    ],
)
def test_tables_that_are_not_as_they_should_be(
    home: Path, path: Path, statement: str, kept: dict[int, list[str]]
) -> None:
    execute(path, statement)
    outcome = chats(home)
    assert outcome.status == 0
    (aside,) = home.glob("chats.sqlite.damaged-*")
    rest = (
        "2 of its conversations are kept, as far as they could be read"
        if kept
        else "nothing in it could be read, so a new one is begun"
    )
    assert outcome.stderr == f"gemma-mtp: {path} was damaged and is now {aside.name}; {rest}.\n"
    assert texts(path) == kept
    if kept:
        assert RIVER in outcome.stdout


def test_a_damaged_page_costs_what_is_on_it(path: Path) -> None:
    archive = Archive(path)
    for n in range(200):
        archive.add([answered(f"question {n}", f"word{n} " * 100)], model="tiny")
    archive.close()
    with closing(sqlite3.connect(path)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'turns'").fetchone()
        size = db.execute("PRAGMA page_size").fetchone()[0]
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    data = bytearray(path.read_bytes())
    # A leaf of the table of turns in the middle of the file: its first byte says so.
    leaf = next(
        n
        for n in range(pages // 2, pages)
        if data[n * size] == 13 and b"word" in data[n * size : (n + 1) * size]
    )
    assert leaf != page - 1
    data[leaf * size : (leaf + 1) * size] = b"\xff" * size
    path.write_bytes(data)
    damaged = Archive(path)
    ids = [one.id for one in damaged.list("word")]
    assert "are kept, as far as they could be read" in damaged.warning
    assert 150 < len(ids) < 200
    assert all(damaged.read(id).turns[0].reply for id in ids)


def test_a_part_of_a_reply_without_its_turn_stops_no_rescue(path: Path) -> None:
    piece = "INSERT INTO pieces VALUES (1, {}, 1, '{}', '')"
    execute(path, piece.format(1, " And on."), piece.format(2, "whose?"))
    execute(path, "DELETE FROM turns WHERE conversation = 1 AND number = 0",
            piece.format(0, "lost"), "UPDATE turns SET conversation = 'x' WHERE conversation = 2",
            "DROP VIEW whole")  # fmt: skip
    assert texts(path) == {1: ["And another?", "The Elbe. And on."]}


def test_a_file_that_was_cut_off(path: Path) -> None:
    archive = Archive(path)
    for n in range(200):
        archive.add([answered(f"question {n}", f"word{n} " * 100)], model="tiny")
    archive.close()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    cut = Archive(path)
    assert 50 < len(cut.list("word")) < 200
    assert (
        f"{len(cut.list())} of its conversations are kept, as far as they could be read"
        in cut.warning
    )


def test_a_table_whose_definition_is_no_text(home: Path, path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        nonsense = "CAST(x'435245415445205441424c4520eaff2028' AS TEXT)"  # CREATE TABLE .. (
        db.execute(f"UPDATE sqlite_master SET sql = {nonsense} WHERE name = 'pieces'")
    outcome = chats(home)
    assert outcome.status == 0
    assert "2 of its conversations are kept, as far as they could be read" in outcome.stderr
    assert texts(path) == BOTH


def test_a_chat_says_what_happened_to_the_file(home: Path, path: Path) -> None:
    execute(path, "DROP TABLE pieces")
    shown = talk(home).run("/chats", "/chats")
    assert shown.count("was damaged") == 1
    assert shown.count(RIVER) == 2


def test_show_says_what_happened_to_the_file(home: Path, path: Path) -> None:
    path.write_bytes(b"nonsense" * 1000)
    outcome = chats(home, "show", "1")
    assert outcome.status == 2
    assert "was damaged" in outcome.stderr


# --- files that cannot be written -------------------------------------------------------------


@contextmanager
def newer(path: Path) -> Iterator[str]:
    execute(path, "PRAGMA user_version = 99")
    yield "a newer gemma-mtp wrote it"


@contextmanager
def newer_with_other_tables(path: Path) -> Iterator[str]:
    execute(path, "PRAGMA user_version = 99", "DROP VIEW whole",
            "ALTER TABLE conversations DROP COLUMN skipped",
            "ALTER TABLE turns ADD COLUMN mood TEXT")  # fmt: skip
    yield "a newer gemma-mtp wrote it"


@contextmanager
def no_room(path: Path) -> Iterator[str]:
    """What SQLite needs beside the file cannot be made."""
    side = path.with_name(f"{path.name}-shm")
    side.unlink(missing_ok=True)
    side.symlink_to("/nowhere/at/all")
    yield "unable to open database file"
    side.unlink()


@contextmanager
def no_room_and_a_log(path: Path) -> Iterator[str]:
    """As after a kill: the latest words are in the log only."""
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    writer.execute("UPDATE turns SET reply = 'Vega.' WHERE conversation = 2")
    log = path.with_name(f"{path.name}-wal")
    kept = path.read_bytes(), log.read_bytes()
    writer.close()
    path.write_bytes(kept[0])
    log.write_bytes(kept[1])
    with no_room(path) as why:
        yield why


UNWRITABLE = [newer, newer_with_other_tables]
if os.name == "posix":
    UNWRITABLE += [no_room, no_room_and_a_log]


@pytest.mark.parametrize("unwritable", UNWRITABLE)
def test_a_file_that_cannot_be_written_is_read(
    home: Path,
    path: Path,
    unwritable: Callable[[Path], contextmanager[str]],  # type: ignore[valid-type]
) -> None:
    with unwritable(path) as why:
        before = path.read_bytes()
        notice = f"{path} can be read, but not written: {why}."
        for words in ((), ("show", "2"), ("export", "2"), ("show", "2", "--json")):
            outcome = chats(home, *words)
            assert (outcome.status, outcome.stderr) == (0, f"gemma-mtp: {notice}\n")
            assert STAR in outcome.stdout
        assert "Vega." in chats(home, "show", "2").stdout
        for words in (("rename", "2", "x"), ("delete", "2", "--yes")):
            assert chats(home, *words).status == 1
        shown = talk(home).run("/chats", "/resume 2", "And now?")
        assert shown.count(notice) == 1
        assert "Vega." in shown
        assert f"Conversations are not saved: {path}: {why}." in shown
        assert path.read_bytes() == before
    assert not [*home.glob("*damaged*")]


@pytest.mark.parametrize("unwritable", [no_room])
def test_what_can_be_written_again_is(
    path: Path,
    unwritable: Callable[[Path], contextmanager[str]],  # type: ignore[valid-type]
) -> None:
    archive = Archive(path)
    with unwritable(path):
        turns = [*archive.read(2).turns, answered("And?", "Deneb.")]
        assert archive.save(2, turns) == 2
        assert archive.problem
    assert archive.save(2, turns) == 2
    assert (archive.problem, archive.notice) == ("", "")
    assert texts(path)[2] == [STAR, "Vega.", "And?", "Deneb."]


def test_a_file_that_cannot_be_read_at_all_is_no_empty_one(home: Path) -> None:
    path = home / "chats.sqlite"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.mkdir()
    why = f"Saved conversations cannot be read: {path}: Is a directory."
    assert chats(home).stderr == f"gemma-mtp: {why}\n"
    shown = talk(home).run("/chats", "/chats", "/resume")
    assert shown.count(why) == 3
    assert "There is none" not in shown


def test_looking_at_nothing_makes_nothing(tmp_path: Path) -> None:
    outcome = chats(tmp_path / "none")
    assert (outcome.status, outcome.stdout) == (0, "No conversation is saved.\n")
    assert not (tmp_path / "none").exists()


def test_a_file_that_somebody_holds_is_not_read_beside_them(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    archive = Archive(path)
    assert archive.list() == []
    assert archive.problem == f"Saved conversations cannot be read: {path}: database is locked."
    holder.close()
    assert len(archive.list()) == 2
