"""Files of earlier versions open in this one, whole or not at all; this one's in earlier ones."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gemma_mtp.api import Drafted, Message, Stats, ToolCall, ToolResult, Turn
from gemma_mtp.conversations import schema, tables
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.conversations.export import as_json, as_markdown

DATA = Path(__file__).parents[1] / "data"
FILE = '<file name="/tmp/sp ace.txt">\nRain falls.\n</file>\n\nSum it up. Größe 🦀?'
# The number of the version before this one, and how its file was made: a program on top of its
# Archive saved these turns; one conversation was parted from another chat's, one was being written
# when its program was killed, one was emptied and one deleted.
BEFORE = 2


def said(user: str, reply: str | None = None, tokens: tuple[int, ...] = ()) -> tuple[Message, ...]:
    asked = Message.text("user", user)
    return (asked,) if reply is None else (asked, Message.text("assistant", reply, tokens))


def turn(messages: tuple[Message, ...], *outcome: object) -> Turn:
    return Turn(messages[0], messages[1:], *outcome)  # type: ignore[arg-type]


STATS = Stats(
    prompt_tokens=21, cached_tokens=4, completion_tokens=6, rounds=3, decoded=5, drafted=6,
    accepted=2, sources=(Drafted("lookup", 1, 1),), accepted_histogram=(1, 2), threads=(0, 0, 3),
    prefill_seconds=0.25, ttft_seconds=0.3, decode_seconds=0.125, draft_seconds=0.02,
    verify_seconds=0.1, sampling_seconds=0.001, plain_seconds=0.2, plain_deviation=0.01,
    compared_seconds=0.125, speedup_basis="measured", context_used=27, context_size=8192,
)  # fmt: skip
FIRST = turn(
    said(FILE, "It rains.\n```py\nx = 1\n```", (5, 6, 7, 8, 9, 1)),
    *("Let me see.", 2**63 - 1, True, "stop", STATS),
)
CHATS: dict[int, tuple[Turn, ...]] = {
    1: (
        FIRST,
        turn(said("Go on", "Once upon a time", (11, 12)), "", 3, False, "cancelled"),
        turn(said("And then?", "The end."), "", None, False, "length"),
        turn(said("theirs")),
    ),
    2: (
        FIRST,
        turn(said("Go on", "Once upon a time", (11, 12)), "", 3, False, "cancelled"),
        turn(said("mine", "Yours.", (1, 2)), "", 4, False, "stop"),
    ),
    3: (
        turn(said("Tell me 'all'", "All.", (3,)), "", 5, True, "stop", STATS),
        turn(said("More", "Wörds and 🦀 \n"), "Hm, so", 7, True),
    ),
    4: (turn(said("No answer")),),
    5: (turn(said("Only a thought"), "hm", 8, False, "length"),),
    6: (),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the version before."""
    path = tmp_path / "chats.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((DATA / f"chats-v{BEFORE}.sql").read_text(encoding="utf-8"))
    return path


def turns(path: Path) -> dict[int, tuple[Turn, ...]]:
    """All turns as this program reads them, without what the second turns' figures were."""
    archive = Archive(path)
    found = {id: archive.read(id).turns for id in CHATS}
    assert archive.problem == archive.warning == archive.notice == ""
    archive.close()
    return {
        id: tuple(
            Turn(**{**vars(one), "stats": None}) if one.reason == "cancelled" else one
            for one in found[id]
        )
        for id in found
    }


def dump(path: Path) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0], [*db.iterdump()]


def test_the_file_is_of_the_version_before(path: Path) -> None:
    assert dump(path)[0] == BEFORE == len(schema.STEPS) - 1


def test_a_file_of_the_version_before_has_all_that_was_in_it(path: Path) -> None:
    assert turns(path) == CHATS
    assert dump(path)[0] == len(schema.STEPS)
    archive = Archive(path)
    found = archive.read(1)
    assert (found.title, found.model, found.system, found.skipped, found.created) == (
        "Rain & Größe", "e2b", "Be brief.", 1, "2026-11-27T23:20:54.867+00:00",
    )  # fmt: skip
    assert [one.id for one in archive.list()] == [5, 4, 3, 2, 1]
    assert [one.id for one in archive.list("wörds")] == [3]
    stats = archive.read(1).turns[1].stats
    assert stats is not None
    assert (stats + Stats(threads=(0, 2))).threads == (0, 2, 3)  # as when the reply is continued


def test_it_goes_on_from_there(path: Path) -> None:
    archive = Archive(path)
    before = archive.read(3).turns
    more = turn(said("More", "Wörds and 🦀 \nmore"), "Hm, so", 7, True)
    archive.progress(3, 1, more)
    assert Archive(path).read(3).turns == (before[0], more)
    assert archive.save(3, (*before, turn(said("And?")))) == 3
    assert len(Archive(path).read(3).turns) == 3


@pytest.mark.parametrize("step", ["INSERT INTO turns VALUES (1)", "nonsense"])
def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = dump(path)
    broken = (*schema.STEPS[:-1], f"{schema.STEPS[-1]};{step}")
    with monkeypatch.context() as patched:
        patched.setattr(schema, "STEPS", broken)
        archive = Archive(path)
        archive.add(CHATS[4], model="tiny")
        assert archive.problem
        assert len(archive.list()) == 5  # it is read all the same
        archive.close()
    assert dump(path) == before
    assert not [*path.parent.glob("*damaged*")]
    assert turns(path) == CHATS


KILLED = """
import os, sqlite3, sys
from pathlib import Path
from gemma_mtp.conversations import database
from gemma_mtp.conversations.archive import Archive

class Killed(sqlite3.Connection):
    def execute(self, sql, *values):
        if sql.strip().startswith(sys.argv[2]):
            os._exit(9)
        return super().execute(sql, *values)

connect = sqlite3.connect
database.sqlite3.connect = lambda *args, **more: connect(*args, factory=Killed, **more)
Archive(Path(sys.argv[1])).list()
"""


@pytest.mark.parametrize("moment", ["DROP VIEW", "CREATE VIEW", "PRAGMA user_version =", "COMMIT"])
def test_a_kill_while_migrating_changes_nothing(path: Path, moment: str) -> None:
    before = dump(path)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), moment], env=env)
    assert killed.returncode == 9
    assert dump(path) == before
    assert turns(path) == CHATS


def test_the_version_before_reads_a_file_of_this_one(path: Path) -> None:
    """Without writing to it; messages that are more than text show as their text."""
    archive = Archive(path)
    archive.add((TOOLS,), model="tiny")
    archive.close()
    with closing(sqlite3.connect(path)) as db:
        columns = "user, reply, tokens, thought, seed, exact, reason, stats"
        (row,) = db.execute(f"SELECT {columns} FROM whole WHERE conversation = 8")
    assert row[:5] == ("Weather?", "Let me look.\n\nIt rains.", None, "Hm.", "7")


# --- turns of several messages ---------------------------------------------------------------


CALL = Message(
    "assistant", (*said("Let me look.")[0].parts, ToolCall("1", "weather", "{}")), (1, 2)
)
RESULT = Message("tool", (ToolResult("1", "rain"),))
ANSWER = Message.text("assistant", "It rains.", (3, 4))
TOOLS = Turn(said("Weather?")[0], (CALL, RESULT, ANSWER), "Hm.", 7, True, "stop", STATS)


@pytest.mark.parametrize(
    "replies", [(CALL,), (CALL, RESULT), (CALL, RESULT, ANSWER), (ANSWER, CALL)]
)
def test_messages_of_several_parts_come_back(tmp_path: Path, replies: tuple[Message, ...]) -> None:
    path = tmp_path / "chats.db"
    archive = Archive(path)
    stored = Turn(TOOLS.user, replies, "Hm.", 7, True, "stop", STATS)
    id = archive.add((stored, FIRST), model="tiny")
    assert Archive(path).read(id).turns == (stored, FIRST)
    assert [one.id for one in Archive(path).list("LOOK")] == ([id] if CALL in replies else [])


def test_the_last_of_several_messages_grows(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    archive = Archive(path)
    id = archive.add((Turn(TOOLS.user, (CALL, RESULT), "", 7, True),), model="tiny")
    for text in ("It", "It ra", "It rains."):
        growing = Turn(TOOLS.user, (CALL, RESULT, said("", text)[1]), "", 7, True)
        archive.progress(id, 0, growing)
        assert Archive(path).read(id).turns == (growing,)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM pieces").fetchone() == (3,)
    assert [one.id for one in Archive(path).list("rains")] == [id]
    assert archive.save(id, (TOOLS,)) == id
    assert Archive(path).read(id).turns == (TOOLS,)


def test_messages_that_cannot_be_read_leave_their_text(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    archive = Archive(path)
    id = archive.add((TOOLS,), model="tiny")
    archive.close()
    for nonsense in ("[]", "{", '[{"role": "user"}]', '[{"role": "tool", "parts": []}]', "x'ff'"):
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE turns SET messages = ?", (nonsense,))
        found = Archive(path).read(id)
        assert found.gaps == "Not all of it can be read: the messages of turn 1."
        assert found.turns[0].messages == said("Weather?", "Let me look.\n\nIt rains.")


def test_a_damaged_file_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    archive = Archive(path)
    id = archive.add((TOOLS,), model="tiny")
    archive.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP VIEW whole")
    assert Archive(path).read(id).turns == (TOOLS,)


def test_exports_of_them() -> None:
    """Old readers find role and content of each turn as ever."""
    saved = tables.Saved(1, "A title", "e2b", "", "2026", "2026", (TOOLS,))
    user, reply = json.loads(as_json(saved))["turns"]
    assert user == {"role": "user", "content": "Weather?"}
    assert (reply["role"], reply["content"]) == ("assistant", "Let me look.\n\nIt rains.")
    assert [said["role"] for said in reply["messages"]] == ["assistant", "tool", "assistant"]
    assert reply["messages"][1]["parts"] == [{"type": "tool_result", "id": "1", "text": "rain"}]
    assert as_markdown(saved).split("## Gemma\n\n")[1] == (
        "Let me look.\n\n*Calls weather:*\n\n```json\n{}\n```\n\n"
        "> *Result:*\n>\n> ```\n> rain\n> ```\n\n> *Thought:*\n>\n> Hm.\n\nIt rains.\n"
    )
