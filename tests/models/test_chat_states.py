"""States of chats on disk: private, whole, no more than they may take, and of no use to others."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fakes import SavedEnvironment, invoke

from gemma_mtp import paths
from gemma_mtp.api import Keeping, LoadOptions, Message, PairFiles, Turn
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.files import atomic, disk
from gemma_mtp.models import chat_states, contents
from gemma_mtp.models.chat_states import ChatStates
from gemma_mtp.models.pair_record import RECORD, FileRecord, PairRecord, write_record

KIB = 1 << 10
ABOUT = {"ids": [1, 2, 3]}


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def pair(home: Path) -> PairFiles:
    files = PairFiles("mine", home / "target.gguf", home / "drafter.gguf")
    for path in (files.target, files.drafter):
        assert path is not None
        path.write_bytes(b"weights")
    return files


USUAL = LoadOptions()


def states(pair: PairFiles, options: LoadOptions = USUAL, library: str = "1") -> ChatStates:
    return ChatStates(pair, options, library)


def keep(pair: PairFiles, name: str, size: int = 10 * KIB, limit: int = 1 << 30) -> None:
    """Have a state of so many bytes written."""
    chat_states.admit(name)
    write(pair, name, size, limit)


def write(pair: PairFiles, name: str, size: int = 10 * KIB, limit: int = 1 << 30) -> None:
    whole = memoryview(os.urandom(size))
    one = states(pair)
    one.keep(Keeping(name, limit), ABOUT, [whole[: size // 3], whole[size // 3 :]])
    one.close()


def file_of(name: str) -> Path:
    return chat_states.folder() / f"{name}.state"


def used_at(name: str, time: float) -> None:
    os.utime(file_of(name), (time, time))


def test_what_is_kept_is_read(pair: PairFiles) -> None:
    chat_states.admit("a-1")
    parts = [memoryview(os.urandom(size)) for size in (0, 1, 70_000)]
    one = states(pair)
    assert one.about("a-1") is None
    one.keep(Keeping("a-1", 1 << 20), ABOUT, parts)
    one.close()
    assert states(pair).about("a-1") == ABOUT
    found = states(pair).read("a-1")
    assert found is not None
    assert found == (ABOUT, parts)
    assert states(pair).read("a-2") is None


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX")
def test_nobody_else_may_read_it(pair: PairFiles) -> None:
    keep(pair, "a-1")
    keep(pair, "a-1")  # written again
    assert stat.S_IMODE(file_of("a-1").stat().st_mode) == 0o600
    assert stat.S_IMODE(chat_states.folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a.b", "a" * 101, "a\0b"])
def test_what_is_no_name_is_no_file(pair: PairFiles, home: Path, name: str) -> None:
    before = sorted(home.rglob("*"))
    keep(pair, name)
    assert states(pair).read(name) is None
    chat_states.remove(name)
    assert sorted(home.rglob("*")) == before


def change(data: bytearray, at: int) -> None:
    data[at] ^= 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: change(data, 0),
        lambda data: change(data, len(chat_states.MAGIC)),
        lambda data: change(data, len(chat_states.MAGIC) + 20),
        lambda data: change(data, -1),
        lambda data: change(data, -5000),
        lambda data: data.__delitem__(slice(-1, None)),
        lambda data: data.__delitem__(slice(100, None)),
        lambda data: data.__delitem__(slice(8, None)),
        lambda data: data.clear(),
    ],
)
def test_a_damaged_state_is_none(pair: PairFiles, damage: Callable[[bytearray], None]) -> None:
    keep(pair, "a-1")
    data = bytearray(file_of("a-1").read_bytes())
    damage(data)
    file_of("a-1").write_bytes(data)
    assert states(pair).read("a-1") is None
    keep(pair, "a-1")
    assert states(pair).read("a-1") is not None


@pytest.mark.parametrize("text", [b"null", b"[]", b'"x"', b"{", b"\xff", b"{}"])
def test_a_header_of_something_else_is_none(pair: PairFiles, text: bytes) -> None:
    import zlib

    chat_states.admit("a-1")
    head = chat_states._HEAD.pack(len(text), zlib.crc32(text))
    file_of("a-1").write_bytes(chat_states.MAGIC + head + text)
    assert states(pair).about("a-1") is states(pair).read("a-1") is None


@pytest.mark.parametrize(
    "other",
    [
        lambda pair: states(pair, LoadOptions(kv_type="q8_0")),
        lambda pair: states(pair, LoadOptions(flash_attn="on")),
        lambda pair: states(pair, library="another build"),
        lambda pair: states(PairFiles("mine", pair.target, None)),
        lambda pair: pair.target.write_bytes(b"other weights") and states(pair),
        lambda pair: os.utime(pair.drafter, (1, 1)) or states(pair),
    ],
    ids=["kv", "flash attention", "build", "drafter", "size", "time"],
)
def test_another_pair_or_way_of_loading_does_not_get_it(
    pair: PairFiles, other: Callable[[PairFiles], ChatStates]
) -> None:
    keep(pair, "a-1")
    assert states(pair, LoadOptions(threads=3, context=512)).read("a-1") is not None
    assert other(pair).about("a-1") is None
    assert other(pair).read("a-1") is None


def written_over(path: Path, new: bytes) -> None:
    """Other contents of the same size, and the time of change set back."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # clocks of file systems are coarse
        path.write_bytes(new)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def put_in_its_place(path: Path, new: bytes) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(new)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


@pytest.mark.skipif(os.name != "posix", reason="where one time of a file cannot be set back")
@pytest.mark.parametrize("change", [written_over, put_in_its_place])
def test_other_weights_of_the_same_size_and_time_do_not_get_it(
    pair: PairFiles, change: Callable[[Path, bytes], None]
) -> None:
    keep(pair, "a-1")
    change(pair.target, b"WEIGHTS")
    assert states(pair).about("a-1") is states(pair).read("a-1") is None
    keep(pair, "a-2")  # these weights are known now, too
    assert states(pair).read("a-2") is not None
    assert states(pair).read("a-1") is None
    change(pair.target, b"weights")
    keep(pair, "a-2")
    assert states(pair).read("a-1") is not None


@pytest.mark.skipif(os.name != "posix", reason="where one time of a file cannot be set back")
def test_nothing_is_kept_of_weights_that_changed_since_they_were_loaded(pair: PairFiles) -> None:
    chat_states.admit("a-1")
    one = states(pair)
    written_over(pair.target, b"WEIGHTS")
    one.keep(Keeping("a-1", 1 << 30), ABOUT, [memoryview(b"state")])
    one.close()
    assert chat_states.sizes() == {}


def test_a_file_is_read_once(pair: PairFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    usual = contents.sha256_of
    monkeypatch.setattr(contents, "sha256_of", lambda p, done: read.append(p) or usual(p, done))
    keep(pair, "a-1")
    keep(pair, "a-1")
    assert states(pair).read("a-1") is not None
    assert read == [pair.target, pair.drafter]


def pulled(pair: PairFiles, folder: Path) -> None:
    """As a pull leaves its folder: sums are known, and the record is written last."""
    files = [
        FileRecord("", path.name, 7, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in (pair.target, pair.drafter)
        if path
    ]
    write_record(folder, PairRecord("mine", "", "", tuple(files)))


def test_the_record_of_a_pull_says_what_files_contain(
    pair: PairFiles, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled(pair, home)
    with monkeypatch.context() as patched:
        patched.setattr(contents, "sha256_of", refuse)
        keep(pair, "a-1")
    assert states(pair).read("a-1") is not None
    (home / RECORD).unlink()
    assert states(pair).read("a-1") is None  # nothing says it any more
    keep(pair, "a-2")  # which reads the files
    assert states(pair).read("a-1") is not None


@pytest.mark.skipif(os.name != "posix", reason="where one time of a file cannot be set back")
def test_a_record_does_not_speak_of_weights_written_over(pair: PairFiles, home: Path) -> None:
    pulled(pair, home)
    keep(pair, "a-1")
    written_over(pair.target, b"WEIGHTS")
    assert contents.recall(pair.target) is None
    assert states(pair).read("a-1") is None


def test_what_was_used_longest_ago_goes_first(pair: PairFiles) -> None:
    for number in range(3):
        keep(pair, f"a-{number}")
        used_at(f"a-{number}", 1000.0 + number)
    assert states(pair).read("a-0") is not None  # used now
    keep(pair, "a-3", limit=34 * KIB)
    assert sorted(chat_states.sizes()) == ["a-0", "a-2", "a-3"]
    keep(pair, "a-4", size=33 * KIB, limit=34 * KIB)
    assert sorted(chat_states.sizes()) == ["a-4"]
    keep(pair, "a-5", size=35 * KIB, limit=34 * KIB)  # more than all may take
    assert sorted(chat_states.sizes()) == ["a-4"]


def test_a_conversation_that_was_deleted_is_not_written_again(pair: PairFiles) -> None:
    keep(pair, "a-1")
    chat_states.remove("a-1")
    write(pair, "a-1")
    assert [*chat_states.folder().iterdir()] == []
    keep(pair, "a-1")
    assert chat_states.sizes().keys() == {"a-1"}


def test_deleting_a_conversation_takes_its_state_along(home: Path, pair: PairFiles) -> None:
    archive = Archive(home / "chats.db", chat_states.remove)
    ids = [archive.add([Turn(Message.text("user", text))]) for text in "ab"]
    for id in ids:
        assert id is not None
        keep(pair, archive.key(id))
    assert ids[0] is not None
    archive.delete(ids[0])
    assert chat_states.sizes().keys() == {archive.key(ids[1])}  # type: ignore[arg-type]
    other = Archive(home / "other.db")
    assert other.key(1) != archive.key(1)


def refuse(*arguments: Any, **more: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_state_before(
    pair: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(pair, "a-1")
    before = states(pair).read("a-1")
    monkeypatch.setattr(os, "fsync", refuse)
    keep(pair, "a-1")
    assert states(pair).read("a-1") == before
    assert len([*chat_states.folder().iterdir()]) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from gemma_mtp.api import Keeping, LoadOptions, PairFiles
from gemma_mtp.models.chat_states import ChatStates

os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
states = ChatStates(PairFiles("mine", *map(Path, sys.argv[1:])), LoadOptions(), "1")
states.keep(Keeping("a-1", 1 << 30), {"ids": []}, [memoryview(bytes(5000))])
states.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_kill_in_the_middle_of_writing_leaves_the_state_before(pair: PairFiles) -> None:
    keep(pair, "a-1")
    before = states(pair).read("a-1")
    words = [sys.executable, "-c", KILLED, str(pair.target), str(pair.drafter)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert states(pair).read("a-1") == before
    (part,) = set(chat_states.folder().iterdir()) - {file_of("a-1")}
    os.utime(part, (1, 1))
    keep(pair, "a-2")  # takes along what was left there
    assert not part.exists()
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    chat_states.remove("a-1")
    assert [*chat_states.folder().iterdir()] == [file_of("a-2")]


def test_a_disk_that_is_nearly_full_is_left_alone(
    pair: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "free_bytes", lambda folder: chat_states.LEFT_FREE)
    keep(pair, "a-1")
    assert chat_states.sizes() == {}


def test_where_no_folder_can_be_made_nothing_is_kept(pair: PairFiles) -> None:
    paths.cache_dir().write_text("a file")
    keep(pair, "a-1")
    assert chat_states.sizes() == {}
    assert states(pair).read("a-1") is None
    chat_states.remove("a-1")


def pruned(*words: str) -> list[tuple[str, str]]:
    outcome = invoke("prune", "--json", *words)
    assert outcome.status == 0, outcome.stderr
    return [(Path(x["path"]).name, x["why"]) for x in json.loads(outcome.stdout)["leftovers"]]


def test_prune_finds_what_no_chat_can_use_any_more(pair: PairFiles) -> None:
    for name in ("a-1", "a-2"):
        keep(pair, name)
    file_of("a-2").write_bytes(b"nothing of the kind")
    part = file_of("a-3").with_suffix(".state.77.tmp")
    part.write_bytes(b"part")
    os.utime(part, (1, 1))
    assert atomic.ABANDONED > 60
    file_of("a-4").with_suffix(".state.78.tmp").write_bytes(b"being written")
    assert pruned() == [
        ("a-2.state", "a damaged state of a chat"),
        ("a-3.state.77.tmp", "part of a state of a chat"),
    ]
    pair.target.unlink()
    assert ("a-1.state", "a state of a chat with a model that is gone") in pruned("--yes")
    assert pruned() == []
    assert chat_states.sizes() == {}


def test_prune_offers_all_where_chats_are_not_to_be_kept(pair: PairFiles, home: Path) -> None:
    keep(pair, "a-1")
    assert pruned() == []
    outcome = invoke("prune", env=settings_of(home, keep_chats="off"))
    assert "a-1.state  (keep_chats is off)" in outcome.stdout


def settings_of(home: Path, **values: str) -> SavedEnvironment:
    env = SavedEnvironment(home / "chats.db")
    env.configured = values
    return env


def test_the_list_of_chats_says_what_they_take(home: Path, pair: PairFiles) -> None:
    env = SavedEnvironment(home / "chats.db")
    archive = env.archive()
    ids = [archive.add([Turn(Message.text("user", text))]) for text in "ab"]
    assert "takes" not in invoke("chats", env=env).stderr
    assert ids[0] is not None
    keep(pair, archive.key(ids[0]), size=2_000_000)
    said = " ".join(invoke("chats", env=env).stderr.split())
    assert f"What was read of 1 conversation takes 2 MB more, in {chat_states.folder()}." in said
    listed = json.loads(invoke("chats", "--json", env=env).stdout)
    assert [one["state_bytes"] > 2_000_000 for one in listed] == [False, True]
