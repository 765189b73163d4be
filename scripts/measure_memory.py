"""What a loaded pair really takes, against the estimate of gemma_mtp/memory.py.

    .venv/bin/python scripts/measure_memory.py [TARGET DRAFTER] [--contexts 2048 8192 32768]

Without files the built-in pair is measured. Every context is loaded in a process of its own, which
reads a prompt and decodes some tokens. Linux only. Rows in MiB:

    KV, compute   llama.cpp's own buffers, from its log, target and drafter together
    least         memory that cannot be given back: private memory, and those pages of the files
                  that decoding touches again after all of them were dropped
    resident      what the system lists for the process; where llama.cpp repacks weights, the file
                  pages they came from are counted as well until someone else wants the memory
"""

from __future__ import annotations

import argparse
import ctypes
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gemma_mtp import gguf, memory
from gemma_mtp.options import CPU_PIECE, LoadOptions, PairFiles
from gemma_mtp.shape import from_header
from gemma_mtp.store import BUILTIN_FOLDER

MIB = 1 << 20
MADV_DONTNEED = 4
PROMPT = 128  # tokens; caches are cleared when they are made, so it need not fill them
BUFFERS = re.compile(r"(model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB")


def resident() -> dict[str, int]:
    """Bytes of this process: all, private, and pages of files."""
    status = Path("/proc/self/status").read_text()
    fields = {"all": "VmRSS", "private": "RssAnon", "files": "RssFile"}
    found = {k: re.search(rf"{name}:\s+(\d+) kB", status) for k, name in fields.items()}
    return {k: int(match[1]) << 10 for k, match in found.items() if match}


def drop_file_pages(*paths: Path) -> None:
    """Let go of all pages of these mapped files; those still needed come back when touched."""
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if any(line.endswith(str(path)) for path in paths):
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_DONTNEED)


def buffers(log: str) -> dict[str, float]:
    """Bytes of llama.cpp's buffers by kind."""
    sums: dict[str, float] = {}
    for kind, size in BUFFERS.findall(log):
        sums[kind] = sums.get(kind, 0.0) + float(size) * MIB
    return sums


def child(target: Path, drafter: Path, context: int) -> dict[str, Any]:
    """Load, work, and report; runs in a process of its own."""
    from gemma_mtp.llama import load_pair

    before = resident()
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        options = LoadOptions(context=context, log_file=Path(log.name))
        pair = load_pair(PairFiles("measured", target, drafter), options)
        loaded = resident()
        work(pair, 0, PROMPT)
        drop_file_pages(target, drafter)
        work(pair, PROMPT, PROMPT)
        after = resident()
        text = Path(log.name).read_text()
        pair.close()
    return {
        "buffers": buffers(text),
        "lines": [line for line in text.splitlines() if BUFFERS.search(line)],
        "base": before["all"],
        "resident": loaded["all"],
        "needed": after["private"] + after["files"],
        "private": after["private"],
    }


def work(pair: Any, position: int, count: int) -> None:
    """Evaluate `count` made-up tokens in pieces, then one draft."""
    tokens = [100 + (7 * i) % 1000 for i in range(position, position + count)]
    piece = pair.target.piece_size
    for start in range(0, count, piece):
        part = tokens[start : start + piece]
        pair.target.decode(part, position + start, 1)
    pair.drafter.begin(pair.target.hidden(0), position + count)
    for token in tokens[:3]:
        pair.drafter.step(token)


def measure(target: Path, drafter: Path, context: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", str(context), str(target), str(drafter)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--contexts", nargs="+", type=int, default=[2048, 8192, 32768])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--lines", action="store_true", help="show llama.cpp's lines as well")
    args = parser.parse_args()
    target, drafter = (
        (path.absolute() for path in args.files)
        if args.files
        else (
            BUILTIN_FOLDER / "tiny-target.gguf",
            BUILTIN_FOLDER / "tiny-drafter.gguf",
        )
    )
    if args.child:
        print(json.dumps(child(target, drafter, args.child)))
        return
    header = gguf.read_header(target)
    shape = from_header(header)
    trained = gguf.describe(header).context_length
    print("context  part       estimate   measured   error")
    for context in args.contexts:
        if context > trained:
            continue
        found = measure(target, drafter, context)
        guess = memory.estimate(
            shape, target.stat().st_size, drafter.stat().st_size, context, CPU_PIECE
        )
        pairs = (
            ("KV", guess.kv, found["buffers"].get("KV", 0.0)),
            ("compute", guess.compute, found["buffers"].get("compute", 0.0)),
            ("least", guess.least, found["needed"]),
            ("resident", guess.repacked, found["resident"]),
        )
        for name, estimated, measured in pairs:
            error = f"{(estimated / measured - 1) * 100:+.1f} %" if measured else ""
            row = f"{estimated / MIB:10.1f} {measured / MIB:10.1f} {error:>9}"
            print(f"{context:7}  {name:9} {row}")
        if args.lines:
            base, private = found["base"] / MIB, found["private"] / MIB
            print(f"         base {base:.1f} MiB, private {private:.1f} MiB")
            print("\n".join(f"         {line}" for line in found["lines"]))


if __name__ == "__main__":
    main()
