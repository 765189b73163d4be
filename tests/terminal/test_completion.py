"""What a path may become: names in, texts to put in their place out."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gemma_mtp.terminal.prompt.completion import paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notes.md").write_text("x" * 1234)
    (tmp_path / "Notes old.md").write_text("")
    (tmp_path / "it's [1]*.txt").write_text("")
    (tmp_path / ".hidden").write_text("")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def texts(prefix: str) -> list[str]:
    return [found.text for found in paths(prefix)]


def test_files_and_folders_with_what_they_are(folder: Path) -> None:
    shown = [(found.text, found.description) for found in paths("")]
    assert shown == [
        (r"it\'s\ \[1\]\*.txt", "0 bytes"),
        (r"Notes\ old.md", "0 bytes"),
        ("notes.md", "1 kB"),
        ("src/", "folder"),
    ]


def test_a_completion_replaces_all_that_was_typed_of_the_path(folder: Path) -> None:
    assert {found.start for found in paths("src/m")} == {-5}
    assert {found.start for found in paths(r"Notes\ o")} == {-8}


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("n", ["notes.md"]),
        ("src/", ["src/main.py"]),
        ("./src/m", ["./src/main.py"]),
        (".h", [".hidden"]),
        ("~", ["~/"]),
        ("~/s", ["~/src/"]),
        ("nowhere/", []),
        ("~nobody-of-this-name/", []),
        ("a\0b/", []),
        (r"Notes\ ", [r"Notes\ old.md"]),
        ('"Notes o', ['"Notes old.md"']),
        ("'s", ["'src/"]),
    ],
)
def test_prefixes(folder: Path, prefix: str, expected: list[str]) -> None:
    assert texts(prefix) == expected


def test_absolute_paths(folder: Path) -> None:
    assert texts(f"{folder}/no") == [f"{folder}/notes.md"]


def test_a_shell_reads_what_is_written(folder: Path) -> None:
    for found in paths(""):
        (name,) = shlex.split(found.text)
        assert Path(name).exists()


def test_a_link_to_nowhere_is_a_name_like_others(folder: Path) -> None:
    (folder / "zero").symlink_to("nothing")
    assert [(f.text, f.description) for f in paths("z")] == [("zero", "")]


def test_a_folder_full_of_files_is_cut_short(folder: Path) -> None:
    for number in range(600):
        (folder / "src" / f"{number:03}").touch()
    found = texts("src/")
    assert len(found) == 500
    assert found[0] == "src/000"
