"""Numbers in words."""

from __future__ import annotations

import pytest

from gemma_mtp.text import byte_size, moment


@pytest.mark.parametrize(
    ("size", "total", "words"),
    [
        (0, 0, "0 bytes"),
        (999, 0, "999 bytes"),
        (1499, 0, "1 kB"),
        (2 << 20, 0, "2 MB"),
        (12_000_000, 0, "12 MB"),
        (12_000_000, 253_000_000, "12 of 253 MB"),
        (1_200_000_000, 6_700_000_000, "1.2 of 6.7 GB"),
        (5 * 10**12, 0, "5000.0 GB"),
    ],
)
def test_bytes_in_powers_of_ten(size: int, total: int, words: str) -> None:
    assert byte_size(size, total) == words


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("2026-05-03T14:02:59.123456", "3 May 2026, 14:02"),
        ("2026-12-30T00:05:00", "30 Dec 2026, 00:05"),
        (None, "never"),
        ("", ""),
        ("yesterday", "unknown"),
    ],
)
def test_a_time_for_people(when: str | None, words: str) -> None:
    assert moment(when) == words
