"""A GGUF of Gemma 4 in another type: what can be asked for, what it takes, and the doing.

The commands `quantize` and `convert` call it. Knows headers, and the process that quantizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gemma_mtp.errors import BadPair, UsageError
from gemma_mtp.files import disk
from gemma_mtp.models import gguf, pair_check
from gemma_mtp.models.convert.step import Progress, run_step, unfinished
from gemma_mtp.models.gguf_header import Header, describe
from gemma_mtp.models.memory import PROGRAM

WHOLE = ("F32", "F16", "BF16")
"""Types in which no matrix is quantized yet."""
TYPES = (
    *WHOLE, "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0",
    "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS",
    "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "Q2_K",
)  # fmt: skip
"""What llama.cpp can make without measurements of which weights matter ("importance matrix")."""
QAT = "QAT"
MEMORY = 2_500_000_000  # bytes; buffers of rows, and threads. The file itself is only looked at
WORDS = 130_000_000  # bytes; of the vocabulary, in the tables of llama.cpp
_MODULE = "gemma_mtp.llama.quantize"


@dataclass(frozen=True)
class Kind:
    """A type of file. `pure`: every matrix is of that type."""

    name: str
    pure: bool = False

    @property
    def switches(self) -> list[str]:
        """For the process that quantizes."""
        return ["--pure"] if self.pure else []


def read_kind(typed: str) -> Kind:
    """What is meant by Q4_K_M, q8_0 or qat: the last has all matrices in Q4_0, as files have that
    were trained for it. Raises UsageError for another word."""
    name = typed.upper().replace("-", "_")
    if name == QAT:
        return Kind("Q4_0", pure=True)
    if name in TYPES:
        return Kind(name)
    if name.startswith(("IQ1", "IQ2", "IQ3", "TQ")):
        raise UsageError(f"{typed} needs an importance matrix, which is not made here.",
                         "Q3_K_M and Q2_K need none.")  # fmt: skip
    raise UsageError(f'There is no type "{typed}".', f"Those known: {', '.join(TYPES)}, and qat.")


def memory_of(header: Header) -> int:
    """Bytes at the most: a small file, its largest matrix in 32 bits and the result take less than
    the buffers of a large one."""
    return min(MEMORY, PROGRAM + WORDS + 4 * header.file_size)


def read_source(path: Path) -> Header:
    """The header of a target or a drafter that can be quantized.

    Raises ModelNotAvailable, BadPair for what llama.cpp could not load, and UsageError for what is
    quantized already.
    """
    header = gguf.read_header(path)
    if pair_check.is_drafter_arch(header.architecture):
        pair_check.check_drafter(header)
    else:
        pair_check.check_target(header)
    types = {t.type for t in header.tensors.values() if len(t.shape) > 1}
    if quantized := sorted(types - {*WHOLE}):
        raise UsageError(
            f"{header.path.name} is quantized already, in {', '.join(quantized)}; once more would "
            "lose twice.",
            "Take the file in BF16, F16 or F32 that it was made from.",
        )
    return header


def refuse_same(header: Header, kind: Kind) -> None:
    """Raise UsageError where nothing would change, or nothing but the size."""
    have = describe(header).quantization
    if have == kind.name:
        raise UsageError(f"{header.path.name} is in {have} already.")


def expected_bytes(header: Header, kind: Kind) -> int:
    """Size of the quantized file, about. Raises BadPair."""
    from gemma_mtp.llama.quantize import size_of

    return size_of(header.path, kind.name, pure=kind.pure) + header.data_offset


def quantize(
    header: Header, out: Path, kind: Kind, expected: int, progress: Progress,
    elsewhere: str = disk.ELSEWHERE, begin: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Write the model as `out`, which is not there before it is whole. `elsewhere`: how to have it
    in another folder. `begin` is called once nobody else can write it, and may raise.

    Raises GemmaMtpError where the disk has no room for the `expected` bytes or refuses them, and
    Cancelled when `progress` says so.
    """
    disk.require_room(out.parent, expected, out.name, elsewhere)
    words = [_MODULE, str(header.path), str(unfinished(out)), kind.name, *kind.switches]
    tensors = {name: tensor.shape for name, tensor in header.tensors.items()}

    def check(written: Path) -> None:
        found = gguf.read_parts([written])
        if {name: tensor.shape for name, tensor in found.tensors.items()} != tensors:
            raise BadPair(f"{out.name} has not the tensors of {header.path.name}.")

    run_step("quantizing", words, out, expected, progress, check, elsewhere=elsewhere,
             begin=begin)  # fmt: skip
