"""Writes a small pair with the real vocabulary of Gemma 4, to measure what the vocabulary costs.

    python benchmarks/real_vocabulary.py FOLDER VOCABULARY

VOCABULARY is `models/ggml-vocab-gemma-4.gguf` of llama.cpp, which the source distribution of
llama-cpp-python holds under vendor/llama.cpp. The layers are few and narrow and their weights
random: what the pair writes is nonsense, and quickly written. Loading it takes what reading
262,144 tokens and 514,906 merges takes, as with a real model.
"""

from __future__ import annotations

import argparse
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from gemma_mtp.models import random_pair
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.gguf_writer import FORMATS, Typed
from gemma_mtp.models.random_pair import Metadata

NAMES = ("vocab-target.gguf", "mtp-vocab-target.gguf")
STRING, ARRAY = 8, 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("vocabulary", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    found = tokenizer(args.vocabulary.read_bytes())
    print({key: len(v.value) for key, v in found.items() if isinstance(v.value, list)})
    random_pair._vocabulary = lambda size: found  # type: ignore[assignment]
    entry = load_catalogue().find("e2b")
    assert entry is not None
    assert entry.shape is not None
    assert entry.drafter_shape is not None
    tokens = len(found["tokenizer.ggml.tokens"].value)
    small = replace(
        entry.shape, layers=5, shared=0, width=64, heads=1, feed_forward=128, window=512,
        vocabulary=tokens, per_layer=0, feed_forward_shared=0, head_sliding=32, head_full=64,
    )  # fmt: skip
    drafter = replace(entry.drafter_shape, width=32, feed_forward=64, heads=1)
    tiny = replace(entry, shape=small, drafter_shape=drafter, title="Gemma 4's vocabulary")
    for name, file in zip(NAMES, random_pair.random_pair(tiny), strict=True):
        file.write(args.folder / name, lambda share: True)
        print(f"{args.folder / name}  {file.size:,} bytes")


def tokenizer(data: bytes) -> Metadata:
    """All of the metadata of a GGUF file that describes its vocabulary."""
    place = 8

    def number(code: str) -> Any:
        nonlocal place
        (found,) = struct.unpack_from(f"<{code}", data, place)
        place += struct.calcsize(f"<{code}")
        return found

    def value(kind: int) -> Any:
        nonlocal place
        if kind == ARRAY:
            kind, count = number("I"), number("Q")
            return kind, [value(kind) for _ in range(count)]
        if kind != STRING:
            return number(FORMATS[kind])
        size = number("Q")
        place += size
        return data[place - size : place].decode()

    number("Q")  # of tensors
    found: Metadata = {}
    for _ in range(number("Q")):
        key, kind = value(STRING), number("I")
        read = value(kind)
        if key.startswith("tokenizer."):
            found[key] = Typed(*read) if kind == ARRAY else Typed(kind, read)
    return found


if __name__ == "__main__":
    main()
