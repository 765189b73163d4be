"""`list`, `show`, `rm`, `prune` and the offer to pull, as a person and a script see them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.fakes import FakeEnvironment, TerminalText, invoke

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.cli import pull
from gemma_mtp.errors import NotPulled
from gemma_mtp.files.folder_lock import locked
from gemma_mtp.models import leftovers, presets, store
from gemma_mtp.models.catalogue import Entry, load_catalogue
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.pair_record import RECORD, FileRecord, PairRecord, write_record
from gemma_mtp.options import Options

CATALOGUE = load_catalogue()


pytestmark = pytest.mark.usefixtures("synthetic_pair")


def entry(name: str) -> Entry:
    found = CATALOGUE.find(name)
    assert found is not None
    return found


def put(name: str, repo: str = "") -> Path:
    """Small files in place of a pulled pair, marked as a pull marks them."""
    known = CATALOGUE.find(name)
    folder = paths.models_dir() / name.replace("/", "--").replace(":", "-")
    folder.mkdir(parents=True)
    held = []
    for role, parts in (("target", writer.target()), ("drafter", writer.drafter())):
        remote = getattr(known, role) if known else None
        path = writer.write(folder / (remote.path if remote else f"{role}.gguf"), *parts)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        pinned = remote.sha256 if remote else ""
        held.append(FileRecord(role, path.name, path.stat().st_size, digest, "Q4_0", pinned))
    revision = known.revision if known else "0" * 40
    write_record(folder, PairRecord(name, known.repo if known else repo, revision, tuple(held)))
    return folder


# --- list ------------------------------------------------------------------------------------


def test_list_shows_what_is_here(home: Path) -> None:
    put("12b")
    put("e2b:q8_0")
    (paths.models_dir() / "31b").mkdir()
    (paths.models_dir() / "31b" / "x.gguf.partial").write_bytes(b"a" * 5000)
    store.Store(CATALOGUE).remember_used("12b")
    lines = invoke("list").stdout.splitlines()
    assert lines[0].split() == ["name", "variant", "size", "state", "last", "used"]
    assert [line.split()[0] for line in lines[1:]] == ["tiny", "e2b:q8_0", "12b", "31b"]
    assert "built in  never" in lines[1]
    assert "ready" in lines[3]
    assert "never" not in lines[3]
    assert "partial" in lines[4]


def test_list_for_scripts(home: Path) -> None:
    folder = put("12b")
    store.Store(CATALOGUE).remember_used("12b")
    found = json.loads(invoke("list", "--json").stdout)
    assert [sorted(item) for item in found] == [
        ["builtin", "bytes", "last_used", "loaded", "name", "ready", "source", "variant"]
    ] * 2
    tiny, large = found
    assert (tiny["name"], tiny["builtin"], tiny["source"]) == ("tiny", True, "built in")
    assert tiny["last_used"] is None
    size = sum(path.stat().st_size for path in folder.glob("*.gguf"))
    assert (large["bytes"], large["ready"], large["variant"]) == (size, True, "qat")
    assert large["source"].startswith("unsloth/gemma-4-12B-it-qat-GGUF@980b060c40a8")
    assert large["last_used"].endswith("+00:00")


def test_list_all_shows_what_could_be_pulled(home: Path) -> None:
    found = json.loads(invoke("list", "--all", "--json").stdout)
    assert [item["name"] for item in found if item["ready"]] == ["tiny"]
    assert {e.name for e in CATALOGUE.entries} == {item["name"] for item in found}
    assert "not here" in invoke("list", "--all").stdout


def test_a_pair_of_another_repository_is_listed_and_found(home: Path) -> None:
    folder = put("hf:me/mine:Q4_0", repo="me/mine")
    found = json.loads(invoke("list", "--json").stdout)
    assert (found[1]["name"], found[1]["variant"]) == ("hf:me/mine:Q4_0", "q4_0")
    assert found[1]["ready"]
    files = store.Store(CATALOGUE).resolve("hf:me/mine:Q4_0")
    assert (files.target, files.drafter) == (folder / "target.gguf", folder / "drafter.gguf")
    with pytest.raises(NotPulled):
        store.Store(CATALOGUE).resolve("hf:me/other")


def test_a_truncated_file_makes_a_pair_partial(home: Path) -> None:
    folder = put("12b")
    target = folder / entry("12b").target.path
    target.write_bytes(target.read_bytes()[:-1])
    assert json.loads(invoke("list", "--json").stdout)[1]["ready"] is False


# --- show ------------------------------------------------------------------------------------


def test_show_a_pulled_pair(home: Path) -> None:
    folder = put("e2b")
    text = invoke("show", "e2b").stdout
    for words in (
        "e2b: Gemma 4 E2B",
        "state          ready",
        "architecture   gemma4",
        "2 layers of width 32",
        "draft lengths  0 to 7 are worth trying",
        "sampling       temperature 1, top_k 64, top_p 0.95, min_p 0, repeat_penalty 1",
        "memory         3.0 GB with 8k tokens; runs well: 6.0 GB are free",
        str(folder / "gemma-4-E2B-it-qat-UD-Q4_K_XL.gguf"),
        "template       none",
    ):
        assert words in text
    found = json.loads(invoke("show", "e2b", "--json").stdout)
    assert [file["role"] for file in found["files"]] == ["target", "drafter"]
    assert found["memory"]["verdict"] == "runs well"


def test_show_says_when_and_how_much_for_people(home: Path) -> None:
    put("e2b")
    store.Store(CATALOGUE).remember_used("e2b")
    text = invoke("show", "e2b").stdout
    assert re.search(r"last used +\d\d? [A-Z][a-z]{2} 20\d\d, \d\d:\d\d\n", text)
    assert re.search(r"\d (MB|kB) \([\d,]+ bytes\)", text)
    assert "+00:00" in json.loads(invoke("show", "e2b", "--json").stdout)["last_used"]


def test_show_what_is_pinned_of_a_model_that_is_not_here() -> None:
    found = json.loads(invoke("show", "gemma4:12b", "--json").stdout)
    assert found["state"] == "not on this machine"
    roles = {file["role"]: file for file in found["files"]}
    assert roles["encoder"]["bytes"] == 175115840
    assert roles["target"]["sha256"] == entry("12b").target.sha256
    assert found["memory"]["verdict"] == "does not fit"


def test_show_the_built_in_pair_and_a_file(tmp_path: Path) -> None:
    assert "state          ready" in invoke("show", "tiny").stdout
    own = writer.write(tmp_path / "own.gguf", *writer.target())
    text = invoke("show", str(own)).stdout
    assert "state         a file of yours" in text
    assert "weights" in text


def test_show_of_nothing() -> None:
    outcome = invoke("show", "e9b")
    assert (outcome.status, outcome.stdout) == (4, "")
    assert 'There is no model called "e9b"' in outcome.stderr


def test_checking_reads_every_byte_again(home: Path) -> None:
    folder = put("e2b")
    outcome = invoke("show", "e2b", "--check")
    assert outcome.status == 0
    assert "all files are as pulled" in outcome.stdout
    drafter = folder / entry("e2b").drafter.path
    data = bytearray(drafter.read_bytes())
    data[-1] ^= 1
    drafter.write_bytes(data)
    outcome = invoke("show", "e2b", "--check")
    assert (outcome.status, outcome.stdout) == (6, "")
    assert f"{drafter} is damaged" in outcome.stderr
    assert outcome.stderr.endswith("\n  gemma-mtp pull e2b\n")
    assert json.loads(invoke("list", "--json").stdout)[1]["ready"] is False
    outcome = invoke("show", "e2b", "--check")
    assert (outcome.status, outcome.stdout) == (6, "")
    assert outcome.stderr == "gemma-mtp: e2b is not complete.\n  gemma-mtp pull e2b\n"


# --- rm --------------------------------------------------------------------------------------


def test_rm_takes_the_pair_and_nothing_else(home: Path) -> None:
    folder, other = put("12b"), put("e2b")
    outcome = invoke("rm", "12B")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("12b is removed, ")
    assert not folder.exists()
    assert other.exists()
    assert invoke("rm", "12b").status == 4


def test_rm_of_a_model_names_its_presets_which_stay(home: Path) -> None:
    put("e2b")
    presets.keep(presets.Kept(presets.Preset("pirate"), "e2b"))
    presets.keep(presets.Kept(presets.Preset("other"), "tiny"))
    outcome = invoke("rm", "e2b")
    assert outcome.stdout.startswith("e2b is removed, ")
    assert "pirate is a preset of it: gemma-mtp pull e2b brings it back." in outcome.stderr
    assert presets.names() == ["other", "pirate"]
    put("e2b")
    assert invoke("rm", "pirate").stdout == "The preset pirate is removed; its model stays.\n"
    assert invoke("show", "e2b").status == 0
    assert invoke("rm", "pirate").status == 4


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_rm_leaves_the_files_of_other_programs(home: Path, tmp_path: Path) -> None:
    folder = put("12b")
    target = folder / entry("12b").target.path
    theirs = tmp_path / "blob"
    target.rename(theirs)
    target.symlink_to(theirs)
    assert json.loads(invoke("list", "--json").stdout)[1]["ready"]
    assert json.loads(invoke("rm", "12b", "--json").stdout)["removed"] == "12b"
    assert not folder.exists()
    assert theirs.is_file()


def test_rm_of_a_part_of_a_download(home: Path) -> None:
    folder = put("12b")
    (folder / RECORD).unlink()
    assert invoke("rm", "12b").status == 0
    assert not folder.exists()


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_of_a_folder_that_lies_elsewhere_only_the_link_goes(home: Path, tmp_path: Path) -> None:
    folder = put("12b")
    elsewhere = folder.rename(tmp_path / "large disk")
    folder.symlink_to(elsewhere)
    (elsewhere / "notes.txt").write_text("of the user")
    there = sorted(elsewhere.iterdir())
    assert not leftovers.leftovers(store.Store(CATALOGUE))
    outcome = invoke("rm", "12b")
    assert (outcome.status, outcome.stderr) == (0, "")
    assert outcome.stdout == f"12b is removed, the link is; its files stay in {elsewhere}.\n"
    assert not folder.is_symlink()
    assert sorted(elsewhere.iterdir()) == there
    folder.symlink_to(elsewhere)
    assert json.loads(invoke("rm", "12b", "--json").stdout) == {"removed": "12b", "bytes": 0}
    (elsewhere / RECORD).unlink()
    folder.symlink_to(elsewhere)
    assert invoke("prune", "--yes").status == 0
    assert not folder.is_symlink()
    assert (elsewhere / "notes.txt").exists()


def test_the_built_in_pair_stays() -> None:
    outcome = invoke("rm", "tiny")
    assert outcome.status == 2
    assert "belongs to the program" in outcome.stderr


def test_a_running_pull_is_not_disturbed(home: Path) -> None:
    folder = put("12b")
    with locked(folder, lambda: None):
        outcome = invoke("rm", "12b")
        assert (outcome.status, folder.exists()) == (2, True)
        assert "is just being pulled" in outcome.stderr
        assert not leftovers.leftovers(store.Store(CATALOGUE))


# --- prune -----------------------------------------------------------------------------------


def leave_things() -> tuple[Path, Path, Path]:
    """A complete pair with a file set aside, a part of a download, and a folder of nothing."""
    folder = put("12b")
    corrupt = folder / "gemma.gguf.corrupt"
    corrupt.write_bytes(b"x" * 10000)
    part = paths.models_dir() / "e2b"
    part.mkdir()
    (part / "t.gguf.partial").write_bytes(b"x" * 10000)
    nothing = paths.models_dir() / "other"
    nothing.mkdir()
    return corrupt, part, nothing


def test_prune_only_lists_without_a_yes(home: Path) -> None:
    kept = leave_things()
    outcome = invoke("prune")
    assert outcome.status == 0
    assert "part of e2b" in outcome.stdout
    assert "not needed by 12b" in outcome.stdout
    assert "gemma-mtp prune --yes" in outcome.stdout
    assert all(path.exists() for path in kept)


def test_prune_removes_leftovers_and_keeps_the_pair(home: Path) -> None:
    gone = leave_things()
    assert invoke("prune", "--yes").status == 0
    assert not any(path.exists() for path in gone)
    shop = store.Store(CATALOGUE)
    assert shop.is_ready(entry("12b"))
    assert invoke("prune", "--yes").stdout == "Nothing is left over.\n"


def test_prune_for_scripts(home: Path) -> None:
    leave_things()
    found = json.loads(invoke("prune", "--json").stdout)
    assert found["removed"] is False
    assert len(found["leftovers"]) == 3
    assert json.loads(invoke("prune", "--json", "--yes").stdout)["removed"] is True
    assert json.loads(invoke("prune", "--json").stdout)["leftovers"] == []


# --- the offer -------------------------------------------------------------------------------


class Unpulled(FakeEnvironment):
    """12b is not here until it is pulled."""

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        if model not in self.pulled:
            raise NotPulled(str(model))
        return super().resolve(model, drafter)


def offer(
    monkeypatch: pytest.MonkeyPatch, answer: str, machine: Machine | None = None
) -> tuple[Unpulled, str]:
    """What happens to `run 12b hi` at a terminal where `answer` is typed."""
    from gemma_mtp.cli import find_pair

    env = Unpulled()
    monkeypatch.setattr(env, "machine", lambda: machine or LARGE)
    monkeypatch.setattr(pull, "show_pull", lambda w, name, goes_on: env.pulled.append(name))
    monkeypatch.setattr("sys.stdin", TerminalText(answer))
    notes = TerminalText()
    monkeypatch.setattr("sys.stderr", notes)
    try:
        find_pair.resolve_or_offer(env, "12b", Options())
    except NotPulled:
        return env, notes.getvalue()
    assert env.pulled == ["12b"]
    return env, notes.getvalue()


LARGE = Machine(int(60e9), int(64e9), cores=8)
SMALL = Machine(int(6e9), int(8e9), cores=4)
DOUBT = "12b does not fit in memory: needs 8.0 GB, 6.0 GB are free."


@pytest.mark.parametrize("answer", ["\n", "y\n", "Yes\n"])
def test_a_missing_model_is_pulled_when_somebody_says_so(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    env, said = offer(monkeypatch, answer)
    assert env.pulled == ["12b"]
    assert said == "12b is not on this machine. Pull it now (7.1 GB)? [Y/n] "


@pytest.mark.parametrize("answer", ["n\n", "what\n", ""])
def test_a_missing_model_is_not_pulled_otherwise(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    assert offer(monkeypatch, answer)[0].pulled == []


@pytest.mark.parametrize(("answer", "pulled"), [("\n", []), ("n\n", []), ("y\n", ["12b"])])
def test_enter_does_not_pull_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, answer: str, pulled: list[str]
) -> None:
    env, said = offer(monkeypatch, answer, SMALL)
    assert env.pulled == pulled
    assert said == f"{DOUBT}\n12b is not on this machine. Pull it now (7.1 GB)? [y/N] "


@pytest.mark.parametrize("command", ["run", "bench", "verify"])
def test_a_model_that_does_not_fit_is_loaded_after_a_warning(command: str) -> None:
    env = FakeEnvironment()
    env.broken = {"12b": "The file is damaged."}
    words = ["12b", "hi"] if command == "run" else ["12b"]
    outcome = invoke(command, *words, env=env)
    assert [files.name for files, _ in env.loaded] == ["12b"]
    assert (outcome.status, outcome.stdout) == (6, "")
    first, *others = outcome.stderr.splitlines()
    assert first == f"gemma-mtp: {DOUBT}"
    assert others == ["gemma-mtp: The file is damaged.", "  Pull it again."]


def test_the_answer_stays_apart_from_the_warning() -> None:
    outcome = invoke("run", "12b", "hi")
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    assert outcome.stderr == f"gemma-mtp: {DOUBT}\n"


@pytest.mark.parametrize("model", ["tiny", "e2b"])
def test_a_model_that_fits_is_loaded_without_a_word(model: str) -> None:
    assert invoke("run", model, "hi").stderr == ""


def test_for_the_built_in_pair_the_machine_is_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    env = FakeEnvironment()
    monkeypatch.setattr(env, "machine", lambda: pytest.fail("looked at"))
    assert invoke("run", "tiny", "hi", env=env).status == 0


def test_a_script_is_told_the_command() -> None:
    for command in ("run", "chat"):
        outcome = invoke(command, "12b", "hi", env=Unpulled())
        assert (outcome.status, outcome.stdout) == (4, "")
        assert outcome.stderr == "gemma-mtp: 12b is not on this machine.\n  gemma-mtp pull 12b\n"
