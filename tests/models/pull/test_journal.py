"""The journal of a partial file: what it believes after a kill, a power cut and other mishaps."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma_mtp.models.pull import journal
from gemma_mtp.models.pull.journal import Journal, Ranges

SIZE = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.partial.journal"


def spans(path: Path, sha256: str = "a", size: int = SIZE, on_disk: int = SIZE) -> list[object]:
    book = Journal(path, sha256, size, on_disk)
    book.close()
    return list(book.ranges)


def write(path: Path, *ranges: tuple[int, int]) -> Journal:
    book = Journal(path, "a", SIZE, SIZE)
    for start, stop in ranges:
        book.add(start, stop)
    return book


@pytest.mark.parametrize(
    ("added", "spans", "gaps", "prefix"),
    [
        ([], [], [(0, 100)], 0),
        ([(0, 10)], [(0, 10)], [(10, 100)], 10),
        ([(10, 20), (0, 10)], [(0, 20)], [(20, 100)], 20),
        ([(10, 20), (30, 40)], [(10, 20), (30, 40)], [(0, 10), (20, 30), (40, 100)], 0),
        ([(10, 20), (30, 40), (15, 35)], [(10, 40)], [(0, 10), (40, 100)], 0),
        ([(0, 100), (5, 6)], [(0, 100)], [], 100),
        ([(7, 7), (9, 8)], [], [(0, 100)], 0),
    ],
)
def test_ranges(
    added: list[tuple[int, int]], spans: list[object], gaps: list[object], prefix: int
) -> None:
    ranges = Ranges()
    for start, stop in added:
        ranges.add(start, stop)
    assert list(ranges) == spans
    assert ranges.gaps(100) == gaps
    assert ranges.prefix == prefix
    assert ranges.total == 100 - sum(b - a for a, b in ranges.gaps(100))


def test_a_killed_process_loses_nothing_that_was_noted(path: Path) -> None:
    write(path, (0, 10), (50, 60), (10, 20))  # never closed
    assert spans(path) == [(0, 20), (50, 60)]
    assert spans(path) == [(0, 20), (50, 60)]  # and reading it again changes nothing


def test_a_line_that_was_cut_off_is_not_believed(path: Path) -> None:
    write(path, (0, 10)).close()
    with open(path, "a") as file:
        file.write("10 90")
    assert spans(path) == [(0, 10)]


def test_after_a_restart_of_the_machine_only_synced_bytes_are_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = write(path, (0, 10), (20, 30))
    mark = book.mark()
    book.add(40, 50)  # while the file was being forced to the disk
    book.synced(mark)
    assert book.unsynced
    book.close()
    monkeypatch.setattr(journal, "_boot", lambda: "another")
    assert spans(path) == [(0, 10), (20, 30)]
    assert spans(path) == [(0, 10), (20, 30)]


def test_where_restarts_cannot_be_told_only_synced_bytes_are_believed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_boot", lambda: "")
    book = write(path, (0, 10))
    book.synced(book.mark())
    book.add(10, 20)
    book.close()
    assert spans(path) == [(0, 10)]
    assert spans(path) == [(0, 10)]


@pytest.mark.parametrize("other", [{"sha256": "b"}, {"size": SIZE + 1}])
def test_other_contents_begin_anew(path: Path, other: dict[str, object]) -> None:
    write(path, (0, 10)).close()
    book = Journal(path, **{"sha256": "a", "size": SIZE, "on_disk": SIZE, **other})  # type: ignore[arg-type]
    assert book.changed
    assert list(book.ranges) == []
    book.close()


def test_what_the_partial_file_does_not_hold_is_not_believed(path: Path) -> None:
    write(path, (0, 10), (40, 60)).close()
    assert spans(path, on_disk=50) == [(0, 10), (40, 50)]
    assert spans(path, on_disk=0) == []


@pytest.mark.parametrize("text", ["", "nonsense", "gemma\n1 2\n", "\xff\n0 10\n", "\n0 10\n"])
def test_nonsense_is_an_empty_journal(path: Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    assert spans(path) == []


def test_nonsense_within_is_skipped(path: Path) -> None:
    write(path, (0, 10)).close()
    with open(path, "a") as file:
        file.write("x y\n-5 3\n1 2 3\nsynced x\n20 30\n")
    assert spans(path) == [(0, 10), (20, 30)]
