"""gemma-mtp against llama-server: the same files, threads, draft length and acceptance.

    python benchmarks/compare_llama_server.py SERVER TARGET DRAFTER [--threads 2]
        [--acceptance 0.75]

SERVER is a llama-server built from the sources inside llama-cpp-python's source archive:

    pip download --no-deps --no-binary :all: llama-cpp-python==0.3.36 && tar xf llama_cpp_python-*
    cmake -S llama_cpp_python-*/vendor/llama.cpp -B server -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=ON -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF
    cmake --build server --target llama-server      # then SERVER is server/bin/llama-server

It is started with the libllama and libggml that gemma-mtp itself runs on, so that only what is
above them differs. Drafts are accepted by chance on both sides, so random weights will do
(benchmarks/real_shapes.py). Runs alternate: A B, B A, ... All tokens but the first are counted, and
prefill is not. Since the accepted lengths of two runs differ by chance, the table also has the time
of a round, and the tok/s that this time means at the expected length: the ratio is made of those.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gemma_mtp.llama.amx import cpu_has_amx  # noqa: E402

SERVER_ARGS = ("--cache-ram", "0", "--parallel", "1", "--no-warmup")
SERVER_REQUEST = {"temperature": 0, "ignore_eos": True, "cache_prompt": False}
# The fastest of what was tried on a CPU: no flash attention, drafts chosen by the CPU sampler, and
# the top token chosen by top-k 1.
TUNED_ARGS = ("--flash-attn", "off", "--no-spec-draft-backend-sampling")
TUNED_REQUEST = {"samplers": ["top_k"], "top_k": 1}
START_SECONDS = 180
TEXT = "The sea is wide, and the small boat goes from one island to the next. "
# llama.cpp dies of AMX (see gemma_mtp/llama/amx.py); it asks the kernel first, and this says no.
REFUSE_AMX = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
long syscall(long n, long a, long b, long c, long d, long e, long f) {
    if (n == SYS_arch_prctl && a == 0x1023) { errno = EPERM; return -1; }
    return ((long (*)(long, ...)) dlsym(RTLD_NEXT, "syscall"))(n, a, b, c, d, e, f);
}
"""


@dataclass(frozen=True)
class Run:
    """One reply: `tokens` were decoded in `rounds` and `seconds`; the prompt's first is not in."""

    side: str
    draft: int
    tokens: int
    rounds: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def round_seconds(self) -> float:
        return self.seconds / self.rounds


def expected_length(draft: int, acceptance: float) -> float:
    """Tokens of a round: 1 + P + P^2 + ... + P^draft."""
    return sum(acceptance**i for i in range(draft + 1))


def alternating(sides: Sequence[str], repeats: int) -> Iterator[str]:
    """A B, B A, A B, ...: what drifts slowly then hits all alike."""
    for i in range(repeats):
        yield from sides if i % 2 == 0 else reversed(sides)


def ratios(ours: Sequence[Run], theirs: Sequence[Run]) -> list[float]:
    """How much faster our rounds were, pair by pair: neighbours met the same conditions."""
    return [b.round_seconds / a.round_seconds for a, b in zip(ours, theirs, strict=True)]


def server_rounds(timings: dict[str, Any]) -> int:
    """Rounds of a reply of llama-server: each commits what it accepted and one token more."""
    return int(timings["predicted_n"]) - 1 - int(timings.get("draft_n_accepted", 0))


def summary(runs: Sequence[Run], acceptance: float) -> dict[str, float]:
    """Medians of runs of one kind; the spread is that of the middle half, in percent of them.

    Runs count twice, which moves little and lets one run have quartiles, too.
    """
    rounds = [run.round_seconds for run in runs]
    low, middle, high = statistics.quantiles(rounds * 2, n=4, method="inclusive")
    return {
        "tokens_per_second": statistics.median(run.tokens_per_second for run in runs),
        "mean_accepted_length": sum(r.tokens for r in runs) / sum(r.rounds for r in runs),
        "round_ms": middle * 1e3,
        "spread_percent": (high - low) / middle * 100,
        "at_expected_length": expected_length(runs[0].draft, acceptance) / middle,
    }


class Server(AbstractContextManager["Server"]):
    """A llama-server of our own, with a drafter or without."""

    def __init__(self, args: argparse.Namespace, draft: int) -> None:
        self.draft = draft
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.request = SERVER_REQUEST | (TUNED_REQUEST if args.tuned else {})
        self.log = tempfile.NamedTemporaryFile("r", suffix=".log")  # noqa: SIM115
        with open(self.log.name, "w") as log:
            self.process = subprocess.Popen(
                self._command(args), env=env(args), stdout=log, stderr=log
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise

    def _command(self, args: argparse.Namespace) -> list[str]:
        command = [args.server, "-m", args.target, "-c", args.context, "-t", args.threads]
        command += ["--host", "127.0.0.1", "--port", self.url.rpartition(":")[2], *SERVER_ARGS]
        command += TUNED_ARGS if args.tuned else ()
        if self.draft:
            rates = (args.acceptance**i for i in range(1, self.draft + 1))
            command += ["--spec-type", "draft-mtp", "--model-draft", args.drafter]
            command += ["--spec-draft-n-max", self.draft]
            command += ["--spec-synth-rates", ",".join(map(str, rates))]
        return [str(word) for word in (*command, *args.server_args.split())]

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.url + "/health").close()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        raise SystemExit("llama-server did not start:\n" + self.log.read()[-2000:])

    def run(self, prompt: Sequence[int], tokens: int, seed: int) -> Run:
        body = self.request | {"prompt": list(prompt), "n_predict": tokens, "seed": seed}
        request = urllib.request.Request(
            self.url + "/completion", json.dumps(body).encode(), {"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(request) as response:
            timings = json.load(response)["timings"]
        assert timings["predicted_n"] == tokens, "llama-server stopped early"
        seconds = timings["predicted_ms"] / 1e3
        return Run("llama-server", self.draft, tokens - 1, server_rounds(timings), seconds)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


def env(args: argparse.Namespace) -> dict[str, str]:
    """For the server: the libraries we use ourselves, and no AMX where we use none."""
    env = dict(os.environ)
    if not args.own_libraries:
        import llama_cpp

        folders = [str(Path(llama_cpp.__file__).parent / "lib"), env.get("LD_LIBRARY_PATH", "")]
        env["LD_LIBRARY_PATH"] = os.pathsep.join(folder for folder in folders if folder)
    if cpu_has_amx():
        env["LD_PRELOAD"] = str(refuse_amx(Path(tempfile.gettempdir())))
    return env


def refuse_amx(folder: Path) -> Path:
    """A library that makes llama.cpp go without AMX, as it does inside gemma-mtp."""
    source, library = folder / "refuse_amx.c", folder / "refuse_amx.so"
    source.write_text(REFUSE_AMX)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class Ours:
    """gemma-mtp's engine, in this process."""

    def __init__(self, args: argparse.Namespace) -> None:
        from gemma_mtp.api import LoadOptions, PairFiles
        from gemma_mtp.engine.loading import load

        self.acceptance = args.acceptance
        self.engine = load(
            PairFiles("compared", args.target, args.drafter),
            LoadOptions(context=args.context, threads=args.threads, log_file=Path(os.devnull)),
        )

    def request(self, words: int, draft: int, tokens: int, seed: int) -> Any:
        from gemma_mtp.api import Message, Request, Sampling

        return Request(
            (Message.text("user", TEXT * words),),
            Sampling(temperature=0),
            seed=seed,
            exact=False,
            draft=draft,
            max_tokens=tokens,
            ignore_end=True,
            synthetic_acceptance=self.acceptance if draft else None,
        )

    def run(self, request: Any) -> Run:
        """Timed from the end of prefill to the end of the reply, whatever happens between."""
        from gemma_mtp.api import End, Prefill

        self.engine.cache.rewind(0)  # llama-server is told to read its prompt anew as well
        started = 0.0
        for event in self.engine.reply(request):
            if isinstance(event, Prefill):
                started = time.perf_counter()
            if isinstance(event, End):
                seconds = time.perf_counter() - started
                stats = event.stats
        assert stats.completion_tokens == request.max_tokens, "the reply ended early"
        return Run("gemma-mtp", request.draft, stats.decoded, stats.rounds, seconds)


def compare(args: argparse.Namespace, draft: int, ours: Ours) -> dict[str, list[Run]]:
    """Runs of both sides in alternating order, after one short run each that is not counted."""
    with Server(args, draft) as server:
        request = ours.request(args.prompt_repeats, draft, args.tokens, 1)
        prompt = ours.engine.prompt(request)
        runners: dict[str, Callable[[int, int], Run]] = {
            "gemma-mtp": lambda tokens, seed: ours.run(
                ours.request(args.prompt_repeats, draft, tokens, seed)
            ),
            "llama-server": lambda tokens, seed: server.run(prompt, tokens, seed),
        }
        for run in runners.values():
            run(min(32, args.tokens), 1)
        found: dict[str, list[Run]] = {side: [] for side in runners}
        for side in alternating(list(runners), args.repeats):
            found[side].append(runners[side](args.tokens, len(found[side]) + 1))
    return found


def report(found: dict[str, list[Run]], acceptance: float) -> dict[str, Any]:
    """Print a table of one draft length, and return what is in it."""
    result: dict[str, Any] = {}
    for side, runs in found.items():
        row = result[side] = summary(runs, acceptance)
        print(
            f"{runs[0].draft:5}  {side:12}  {row['tokens_per_second']:8.2f}"
            f"  {row['mean_accepted_length']:8.2f}  {row['round_ms']:8.2f}"
            f"  {row['spread_percent']:5.1f} %  {row['at_expected_length']:8.2f}"
        )
    pairs = ratios(found["gemma-mtp"], found["llama-server"])
    result["ratio"] = statistics.median(pairs)
    result["ratio_range"] = [min(pairs), max(pairs)]
    print(f"       gemma-mtp / llama-server: {result['ratio']:.3f} ", end="")
    print(f"({min(pairs):.3f} to {max(pairs):.3f} in {len(pairs)} pairs)")
    return result


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("server", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("drafter", type=Path)
    parser.add_argument("--draft", type=int, nargs="+", default=[3, 0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--acceptance", type=float, default=0.75)
    parser.add_argument("--prompt-repeats", type=int, default=8, help="sentences in the prompt")
    parser.add_argument("--tuned", action="store_true", help="llama-server at its best on a CPU")
    parser.add_argument("--server-args", default="", help="more arguments for llama-server")
    parser.add_argument("--own-libraries", action="store_true", help="let it use its own")
    parser.add_argument("--json", type=Path, help="write all runs to this file")
    return parser.parse_args(arguments)


def main() -> None:
    args = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and llama-server ends with this
    ours = Ours(args)
    print(f"{args.threads} threads, context {args.context}, {args.tokens} tokens a run,")
    print(f"temperature 0, synthetic acceptance {args.acceptance}")
    print("draft  side             tok/s    length  ms/round   spread  tok/s at expected length")
    results = {}
    for draft in args.draft:
        found = compare(args, draft, ours)
        results[draft] = report(found, args.acceptance)
        results[draft]["runs"] = [asdict(run) for runs in found.values() for run in runs]
        if args.json:  # now, since the next one may be ended from outside
            args.json.write_text(json.dumps(results, indent=1))
    ours.engine.close()


if __name__ == "__main__":
    main()
