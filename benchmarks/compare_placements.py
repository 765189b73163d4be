"""What llama.cpp would reserve on graphics cards for a placement, against the estimate.

    .venv/bin/python benchmarks/compare_placements.py LLAMA_CPP [--backend NAME] [--write FILE]

No card is needed, and no weights: benchmarks/hollow/devices.cpp gives llama.cpp devices that
compute nothing, and the files have headers only. LLAMA_CPP is the folder of its source, of the
installed version (vendor/llama.cpp in llama-cpp-python's source distribution); a C++ compiler is
needed. All sizes, contexts, cache types and placements: whole, parted, experts apart, on one device
and on two, and some of these with longer pieces of a prompt. `--backend` takes devices as those of
Vulkan, Metal (MTL) or RPC instead of CUDA. `--write` keeps the figures, which
tests/models/test_reserved.py compares with the estimate. Printed: the least and the most by which
an estimate is more than what is reserved.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp

from gemma_mtp.decoding.device_trials import LONGER_PIECES
from gemma_mtp.models import gguf
from gemma_mtp.models.catalogue import Entry, load_catalogue
from gemma_mtp.models.gguf_writer import head, padded, size_of
from gemma_mtp.models.gpu_buffers import RULES, rules_of
from gemma_mtp.models.machine import Device
from gemma_mtp.models.placement_plan import Plan, Wanted
from gemma_mtp.models.random_pair import RandomFile, random_pair
from gemma_mtp.models.weights import Weights, from_headers
from gemma_mtp.settings import KV_TYPES

MODELS = ("e2b", "e4b", "12b", "26b", "31b")
CONTEXTS = (8192, 32_768, 131_072)
HOLLOW = Path(__file__).with_name("hollow")


def build(source: Path, folder: Path) -> Path:
    """The program of hollow devices, linked with the bindings' own llama.cpp."""
    libraries, program = Path(llama_cpp.__file__).with_name("lib"), folder / "devices"
    includes = [f"-I{source / part}" for part in ("include", "src", "ggml/include", "ggml/src")]
    linked = [f"-l{name}" for name in ("llama", "ggml", "ggml-base", "ggml-cpu")]
    subprocess.run(
        ["g++", "-O1", "-std=c++17", *includes, HOLLOW / "devices.cpp", "-o", program,
         f"-L{libraries}", *linked, f"-Wl,-rpath,{libraries}"],
        check=True,
    )  # fmt: skip
    return program


def write(file: RandomFile, path: Path) -> None:
    """A file of the right size that takes no room: without words, and every weight is 0."""
    metadata = {key: v for key, v in file.metadata.items() if not key.startswith("tokenizer")}
    words = len(file.metadata["tokenizer.ggml.tokens"])
    metadata |= {
        "tokenizer.ggml.model": "none",
        f"{metadata['general.architecture']}.vocab_size": words,
    }
    start = head(metadata, file.tensors)
    with path.open("wb") as hollow_file:
        hollow_file.write(start)
        hollow_file.truncate(len(start) + sum(padded(size_of(*t)) for t in file.tensors.values()))


def plans(entry: Entry, weights: Weights, backend: str) -> Iterator[tuple[Plan, list[int]]]:
    """Placements, each with the layers of each device."""
    rules = replace(rules_of([backend]), maps=False)  # here nothing is read
    shape = entry.shape
    assert shape is not None
    every = shape.layers + 1
    parted = shape.layers + 3 - shape.owners if shape.shared else every // 2
    for context in CONTEXTS:
        for kv_type, flash in (("f16", True), ("q8_0", True), ("f16", False)):
            for layers in (every, every * 4 // 5, parted):
                whole = layers == every
                for kept in (0, 5, shape.layers) if shape.experts and whole else (0,):
                    wanted = Wanted(context, kv_type, flash)
                    plan = Plan(shape, weights, wanted, layers, kept, rules)
                    for count in (1, 2) if flash else (1,):
                        if counts := divided(plan, count):
                            yield plan, counts
                    if kv_type == "f16" and context < CONTEXTS[-1]:
                        for piece in LONGER_PIECES:
                            longer = replace(plan, wanted=replace(wanted, piece=piece))
                            yield longer, [layers]


def divided(plan: Plan, count: int) -> list[int]:
    """Layers of each of so many devices of one size; [] where that cannot be."""
    devices = hollow(count)
    for percent in range(5, 200):
        size = (plan.weights.total + (8 << 30)) * percent // 100 // count
        if placement := plan.place(devices, [size] * count):
            return [share.layers for share in placement.gpus]
    return []


def hollow(count: int) -> list[Device]:
    return [Device(f"HOLLOW{number}", "", 1 << 50, 1 << 50) for number in range(count)]


def line(plan: Plan, counts: list[int], drafter: int) -> str:
    wanted = plan.wanted
    kind, flash = KV_TYPES[wanted.kv_type].number, int(wanted.flash_attention)
    layers = ",".join(map(str, counts))
    return (
        f"{plan.layers} {plan.kept} {wanted.context} {kind} {flash} {wanted.piece} {layers} "
        f"{drafter}"
    )


def compare(
    entry: Entry, program: Path, folder: Path, backend: str
) -> tuple[Weights, list[dict[str, Any]]]:
    """Each placement with what was estimated and what llama.cpp reserves, on each device."""
    files = folder / "target.gguf", folder / "drafter.gguf"
    for file, path in zip(random_pair(entry), files, strict=True):
        write(file, path)
    weights = from_headers(*map(gguf.read_header, files))
    found, lines = [], []
    for plan, counts in plans(entry, weights, backend):
        placement = plan.divided(hollow(len(counts)), counts)
        names = [share.name for share in placement.gpus]
        drafter = names.index(placement.drafter) if placement.drafter else -1
        lines.append(line(plan, counts, drafter))
        found.append({
            "context": plan.wanted.context, "kv_type": plan.wanted.kv_type,
            "flash_attention": plan.wanted.flash_attention, "piece": plan.wanted.piece,
            "layers": plan.layers, "kept": plan.kept, "counts": counts,
            "estimated": [share.bytes for share in placement.gpus],
        })  # fmt: skip
    command = [program, *files, "3", backend]
    text = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True)
    for known, reserved in zip(found, text.stdout.splitlines(), strict=True):
        sizes: Counter[str] = Counter()
        for part in filter(None, reserved.split(";")):
            name, *numbers = part.split()
            sizes[name] += sum(map(int, numbers))
        known["reserved"] = [sizes[f"HOLLOW{n}"] for n in range(len(known["counts"]))]
    return weights, found


def _lines(rows: list[dict[str, Any]]) -> str:
    """A line for each placement, without the estimate."""
    return ",\n".join(
        json.dumps([value for key, value in row.items() if key != "estimated"]) for row in rows
    )


def error(sizes: tuple[int, int]) -> float:
    """By how much an estimate is more than what is reserved, as a share of it."""
    return sizes[0] / sizes[1] - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("llama_cpp", type=Path, help="folder of llama.cpp's source")
    parser.add_argument("--backend", choices=("CUDA", *RULES), default="CUDA")
    parser.add_argument("--write", type=Path, help="keep the figures")
    args = parser.parse_args()
    catalogue, kept = load_catalogue(), {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        program = build(args.llama_cpp, folder)
        for name in MODELS:
            entry = catalogue.find(name)
            assert entry is not None
            weights, rows = compare(entry, program, folder, args.backend)
            kept[name] = weights, rows
            errors = sorted(
                max(map(error, zip(row["estimated"], row["reserved"], strict=True)), key=abs)
                for row in rows
            )
            print(f"{name}: {len(rows)} placements, {errors[0]:+.2%} to {errors[-1]:+.2%}")
    if args.write:
        lines = (
            f'"{name}": [\n[{weights.total}, {weights.drafter}],\n{_lines(rows)}\n]'
            for name, (weights, rows) in kept.items()
        )
        args.write.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
