"""Real pairs for tests: the built-in one, and one of the same shape with random weights."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from gemma_mtp.api import PairFiles
from gemma_mtp.models.gguf import read_header

MODELS = Path(__file__).parents[2] / "gemma_mtp" / "models" / "builtin"
TINY = PairFiles("tiny", MODELS / "tiny-target.gguf", MODELS / "tiny-drafter.gguf")
Q4_0_BLOCK = 18  # bytes: a half-precision scale and 16 of weights


def random_pair(folder: Path) -> PairFiles:
    """The built-in pair with noise for Q4_0 weights: nothing it drafts is ever right."""
    paths = []
    for number, source in enumerate((TINY.target, TINY.drafter)):
        assert source is not None
        path = folder / f"random-{source.name}"
        shutil.copyfile(source, path)
        _randomize(path, random.Random(number))
        paths.append(path)
    return PairFiles("random", *paths)


def with_template(folder: Path, template: str) -> PairFiles:
    """The built-in pair with another chat template, which has to be shorter than its own."""
    assert TINY.drafter is not None
    own = read_header(TINY.target).metadata["tokenizer.chat_template"].encode()
    room = len(own) - len(template.encode()) - len("{##}")
    padded = template.encode() + b"{#" + b" " * room + b"#}"
    path = folder / "other-target.gguf"
    path.write_bytes(TINY.target.read_bytes().replace(own, padded))
    return PairFiles(str(path), path, TINY.drafter)


def _randomize(path: Path, rng: random.Random) -> None:
    header = read_header(path)
    with path.open("r+b") as file:
        for tensor in header.tensors.values():
            if tensor.type != "Q4_0":
                continue
            file.seek(header.data_offset + tensor.offset)
            blocks = tensor.bytes // Q4_0_BLOCK
            scale = b"\x00\x28"  # 0.03 in half precision
            file.write(b"".join(scale + rng.randbytes(16) for _ in range(blocks)))
