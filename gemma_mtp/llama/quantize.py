"""llama.cpp's quantization of one file, which writes another one.

`python -m gemma_mtp.llama.quantize SOURCE OUT TYPE [--pure]` is the process that does
it: llama.cpp cannot be stopped amid a file, a process can. `models/convert` runs it.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import llama_cpp

from gemma_mtp.errors import BadPair
from gemma_mtp.llama.log import attach, log
from gemma_mtp.llama.threads import usable_threads

BUFFER = 1 << 30  # bytes of rows that are held at once; llama.cpp itself would take 8 times that
_SIZE = re.compile(r"quant size\s*=\s*([\d.]+) MiB")


def number_of(kind: str) -> int:
    """llama.cpp's number of a file type such as Q4_K_M. Raises AttributeError for another word."""
    which = "ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"
    return int(getattr(llama_cpp, f"LLAMA_FTYPE_{which}"))


def size_of(source: Path, kind: str, *, pure: bool = False) -> int:
    """About how many bytes the weights of `source` would take. Raises BadPair."""
    found: list[float] = []

    def listen(line: str) -> None:
        if match := _SIZE.search(line):
            found.append(float(match[1]) * 2**20)

    before, log.listener = log.listener, listen
    try:
        quantize(source, source, kind, pure=pure, dry=True)
    finally:
        log.listener = before
    return round(found[-1]) if found else 0


def quantize(source: Path, out: Path, kind: str, *, pure: bool = False, dry: bool = False) -> None:
    """Write `source` as `out` in another type, or if `dry` only let llama.cpp log how large it is.

    `pure`: all matrices in that very type, where llama.cpp would leave some with more bits.
    Raises BadPair where llama.cpp refuses.
    """
    attach()
    log.forget()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.pure, params.dry_run = number_of(kind), pure, dry
    params.max_buf_size, params.nthread = BUFFER, usable_threads()
    if llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(out), params):
        raise BadPair(f"llama.cpp cannot quantize {source.name}: {log.why()}.")


def main(words: list[str]) -> int:
    """Do it; where that fails, say why on standard error."""
    source, out, kind, *switches = words
    try:
        quantize(Path(source), Path(out), kind, pure="--pure" in switches)
    except BadPair as error:
        print(error, file=sys.stderr)
        return int(error.status)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
