"""Figures of all replies since the server was started, as Prometheus reads them.

What llama-server counts, too, has its names, so that dashboards for it work; what only gemma-mtp
has is counted for each model under names of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from gemma_mtp.api import Stats
from gemma_mtp.server.record import Record

Labels = tuple[tuple[str, str], ...]
OTHER = "other"  # in place of a path that is none: anybody can make up more of those

LIKE_LLAMA_SERVER: dict[str, tuple[str, str, Callable[[Stats], float]]] = {
    "prompt_tokens_total": (
        "counter",
        "Prompt tokens that were evaluated.",
        lambda s: s.evaluated_tokens,
    ),
    "prompt_seconds_total": ("counter", "Seconds spent on that.", lambda s: s.prefill_seconds),
    "tokens_predicted_total": ("counter", "Tokens generated.", lambda s: s.completion_tokens),
    "tokens_predicted_seconds_total": (
        "counter",
        "Seconds spent on that.",
        lambda s: s.decode_seconds,
    ),
    "prompt_tokens_seconds": (
        "gauge",
        "Prompt tokens evaluated a second, on average.",
        lambda s: _rate(s.evaluated_tokens, s.prefill_seconds),
    ),
    "predicted_tokens_seconds": (
        "gauge",
        "Tokens generated a second, on average.",
        lambda s: s.tokens_per_second,
    ),
}

OURS: dict[str, tuple[str, str, Callable[[Stats], float | None]]] = {
    "cached_tokens_total": (
        "counter",
        "Prompt tokens that were in the cache already.",
        lambda s: s.cached_tokens,
    ),
    "generated_tokens_total": ("counter", "Tokens generated.", lambda s: s.completion_tokens),
    "rounds_total": ("counter", "Rounds: checks by the target.", lambda s: s.rounds),
    "drafted_tokens_total": ("counter", "Tokens that were drafted.", lambda s: s.drafted),
    "accepted_tokens_total": ("counter", "Drafts that were accepted.", lambda s: s.accepted),
    "acceptance_ratio": ("gauge", "Accepted over drafted.", lambda s: s.acceptance_rate),
    "tokens_per_round": (
        "gauge",
        "Tokens that one round brings; without drafts it is 1.",
        lambda s: s.mean_accepted_length,
    ),
    "speedup_ratio": ("gauge", "Speed against plain decoding here.", lambda s: s.speedup),
}


class Metrics:
    """Told of each request that is over."""

    def __init__(self) -> None:
        self._replies: dict[str, Stats] = {}  # totals by model
        self._requests: Counter[Labels] = Counter()

    def add(self, record: Record, paths: Iterable[str]) -> None:
        """Count it; `paths` are those that exist."""
        path = record.path if record.path in paths else OTHER
        self._requests[("path", path), ("status", str(record.status))] += 1
        if record.end is not None:
            known = self._replies.get(record.model)
            self._replies[record.model] = known + record.end.stats if known else record.end.stats

    def text(self, in_progress: int, waiting: int) -> str:
        """All of it, in Prometheus' text format."""
        return "\n".join(self._lines(in_progress, waiting)) + "\n"

    def _lines(self, in_progress: int, waiting: int) -> Iterator[str]:
        total = sum(self._replies.values(), Stats())
        for name, (kind, help, of) in LIKE_LLAMA_SERVER.items():
            yield from _metric(f"llamacpp:{name}", kind, help, {(): of(total)})
        for name, number in (("processing", in_progress), ("deferred", waiting)):
            yield from _metric(f"llamacpp:requests_{name}", "gauge", "Requests.", {(): number})
        help = "Requests that are over."
        yield from _metric("gemma_mtp_requests_total", "counter", help, self._requests)
        for name, (kind, help, ours) in OURS.items():
            found: dict[Labels, float | None] = {
                (("model", model),): ours(stats) for model, stats in self._replies.items()
            }
            yield from _metric(f"gemma_mtp_{name}", kind, help, found)


def _metric(
    name: str, kind: str, help: str, values: Mapping[Labels, float | None]
) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        if value is not None:
            inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
            yield f"{name}{{{inside}}} {value:.10g}" if inside else f"{name} {value:.10g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _rate(count: float, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0
