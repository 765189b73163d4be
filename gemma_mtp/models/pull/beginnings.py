"""The header of a file on its way, before its weights are fetched.

`pull.pair` reads both headers first: what this llama.cpp cannot load, or what does not belong
together, is refused before its gigabytes come. What is read is the beginning of the download, so
that nothing is fetched twice and an interruption costs as little as later on. Knows neither hub nor
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gemma_mtp.models import gguf, pair_check
from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.gguf_parser import MAX_HEADER, first_values

# Bytes that are fetched before the next look. The first ones say what a file is; Gemma 4's
# vocabulary and the tensors behind it end within the second, or soon after.
STEPS = (256 << 10, 16 << 20, 20 << 20, 24 << 20, 32 << 20, MAX_HEADER)

Fetch = Callable[[int], Path]
"""Fetches the first bytes of a file, up to that many in all; returns where they are."""


def read_header(fetch: Fetch, named: Path, size: int, role: str) -> Header:
    """The header of a file of `size` bytes, or of the part of one, as far as it must be fetched.

    Raises BadPair for what is no GGUF, is damaged, or is by its kind no file for this `role`
    ("target", "drafter", or "" where it does not matter), and what `fetch` does.
    """
    for step in STEPS:
        end = min(step, size)
        here = fetch(end)
        try:
            return gguf.read_file(here, named, end)
        except gguf.Cut:
            if step == MAX_HEADER:
                raise
        if step == STEPS[0]:
            with open(here, "rb") as file:
                pair_check.check_kind(first_values(file.read(end), named.name), named.name, role)
    raise AssertionError("the last step returns or raises")
