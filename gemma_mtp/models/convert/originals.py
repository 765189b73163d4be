"""A folder as Google publishes Gemma 4: config.json, a tokenizer and safetensors.

Says whether it is a target or an assistant (which is a drafter), and how large: `pair` plans by it.
Of the weights it reads only the names and shapes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma_mtp.errors import BadPair, ModelNotAvailable
from gemma_mtp.files import bounded
from gemma_mtp.files.schema import anything, rows, table, text, whole

TARGETS = ("Gemma4ForConditionalGeneration", "Gemma4ForCausalLM",
           "Gemma4UnifiedForConditionalGeneration")  # fmt: skip
ASSISTANTS = ("Gemma4AssistantForCausalLM", "Gemma4UnifiedAssistantForCausalLM")
LEFT_OUT = ("vision", "audio", "masked_embedding")
"""Parts of names of tensors that a GGUF of the language model, or of the drafter, has not."""
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
VOCABULARY = 20_000_000  # bytes that the words of Gemma take in a GGUF
MOST_HEADER = 100 << 20  # bytes; that is what the format allows

_CONFIG = table({"architectures": rows(text(200), 10)}, {"quantization_config": anything},
                others=True)  # fmt: skip
_TENSOR = table({"dtype": text(20), "shape": rows(whole(0, 1 << 40), 8)}, {}, others=True)


@dataclass(frozen=True)
class Originals:
    """`dtype`: that of most weights. `elements`: weights that the GGUF will have, of which
    `largest` are one tensor. `fingerprint`: another one after any change of a file."""

    folder: Path
    is_drafter: bool
    dtype: str
    elements: int
    largest: int
    fingerprint: str

    @property
    def gguf_type(self) -> str:
        """The type of file that holds these weights as they are."""
        return {"F16": "F16", "BF16": "BF16"}.get(self.dtype, "F32")

    @property
    def gguf_bytes(self) -> int:
        """Size of that file, about."""
        return self.elements * BYTES[self.gguf_type] + VOCABULARY


def read(folder: Path) -> Originals:
    """What a folder holds. Raises ModelNotAvailable where there is none, BadPair for anything but a
    Gemma 4 whose weights are whole."""
    if not folder.is_dir():
        raise ModelNotAvailable(f"There is no folder {folder}.")
    config = _config(folder)
    kind = next(iter(config["architectures"]), "")
    if kind not in (*TARGETS, *ASSISTANTS):
        raise BadPair(f"{folder} holds a {kind or 'model without a name'}, not a Gemma 4.")
    if config.get("quantization_config"):
        raise BadPair(
            f"{folder} is quantized already, for other programs.",
            "Take the repository with the weights in bfloat16.",
        )
    if not (folder / "tokenizer.json").is_file():
        raise BadPair(f"{folder} has no tokenizer.json.", "It is published beside the weights.")
    files = _weights(folder)
    sizes, types = Counter[str](), Counter[str]()
    for file in files:
        for name, dtype, size in _tensors(file):
            if not any(part in name for part in LEFT_OUT):
                sizes[name] += size
                types[dtype] += size
    if not sizes:
        raise BadPair(f"{folder} holds no weights.")
    dtype = types.most_common(1)[0][0]
    if dtype not in BYTES:
        raise BadPair(f"The weights in {folder} are of type {dtype}, not bfloat16 or float.")
    largest = sizes.most_common(1)[0][1]
    return Originals(folder, kind in ASSISTANTS, dtype, sizes.total(), largest, _fingerprint(files))


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        hint = "gemma-mtp quantize takes a file." if any(folder.glob("*.gguf")) else ""
        raise BadPair(f"{folder} has no config.json, so it is no folder of safetensors.", hint)
    try:
        found: dict[str, Any] = _CONFIG(bounded.parse_json(bounded.read_text(file)), "")
    except (OSError, ValueError) as error:
        raise BadPair(f"{file} cannot be understood: {error}.") from error
    return found


def _weights(folder: Path) -> list[Path]:
    """The files of weights, all that the index names."""
    found = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            named = {*bounded.parse_json(index.read_text(encoding="utf-8"))["weight_map"].values()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadPair(f"{index} cannot be understood.") from error
        if missing := sorted(str(name) for name in named - {path.name for path in found}):
            raise BadPair(f"{folder} lacks {missing[0]}.", "Download it again.")
    if not found:
        raise BadPair(f"{folder} has no safetensors files.")
    return found


def _tensors(file: Path) -> Iterator[tuple[str, str, int]]:
    """Name, type and number of weights of each tensor in a file."""
    try:
        with open(file, "rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            if size > min(MOST_HEADER, file.stat().st_size):
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(size))
            end = file.stat().st_size - 8 - size
        for name, tensor in header.items():
            if name != "__metadata__":
                known = _TENSOR(tensor, name)
                if tensor["data_offsets"][1] > end:
                    raise ValueError("it is cut off")
                yield name, known["dtype"], math.prod(known["shape"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BadPair(f"{file} is damaged: {error}.", "Download it again.") from error


def _fingerprint(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:40]
