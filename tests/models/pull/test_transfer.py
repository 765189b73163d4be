"""The bytes of one file against a source that misbehaves on purpose; no network, no hub."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gemma_mtp.errors import HubError
from gemma_mtp.models.pull import retry, transfer
from gemma_mtp.models.pull.events import PullWait
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.retry import Backoff
from gemma_mtp.models.pull.source import Body
from gemma_mtp.models.pull.transfer import Transfer, journal_of

DATA = bytes(i * 31 % 251 for i in range(40_000))
SHA = hashlib.sha256(DATA).hexdigest()
BLOCK = 500


class Scripted:
    """Sends DATA; `plan(number, start)` says when, or with what, it ends."""

    host = "cdn.example"

    def __init__(self, plan: Callable[[int, int], int | Exception | None] = lambda n, s: None):
        self.plan, self.ranges, self.total = plan, True, len(DATA)
        self.asked: list[tuple[int, int]] = []
        self.sent = 0
        self.lock = threading.Lock()

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Body]:
        with self.lock:
            self.asked.append((start, stop))
            verdict = self.plan(len(self.asked), start)
        if isinstance(verdict, Exception):
            raise verdict
        if not self.ranges:
            start, stop = 0, len(DATA)
        yield Body(start, self.total, self.ranges, self.chunks(start, stop, verdict))

    def chunks(self, start: int, stop: int, limit: int | None) -> Iterator[bytes]:
        end = stop if limit is None else min(stop, start + limit)
        for at in range(start, end, BLOCK):
            piece = DATA[at : min(at + BLOCK, end)]
            with self.lock:
                self.sent += len(piece)
            yield piece
        if end < stop:
            raise TransientError("cut")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.002)
    monkeypatch.setattr(retry, "PROGRESS", 500)
    monkeypatch.setattr(transfer, "SMALLEST_PIECE", 2000)
    monkeypatch.setattr(transfer, "FLUSH", 1000)


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "file.gguf.partial"


def fetch(source: Scripted, partial: Path, connections: int = 4) -> str:
    job = Transfer(source, partial, len(DATA), SHA, connections)
    return job.run(lambda done, verifying: None, lambda event: None)


def test_pieces_by_several_connections_make_the_file(partial: Path) -> None:
    source = Scripted()
    assert fetch(source, partial) == SHA
    assert partial.read_bytes() == DATA
    assert source.sent == len(DATA)
    assert len(source.asked) >= 10


def test_progress_never_goes_back_and_ends_with_all_of_it(partial: Path) -> None:
    seen: list[tuple[int, bool]] = []
    job = Transfer(Scripted(), partial, len(DATA), SHA)
    job.run(lambda done, verifying: seen.append((done, verifying)), lambda event: None)
    amounts = [done for done, verifying in seen if not verifying]
    assert amounts == sorted(amounts)
    assert seen[-1] == (len(DATA), True)


def test_cut_connections_go_on_where_they_stopped(partial: Path) -> None:
    source = Scripted(lambda number, start: 1300)
    assert fetch(source, partial) == SHA
    assert partial.read_bytes() == DATA
    assert source.sent == len(DATA)  # what came before a cut is not fetched again


def test_faults_before_the_first_byte_are_tried_again(partial: Path) -> None:
    source = Scripted(lambda number, start: TransientError("HTTP 503") if number % 3 else None)
    assert fetch(source, partial) == SHA


def test_a_fault_that_stays_ends_in_a_sentence(partial: Path) -> None:
    source = Scripted(lambda number, start: TransientError("HTTP 503") if number > 5 else None)
    with pytest.raises(HubError) as caught:
        fetch(source, partial)
    sentence = (
        r"Fetching file.gguf from cdn.example stopped at \d+ of 40 kB: HTTP 503, "
        r"8 times in a row\."
    )
    assert re.fullmatch(sentence, str(caught.value))
    assert caught.value.hint == "What is here is kept; pull again to go on."
    before = source.sent
    source.plan = lambda number, start: None
    assert fetch(source, partial) == SHA
    assert source.sent == len(DATA)
    assert before > 0


def test_too_many_connections_become_fewer(partial: Path) -> None:
    source = Scripted(
        lambda n, start: TransientError("HTTP 429", crowded=True) if n in (2, 3, 4) else None
    )
    assert fetch(source, partial) == SHA


def test_even_when_the_others_are_finished_the_last_connection_goes_on(partial: Path) -> None:
    """A 429 for the last one working must not end the transfer."""
    crowded = [TransientError("HTTP 429", crowded=True)] * 4
    source = Scripted(lambda number, start: crowded.pop() if start == 37_500 and crowded else None)
    assert fetch(source, partial) == SHA
    assert not crowded


@pytest.mark.parametrize("connections", [1, 4])
def test_a_server_without_ranges_sends_it_all_to_one(partial: Path, connections: int) -> None:
    source = Scripted()
    source.ranges = False
    assert fetch(source, partial, connections) == SHA
    assert partial.read_bytes() == DATA


def test_a_server_without_ranges_that_cuts_is_still_overcome(partial: Path) -> None:
    source = Scripted(lambda number, start: 15_000 if number < 8 else None)
    source.ranges = False
    assert fetch(source, partial) == SHA


def test_a_server_without_ranges_that_never_comes_further_is_given_up(partial: Path) -> None:
    source = Scripted(lambda number, start: 15_000)
    source.ranges = False
    with pytest.raises(HubError, match="cut, 8 times in a row"):
        fetch(source, partial)


def test_bytes_one_by_one_are_no_progress(partial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PROGRESS", 16 << 10)
    source = Scripted(lambda number, start: 10)
    with pytest.raises(HubError, match="cut, 8 times in a row"):
        fetch(source, partial)


def test_what_is_said_of_waiting_is_not_overwritten_by_what_was_said_before(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only news are reported: on a screen the last report stands until the next."""
    monkeypatch.setattr(transfer, "REPORT_INTERVAL", 0.0)
    plan = {3: TransientError("HTTP 429", wait=1.0)}
    waited: list[PullWait] = []
    seen: list[tuple[int, bool]] = []
    job = Transfer(Scripted(lambda number, start: plan.get(number)), partial, len(DATA), SHA, 1)
    job.run(
        lambda done, verifying: seen.append((done, verifying)),
        lambda event: waited.append(event) if isinstance(event, PullWait) else None,
    )
    assert [wait.reason for wait in waited] == ["HTTP 429"]
    assert len(set(seen)) >= len(seen) - 1  # the last is said in any case


def test_another_size_means_that_the_file_changed(partial: Path) -> None:
    source = Scripted()
    source.total += 1
    with pytest.raises(HubError, match="was changed on cdn"):
        fetch(source, partial)


def test_an_interrupt_keeps_what_came(partial: Path) -> None:
    source = Scripted(lambda number, start: None if number < 6 else TransientError("down"))
    waits = 0

    def interrupt(done: int, verifying: bool) -> None:
        nonlocal waits
        waits += 1
        if done >= 5000:
            raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, HubError)):
        Transfer(source, partial, len(DATA), SHA).run(interrupt, lambda event: None)
    source.plan = lambda number, start: None
    assert fetch(source, partial) == SHA
    # What a connection had not yet written when it was stopped comes again.
    assert source.sent <= len(DATA) + 4 * transfer.FLUSH


def test_a_full_disk_is_not_taken_for_a_fault_of_the_network(
    partial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Transfer, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        fetch(Scripted(), partial)


def test_a_complete_partial_file_is_only_hashed(partial: Path) -> None:
    source = Scripted()
    fetch(source, partial)
    source.asked.clear()
    assert fetch(source, partial) == SHA
    assert not source.asked


def test_a_journal_without_its_file_is_not_believed(partial: Path) -> None:
    fetch(Scripted(), partial)
    partial.unlink()
    source = Scripted()
    assert fetch(source, partial) == SHA
    assert source.sent == len(DATA)
    assert journal_of(partial).is_file()


def test_waits_grow_only_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 1.0)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 5.0)
    monkeypatch.setattr(retry.random, "uniform", lambda a, b: 1.0)
    patience, fault = Backoff(6), TransientError("x")
    assert [patience.after(fault) for _ in range(6)] == [1, 2, 4, 5, 5, None]
    patience = Backoff(3)
    assert [patience.after(fault, 20_000, 10) for _ in range(9)] == [1, 2, 4, 5, 5, 5, 5, 5, 5]
    assert patience.after(fault, 1 << 20, 1 << 20) == 0
    assert patience.after(TransientError("x", wait=30)) == 30
    assert Backoff().after(TransientError("x", wait=1e6)) is None
