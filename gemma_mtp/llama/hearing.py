"""Where a long recording is cut. `media` asks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.mtmd import SAMPLE_RATE

LONGEST = 30 * SAMPLE_RATE
"""Samples of a part: what Gemma 4 was trained with at the most, 750 positions."""
EARLIEST = 20 * SAMPLE_RATE  # of a part at which it may end
LEAST_LEFT = SAMPLE_RATE  # of the last part: what is much shorter cannot be encoded
WINDOW = SAMPLE_RATE // 10  # of a pause between words


def parts_of(samples: Row) -> Iterator[tuple[int, int]]:
    """The parts that a recording is read in, as their first sample and the one behind their last.

    One of at most 30 seconds is a part. A longer one is cut where it is most quiet between 20 and
    30 seconds, so that hardly a word is cut in two.
    """
    start = 0
    while len(samples) - start > LONGEST:
        latest = min(LONGEST, len(samples) - start - LEAST_LEFT)
        end = start + EARLIEST + _most_quiet(samples[start + EARLIEST : start + latest])
        yield start, end
        start = end
    yield start, len(samples)


def _most_quiet(samples: Row) -> int:
    """The middle of the window with the least energy."""
    windows = samples[: len(samples) // WINDOW * WINDOW].reshape(-1, WINDOW).astype(np.float64)
    return int(np.square(windows).sum(axis=1).argmin()) * WINDOW + WINDOW // 2
