"""Numbers in words."""

from __future__ import annotations

import pytest

from gemma_mtp.text import byte_size


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
