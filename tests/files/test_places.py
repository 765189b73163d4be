"""Places that cannot be used: named by `doctor` and by the command that meets them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.fakes import Outcome, invoke

from gemma_mtp import paths
from gemma_mtp.cli import findings as doctor
from gemma_mtp.cli.environment import Environment
from gemma_mtp.files import places
from gemma_mtp.files.disk import disk_error

pytestmark = pytest.mark.skipif(os.name != "posix", reason="symbolic links")


@pytest.fixture(autouse=True)
def home(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GEMMA_MTP_HOME, in a home folder with nothing in it."""
    place = machine / "gemma"
    place.mkdir()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(place))
    return place


def do(*words: str) -> Outcome:
    return invoke(*words, env=Environment())


def problems() -> str:
    return " ".join(finding.problem for finding in doctor.examine(offline=True))


def link(path: Path) -> str:
    """A link to a disk that is not there, and what is to be said of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/mnt/absent/disk")
    return f"{path} is a link to /mnt/absent/disk, which is not there"


# --- words for what is in the way -------------------------------------------------------------


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    lost = link(tmp_path / "lost")
    file = tmp_path / "file"
    file.touch()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    found = {
        tmp_path: "",
        tmp_path / "none" / "at" / "all": "",
        tmp_path / "lost": lost,
        tmp_path / "lost" / "a" / "b": lost,
        loop / "a": f"{loop} is a link to {loop}, which is not there",
        file / "a" / "b": f"{file} is a file, where a folder should be",
    }
    for path, words in found.items():
        assert places.obstacle(path) == words
        assert places.folder_obstacle(path) == words
    assert places.obstacle(file) == ""
    assert places.folder_obstacle(file) == f"{file} is a file, where a folder should be"


# --- models on a disk that is not connected ---------------------------------------------------


@pytest.mark.parametrize(
    "which", ["cache", "cache/models", "cache/models/e2b", "cache/models/e2b/{target}"]
)
def test_models_on_an_absent_disk(home: Path, which: str) -> None:
    target = Environment().store.require("e2b").target.path
    said = link(home / which.format(target=target))
    assert said in problems()
    outcome = do("run", "e2b", "Hello")
    assert outcome.status == 4
    assert f"gemma-mtp: e2b cannot be opened: {said}.\n  Connect its disk; or " in outcome.stderr
    for words in (("list",), ("list", "--json"), ("show", "e2b"), ("prune",)):
        outcome = do(*words)
        assert (outcome.status, outcome.stderr) == (0, f"gemma-mtp: {said}.\n")


def test_a_repository_on_an_absent_disk(home: Path) -> None:
    said = link(home / "cache" / "models")
    outcome = do("run", "hf:someone/something", "Hello")
    assert (outcome.status, outcome.stderr.splitlines()[0]) == (
        4,
        f"gemma-mtp: hf:someone/something cannot be opened: {said}.",
    )


def test_a_pull_names_what_is_in_its_way(home: Path) -> None:
    said = link(home / "cache" / "models")
    outcome = do("pull", "e2b", "--offline")
    assert outcome.status == 1
    assert said in outcome.stderr
    error = FileExistsError(17, "File exists")
    assert said in str(disk_error(error, home / "cache" / "models" / "e2b"))


def test_links_that_lead_somewhere_are_no_problem(home: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "models" / "e2b").mkdir(parents=True)
    (home / "cache").symlink_to(disk)
    assert places.dangling_below(paths.models_dir()) == []
    assert do("list").stderr == ""
    assert do("run", "e2b", "Hello").stderr == (
        "gemma-mtp: e2b is not on this machine.\n  gemma-mtp pull e2b\n"
    )


def test_a_default_model_that_is_not_there_is_a_problem(home: Path) -> None:
    said = link(home / "usb")
    (home / "config").mkdir()
    paths.config_file().write_text(f'model = "{home}/usb/x.gguf"')
    assert said in problems()
    paths.config_file().write_text(f'model = "{home}/x.gguf"')
    assert f"{home}/x.gguf is not there" in problems()


# --- folders in which nothing can be kept -----------------------------------------------------


@pytest.mark.parametrize("folder", ["state", "cache"])
def test_a_folder_on_an_absent_disk(home: Path, folder: str) -> None:
    said = link(home / folder)
    assert f"{home / folder} cannot be written: {said}." in problems()
    outcome = do("run", "tiny", "Hello")
    assert (outcome.status, outcome.stderr) == (
        0,
        f"gemma-mtp: Nothing can be kept in {home / folder}: {said}.\n",
    )
    assert outcome.stdout


def test_saved_conversations_on_an_absent_disk(home: Path) -> None:
    said = link(home / "state")
    outcome = do("chats")
    assert (outcome.status, outcome.stdout) == (1, "")
    assert outcome.stderr == (
        f"gemma-mtp: Saved conversations cannot be read: {home}/state/chats.db: {said}.\n"
    )


@pytest.mark.parametrize("which", ["config", "config/config.toml"])
def test_settings_on_an_absent_disk_are_not_ignored(home: Path, which: str) -> None:
    said = link(home / which)
    assert said in problems()
    for words in (("run", "tiny", "Hello"), ("config",), ("config", "ctx", "512")):
        outcome = do(*words)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert said in outcome.stderr
    assert do("run", "--help").status == 0


def test_models_of_ones_own_on_an_absent_disk_are_not_ignored(home: Path) -> None:
    said = link(home / "config" / "models.toml")
    assert said in problems()
    assert said in do("run", "tiny", "Hello").stderr


def test_a_home_that_is_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of users that only run services: their home is /dev/null."""
    file = home / "file"
    file.touch()
    monkeypatch.delenv(paths.HOME_VARIABLE)
    for kind in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.delenv(f"XDG_{kind}_HOME", raising=False)
    monkeypatch.setenv("HOME", str(file))
    said = f"{file} is a file, where a folder should be."
    assert problems().count(said) == 3
    outcome = do("run", "tiny", "Hello")
    assert outcome.status == 0
    assert outcome.stderr.startswith("gemma-mtp: Nothing can be kept in ")
    assert outcome.stderr.endswith(f": {said}\n")
    outcome = do("config", "ctx", "512")
    assert (outcome.status, said in outcome.stderr) == (1, True)


@pytest.mark.parametrize("words", [("run", "tiny", "Hello"), ("list",), ("chats",), ("config",)])
def test_the_home_of_nobody(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.HOME_VARIABLE, "~nosuchuser/x")
    outcome = do(*words)
    assert (outcome.status, outcome.stderr) == (
        2,
        "gemma-mtp: GEMMA_MTP_HOME is ~nosuchuser/x, and there is no user of that name.\n"
        "  Set GEMMA_MTP_HOME to a folder, or leave it out.\n",
    )
    assert "there is no user of that name" in problems()
    assert do("--help").status == do("run", "--help").status == 0


@pytest.mark.parametrize("option", ["--to", "--from", "--reuse"])
def test_a_folder_of_nobody_on_the_command_line(option: str, home: Path) -> None:
    outcome = do("pull", "e2b", "--offline", option, "~nosuchuser/x")
    assert outcome.status == 2
    assert "~nosuchuser/x cannot be read: there is no user of that name." in outcome.stderr


def test_a_folder_of_nobody_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", "~nosuchuser/x")
    outcome = do("pull", "e2b", "--offline")
    assert (outcome.status, "nosuchuser" in outcome.stderr) == (7, False)


# --- what the user wrote ----------------------------------------------------------------------


def test_a_byte_order_mark_is_no_error(home: Path) -> None:
    (home / "config").mkdir()
    paths.config_file().write_bytes(b'\xef\xbb\xbfctx = 1024\r\nsystem = "x"\r\n')
    paths.own_models().write_bytes(b"\xef\xbb\xbf# none\r\n")
    assert "not valid" not in problems()
    assert do("config", "ctx").stdout == "1024\n"
    assert do("config", "draft", "off").status == 0
    assert paths.config_file().read_bytes() == b'ctx = 1024\r\nsystem = "x"\r\ndraft = "off"\n'
    assert do("list").status == 0


@pytest.mark.parametrize("name", ["config.toml", "models.toml"])
def test_settings_that_cannot_be_read(home: Path, name: str) -> None:
    (home / "config" / name).mkdir(parents=True)
    said = f"{home}/config/{name} cannot be read: Is a directory."
    assert said in problems()
    outcome = do("run", "tiny", "Hello")
    assert (outcome.status, outcome.stderr.splitlines()[0]) == (2, f"gemma-mtp: {said}")


def test_a_full_disk_is_a_problem(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.disk, "free_bytes", lambda folder: 0)
    assert problems().count("The disk of ") == 3
