"""Pairs on devices made of software, in every placement, against the CPU.

    python benchmarks/software_devices.py build FOLDER [--archive FILE]
    python benchmarks/software_devices.py rpc FOLDER [--pairs tiny dense experts] [--tokens 32]
    python benchmarks/software_devices.py vulkan FOLDER [--pairs tiny] [--tokens 8] [--layers 6]
        [--flash-attn off]
    python benchmarks/software_devices.py rpc FOLDER --options [--pairs tiny]
    python benchmarks/software_devices.py vanish FOLDER
    python benchmarks/software_devices.py tests FOLDER

`build` makes llama.cpp's libraries with the RPC backend, and with Vulkan where its parts are here
or CMAKE_ARGS names them, from the source archive of the pinned llama-cpp-python, which pip fetches
unless it is named. `rpc` starts two workers of that
backend on this machine (devices/rpc_worker.py), which llama.cpp takes for graphics cards; `vulkan`
uses Mesa's lavapipe. Each placement of a pair writes the same replies as the CPU: where a text
differs, the rule of `gemma-mtp verify` says whether that is a near-tie. Printed besides: bytes by
device, as estimated and as llama.cpp announced, and whether rows of all widths are the same bits.
With `--options` prompts are long, and a pair is placed in whole and in part, with each of the
options that are chosen by measurement, and with those that were chosen.
`vanish` kills a worker amid a reply of the engine that stays. `tests` runs the tests of
tests/devices on two workers. Ends with status 1 for an error.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

# $ORIGIN: what is copied finds its neighbours, not those in the folder where it was made.
BUILD = ("-DGGML_RPC=ON", "-DBUILD_SHARED_LIBS=ON", "-DCMAKE_BUILD_TYPE=Release",
         "-DCMAKE_INSTALL_RPATH=$ORIGIN", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON",
         *(f"-DLLAMA_BUILD_{part}=OFF" for part in ("COMMON", "TESTS", "TOOLS", "EXAMPLES",
                                                     "SERVER", "APP")))  # fmt: skip
CONTEXT, PROMPT = 1024, "Tell me about rivers, lakes and the sea."
LONG_CONTEXT, LONG_PROMPT = 4096, 1100  # tokens; more than a piece of 1,024 holds
TRIED = ("all", "some", "all experts apart")  # placements with options that are measured
MEMORY = 2 << 30  # bytes that each worker says to have
WIDEST = 8  # rows of a round, at which others are compared
DEVICE_TESTS = "tests/devices"
WRONG = 0.5  # logits; no rounding of 16-bit or 8-bit factors is so large


def build(folder: Path, archive: Path | None) -> None:
    """Libraries of llama.cpp for software devices, in `folder`."""
    import llama_cpp
    from real_card import unpacked

    from gemma_mtp.models.build.choice import missing_for_vulkan
    from gemma_mtp.models.build.system import System
    from gemma_mtp.models.convert.converter import download

    made = folder / "build"
    with tempfile.TemporaryDirectory() as scratch:
        source = unpacked(archive or download(Path(scratch)), Path(scratch) / "source")
        words = ["cmake", "-S", str(source / "vendor" / "llama.cpp"), "-B", str(made), *BUILD]
        if missing := missing_for_vulkan(System()):
            print(f"Without Vulkan, whose {missing}.", flush=True)
        else:
            words.append("-DGGML_VULKAN=ON")
        subprocess.run([*words, *shlex.split(os.environ.get("CMAKE_ARGS", ""))], check=True)
        make = ["cmake", "--build", str(made), "-j", str(os.cpu_count()), "--target"]
        subprocess.run([*make, "llama", "ggml", "ggml-rpc"], check=True)
    # The bindings want libmtmd, too; nothing here uses it.
    theirs = (Path(llama_cpp.__file__).parent / "lib").glob("libmtmd*")
    for file in [*(made / "bin").glob("*.so*"), *theirs]:
        (folder / file.name).unlink(missing_ok=True)
        shutil.copy(file, folder, follow_symlinks=False)


@contextmanager
def workers(folder: Path, count: int) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[str]]]:
    """Processes that are devices, and their addresses; they are ended afterwards."""
    found: list[subprocess.Popen[bytes]] = []
    ports = []
    try:
        for _ in range(count):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            words = [str(HERE / "devices" / "rpc_worker.py"), str(folder), str(port), str(MEMORY)]
            quiet = subprocess.DEVNULL
            env = {**os.environ, "SOFTWARE_DEVICES": ""}  # a device that has no other one
            process = subprocess.Popen(
                [sys.executable, *words], stdout=quiet, stderr=quiet, env=env
            )
            found.append(process)
            ports.append(port)
        for port in ports:
            wait_for(port)
        yield found, [f"127.0.0.1:{port}" for port in ports]
    finally:
        for process in found:
            process.kill()
            process.wait()


def wait_for(port: int, most: float = 30.0) -> None:
    until = time.monotonic() + most
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"no worker listens on port {port}")


def surroundings(folder: Path, addresses: list[str]) -> dict[str, str]:
    """The environment of a process that finds the devices."""
    own = {"LLAMA_CPP_LIB_PATH": str(folder.resolve()), "SOFTWARE_DEVICES": " ".join(addresses)}
    path = os.pathsep.join([str(HERE / "devices"), str(HERE.parent)])
    # For a trace llama.cpp starts gdb, which has a Python that would find the devices, too.
    own["GGML_NO_BACKTRACE"] = "1"
    if not addresses:
        own["GGML_VK_VISIBLE_DEVICES"] = "0"  # admits a device that is a processor
    return {**os.environ, **own, "PYTHONPATH": path}


# What the process does that finds the devices.


def pairs(names: list[str], scratch: Path, layers: int) -> Iterator[Any]:
    """The built-in pair, and small ones with random weights: dense, and with experts."""
    from gemma_mtp.api import PairFiles
    from gemma_mtp.models.catalogue import load_catalogue
    from gemma_mtp.models.random_pair import random_pair
    from gemma_mtp.models.store import Store

    catalogue = load_catalogue()
    small: dict[str, Any] = {"layers": layers, "width": 512, "vocabulary": 32_768}
    changed = {
        "dense": ("12b", {**small, "feed_forward": 2048}),
        "experts": ("26b", {**small, "experts": 16, "experts_used": 4}),
    }
    for name in names:
        if name == "tiny":
            yield Store(catalogue).resolve("tiny", None)
            continue
        size, fields = changed[name]
        entry = catalogue.find(size)
        assert entry is not None
        assert entry.shape is not None
        entry = replace(entry, shape=replace(entry.shape, **fields))
        paths = [scratch / f"{name}-{role}.gguf" for role in ("target", "drafter")]
        for path, file in zip(paths, random_pair(entry), strict=True):
            file.write(path, lambda share: True)
        yield PairFiles(name, *paths)


def ways(
    files: Any,
    gpus: tuple[Any, ...],
    context: int = CONTEXT,
    shortlists: bool = False,
    flash_attn: str = "auto",
) -> Iterator[tuple[str, Any]]:
    """Placements of a pair by name; `shortlists`: with room to choose candidates there."""
    from gemma_mtp.api import LoadOptions
    from gemma_mtp.models.gguf import describe, read_header
    from gemma_mtp.resident.placing import asked, placements

    header = read_header(files.target)
    layers = describe(header).layers
    one = gpus[:1]

    def chosen(devices: tuple[Any, ...], **options: Any) -> Any:
        wished = LoadOptions(context=context, flash_attn=flash_attn, **options)
        shape, weights, wanted = asked(files, wished)
        found = shape, weights, replace(wanted, shortlist=shortlists)
        return next(placements(files, wished, devices, found))

    whole = chosen(one, gpu_layers=-1, cpu_experts=0)
    yield "all", whole
    yield "some", chosen(one, gpu_layers=(layers + 1) * 2 // 3, cpu_experts=0)
    yield "one", chosen(one, gpu_layers=1, cpu_experts=0)
    yield "none", chosen(one, gpu_layers=0)
    (share,) = whole.gpus
    yield "drafter beside", replace(whole, drafter="", gpus=(replace(share, bytes=0),))
    if any("_exps" in name for name in header.tensors):
        yield "all experts apart", chosen(one, gpu_layers=-1, cpu_experts=-1)
        yield "some experts apart", chosen(one, gpu_layers=-1, cpu_experts=layers // 2)
    if len(gpus) > 1:
        halves = tuple(replace(gpu, free=gpu.free // 4, total=gpu.total // 4) for gpu in gpus)
        both = chosen(halves, gpu_layers=-1, cpu_experts=0)
        yield "two devices", both if len(both.gpus) > 1 else _parted(whole, gpus)


def _parted(whole: Any, gpus: tuple[Any, ...]) -> Any:
    """A pair that is small enough for one device, on two all the same."""
    from gemma_mtp.api import DeviceShare

    last = whole.of // 2
    first = DeviceShare(gpus[0].name, whole.of - last, 0, gpus[0].free)
    second = DeviceShare(gpus[1].name, last, 0, gpus[1].free)
    return replace(whole, gpus=(first, second), drafter=gpus[1].name)


def check(names: list[str], tokens: int, options: bool, layers: int, flash_attn: str) -> int:
    """Compare, print, and count errors; `options`: those that are measured."""
    from gemma_mtp.models.machine import this_machine

    gpus = this_machine().gpus
    if not gpus:
        raise SystemExit("llama.cpp finds no device but the CPU here")
    print("device", *(f"{gpu.name} ({gpu.description})" for gpu in gpus))
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for files in pairs(names, Path(scratch), layers):
            if options:
                wrong += check_options(files, gpus, tokens)
            else:
                wrong += check_pair(files, gpus, tokens, flash_attn)
    return wrong


def check_options(files: Any, gpus: tuple[Any, ...], tokens: int) -> int:
    """One pair in some placements, with options of its devices."""
    from gemma_mtp.api import ON_CPU, LoadOptions
    from gemma_mtp.engine.loading import load

    options = LoadOptions(context=LONG_CONTEXT, threads=1, log_file=Path(os.devnull))
    wrong = 0
    with closing(load(files, options, placement=ON_CPU)) as cpu:
        plain = {asked: written(cpu, asked) for asked in requests(tokens, long_text(cpu))}
        for name, placement in ways(files, gpus, LONG_CONTEXT):
            for words, on_device in settings() if name in TRIED else ():
                begun = time.monotonic()
                with closing(
                    load(files, options, placement=placement, on_device=on_device)
                ) as there:
                    took = time.monotonic() - begun
                    texts = [same(cpu, there, asked, end) for asked, end in plain.items()]
                    wrong += sum("WRONG" in text for text in texts)
                    chosen = there.info.device_choice
                    print(f"{files.name:8} {name:19} {words}; loaded in {took:.0f} s")
                    for duel in chosen.duels:
                        print(f"{'':28} {duel}")
                    print(f"{'':28} {chosen.options}: {'; '.join(texts)}", flush=True)
    return wrong


def long_text(engine: Any) -> str:
    """A message of about LONG_PROMPT tokens."""
    from gemma_mtp.api import Message, Request

    length = len(engine.prompt(Request((Message.text("user", PROMPT * 8),))))
    return PROMPT * (8 * LONG_PROMPT // length + 1)


def settings() -> Iterator[tuple[str, Any]]:
    """What is known of the options of a device: each in turn, and nothing."""
    from gemma_mtp.api import DeviceOptions
    from gemma_mtp.engine.device_choice import OnDevice

    for piece, flash in ((1024, None), (2048, None), (512, False), (2048, False)):
        yield "forced", forced(DeviceOptions(piece, flash))
    yield "forced", forced(DeviceOptions(shortlist=True))
    yield "chosen", OnDevice(None, lambda options: True)


def forced(options: Any) -> Any:
    """As if these had been chosen before."""
    from gemma_mtp.api import DeviceChoice
    from gemma_mtp.engine.device_choice import OnDevice

    return OnDevice(DeviceChoice(options), lambda options: True)


def check_pair(files: Any, gpus: tuple[Any, ...], tokens: int, flash_attn: str) -> int:
    """One pair in all placements."""
    from gemma_mtp.api import ON_CPU, LoadOptions
    from gemma_mtp.engine.loading import load

    options = LoadOptions(
        context=CONTEXT, threads=1, flash_attn=flash_attn, log_file=Path(os.devnull)
    )
    wrong = 0
    with closing(load(files, options, placement=ON_CPU)) as cpu:
        plain = {asked: written(cpu, asked) for asked in requests(tokens)}
        for name, placement in ways(files, gpus, flash_attn=flash_attn):
            begun = time.monotonic()
            with closing(load(files, options, placement=placement)) as there:
                texts = [same(cpu, there, asked, end) for asked, end in plain.items()]
                wrong += sum("WRONG" in text for text in texts)
                equal = rows_by_width(there)
                took = time.monotonic() - begun
                print(f"{files.name:8} {name:19} {told(placement, there)}")
                print(f"{'':8} {'':19} {'; '.join(texts)}; rows {equal}; {took:.0f} s", flush=True)
    return wrong


def rows_by_width(engine: Any) -> str:
    """Whether rows of widths 2 to 8 are the same bits, as exact mode needs it."""
    from gemma_mtp.api import Message, Request
    from gemma_mtp.decoding.row_probe import ROWS, probe_rows
    from gemma_mtp.decoding.transcript import of_tokens

    tokens = engine.prompt(Request((Message.text("user", PROMPT * 3),)))
    position = len(tokens) - ROWS - WIDEST
    engine.cache.rewind(0)
    for _ in engine.cache.prefill(of_tokens(tokens[:position]), True, None):
        pass
    found = probe_rows(engine.pair.target, tokens[position:], position, WIDEST)
    engine.cache.rewind(0)
    different = {width: off for width, off in found.items() if width > 1 and off}
    off = ", ".join(f"{width} by {size:.2g}" for width, size in different.items())
    return f"differ at widths {off}" if off else "same bits"


def requests(tokens: int, text: str = PROMPT) -> list[Any]:
    from gemma_mtp.api import Message, Request, Sampling

    prompt = (Message.text("user", text),)
    return [
        Request(prompt, Sampling(temperature=t), seed=1, exact=True, draft=k, max_tokens=tokens,
                ignore_end=True)
        for t in (0.0, 1.0) for k in (0, 3)
    ]  # fmt: skip


def written(engine: Any, asked: Any) -> Any:
    from gemma_mtp.measure.replies import reply_from_empty_cache

    return reply_from_empty_cache(engine, asked, Event())


def same(cpu: Any, there: Any, asked: Any, plain: Any) -> str:
    """How the reply of a placement compares with that of the CPU."""
    from gemma_mtp.measure.verify.difference import first_difference, judge

    end = written(there, asked)
    label = f"T{asked.sampling.temperature:g} k{asked.draft}"
    drafts = f" {end.stats.accepted}/{end.stats.drafted}" if end.stats.drafted else ""
    at = first_difference(plain.token_ids, end.token_ids)
    if at is None:
        return f"{label}{drafts} same"
    rows = [row_at(engine, asked, plain.token_ids[:at]) for engine in (cpu, there)]
    position = cpu.prompts.of(asked).end + at
    both = plain.token_ids[at], end.token_ids[at]
    found = judge(rows, asked.sampling, plain.seed, position, at, *both)
    sound = found.near_tie and found.rounding < WRONG
    word = "near-tie" if sound else "WRONG"
    return f"{label}{drafts} {word} at {at} (rounding {found.rounding:.2g})"


def row_at(engine: Any, asked: Any, common: Any) -> Any:
    """The logits behind a text that both have in common."""
    from gemma_mtp.decoding.row_probe import row_after
    from gemma_mtp.decoding.sampler import capped

    prompt = engine.prompts.of(asked)
    engine.cache.rewind(0)
    for _ in engine.cache.prefill(prompt, True, engine.prompts.lasting(asked, prompt)):
        pass
    row = engine.cache.last_row
    if common:
        row = row_after(engine.pair.target, common, prompt.end, 2)
    engine.cache.rewind(0)
    return capped(row.copy(), engine.pair.target.softcap)


def told(placement: Any, there: Any) -> str:
    """Megabytes on each device, as estimated and as announced."""
    parts = []
    for guess, real in zip(placement.gpus, there.info.placement.gpus, strict=True):
        off = f", {guess.bytes / real.bytes - 1:+.1%}" if guess.bytes and real.bytes else ""
        sizes = f"{guess.bytes / 1e6:.1f} estimated, " if guess.bytes else ""
        sizes += f"{real.bytes / 1e6:.1f} MB taken{off}"
        parts.append(f"{guess.name} {guess.layers} of {placement.of} layers, {sizes}")
    return "; ".join(parts) or "CPU"


def vanish(folder: Path) -> int:
    """Kill a worker amid a reply of the engine that stays, and show what is said."""
    with tempfile.TemporaryDirectory(prefix="gm-") as home, ExitStack() as undo:
        found, addresses = undo.enter_context(workers(folder, 1))
        env = {**surroundings(folder, addresses), "GEMMA_MTP_HOME": home}
        command = [sys.executable, "-m", "gemma_mtp"]
        undo.callback(subprocess.run, [*command, "stop", "--force"], env=env, check=False)
        asked = ["run", "tiny", "Tell me a story.", "--max-tokens", "2000", "--keep-alive", "1m"]
        pipe = subprocess.PIPE
        run = subprocess.Popen([*command, *asked], env=env, stdout=pipe, stderr=pipe, text=True)
        assert run.stdout is not None
        first = run.stdout.read(20)
        found[0].kill()
        rest, errors = run.communicate(timeout=60)
        print(f"words so far: {first + rest!r}\nsaid: {errors}status: {run.returncode}")
        return int("Traceback" in errors or run.returncode in (0, -6))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("build", "rpc", "vulkan", "vanish", "tests", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--archive", type=Path, help="llama-cpp-python's source archive")
    parser.add_argument("--pairs", nargs="*", default=["tiny", "dense", "experts"])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--layers", type=int, default=12, help="of dense and experts")
    parser.add_argument("--flash-attn", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--options", action="store_true", help="with those that are measured")
    args = parser.parse_args()
    if args.what == "build":
        args.folder.mkdir(parents=True, exist_ok=True)
        build(args.folder, args.archive)
        return 0
    if args.what == "vanish":
        return vanish(args.folder)
    if args.what == "check":  # the process that finds the devices
        return int(check(args.pairs, args.tokens, args.options, args.layers, args.flash_attn) > 0)
    words = [str(Path(__file__)), "check", str(args.folder), "--tokens", str(args.tokens)]
    words += ["--layers", str(args.layers), "--flash-attn", args.flash_attn]
    words += ["--pairs", *args.pairs, *(["--options"] if args.options else [])]
    if args.what == "tests":
        words = ["-m", "pytest", "-p", "no:cacheprovider", "-rs", str(HERE.parent / DEVICE_TESTS)]
    with workers(args.folder, 0 if args.what == "vulkan" else 2) as (_, addresses):
        env = surroundings(args.folder, addresses)
        env |= {} if addresses else {"SOFTWARE_DEVICES": ""}
        return subprocess.run([sys.executable, *words], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
