"""The memory that a loaded pair takes, against the estimate, and how much of it MTP adds.

    .venv/bin/python benchmarks/measure_memory.py [TARGET DRAFTER] [--contexts 2048 8192 32768]

Without files the built-in pair is measured. Every context is loaded in a process of its own, which
reads a prompt, decodes some tokens and keeps one snapshot; the last one is loaded once more without
the drafter. The estimate is that of gemma_mtp/models/memory.py. Linux only. Printed in MiB:

    KV, compute   llama.cpp's own buffers, from its log, target and drafter together
    least         memory that cannot be given back: private memory, and those pages of the files
                  that decoding touches again after all of them were dropped; the estimate next to
                  it leaves out attention scores that so short a prompt does not write yet
                  (`--tokens N` reads a longer one)
    resident      what the system lists for the process; where llama.cpp repacks weights, the file
                  pages they came from are counted as well until someone else wants the memory
    peak          the most that was ever resident
    vocabulary    what the target's tokens and merges take when they are loaded alone, and how much
                  of that only the allocator holds: it gives that back when told to
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

from gemma_mtp.api import CPU_PIECE, LoadOptions, PairFiles
from gemma_mtp.models import gguf, memory
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.store import BUILTIN_FOLDER

MIB = 1 << 20
MADV_DONTNEED = 4
PROMPT = 640  # tokens, more than a window; caches are cleared when made, so it need not fill them
AGAIN = 64  # tokens read once more when the pages of the files were dropped
BUFFERS = re.compile(r"(\S+)\s+(model|KV|compute|output) buffer size\s*=\s*([\d.]+) MiB")


def resident() -> dict[str, int]:
    """Bytes of this process: all, private, pages of files, and the most there ever were."""
    status = Path("/proc/self/status").read_text()
    fields = {"all": "VmRSS", "private": "RssAnon", "files": "RssFile", "peak": "VmHWM"}
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
    """Bytes of llama.cpp's buffers by kind; weights in pages of their file are "mapped"."""
    sums: dict[str, float] = {}
    for name, kind, size in BUFFERS.findall(log):
        kind = "mapped" if name.endswith("_Mapped") else kind
        sums[kind] = sums.get(kind, 0.0) + float(size) * MIB
    return sums


def added(alone: dict[str, Any], pair: dict[str, Any]) -> list[tuple[str, float]]:
    """What the memory is made of that the drafter adds and that cannot be given back."""
    kinds = {
        name: pair["buffers"].get(name, 0.0) - alone["buffers"].get(name, 0.0)
        for name in ("model", "compute", "output", "KV")
    }
    own = sum(kinds.values())
    private, needed = (pair[name] - alone[name] for name in ("private", "needed"))
    return [
        ("weights, repacked", kinds["model"]),
        ("compute buffer", kinds["compute"]),
        ("output rows", kinds["output"]),
        ("KV", kinds["KV"]),
        ("all else, private", private - own),
        ("read from the file", needed - private),
    ]


def child(target: Path, drafter: Path | None, context: int, tokens: int) -> dict[str, Any]:
    """Load, work, and report; runs in a process of its own."""
    from gemma_mtp.llama import load_pair

    before = resident()
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        options = LoadOptions(context=context, log_file=Path(log.name))
        pair = load_pair(PairFiles("measured", target, drafter), options)
        loaded = resident()
        count = min(tokens, context - 1) - AGAIN  # the drafter needs a position after them
        work(pair, 0, count)
        drop_file_pages(*(path for path in (target, drafter) if path))
        work(pair, count, AGAIN)
        snapshot = pair.target.save(complete=True)
        after = resident()
        text = Path(log.name).read_text()
        pair.close()
    return {
        "buffers": buffers(text),
        "lines": [line for line in text.splitlines() if BUFFERS.search(line)],
        "base": before["all"],
        "resident": loaded["all"],
        "peak": after["peak"],
        "needed": after["private"] + after["files"],
        "private": after["private"],
        "snapshot": snapshot.nbytes if snapshot else 0,
    }


def work(pair: Any, position: int, count: int) -> None:
    """Evaluate `count` made-up tokens in pieces, then one draft if there is a drafter."""
    tokens = [100 + (7 * i) % 1000 for i in range(position, position + count)]
    piece = pair.target.piece_size
    for start in range(0, count, piece):
        part = tokens[start : start + piece]
        pair.target.decode(part, position + start, 1)
    if pair.drafter:
        pair.drafter.begin(pair.target.hidden(0), position + count)
        for token in tokens[:3]:
            pair.drafter.step(token)


def vocabulary(path: Path) -> dict[str, int]:
    """Bytes that the vocabulary of a file takes; runs in a process of its own."""
    import llama_cpp

    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    before = resident()["private"]
    llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    loaded = resident()["private"]
    ctypes.CDLL(None).malloc_trim(0)
    return {"taken": loaded - before, "held": loaded - resident()["private"]}


def in_child(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def show_context(
    found: dict[str, Any], guess: memory.Estimate, context: int, unwritten: int
) -> None:
    """The estimate of one context against what was measured."""
    pairs = (
        ("KV", guess.kv, found["buffers"].get("KV", 0.0)),
        ("compute", guess.compute, found["buffers"].get("compute", 0.0)),
        ("least", guess.least - unwritten, found["needed"]),
        ("resident", guess.repacked, found["resident"]),
        ("snapshot", guess.snapshot, found["snapshot"]),
    )
    for name, estimated, measured in pairs:
        error = f"{(estimated / measured - 1) * 100:+.1f} %" if measured else ""
        row = f"{estimated / MIB:10.1f} {measured / MIB:10.1f} {error:>9}"
        print(f"{context:7}  {name:9} {row}")


def show_drafter(
    pair: dict[str, Any], target: Path, drafter: Path, context: int, tokens: int
) -> None:
    """What the drafter adds at one context, and what that is."""
    alone = in_child(context, target, "--tokens", tokens)
    print(f"\nMTP adds at {context} tokens")
    print("                         without       with      added")
    for name, key in (("peak", "peak"), ("resident", "resident"), ("least", "needed")):
        row = [found / MIB for found in (alone[key], pair[key], pair[key] - alone[key])]
        print(f"  {name:20}" + "".join(f" {size:10.1f}" for size in row))
    print(f"  {'the drafter file':20} {drafter.stat().st_size / MIB:32.1f}")
    print("of the least")
    for name, size in added(alone, pair):
        print(f"  {name:20} {size / MIB:32.1f}")
    words = in_child("vocabulary", target)
    print("the vocabulary alone")
    print(f"  {'taken':20} {words['taken'] / MIB:32.1f}")
    print(f"  {'held by allocator':20} {words['held'] / MIB:32.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--contexts", nargs="+", type=int, default=[2048, 8192, 32768])
    parser.add_argument("--tokens", type=int, default=PROMPT, help="length of the prompt")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--lines", action="store_true", help="show llama.cpp's lines as well")
    args = parser.parse_args()
    files = [path.absolute() for path in args.files] or [
        BUILTIN_FOLDER / "tiny-target.gguf",
        BUILTIN_FOLDER / "tiny-drafter.gguf",
    ]
    if args.child:
        target, drafter = files[0], files[1] if len(files) > 1 else None
        if args.child == "vocabulary":
            print(json.dumps(vocabulary(target)))
        else:
            print(json.dumps(child(target, drafter, int(args.child), args.tokens)))
        return
    target, drafter = files
    header = gguf.read_header(target)
    shape = shape_of(header)
    trained = gguf.describe(header).context_length
    print("context  part       estimate   measured   error")
    for context in (size for size in args.contexts if size <= trained):
        found = in_child(context, target, drafter, "--tokens", args.tokens)
        sizes = target.stat().st_size, drafter.stat().st_size
        guess = memory.estimate(shape, *sizes, context, CPU_PIECE)
        scores = memory.score_bytes(shape, context, CPU_PIECE)
        share = 1 - min(args.tokens, context) / context
        show_context(found, guess, context, int(1.5 * scores * share))  # they are written twice
        if args.lines:
            parts = (f"{name} {found[name] / MIB:.1f}" for name in ("base", "private"))
            print(f"         MiB: {', '.join(parts)}")
            print("\n".join(f"         {line}" for line in found["lines"]))
    show_drafter(found, target, drafter, context, args.tokens)


if __name__ == "__main__":
    main()
