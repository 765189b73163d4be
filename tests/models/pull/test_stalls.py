"""Silence is spoken of at growing intervals, and what takes too long is left alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gemma_mtp.models.pull import stalls
from gemma_mtp.models.pull.hub_errors import TransientError
from gemma_mtp.models.pull.stalls import LEAST, StallTimer, require_pace, with_deadline


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in the only element."""
    now = [0.0]
    monkeypatch.setattr(stalls.time, "monotonic", lambda: now[0])
    return now


def test_silence_is_spoken_of_less_and_less_often(clock: list[float]) -> None:
    heard, spoken = StallTimer(), []
    for second in range(100):
        clock[0] = second
        if (lasted := heard.stalled_for(second)) is not None:  # one byte a second is silence
            spoken.append(lasted)
    assert spoken == [5, 10, 20, 40, 80]


def test_enough_bytes_end_the_silence(clock: list[float]) -> None:
    heard = StallTimer()
    clock[0] = 4
    assert heard.stalled_for(LEAST) is None
    clock[0] = 8
    assert heard.stalled_for(LEAST + 1) is None
    clock[0] = 9
    assert heard.stalled_for(LEAST + 1) == 5


def test_chunks_that_come_too_slowly_end_in_an_error_that_may_pass(clock: list[float]) -> None:
    def dripping(size: int) -> Iterator[bytes]:
        for second in range(1, 100):
            clock[0] = second
            yield bytes(size)

    assert len(list(require_pace(dripping(LEAST // 10 + 1), 10))) == 99
    clock[0] = 0
    came: list[bytes] = []
    with pytest.raises(TransientError, match="only 10 bytes came in 10 s"):
        came.extend(require_pace(dripping(1), 10))
    assert len(came) == 10


def test_what_is_done_in_time_is_returned_or_raised() -> None:
    assert with_deadline(60, lambda: 7) == 7
    with pytest.raises(TimeoutError, match="its own"):
        with_deadline(60, lambda: _raise(TimeoutError("its own")))


def _raise(error: Exception) -> int:
    raise error


def test_what_takes_too_long_is_left_alone_and_its_result_discarded() -> None:
    late, discarded = threading.Event(), threading.Event()
    kept: list[str] = []

    def discard(result: str) -> None:
        kept.append(result)
        discarded.set()

    def slow() -> str:
        late.wait(60)
        return "a response that must be closed"

    with pytest.raises(TransientError, match="no whole answer came within"):
        with_deadline(0.01, slow, discard=discard)
    late.set()
    assert discarded.wait(60)
    assert kept == ["a response that must be closed"]
