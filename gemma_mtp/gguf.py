"""Reads GGUF headers and says whether two files make a usable pair.

llama.cpp ends the whole process on some well-formed but unsuitable files, so everything it would
trip over is checked here first. Knows neither llama.cpp nor what the weights mean; never reads
tensor data, and skips the vocabulary without keeping it.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import BadPair, ModelNotAvailable

TARGET_ARCH = "gemma4"
DRAFTER_ARCH = "gemma4-assistant"

KEPT_ELEMENTS = 1024  # longer arrays are reduced to their count; no model has as many layers
MAX_HEADER = 64 << 20  # a 262k vocabulary with its merges takes about 20 MiB
MAX_ENTRIES = 1 << 16  # metadata keys, and tensors; real files have a few hundred
MAX_TOKENS = 1 << 21
MAX_LAYERS = 512  # llama.cpp's limits: it aborts beyond them
MAX_EXPERTS = 1024
MIN_CONTEXT = 256  # llama.cpp shrinks its batches to the context and aborts on larger ones
MAX_TENSOR_NAME = 63

PULL_AGAIN = "The file is damaged or incomplete: pull it again."
WRONG_DRAFTER = "Use the drafter published together with this target, or leave --drafter out."

# ggml type: (name, elements in a block, bytes of a block)
_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
    42: ("Q2_0", 64, 18),
}
_NOT_FOR_MATRICES = {"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"}  # no kernel multiplies them

# metadata value type: struct format; 8 is a string, 9 an array
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"
}  # fmt: skip
_STRING, _ARRAY = 8, 9

_LOOKS_LIKE = (
    (b"<", "a web page"),
    (b"PK\x03\x04", "a zip archive or PyTorch checkpoint"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file it points to"),
    (b"FUGG", "a big-endian GGUF"),
    (b"ggjt", "an old GGML file"),
    (b"tjgg", "an old GGML file"),
    (b"lmgg", "an old GGML file"),
    (b"{", "JSON text, perhaps an error message"),
)


class Count(int):
    """How many elements a long array has; the elements were skipped."""


@dataclass(frozen=True)
class TensorInfo:
    """Shape as stored (fastest dimension first), ggml type name, offset into the data section."""

    shape: tuple[int, ...]
    type: str
    offset: int

    @property
    def elements(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in the file, without padding."""
        block, size = _BLOCKS[self.type]
        return self.elements // block * size


_BLOCKS = {name: (block, size) for name, block, size in _TYPES.values()}


@dataclass(frozen=True)
class Header:
    """All of a GGUF file but its weights. `repeated_tokens`: the vocabulary has duplicates."""

    path: Path
    version: int
    metadata: dict[str, Any]
    tensors: dict[str, TensorInfo]
    data_offset: int
    file_size: int
    repeated_tokens: bool = False

    @property
    def architecture(self) -> str:
        """The model family; "" when the file does not say."""
        value = self.metadata.get("general.architecture")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Description:
    """What a person wants to know of a model file; 0 stands for unknown."""

    name: str
    architecture: str
    layers: int
    width: int
    vocabulary: int
    context_length: int
    sliding_window: int
    quantization: str
    parameters: int


def read_header(path: Path) -> Header:
    """The header of a complete single-file GGUF, or a `GemmaMtpError` in one sentence."""
    path = Path(path)
    try:
        size = _size_of(path)
        with open(path, "rb") as file:
            _check_magic(path.name, file.read(64))
            with mmap.mmap(file.fileno(), min(size, MAX_HEADER), access=mmap.ACCESS_READ) as data:
                header = _parse(path, data, size)
    except FileNotFoundError:
        raise ModelNotAvailable(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadPair(f"{path.name} cannot be read: {reason}.") from None
    _check_single(header)
    _check_data(header)
    return header


def describe(header: Header) -> Description:
    """Never fails: fields a damaged or foreign header lacks are empty or 0."""
    arch = header.architecture

    def number(key: str) -> int:
        value = header.metadata.get(f"{arch}.{key}")
        return value if isinstance(value, int) else 0

    sizes: Counter[str] = Counter()
    for tensor in header.tensors.values():
        if len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.bytes
    name = header.metadata.get("general.name")
    return Description(
        name=name if isinstance(name, str) else header.path.stem,
        architecture=arch,
        layers=number("block_count"),
        width=number("embedding_length"),
        vocabulary=_vocabulary(header),
        context_length=number("context_length"),
        sliding_window=number("attention.sliding_window"),
        quantization=sizes.most_common(1)[0][0] if sizes else "",
        parameters=sum(tensor.elements for tensor in header.tensors.values()),
    )


def check_target(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 target with a drafter."""
    _check_target_arch(header)
    hyper = _hyperparameters(header)
    _check_vocabulary(header)
    out = _number(header, "embedding_length_out", hyper.width)
    if out not in (0, hyper.width):
        raise _refuse(header, f"widens its output to {out}, which no Gemma 4 target does.")
    if _number(header, "nextn_predict_layers", 0):
        raise _refuse(header, "has MTP layers built in; a separate drafter is expected.")
    _check_layer_pattern(header, hyper)
    _check_tensors(header, _target_tensors(header, hyper))


def check_drafter(header: Header) -> None:
    """Raise `BadPair` unless llama.cpp can load this file as a Gemma 4 MTP drafter."""
    _check_drafter_arch(header)
    if any(name.startswith("masked_embd_") for name in header.tensors):
        raise _refuse(
            header,
            "still holds masked_embd_* tensors, which this llama.cpp cannot load.",
            "Use a drafter converted without the centroid head; gemma-mtp pull gets one.",
        )
    hyper = _hyperparameters(header)
    _check_vocabulary(header)
    if _number(header, "nextn_predict_layers", 0) != hyper.layers:
        raise _refuse(header, "does not mark all its layers as MTP layers.", WRONG_DRAFTER)
    if _number(header, "embedding_length_out") == hyper.width:
        raise _refuse(header, "does not say how wide its target is.", WRONG_DRAFTER)
    if not any(hyper.sliding) or all(hyper.sliding):
        raise _refuse(header, "needs both sliding and full attention layers.", WRONG_DRAFTER)
    _check_tensors(header, _drafter_tensors(header, hyper))


def check_pair(target: Header, drafter: Header) -> None:
    """Check both files, then that the drafter can read this target's hidden states and cache."""
    check_target(target)
    check_drafter(drafter)
    ours, theirs = _hyperparameters(target), _hyperparameters(drafter)
    out = _number(drafter, "embedding_length_out")
    if out != ours.width:
        raise _mismatch(target, drafter, f"it is made for width {out}, the target has {ours.width}")
    vocabulary = _vocabulary(drafter), _vocabulary(target)
    if vocabulary[0] != vocabulary[1]:
        raise _mismatch(target, drafter, "vocabularies of {} and {} tokens".format(*vocabulary))
    for name, mine, other in (
        ("attention head", ours.head_full, theirs.head_full),
        ("sliding attention head", ours.head_swa, theirs.head_swa),
    ):
        if mine != other:
            raise _mismatch(target, drafter, f"{name} sizes {other} and {mine}")
    _check_shared_heads(target, drafter, ours, theirs)


# --- reading ---------------------------------------------------------------------------------


class _Cursor:
    """Walks the mapped header; every step is checked against its end."""

    def __init__(self, data: mmap.mmap, name: str, whole: bool) -> None:
        self.data, self.end, self.name, self.whole = data, len(data), name, whole
        self.pos = 4

    def cut(self) -> BadPair:
        if self.whole:
            return BadPair(f"{self.name} ends in the middle of its header.", PULL_AGAIN)
        return self.damaged(f"its header exceeds {MAX_HEADER >> 20} MiB")

    def damaged(self, why: str) -> BadPair:
        return BadPair(f"{self.name} has a damaged header: {why}.", PULL_AGAIN)

    def take(self, size: int) -> int:
        """The position of the next `size` bytes, which are there."""
        start = self.pos
        if size > self.end - start:
            raise self.cut()
        self.pos += size
        return start

    def numbers(self, code: str, count: int = 1) -> tuple[Any, ...]:
        start = self.take(count * struct.calcsize(f"<{code}"))
        return struct.unpack_from(f"<{count}{code}", self.data, start)

    def number(self, code: str) -> Any:
        return self.numbers(code)[0]

    def string(self) -> str:
        size = self.number("Q")
        start = self.take(size)
        return self.data[start : start + size].decode("utf-8", "replace")

    def skip_strings(self, count: int, seen: set[bytes] | None) -> None:
        """Step over `count` strings, collecting them in `seen` if given (one tight loop)."""
        if count > (self.end - self.pos) // 8:
            raise self.cut()
        data, end, pos = self.data, self.end, self.pos
        size_at = struct.Struct("<Q").unpack_from
        for index in range(count):
            if pos + 8 > end:
                raise self.cut()
            start = pos + 8
            pos = start + size_at(data, pos)[0]
            if seen is not None:  # llama.cpp names empty tokens after their index
                seen.add(data[start : min(pos, end)] or b"[EMPTY_%d]" % index)
        self.pos = pos
        self.take(0)


def _size_of(path: Path) -> int:
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise BadPair(f"{path} is a folder.", "Name a .gguf file inside it.")
    if not stat.S_ISREG(status.st_mode):
        raise BadPair(f"{path} is not a regular file.")
    if status.st_size == 0:
        raise BadPair(f"{path.name} is empty.", PULL_AGAIN)
    return status.st_size


def _check_magic(name: str, head: bytes) -> None:
    if head[:4] == b"GGUF":
        return
    text = head.lstrip().removeprefix(b"\xef\xbb\xbf")
    kind = next((kind for start, kind in _LOOKS_LIKE if text.startswith(start)), "")
    if head[8:10] == b'{"':
        kind = "a safetensors file"
    what = f": it looks like {kind}" if kind else ""
    hint = "Only GGUF files can be loaded; gemma-mtp pull gets a pair that works."
    raise BadPair(f"{name} is not a GGUF file{what}.", hint)


def _parse(path: Path, data: mmap.mmap, size: int) -> Header:
    cursor = _Cursor(data, path.name, whole=len(data) == size)
    version = cursor.number("I")
    if version & 0xFFFF == 0 and version:
        raise BadPair(f"{path.name} is a big-endian GGUF.", "Get the little-endian file.")
    if version not in (2, 3):
        raise BadPair(f"{path.name} is GGUF version {version}; versions 2 and 3 can be read.")
    n_tensors, n_keys = cursor.numbers("Q", 2)
    if max(n_tensors, n_keys) > MAX_ENTRIES:
        raise cursor.damaged(f"{n_tensors} tensors and {n_keys} metadata keys")
    tokens: set[bytes] = set()
    metadata = _metadata(cursor, n_keys, tokens)
    tensors = _tensors(cursor, n_tensors)
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise cursor.damaged(f"an alignment of {alignment}")
    return Header(
        path=path,
        version=version,
        metadata=metadata,
        tensors=tensors,
        data_offset=_padded(cursor.pos, alignment),
        file_size=size,
        repeated_tokens=len(tokens) < _count(metadata.get("tokenizer.ggml.tokens")),
    )


def _metadata(cursor: _Cursor, count: int, tokens: set[bytes]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = cursor.string()
        if not key or key in metadata:
            raise cursor.damaged(f"metadata key {key[:60]!r} is empty or appears twice")
        kind = cursor.number("I")
        if kind == _ARRAY:
            seen = tokens if key == "tokenizer.ggml.tokens" else None
            metadata[key] = _array(cursor, seen)
        elif kind == _STRING:
            metadata[key] = cursor.string()
        elif kind in _SCALARS:
            metadata[key] = cursor.number(_SCALARS[kind])
        else:
            raise cursor.damaged(f"metadata key {key[:60]!r} has unknown type {kind}")
    return metadata


def _array(cursor: _Cursor, seen: set[bytes] | None) -> list[Any] | Count:
    kind, count = cursor.number("I"), cursor.number("Q")
    if kind == _STRING:
        if seen is not None and count > MAX_TOKENS:
            raise cursor.damaged(f"a vocabulary of {count} tokens")
        start = cursor.pos
        cursor.skip_strings(count, seen)
        if count > KEPT_ELEMENTS:
            return Count(count)
        cursor.pos = start
        return [cursor.string() for _ in range(count)]
    if kind not in _SCALARS:
        raise cursor.damaged(f"an array of unknown type {kind}")
    if count > KEPT_ELEMENTS:
        cursor.take(count * struct.calcsize(f"<{_SCALARS[kind]}"))
        return Count(count)
    return list(cursor.numbers(_SCALARS[kind], count))


def _tensors(cursor: _Cursor, count: int) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for _ in range(count):
        name = cursor.string()
        if name in tensors or len(name.encode()) > MAX_TENSOR_NAME:
            raise cursor.damaged(f"tensor name {name[:60]!r} is too long or appears twice")
        dimensions = cursor.number("I")
        if dimensions > 4:
            raise cursor.damaged(f"tensor {name!r} has {dimensions} dimensions")
        shape = cursor.numbers("Q", dimensions) or (1,)
        kind, offset = cursor.number("I"), cursor.number("Q")
        if kind not in _TYPES:
            raise BadPair(
                f"{cursor.name} stores tensor {name!r} in type {kind}, which cannot be read.",
                "Get the model in another quantization.",
            )
        type_name, block, _ = _TYPES[kind]
        if math.prod(shape) >= 1 << 60 or shape[0] % block:
            raise cursor.damaged(f"tensor {name!r} has an impossible shape")
        tensors[name] = TensorInfo(shape, type_name, offset)
    return tensors


def _check_single(header: Header) -> None:
    parts = header.metadata.get("split.count", 1)
    if isinstance(parts, int) and parts > 1:
        raise BadPair(
            f"{header.path.name} is one of {parts} parts of a split model.",
            "Use a single file, or merge the parts with llama-gguf-split --merge.",
        )


def _check_data(header: Header) -> None:
    """Tensors must follow each other without gaps and end inside the file."""
    name = header.path.name
    alignment = header.metadata.get("general.alignment", 32)
    expected = end = 0
    for tensor, info in header.tensors.items():
        if info.offset != expected:
            raise BadPair(f"{name} is damaged: tensor {tensor!r} is misplaced.", PULL_AGAIN)
        end = expected + info.bytes
        expected = _padded(end, alignment)
    missing = header.data_offset + end - header.file_size
    if header.tensors and missing > 0:
        raise BadPair(f"{name} is incomplete: {missing:,} bytes are missing.", PULL_AGAIN)


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


# --- checking --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Hyper:
    """What the loader derives from the metadata; lists have one entry for each layer."""

    layers: int
    width: int
    heads: list[int]
    kv_heads: list[int]
    feed_forward: list[int]
    sliding: list[bool]
    head_full: int
    head_swa: int
    experts: int
    kv_layers: int

    def head(self, layer: int) -> int:
        return self.head_swa if self.sliding[layer] else self.head_full


def _refuse(header: Header, problem: str, hint: str = "") -> BadPair:
    return BadPair(f"{header.path.name} {problem}", hint)


def _mismatch(target: Header, drafter: Header, why: str) -> BadPair:
    message = f"{drafter.path.name} does not belong to {target.path.name}: {why}."
    return BadPair(message, WRONG_DRAFTER)


def _check_target_arch(header: Header) -> None:
    arch = header.architecture
    if arch == TARGET_ARCH:
        return
    if arch == "clip":
        raise _refuse(
            header,
            "is an image encoder (mmproj), not a language model.",
            "Name the model file next to it.",
        )
    if _is_drafter_arch(arch):
        raise _refuse(
            header,
            "is an MTP drafter, not a target.",
            "Name the target file; its drafter goes to --drafter.",
        )
    raise _refuse(header, f"is {_named(arch)}, not Gemma 4.", "gemma-mtp runs Gemma 4 only.")


def _check_drafter_arch(header: Header) -> None:
    arch = header.architecture
    if arch == DRAFTER_ARCH:
        return
    hint = WRONG_DRAFTER
    if arch == TARGET_ARCH:
        problem = "is a target, not an MTP drafter."
    elif arch == "gemma4_assistant":
        problem = "was converted with the name gemma4_assistant; llama.cpp wants gemma4-assistant."
        hint = "Convert it again with llama.cpp, or use the drafter that gemma-mtp pull gets."
    elif arch == "gemma4_mtp":
        problem = "is in the gemma4_mtp layout of another program, which llama.cpp cannot load."
        hint = "Use the drafter that gemma-mtp pull gets."
    elif arch == "clip":
        problem = "is an image encoder (mmproj), not an MTP drafter."
    else:
        problem = f"is {_named(arch)}, not a Gemma 4 MTP drafter."
    raise _refuse(header, problem, hint)


def _is_drafter_arch(arch: str) -> bool:
    return arch in (DRAFTER_ARCH, "gemma4_assistant", "gemma4_mtp")


def _named(arch: str) -> str:
    return f"a model of architecture {arch[:60]!r}" if arch else "a GGUF without an architecture"


def _number(header: Header, key: str, default: int | None = None) -> int:
    value = header.metadata.get(f"{header.architecture}.{key}", default)
    if value is None:
        raise _refuse(header, f"lacks the hyperparameter {key}.", PULL_AGAIN)
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise _refuse(header, f"has an unusable {key}.", PULL_AGAIN)
    return value


def _positive(header: Header, key: str, default: int | None = None) -> int:
    value = _number(header, key, default)
    if value < 1:
        raise _refuse(header, f"has an unusable {key} of {value}.", PULL_AGAIN)
    return value


def _per_layer(header: Header, key: str, layers: int) -> list[int]:
    """A single number for all layers, or a list with one for each."""
    value = header.metadata.get(f"{header.architecture}.{key}")
    if not isinstance(value, list):
        return [_positive(header, key)] * layers
    good = len(value) == layers and all(type(n) is int and 0 < n < 1 << 32 for n in value)
    if not good:
        raise _refuse(header, f"has an unusable {key}.", PULL_AGAIN)
    return value


def _hyperparameters(header: Header) -> _Hyper:
    layers = _positive(header, "block_count")
    if layers > MAX_LAYERS:
        raise _refuse(header, f"claims {layers} layers, which is more than llama.cpp can hold.")
    width = _positive(header, "embedding_length")
    _positive(header, "attention.sliding_window")
    if _number(header, "context_length") < MIN_CONTEXT:
        raise _refuse(header, f"claims a context of less than {MIN_CONTEXT} tokens.", PULL_AGAIN)
    heads = _per_layer(header, "attention.head_count", layers)
    kv_key = "attention.head_count_kv"
    has_kv = f"{header.architecture}.{kv_key}" in header.metadata
    head_full, head_swa = _head_sizes(header, width // heads[0])
    _check_scalars(header)
    hyper = _Hyper(
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=_per_layer(header, kv_key, layers) if has_kv else heads,
        feed_forward=_per_layer(header, "feed_forward_length", layers),
        sliding=_sliding(header, layers),
        head_full=head_full,
        head_swa=head_swa,
        experts=_experts(header, layers),
        kv_layers=layers - _number(header, "attention.shared_kv_layers", 0),
    )
    if any(h % kv for h, kv in zip(hyper.heads, hyper.kv_heads, strict=True)):
        raise _refuse(header, "has head counts that are no multiple of its KV heads.", PULL_AGAIN)
    return hyper


def _head_sizes(header: Header, default: int) -> tuple[int, int]:
    """Keys and values must be equally wide, and rotate at most what they have."""
    full = _positive(header, "attention.key_length", default)
    swa = _positive(header, "attention.key_length_swa")
    values = (
        _positive(header, "attention.value_length", default),
        _positive(header, "attention.value_length_swa"),
    )
    if values != (full, swa):
        raise _refuse(header, "has keys and values of different sizes.", PULL_AGAIN)
    rotated = _positive(header, "rope.dimension_count", full)  # 0 would never end
    rotated_swa = _positive(header, "rope.dimension_count_swa", rotated)
    if rotated > full or rotated_swa > swa or rotated % 2 or rotated_swa % 2:
        raise _refuse(header, "has a rotary size that does not fit its heads.", PULL_AGAIN)
    return full, swa


def _check_scalars(header: Header) -> None:
    arch = header.architecture
    epsilon = header.metadata.get(f"{arch}.attention.layer_norm_rms_epsilon")
    if not isinstance(epsilon, float) or not 0 <= epsilon < 1:
        raise _refuse(header, "has no usable attention.layer_norm_rms_epsilon.", PULL_AGAIN)
    scaling = header.metadata.get(f"{arch}.rope.scaling.type", "linear")
    if scaling not in ("none", "linear", "yarn", "longrope"):
        raise _refuse(header, "has an unknown rope.scaling.type.", PULL_AGAIN)


def _sliding(header: Header, layers: int) -> list[bool]:
    """Which layers use sliding attention; those not listed use full attention."""
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if not isinstance(pattern, list) or len(pattern) > MAX_LAYERS:
        raise _refuse(header, "has no usable attention.sliding_window_pattern.", PULL_AGAIN)
    if not all(isinstance(value, int) for value in pattern):
        raise _refuse(header, "has no usable attention.sliding_window_pattern.", PULL_AGAIN)
    sliding = [bool(value) for value in pattern[:layers]]
    return sliding + [False] * (layers - len(sliding))


def _experts(header: Header, layers: int) -> int:
    experts = _number(header, "expert_count", 0)
    groups = _number(header, "expert_group_count", 0)
    used = header.metadata.get(f"{header.architecture}.expert_used_count", 0)
    counts = used if isinstance(used, list) else [used]
    good = (
        experts <= MAX_EXPERTS
        and len(counts) in (1, layers)
        and all(type(n) is int and 0 <= n <= experts for n in counts)
        and any(counts) == (experts > 0)
        and groups <= 1
        and groups < max(experts, 1)
    )
    if not good:
        raise _refuse(header, "has expert counts that llama.cpp cannot use.", PULL_AGAIN)
    return experts


def _count(value: object) -> int:
    return len(value) if isinstance(value, list) else value if isinstance(value, Count) else 0


def _vocabulary(header: Header) -> int:
    return _count(header.metadata.get("tokenizer.ggml.tokens"))


def _check_vocabulary(header: Header) -> None:
    model = header.metadata.get("tokenizer.ggml.model")
    tokens = _vocabulary(header)
    if not tokens or not isinstance(model, str) or model in ("none", "no_vocab"):
        raise _refuse(header, "has no vocabulary.", PULL_AGAIN)
    if model == TARGET_ARCH and "tokenizer.ggml.merges" not in header.metadata:
        raise _refuse(header, "has a vocabulary without merges.", PULL_AGAIN)
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if key in header.metadata and _count(header.metadata[key]) < tokens:
            raise _refuse(header, f"has fewer entries in {key} than tokens.", PULL_AGAIN)
    if header.repeated_tokens:
        raise _refuse(header, "has the same token twice in its vocabulary.", PULL_AGAIN)


def _check_layer_pattern(header: Header, hyper: _Hyper) -> None:
    """A drafter reads the last full and the last sliding layer that own a cache.

    Both the end of the model and the end of its cache-owning part must be sliding, then full:
    llama.cpp takes these positions on trust and otherwise aborts or reads a wrong layer.
    """
    for end in (hyper.kv_layers, hyper.layers):
        if end < 2 or hyper.sliding[end - 1] or not hyper.sliding[end - 2]:
            raise _refuse(
                header,
                "has a layer pattern a drafter cannot share: a sliding layer, then a full one, "
                "must come last.",
                "Use an unmodified Gemma 4 model.",
            )


def _check_shared_heads(target: Header, drafter: Header, ours: _Hyper, theirs: _Hyper) -> None:
    """The drafter sees the target's cache through its own KV head counts."""
    full, sliding = ours.kv_heads[ours.kv_layers - 1], ours.kv_heads[ours.kv_layers - 2]
    for layer in range(theirs.layers):
        expected = sliding if theirs.sliding[layer] else full
        if theirs.kv_heads[layer] != expected:
            why = f"layer {layer} expects {theirs.kv_heads[layer]} KV heads, the target has "
            raise _mismatch(target, drafter, f"{why}{expected}")


_Expected = Iterator[tuple[str, tuple[int, ...]]]


def _target_tensors(header: Header, hyper: _Hyper) -> _Expected:
    width, vocabulary = hyper.width, _vocabulary(header)
    yield "token_embd.weight", (width, vocabulary)
    yield "output_norm.weight", (width,)
    if "output.weight" in header.tensors:
        yield "output.weight", (width, vocabulary)
    yield from _rope_tensor(hyper)
    per_layer = _number(header, "embedding_length_per_layer_input")
    if per_layer:
        yield "per_layer_token_embd.weight", (per_layer * hyper.layers, vocabulary)
        yield "per_layer_model_proj.weight", (width, per_layer * hyper.layers)
        yield "per_layer_proj_norm.weight", (per_layer,)
    for layer in range(hyper.layers):
        block = f"blk.{layer}"
        yield from _layer_tensors(hyper, layer, fused=f"{block}.attn_qkv.weight" in header.tensors)
        if layer < hyper.kv_layers:
            yield f"{block}.attn_k_norm.weight", (hyper.head(layer),)
        if f"{block}.layer_output_scale.weight" in header.tensors:
            yield f"{block}.layer_output_scale.weight", (1,)
        if per_layer:
            yield f"{block}.inp_gate.weight", (width, per_layer)
            yield f"{block}.proj.weight", (per_layer, width)
            yield f"{block}.post_norm.weight", (width,)
        if f"{block}.ffn_gate_inp.weight" in header.tensors:
            yield from _expert_tensors(header, hyper, layer)


def _drafter_tensors(header: Header, hyper: _Hyper) -> _Expected:
    width, out = hyper.width, _number(header, "embedding_length_out")
    yield "token_embd.weight", (width, _vocabulary(header))
    yield "output_norm.weight", (width,)
    yield "nextn.pre_projection.weight", (2 * out, width)
    yield "nextn.post_projection.weight", (width, out)
    yield from _rope_tensor(hyper)
    for layer in range(hyper.layers):
        yield from _layer_tensors(hyper, layer, queries_only=True)
        yield f"blk.{layer}.layer_output_scale.weight", (1,)


def _rope_tensor(hyper: _Hyper) -> _Expected:
    if not all(hyper.sliding):
        yield "rope_freqs.weight", (hyper.head_full // 2,)


def _layer_tensors(
    hyper: _Hyper, layer: int, fused: bool = False, queries_only: bool = False
) -> _Expected:
    block, width, head = f"blk.{layer}", hyper.width, hyper.head(layer)
    inner, keys, wide = (
        head * hyper.heads[layer],
        head * hyper.kv_heads[layer],
        hyper.feed_forward[layer],
    )
    for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
        yield f"{block}.{norm}.weight", (width,)
    yield f"{block}.attn_q_norm.weight", (head,)
    if fused:
        yield f"{block}.attn_qkv.weight", (width, inner + 2 * keys)
    else:
        yield f"{block}.attn_q.weight", (width, inner)
        if not queries_only and layer < hyper.kv_layers:
            yield f"{block}.attn_k.weight", (width, keys)
    yield f"{block}.attn_output.weight", (inner, width)
    yield f"{block}.ffn_gate.weight", (width, wide)
    yield f"{block}.ffn_up.weight", (width, wide)
    yield f"{block}.ffn_down.weight", (wide, width)


def _expert_tensors(header: Header, hyper: _Hyper, layer: int) -> _Expected:
    block, width, experts = f"blk.{layer}", hyper.width, hyper.experts
    wide = _per_layer(header, "expert_feed_forward_length", hyper.layers)[layer]
    yield f"{block}.ffn_gate_inp.weight", (width, experts)
    yield f"{block}.ffn_gate_inp.scale", (width,)
    for norm in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
        yield f"{block}.{norm}.weight", (width,)
    if f"{block}.ffn_gate_up_exps.weight" in header.tensors:
        yield f"{block}.ffn_gate_up_exps.weight", (width, 2 * wide, experts)
    else:
        yield f"{block}.ffn_gate_exps.weight", (width, wide, experts)
        yield f"{block}.ffn_up_exps.weight", (width, wide, experts)
    yield f"{block}.ffn_down_exps.weight", (wide, width, experts)


def _check_tensors(header: Header, expected: _Expected) -> None:
    for name, shape in expected:
        tensor = header.tensors.get(name)
        if tensor is None:
            raise _refuse(header, f"lacks the tensor {name}.", PULL_AGAIN)
        if _trimmed(tensor.shape) != _trimmed(shape):
            raise _refuse(header, f"has the tensor {name} in a wrong shape.", PULL_AGAIN)
        vector = len(shape) == 1
        if tensor.type != "F32" if vector else tensor.type in _NOT_FOR_MATRICES:
            raise _refuse(header, f"has the tensor {name} in type {tensor.type}, which no kernel "
                          "can use there.")  # fmt: skip


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]
