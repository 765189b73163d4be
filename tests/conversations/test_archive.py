"""The saved conversations: what comes back, after kills, beside other chats, from damaged files."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from support import archive_writer

from gemma_mtp.api import Drafted, Message, Stats, Turn
from gemma_mtp.conversations import database, schema
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.conversations.conversation import Conversation
from gemma_mtp.conversations.record import Record
from gemma_mtp.conversations.rows import from_row
from gemma_mtp.errors import GemmaMtpError, UsageError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "chats.db"


def asked(text: str) -> Turn:
    return Turn(Message.text("user", text))


def answered(text: str, reply: str) -> Turn:
    message = Message.text("assistant", reply, (1, 2, 3))
    stats = Stats(rounds=2, accepted_histogram=(0, 2), speedup_basis="measured")
    return Turn(Message.text("user", text), (message,), "hm", 2**63 - 1, True, "stop", stats)


def growing(turn: Turn, reply: str) -> Turn:
    return replace(turn, replies=(Message.text("assistant", reply),))


def stored(archive: Archive, *turns: Turn) -> int:
    return archive.add(turns, model="tiny")


# --- what comes back -------------------------------------------------------------------------


def test_a_conversation_comes_back_as_it_was(path: Path) -> None:
    first = Archive(path)
    turns = (
        answered("Why?", "Because.\n```py\nx\n```"),
        answered("Ünd 🦀 \udc80?", ""),
        asked("So"),
    )
    id = first.add(turns, model="e2b", system="Be brief.")
    assert id > 0
    found = Archive(path).read(id)
    assert found == first.read(id)
    assert (found.title, found.model, found.system) == ("Why?", "e2b", "Be brief.")
    odd = Message.text("user", "Ünd 🦀 ??")  # half a surrogate pair cannot be stored
    assert found.turns == (turns[0], replace(turns[1], user=odd), turns[2])
    assert found.created.endswith("+00:00")


def test_a_conversation_without_a_turn_is_not_stored(path: Path) -> None:
    archive = Archive(path)
    record = Record(archive, print)
    record.save(Conversation("Be brief."), "tiny")
    record.name("Named")
    assert record.id is None
    assert not path.exists()
    assert archive.latest() is None
    record.save(Conversation("Be brief.", (asked("hi"),)), "tiny")
    assert archive.latest() == record.id


def test_a_conversation_that_was_emptied_is_not_listed(path: Path) -> None:
    archive = Archive(path)
    id = stored(archive, asked("oops"))
    assert archive.save(id, ()) == id
    assert archive.list() == []
    assert archive.save(id, [asked("again")]) == id
    assert [one.title for one in archive.list()] == ["again"]


def test_undo_edit_and_regenerate_replace_the_tail(path: Path) -> None:
    archive = Archive(path)
    one, two, three = (answered(word, word * 2) for word in ("one", "two", "three"))
    id = stored(archive, one, two, three)
    for turns in ((one, two), (one,), (one, asked("2")), (two, three), (three, two, one, one)):
        assert archive.save(id, turns) == id
        assert Archive(path).read(id).turns == turns


def test_another_model_and_system_prompt_are_kept(path: Path) -> None:
    archive = Archive(path)
    id = stored(archive, asked("hi"))
    archive.save(id, [asked("hi")], model="12b", system="Rhyme.")
    found = Archive(path).read(id)
    assert (found.model, found.system) == ("12b", "Rhyme.")


def test_statistics_that_still_count_are_stored_as_they_end(path: Path) -> None:
    archive = Archive(path)
    stats = Stats(rounds=1)
    turn = replace(answered("a", "b"), stats=stats)
    id = stored(archive, turn)
    ended = replace(stats, rounds=9, accepted_histogram=(1,), threads=(0, 9))
    ended = replace(ended, sources=(Drafted("mtp", 3, 1), Drafted("lookup", 2, 2)))
    archive.save(id, [replace(turn, stats=ended)])
    assert Archive(path).read(id).turns[0].stats == ended


def test_statistics_of_an_earlier_version_are_read() -> None:
    said = '{"rounds": 9, "copied": 4, "threads": {"1": 2, "3": 7}, "accepted_histogram": [5]}'
    turn, unread = from_row(("a", "b", None, "", None, False, "stop", said, None, None))
    assert not unread
    assert turn.stats == Stats(
        rounds=9,
        sources=(Drafted("lookup", 4, 4),),
        threads=(0, 2, 0, 7),
        accepted_histogram=(5,),
    )
    assert turn.stats.copied == 4


def test_only_what_differs_is_written(path: Path) -> None:
    archive = Archive(path)
    turns = [answered("long", "word " * 100_000), answered("short", "")]
    id = stored(archive, *turns)
    log = path.with_name("chats.db-wal")
    archive.save(id, turns)  # its first write begins the log anew
    before = log.stat().st_size
    archive.save(id, [*turns, asked("one more")])
    archive.save(id, turns)
    archive.save(id, [*turns, asked("another")])
    text = ""
    for _ in range(10):
        text += "word "
        archive.progress(id, 2, growing(asked("another"), text))
    assert log.stat().st_size - before < 400_000  # the long reply alone has more


# --- a reply that is being written -----------------------------------------------------------


def test_a_reply_is_stored_while_it_grows(path: Path) -> None:
    archive = Archive(path)
    turn = asked("tell me")
    id = stored(archive, turn)
    turn = replace(turn, seed=3, exact=True)
    seen = []
    for thought, reply in (("a", None), ("ab", None), ("abc", ""), ("abc", "x"), ("abc", "xy")):
        replies = () if reply is None else (Message.text("assistant", reply),)
        archive.progress(id, 0, replace(turn, thought=thought, replies=replies))
        found = Archive(path).read(id).turns[0]
        seen.append((found.thought, found.reply and found.reply.content))
        assert (found.seed, found.exact, found.reason, found.stats) == (3, True, None, None)
    assert seen == [("a", None), ("ab", None), ("abc", ""), ("abc", "x"), ("abc", "xy")]
    done = replace(answered("tell me", "xy"), thought="abc")
    assert archive.save(id, [done]) == id
    assert Archive(path).read(id).turns == (done,)


def test_a_finished_reply_that_is_continued_loses_its_end_first(path: Path) -> None:
    archive = Archive(path)
    done = answered("tell me", "once upon")
    id = stored(archive, done)
    more = growing(replace(done, reason=None, stats=None), "once upon a")
    archive.progress(id, 0, more)
    archive.progress(id, 0, growing(more, "once upon a time"))
    found = Archive(path).read(id).turns
    assert found == (growing(more, "once upon a time"),)


def test_a_reply_begun_anew_replaces_the_old_one(path: Path) -> None:
    archive = Archive(path)
    id = stored(archive, asked("a"), asked("b"))
    for text in ("old", "older", "new", "newer"):
        archive.progress(id, 1, growing(asked("b"), text))
    assert Archive(path).read(id).turns == (asked("a"), growing(asked("b"), "newer"))


def test_the_first_turn_may_be_one_that_grows(path: Path) -> None:
    archive = Archive(path)
    id = stored(archive)
    archive.progress(id, 0, growing(asked("hi"), "a"))
    archive.progress(id, 0, growing(asked("hi"), "ab"))
    assert Archive(path).latest() == id
    assert Archive(path).read(id).turns == (growing(asked("hi"), "ab"),)
    assert archive.save(id, [growing(asked("hi"), "ab")]) == id


def test_a_partial_reply_is_gone_on_with_after_a_kill(path: Path) -> None:
    killed = Archive(path)
    id = stored(killed, asked("hi"))
    for text in ("a", "ab"):
        killed.progress(id, 0, growing(asked("hi"), text))
    archive = Archive(path)
    (turn,) = archive.read(id).turns
    archive.progress(id, 0, growing(turn, "abc"))
    archive.progress(id, 0, growing(turn, "abcd"))
    assert Archive(path).read(id).turns == (growing(turn, "abcd"),)
    assert [one.id for one in archive.list("ABCD")] == [id]


def kill_at(path: Path, steps: int) -> tuple[int, tuple[Turn, ...]]:
    """Kill a writing chat some time after so many steps: steps it told of, and what is stored."""
    program = [sys.executable, archive_writer.__file__, str(path), "chat", "100000"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    chat = subprocess.Popen(program, stdout=subprocess.PIPE, env=env)
    assert chat.stdout is not None
    told = len(list(islice(chat.stdout, steps)))
    chat.kill()
    told += len([line for line in chat.stdout.read().splitlines(keepends=True) if b"\n" in line])
    chat.wait()
    archive = Archive(path)
    latest = archive.latest()
    assert latest is not None
    assert archive.problem == archive.warning == ""
    return told, archive.read(latest).turns


def check_kills(path: Path, kills: int) -> None:
    random_steps = random.Random(kills)
    for _ in range(kills):
        told, found = kill_at(path, random_steps.randrange(1, 300))
        expected = [turns for turns, _ in islice(archive_writer.states("chat"), told + 1)]
        assert found in expected[-2:], told  # nothing it told of is lost


def test_a_kill_loses_nothing_that_was_stored(path: Path) -> None:
    check_kills(path, 10)


@pytest.mark.slow
def test_many_kills_lose_nothing_that_was_stored(path: Path) -> None:
    check_kills(path, 50)


# --- two at once -----------------------------------------------------------------------------


def test_two_chats_that_write_at_once(path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = [sys.executable, archive_writer.__file__, str(path)]
    chats = [
        subprocess.Popen([*program, name, "400"], stdout=subprocess.DEVNULL, env=env)
        for name in ("one", "two")
    ]
    assert [chat.wait() for chat in chats] == [0, 0]
    archive = Archive(path)
    assert len(archive.list()) == 2
    for name in ("one", "two"):
        (summary,) = archive.list(f"{name}: question 3")
        last = next(islice(archive_writer.states(name), 399, None))[0]
        assert archive.read(summary.id).turns == last


def test_an_archive_that_is_opened_twice_in_one_process_loses_nothing(path: Path) -> None:
    """Another process that closes the file must not take its log for abandoned."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def other_process(name: str) -> None:
        words = [sys.executable, archive_writer.__file__, str(path), name, "1"]
        subprocess.run(words, env=env, check=True, stdout=subprocess.DEVNULL)

    other_process("one")
    with closing(Archive(path)) as first, closing(Archive(path)) as second:
        assert first.latest() == second.latest() == 1
        other_process("two")
        assert first.add([asked("Hello")]) == 3
        other_process("four")
        assert [summary.id for summary in second.list()] == [4, 3, 2, 1]
    with closing(Archive(path)) as again:
        assert len(again.list()) == 4


def test_both_versions_of_a_conversation_are_kept(path: Path) -> None:
    mine, other = Archive(path), Archive(path)
    start = answered("start", "yes")
    id = mine.add([start], model="tiny", system="S")
    other.read(id)
    assert other.save(id, [start, asked("theirs")]) == id
    fork = mine.save(id, [start, asked("mine")])
    assert fork != id
    assert mine.save(fork, [start, asked("mine"), asked("more")]) == fork
    check = Archive(path)
    assert check.read(id).turns == (start, asked("theirs"))
    assert check.read(fork).turns == (start, asked("mine"), asked("more"))
    assert (check.read(fork).model, check.read(fork).system) == ("tiny", "S")
    assert other.save(id, [start]) == id


def test_a_growing_reply_parts_from_another_chat(path: Path) -> None:
    mine, other = Archive(path), Archive(path)
    id = stored(mine, asked("a"))
    mine.progress(id, 0, growing(asked("a"), "m"))
    seen = other.read(id).turns
    mine.progress(id, 0, growing(asked("a"), "mi"))
    fork = other.save(id, [*seen, asked("theirs")])  # it grew meanwhile
    assert fork != id
    other.read(id, afresh=True)
    other.save(id, [asked("theirs")])
    mine.progress(id, 0, growing(asked("a"), "min"))
    mine.progress(id, 0, growing(asked("a"), "mine"))
    last = mine.save(id, [growing(asked("a"), "mine")])
    check = Archive(path)
    assert last not in (id, fork)
    assert check.read(id).turns == (asked("theirs"),)
    assert check.read(last).turns == (growing(asked("a"), "mine"),)
    assert len(check.list()) == 3


def test_looking_is_no_reason_to_overwrite(path: Path) -> None:
    mine, other = Archive(path), Archive(path)
    id = stored(mine, asked("a"))
    other.read(id)
    other.save(id, [asked("a"), asked("theirs")])
    assert mine.read(id).turns == (asked("a"), asked("theirs"))  # as for /export
    assert mine.save(id, [asked("a"), asked("mine")]) != id


def test_resuming_afresh_goes_on_with_what_another_chat_wrote(path: Path) -> None:
    mine, other = Archive(path), Archive(path)
    id = stored(mine, asked("a"))
    other.read(id)
    other.save(id, [asked("a"), asked("theirs")])
    turns = mine.read(id, afresh=True).turns
    assert mine.save(id, [*turns, asked("mine")]) == id
    assert len(Archive(path).read(id).turns) == 3


def test_a_conversation_deleted_elsewhere_is_stored_again(path: Path) -> None:
    mine, other = Archive(path), Archive(path)
    id = stored(mine, asked("a"))
    other.delete(id)
    again = mine.save(id, [asked("a"), asked("b")])
    assert again != id
    assert [(one.id, one.turns) for one in other.list()] == [(again, 2)]


def test_an_interrupt_between_writing_and_noting_makes_no_fork(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(path)
    id = stored(archive, asked("a"))
    write = database.Database.write

    def interrupted(self: database.Database, work: object) -> None:
        write(self, work)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    for store in (
        lambda: archive.progress(id, 0, growing(asked("a"), "x")),
        lambda: archive.save(id, [answered("a", "xyz")]),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(database.Database, "write", interrupted)
            with pytest.raises(KeyboardInterrupt):
                store()
    assert archive.save(id, [growing(asked("a"), "xy")]) == id
    assert Archive(path).read(id).turns == (growing(asked("a"), "xy"),)


# --- the list --------------------------------------------------------------------------------


def test_the_list_shows_the_latest_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(path)
    clock = iter(range(10, 100))
    monkeypatch.setattr(
        "gemma_mtp.conversations.tables.now", lambda: f"2026-01-01T00:00:{next(clock)}"
    )
    first = stored(archive, asked("first"))
    second = stored(archive, asked("second"), asked("x"))
    assert [(one.id, one.turns) for one in archive.list()] == [(second, 2), (first, 1)]
    archive.save(first, [asked("first"), asked("more")])
    assert archive.latest() == first


def test_titles_and_first_words(path: Path) -> None:
    archive = Archive(path)
    long = "Please explain, in a few simple words, why the sky is blue at noon.\nAnd red later."
    id = stored(archive, asked(long))
    (summary,) = archive.list()
    assert summary.title == "Please explain, in a few simple words, why the…"
    assert summary.words == " ".join(long.split())
    archive.save(id, [asked("Another beginning")])
    assert archive.list()[0].title == "Another beginning"
    archive.rename(id, "  The\nsky ")
    archive.save(id, [asked("A third beginning")])
    assert archive.read(id).title == "The sky"
    stored(archive, asked("x" * 200))
    assert archive.list("xxx")[0].title == "x" * 47 + "…"


FILE = '<file name="/tmp/sp ace.txt">\nRain falls.\n</file>'


@pytest.mark.parametrize(
    ("message", "title"),
    [
        (f"{FILE}\n\nSum it up.", "Sum it up."),
        (FILE, "sp ace.txt"),
        (f"{FILE}\n\n{FILE.replace('sp ace', 'b')}", "sp ace.txt, b.txt"),
        ("\n\nWrite a poem\nabout rain.\n", "Write a poem about rain."),
        ("x = 1\n" * 12 + "\nWhat does it do?", "What does it do?"),
        ("What does it do?\n" + "y = x?\n" * 12, "What does it do? y = x? y = x? y = x? y = x? y…"),
    ],
)
def test_titles_are_what_is_asked(path: Path, message: str, title: str) -> None:
    archive = Archive(path)
    stored(archive, asked(message))
    assert archive.list()[0].title == title


def test_a_title_may_come_before_the_first_message(path: Path) -> None:
    record = Record(Archive(path), print)
    record.name(" Na\nmed ")
    record.save(Conversation("", (asked("hi"),)), "tiny")
    record.save(Conversation("", (asked("hi"), asked("so"))), "tiny")
    assert [one.title for one in Archive(path).list()] == ["Na med"]


def test_renaming_elsewhere_does_not_part_two_chats(path: Path) -> None:
    mine = Archive(path)
    id = stored(mine, asked("a"))
    Archive(path).rename(id, "Named")
    assert mine.save(id, [asked("b")]) == id
    assert mine.read(id).title == "Named"
    for title in ("", " \n "):
        with pytest.raises(UsageError):
            mine.rename(id, title)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("RIVERS", {"rivers"}),
        ("größe", {"size"}),
        ("GRÖSSE", {"size"}),
        ("danube", {"rivers"}),
        ("100%", {"size"}),
        ("tITle", {"other"}),
        ("e", {"rivers", "size", "other"}),
        ("nothing of that", set()),
        ("hm", set()),
    ],
)
def test_search_looks_into_titles_and_texts(path: Path, search: str, found: set[str]) -> None:
    archive = Archive(path)
    ids = {
        stored(archive, answered("Name rivers.", "Danube, Rhine.")): "rivers",
        stored(archive, asked("Die Größe zu 100%?")): "size",
        stored(archive, asked("Hello there.")): "other",
    }
    archive.rename(max(ids), "A title")
    assert {ids[one.id] for one in archive.list(search)} == found


def test_delete(path: Path) -> None:
    archive = Archive(path)
    kept, gone = stored(archive, asked("kept")), stored(archive, asked("a secret"))
    archive.delete(gone)
    assert [one.id for one in archive.list()] == [kept]
    assert stored(archive, asked("new")) not in (kept, gone)
    archive.close()
    assert b"secret" not in path.read_bytes()
    for action in (archive.read, archive.delete, lambda id: archive.rename(id, "x")):
        with pytest.raises(UsageError, match=f"no conversation {gone}"):
            action(gone)


# --- a file that is private, damaged, out of reach -------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_files_are_for_the_user_alone(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.touch(mode=0o644)
    before = os.umask(0)
    try:
        archive = Archive(path)
        stored(archive, asked("private"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert modes == dict.fromkeys(("chats.db", "chats.db-wal", "chats.db-shm"), 0o600)


@pytest.mark.parametrize("keep", [0, 100, 3 * 4096])
def test_a_damaged_file_is_moved_aside(path: Path, keep: int) -> None:
    old = Archive(path)
    for n in range(60):
        id = stored(old, answered(f"question {n}", "word " * 200))
    old.close()
    data = path.read_bytes()
    damaged = data[:keep] + random.Random(1).randbytes(len(data) - keep)
    path.write_bytes(damaged)

    archive = Archive(path)
    archive.list("question")  # finds out
    assert archive.problem == ""
    (aside,) = path.parent.glob("chats.db.damaged-*")
    assert aside.name in archive.warning
    assert aside.read_bytes() == damaged
    id = stored(archive, asked("life goes on"))
    assert [one.id for one in Archive(path).list()] == [id]


def test_a_chat_outlives_the_damage_of_its_file(path: Path) -> None:
    archive = Archive(path)
    id = stored(archive, asked("a"))
    archive.close()
    path.write_bytes(b"not a database, but long enough to be looked at" * 10)
    again = archive.save(id, [asked("a"), asked("b")])
    assert archive.warning
    assert Archive(path).read(again).turns == (asked("a"), asked("b"))


def test_an_unwritable_place_costs_only_the_saving(tmp_path: Path) -> None:
    obstacle = tmp_path / "state"
    obstacle.write_text("a file, where a folder should be")
    archive = Archive(obstacle / "chats.db")
    assert archive.add([asked("a")]) is None
    assert archive.problem.startswith("Conversations are not saved: ")
    archive.progress(1, 0, growing(asked("a"), "b"))
    assert (archive.list(), archive.latest()) == ([], None)
    for action, what in ((archive.read, "cannot be read"), (archive.delete, "are not saved")):
        with pytest.raises(GemmaMtpError, match=f"{what}: .* a file, where a folder should be"):
            action(1)
    obstacle.unlink()
    last = archive.add([asked("a"), asked("b")])
    assert archive.problem == ""
    assert Archive(obstacle / "chats.db").read(last).turns == (asked("a"), asked("b"))


def test_a_file_that_somebody_holds(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    archive = Archive(path)
    id = stored(archive, asked("a"))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for text in ("b", "bc"):
        archive.progress(id, 0, growing(asked("a"), text))
    assert "locked" in archive.problem
    assert archive.save(id, [growing(asked("a"), "bc")]) == id
    assert "locked" in archive.problem
    holder.execute("COMMIT")
    holder.close()
    assert archive.save(id, [growing(asked("a"), "bcd")]) == id
    assert archive.problem == ""
    assert Archive(path).read(id).turns == (growing(asked("a"), "bcd"),)


def test_a_file_of_a_newer_version_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    archive = Archive(path)
    assert stored(archive, asked("a")) is None
    assert "newer gemma-mtp" in archive.problem
    assert [file.name for file in path.parent.glob("*damaged*")] == []


def test_a_file_of_the_first_version_goes_on(path: Path) -> None:
    path.parent.mkdir()
    first = sqlite3.connect(path)
    for statement in schema.STEPS[0].split(";"):
        first.execute(statement)
    first.execute("""INSERT INTO conversations (title, named, words, model, system, created,
        updated, version) VALUES ('Rain', 1, '', 'tiny', '', '', '', 5)""")
    first.execute("""INSERT INTO turns (conversation, number, user, thought, exact)
        VALUES (1, 0, 'How is rain?', '', 0)""")
    first.execute("PRAGMA user_version = 1")
    first.commit()
    first.close()
    archive = Archive(path)
    found = archive.read(1)
    assert (found.title, found.turns, found.skipped) == ("Rain", (asked("How is rain?"),), 0)
    assert archive.save(1, [*found.turns, asked("And snow?")], skipped=1) == 1
    again = Archive(path).read(1)
    assert ([t.user.content for t in again.turns], again.skipped) == (
        ["How is rain?", "And snow?"],
        1,
    )
    assert archive.problem == archive.warning == ""
