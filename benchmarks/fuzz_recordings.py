"""Damages small recordings, has each read in a process of its own, and counts the deaths.

    python benchmarks/fuzz_recordings.py [--count 3000] [--seed 1] [--memory 2]

WAV, MP3 and FLAC files are changed by chance: bytes, sizes in headers, cuts, parts of one in
another. What `Request.check` lets through is decoded by libmtmd, and encoded by a small encoder of
either kind. A refusal is a success, rows of numbers as well; a process that ends by a signal is a
failure, and so are an exception that is no sentence, a number that is none, and more memory than
`--memory` GB. A mutation depends on the seed and its number only: `--only N` repeats one of them.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from fuzz_headers import in_a_child, outcome  # noqa: E402
from support.encoder import write_encoder  # noqa: E402
from support.pairs import TINY  # noqa: E402
from support.sounds import flac, id3, mp3, wav  # noqa: E402

from gemma_mtp.api import Audio, LoadOptions  # noqa: E402
from gemma_mtp.api.recordings import check_recording  # noqa: E402
from gemma_mtp.errors import GemmaMtpError  # noqa: E402
from gemma_mtp.llama import load_pair  # noqa: E402
from gemma_mtp.llama.loaded_pair import LoadedPair  # noqa: E402
from gemma_mtp.llama.media import Encoder  # noqa: E402

WIDTH = 448
KINDS = ("gemma4a", "gemma4ua")
NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
SOURCES = (
    wav(0.3), wav(0.3, 48000, channels=2), wav(tag=3, depth=32, data=bytes(9600)),
    wav(0.3, before=b"LIST\5\0\0\0abcde\0"), wav(35), mp3(0.4), mp3(0.4, id3(300), info=15),
    flac(0.3), id3() + flac(0.5),
)  # fmt: skip


def mutated(chance: random.Random) -> bytes:
    data = bytearray(chance.choice(SOURCES))
    for _ in range(chance.randrange(1, 8)):
        head = min(len(data), 100)
        at = chance.randrange(head if chance.random() < 0.8 else len(data)) if data else 0
        kind = chance.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            form = chance.choice(("<I", ">I", "<H", ">H", "<Q"))
            number = chance.choice(NUMBERS) % 2 ** (8 * struct.calcsize(form))
            data[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 2:
            del data[at : at + chance.randrange(1, 40)]
        elif kind == 3:
            other = chance.choice(SOURCES)
            start = chance.randrange(len(other))
            data[at:at] = other[start : start + chance.randrange(1, 500)]
        elif kind == 4 and chance.random() < 0.3:
            del data[chance.randrange(len(data) + 1) :]
        else:
            data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if data else b""
    return bytes(data)


def use(encoders: list[Encoder], data: bytes) -> str:
    try:
        return _heard(encoders, data)
    except GemmaMtpError:
        return "refused"


def _heard(encoders: list[Encoder], data: bytes) -> str:
    check_recording(data, "it")
    for encoder in encoders:
        for segment in encoder.segments(Audio(data, ""), "it")[:2]:
            rows = encoder.rows(segment)
            if rows is None or not np.isfinite(rows).all():
                return "rows that are no numbers"
    return "heard"


def one(pair: LoadedPair, paths: list[Path], number: int, seed: int) -> str:
    encoders = [Encoder(path, pair.target.model, 1, 280) for path in paths]
    return use(encoders, mutated(random.Random(f"{seed} {number}")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", type=int, default=2, help="GB a process may have")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    pair = load_pair(replace(TINY, drafter=None), LoadOptions(context=512, threads=1))
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_encoder(Path(folder) / f"{k}.gguf", WIDTH, "", sound=k) for k in KINDS]
        for number in range(asked.count) if asked.only is None else [asked.only]:
            said = in_a_child(
                lambda number=number: one(pair, paths, number, asked.seed),  # type: ignore[misc]
                asked.memory,
                asked.seconds,
            )
            found[outcome(said)] += 1
            if outcome(said) not in ("refused", "heard"):
                print(number, said, flush=True)
    for what, count in found.most_common():
        print(f"{count:6} {what}")
    return int(any(what not in ("refused", "heard") for what in found))


if __name__ == "__main__":
    sys.exit(main())
