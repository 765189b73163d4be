"""Everything that is to be known of a graphics card, in one table and one JSON, within a time.

    python benchmarks/real_card.py FOLDER [--archive llama_cpp_python-0.3.36.tar.gz]
        [--server SERVER] [--sizes 12b 26b 31b] [--pair TARGET DRAFTER] [--minutes 12]

Needs no network. With --archive, which is llama-cpp-python's source archive, llama.cpp and
llama-server are built for the card first, as scripts/chat would choose or CMAKE_ARGS says (cmake,
ninja or make, and the card's compiler have to be there), unless FOLDER holds that build already;
without it, the llama.cpp that is installed is measured. Then follow doctor, tests of devices and
others that use the engine (where pytest is installed), pairs of real shapes with random weights at
acceptance 0.5, 0.75 and 0.9, the 26B with its experts on the CPU, and llama-server on the same
files. FOLDER gets pairs, build, logs, report.json and report.md. What there is no time for is left
out, and said.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import sleep, time
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

SIZES = ("12b", "26b", "31b")
# Those that are meant for a GPU come first; the time may not suffice for all of the others.
TESTS = {
    "devices": ("tests/devices",),
    "engine": ("tests/llama/test_release.py", "tests/engine/test_tiny.py",
               "tests/engine/test_engine.py"),
}  # fmt: skip
HEADS = ("card, date", "pair", "plain tok/s", "k = 1, 2, 3, 4 and auto at 0.75, times plain",
         "auto against the best fixed", "llama-server, k = 3", "outside llama.cpp")  # fmt: skip
ACCEPTANCE = 0.75  # what these heads say
GRACE = 2.0  # seconds in which a program that was told to end does so
LOADS = "import gemma_mtp.llama"  # whether what was built can be used
SPLIT = ("26b",)  # measured with its experts on the CPU as well
# Variables that are kept over a restart: seconds since the epoch, and what came of the build.
STARTED, BUILT = "REAL_CARD_STARTED", "REAL_CARD_BUILT"
LAST_SECONDS = 10  # kept free for writing the report
BUILD_SHARE, SERVER_BUILD_SHARE, TEST_SECONDS = 0.6, 0.2, 90
WITHOUT = ("TESTS", "EXAMPLES", "UI", "APP")  # parts of llama.cpp


@dataclass
class Session:
    """What was found so far, and how much time is left. `machine`: on what it was found; None as
    long as llama.cpp was not asked, which a driver that hangs would not answer at the end."""

    folder: Path
    end: float
    machine: dict[str, Any] | None = None
    skipped: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    pages: list[Any] = field(default_factory=list)

    @property
    def left(self) -> float:
        return max(self.end - LAST_SECONDS - time(), 0.0)

    def skip(self, sentence: str) -> None:
        self.skipped.append(sentence)
        self.say(f"skipped: {sentence}")

    def say(self, words: str) -> None:
        print(f"[{self.left:4.0f} s left] {words}", file=sys.stderr, flush=True)

    def run(self, name: str, *command: Any, seconds: float, **env: str) -> int | None:
        """The status of a program whose output goes to a log; None where it took too long."""
        if seconds < 1:
            self.skip(f"{name}: no time was left.")
            return None
        self.say(f"{name}: {seconds:.0f} s")
        with (self.folder / f"{name}.log").open("w") as log:
            try:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdout=log,
                    stderr=log,
                    cwd=ROOT,
                    env={**os.environ, **env},
                    start_new_session=True,  # so that what it started can be ended with it
                )
            except OSError as error:
                self.skip(f"{name}: {error}.")
                return None
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.skip(f"{name}: not done after {seconds:.0f} s ({name}.log).")
                return None
            finally:
                end(process)
        if status:
            self.skip(f"{name}: ended with status {status} ({name}.log).")
        return status


def end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started; a server that it started may want to say goodbye."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            over = time() + GRACE
            while time() < over:  # until none of them is left, which raises
                os.killpg(process.pid, 0)
                sleep(0.05)


# --- the build -------------------------------------------------------------------------------


def build(session: Session, archive: Path, with_server: bool = True) -> Path | None:
    """A folder with llama_cpp and the libraries built for this machine; None where that failed.

    llama-server is in build/bin, if there was time for it.
    """
    from gemma_mtp.models.build.choice import choose

    site, work = session.folder / "site", session.folder / "build"
    if (site / "done").is_file():
        return site
    chosen = choose().build
    session.say(f"building llama.cpp for {chosen.reason}")
    session.found["build"] = chosen.kind
    source = unpacked(archive, session.folder / "source")
    arguments = os.environ.get("CMAKE_ARGS") or chosen.arguments
    options = [*shlex.split(arguments), "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON"]
    options += ["-DCMAKE_INSTALL_RPATH=$ORIGIN", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON"]
    options += ["-DGGML_CUDA_NCCL=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF"]
    options += [*(f"-DLLAMA_BUILD_{part}=OFF" for part in WITHOUT)]
    if shutil.which("ninja"):
        options += ["-G", "Ninja"]
    cmake = ("cmake", "-S", source / "vendor/llama.cpp", "-B", work, *options)
    cores = str(os.cpu_count() or 1)
    make = ("cmake", "--build", work, "-j", cores, "--target")
    if session.run("configure", *cmake, seconds=60) != 0:
        return None
    if session.run("compile", *make, "llama", seconds=BUILD_SHARE * session.left) != 0:
        return None
    shutil.copytree(source / "llama_cpp", site / "llama_cpp", dirs_exist_ok=True)
    (site / "llama_cpp" / "lib").mkdir(exist_ok=True)
    for library in (work / "bin").glob("*.so*"):
        shutil.copy(library, site / "llama_cpp" / "lib")
    if session.run("load", sys.executable, "-c", LOADS, seconds=60, **with_libraries(site)) != 0:
        return None
    (site / "done").touch()
    if with_server:
        seconds = SERVER_BUILD_SHARE * session.left
        session.run("compile-server", *make, "llama-server", seconds=seconds)
    return site


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder that a source archive holds."""
    if not folder.is_dir():
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if (path / "vendor").is_dir())


def cuda_folders() -> list[str]:
    """Where CUDA's libraries lie, which a build of our own does not search."""
    places = [Path("/usr/local/cuda/lib64"), Path("/usr/local/cuda/targets/x86_64-linux/lib")]
    found = importlib.util.find_spec("nvidia")
    for folder in (found.submodule_search_locations or ()) if found else ():
        places += Path(folder).glob("*/lib")
    return [str(place) for place in places if place.is_dir()]


def with_libraries(site: Path) -> dict[str, str]:
    """Variables with which Python finds what was built."""
    paths = [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]
    libraries = [*cuda_folders(), os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "LD_LIBRARY_PATH": os.pathsep.join(path for path in libraries if path),
    }


def restarted_with(site: Path, session: Session) -> None:
    """Go on in this program with the llama.cpp that was built."""
    os.environ[BUILT] = json.dumps({"found": session.found, "skipped": session.skipped})
    os.environ.update(with_libraries(site))
    os.execv(sys.executable, [sys.executable, *sys.argv])


# --- what is measured ------------------------------------------------------------------------


def suite(session: Session) -> None:
    """Tests of devices, and others that use the engine with whatever devices it takes by itself."""
    if importlib.util.find_spec("pytest") is None:
        session.skip("tests: pytest is not installed.")
        return
    for name, files in TESTS.items():
        seconds = min(TEST_SECONDS, session.left / 6)
        command = (sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *files)
        status = session.run(f"tests-{name}", *command, seconds=seconds)
        *_, last = ["", *(session.folder / f"tests-{name}.log").read_text().splitlines()]
        said = {None: "not finished", 0: "passed"}.get(status, "failed")
        more = f" ({last.strip()})" if status != 0 and last.strip() else ""
        session.found.setdefault("tests", {})[name] = said + more


class Writers:
    """Pairs of real shapes that are written while other things happen, a program for each size."""

    def __init__(self, folder: Path, sizes: Sequence[str]) -> None:
        program = [sys.executable, str(ROOT / "benchmarks" / "real_shapes.py"), str(folder)]
        self._running = {
            size: subprocess.Popen([*program, size], stdout=subprocess.DEVNULL)
            for size in sizes
            if not is_written(folder, size)
        }

    def wait(self, session: Session, until: float) -> None:
        """End those that are not done when so many seconds are left."""
        for size, process in self._running.items():
            try:
                process.wait(max(session.left - until, 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                session.say(f"{size}: its pair was not written in time")


def files_of(folder: Path, size: str) -> tuple[Path, Path]:
    return folder / f"{size}-Q4_0.gguf", folder / f"mtp-{size}-Q4_0.gguf"


def is_written(folder: Path, size: str) -> bool:
    from gemma_mtp.models.catalogue import load_catalogue
    from gemma_mtp.models.random_pair import random_pair

    entry = load_catalogue().find(size)
    assert entry is not None, f"no shape is called {size}"
    pair = zip(files_of(folder, size), random_pair(entry), strict=True)
    return all(file.is_file() and file.stat().st_size == made.size for file, made in pair)


def measure(
    session: Session,
    name: str,
    target: Path,
    drafter: Path,
    tokens: int,
    load: dict[str, Any],
    seconds: float,
) -> None:
    """One pair at all lengths and chances, into the session."""
    from gemma_mtp.api import LoadOptions, PairFiles
    from gemma_mtp.measure.bench.limit import Limit
    from gemma_mtp.measure.bench.report_page import about_pair
    from gemma_mtp.measure.bench.report_runs import ACCEPTANCES, PLAN, Measured, measure_pair
    from gemma_mtp.resident.pairs import load as loaded

    session.say(f"{name}: {seconds:.0f} s")
    limit = Limit(min(seconds, session.left))
    options = LoadOptions(context=2048, log_file=session.folder / f"{name}.log", **load)
    files = PairFiles(name, target, drafter)
    with closing(loaded(files, options, lambda share: not limit.is_set())) as engine:
        about = about_pair(files, engine.info, options, name.partition(" ")[0])
        measured = Measured({**about, "random_weights": True}, name)
        session.pages.append(measured)
        plan = replace(PLAN, tokens=tokens, repeat=1) if tokens else PLAN
        measure_pair(engine, measured, plan, ACCEPTANCES, limit)


def against_server(
    session: Session,
    name: str,
    server: Path,
    target: Path,
    drafter: Path,
    tokens: int,
    seconds: float,
) -> None:
    """llama-server on the same files, by benchmarks/compare_llama_server.py."""
    output = session.folder / f"server-{name}.json"
    command = [sys.executable, ROOT / "benchmarks" / "compare_llama_server.py", server, target]
    command += [drafter, "--draft", "3", "0", "--repeats", "3", "--json", output]
    command += ["--tokens", str(tokens or 96)]
    command += ["--threads", str(min(os.cpu_count() or 1, 16)), "--server-args=-ngl 99"]
    output.unlink(missing_ok=True)
    session.run(f"server-{name}", *command, seconds=seconds)
    if output.is_file():  # also of one that was not done: each draft length is written when it is
        session.found.setdefault("llama_server", {})[name] = {
            draft: {"ratio": row["ratio"], "ratio_range": row["ratio_range"]}
            for draft, row in json.loads(output.read_text()).items()
        }


def jobs(session: Session, args: argparse.Namespace) -> list[partial[None]]:
    """All that is to be measured, in order; each gets the seconds that it may take."""
    found: list[partial[None]] = []
    named = [("pair", *args.pair)] if args.pair else []
    for size in args.sizes:
        if is_written(session.folder, size):
            named.append((size, *files_of(session.folder, size)))
        else:
            session.skip(f"{size}: its pair was not written.")
    server = args.server or session.folder / "build/bin/llama-server"
    for name, target, drafter in named:
        found.append(partial(measure, session, name, target, drafter, args.tokens, {}))
        if name in SPLIT:
            split = {"cpu_experts": -1}
            job = partial(measure, session, f"{name} split", target, drafter, args.tokens, split)
            found.append(job)
        if server.is_file():
            found.append(
                partial(against_server, session, name, server, target, drafter, args.tokens)
            )
    if named and not server.is_file():
        session.skip("llama-server: it is not there.")
    return found


def do(session: Session, todo: Sequence[partial[None]]) -> None:
    """All of these. What was measured before is not lost where one fails, nor where llama.cpp ends
    the program."""
    from gemma_mtp.errors import Cancelled

    for done, job in enumerate(todo):
        name = job.args[1]
        session.skipped.append(f"{name}: the program ended in the middle of it.")
        write_report(session)
        at = len(session.skipped) - 1
        try:
            job(session.left / (len(todo) - done))
        except Cancelled:
            session.skip(f"{name}: not loaded in time.")
        except Exception as error:
            session.skip(f"{name}: {error}")
        finally:
            del session.skipped[at]
    write_report(session)


# --- the report ------------------------------------------------------------------------------


def summary(machine: dict[str, Any], pages: Sequence[Any], servers: dict[str, Any]) -> list[str]:
    """A row for each pair, as docs/speed.md has them."""
    gpus = " + ".join(gpu["name"] for gpu in machine["gpus"]) or machine["cpu"]
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for pair in pages:
        results = pair.by_acceptance.get(ACCEPTANCE)
        if results is None or results.plain is None:
            continue
        known = {one.draft: one.speedup for one in results.summaries}
        speedups = ", ".join(number(known.get(draft)) for draft in ("1", "2", "3", "4", "auto"))
        row = [f"{gpus}, {machine['date']}", pair.name, f"{results['off'].tokens_per_second:.1f}"]
        row += [speedups, number(results.auto_vs_best)]
        row += [number(servers.get(pair.name, {}).get("3", {}).get("ratio"))]
        row += ["-" if pair.host_share is None else f"{pair.host_share:.1%}"]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def look_at_machine(session: Session) -> None:
    """What hardware and software this is, as llama.cpp and its drivers say."""
    try:
        from gemma_mtp.llama import versions
        from gemma_mtp.measure.bench import report_page
        from gemma_mtp.models.machine import this_machine

        session.machine = report_page.about_machine(this_machine(), versions())
    except Exception as error:  # such as no llama.cpp that can be loaded; why is in the logs
        session.skip(f"the machine: {error}")


def write_report(session: Session) -> None:
    """report.json and report.md in the folder, from what there is."""
    servers = session.found.get("llama_server", {})
    found: dict[str, Any] = {}
    lines = []
    if session.machine is not None:
        from gemma_mtp.measure.bench import report_page

        found = report_page.as_json(session.machine, session.pages)
        lines += [*summary(session.machine, session.pages, servers), ""]
        lines.append(report_page.page(session.machine, session.pages).partition("```json")[0])
    found |= {**session.found, "skipped": session.skipped}
    (session.folder / "report.json").write_text(json.dumps(found, indent=1))
    lines += [f"build: {session.found['build']}"] if "build" in session.found else []
    lines += [f"tests of {name}: {said}" for name, said in session.found.get("tests", {}).items()]
    lines += [
        f"{name}, k = {draft}: llama-server's rounds take {row['ratio']:.3f} times as long as ours"
        for name, drafts in servers.items()
        for draft, row in drafts.items()
    ]
    lines += [f"skipped: {sentence}" for sentence in session.skipped]
    (session.folder / "report.md").write_text("\n".join([*lines, ""]))


def end_in_time(session: Session) -> None:
    """Where llama.cpp or a driver hangs, write what there is and end."""

    def end() -> None:
        session.skipped.append("The time was over in the middle of something.")
        write_report(session)
        os._exit(3)

    watch = threading.Timer(session.end - time(), end)
    watch.daemon = True
    watch.start()


def main() -> int:
    args = parse()
    args.folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("GEMMA_MTP_HOME", str(args.folder / "home"))
    started = float(os.environ.setdefault(STARTED, str(time())))
    session = Session(args.folder, started + 60 * args.minutes)
    end_in_time(session)
    writers = Writers(args.folder, args.sizes)
    if BUILT in os.environ:
        before = json.loads(os.environ[BUILT])
        session.found, session.skipped = before["found"], before["skipped"]
    elif args.archive:
        site = build(session, args.archive, with_server=args.server is None)
        writers.wait(session, until=session.left / 2)
        if site is not None:
            restarted_with(site, session)
    look_at_machine(session)
    session.run("doctor", sys.executable, "-m", "gemma_mtp", "doctor", "--offline", seconds=60)
    if not args.no_tests:
        suite(session)
    writers.wait(session, until=session.left / 2)
    try:
        do(session, jobs(session, args))
    except KeyboardInterrupt:
        session.skip("the rest: stopped by Ctrl-C.")
    write_report(session)
    print((args.folder / "report.md").read_text())
    print(f"All of it: {args.folder / 'report.json'}")
    return 0 if session.pages else 1


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--archive", type=Path, help="llama-cpp-python's source archive")
    parser.add_argument("--server", type=Path, help="a llama-server to compare with")
    parser.add_argument("--sizes", nargs="*", choices=("e2b", "e4b", *SIZES))
    parser.add_argument("--pair", nargs=2, type=Path, help="measure these files, too")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--tokens", type=int, default=0, help="of each run, each made once")
    parser.add_argument("--no-tests", action="store_true")
    args = parser.parse_args(arguments)
    args.folder = args.folder.absolute()
    if args.sizes is None:
        args.sizes = [] if args.pair else list(SIZES)
    return args


if __name__ == "__main__":
    sys.exit(main())
