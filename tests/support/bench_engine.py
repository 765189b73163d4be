"""An engine for benchmarks whose rounds cost and bring what a test says; no text, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event as Flag

from support.pairs import TINY

from gemma_mtp.api import Drafted, End, Event, Message, PairInfo, Request, Stats
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.measure.bench.runs import Run
from gemma_mtp.measure.draft_lengths import draft_setting

# Verifying 1 to 9 rows in plain steps: groups of four rows are cheap.
GROUPS = (1.0, 2.0, 2.9, 1.9, 2.7, 3.7, 4.0, 3.0, 4.2)
STEEP = (1.0, 2.6, 3.0, 3.1, 5.0, 5.5, 6.2, 3.8, 6.0)


@dataclass
class CurveEngine:
    """Each draft is accepted with chance `accepts`, given those before it. `auto` drafts `chosen`
    tokens and finds a share `copied` of what is accepted in the text. The n-th reply takes
    `slowness(n)` times as long."""

    accepts: float = 0.75
    verify: tuple[float, ...] = GROUPS
    draft_step: float = 0.1
    plain_step: float = 0.05
    chosen: int = 3
    copied: float = 0.0
    slowness: Callable[[int], float] = lambda number: 1.0
    on_reply: Callable[[int], None] = lambda number: None
    plain_reason: str = ""
    gpu_layers: int = 0
    context: int = 8192
    name: str = "e2b"
    requests: list[Request] = field(default_factory=list)
    emptied: list[int] = field(default_factory=list)

    @property
    def info(self) -> PairInfo:
        sizes = (60 << 20, 0, 10**7, 10**6)
        return PairInfo(self.name, self.context, 2, self.gpu_layers, *sizes, self.plain_reason)

    @property
    def cache(self) -> CurveEngine:
        return self

    def rewind(self, length: int) -> int:
        self.emptied.append(len(self.requests))
        return length

    def reply(self, request: Request, cancel: Flag | None = None) -> Iterator[Event]:
        number = len(self.requests)
        self.requests.append(request)
        self.on_reply(number)
        cancelled = cancel is not None and cancel.is_set()
        stats = self.stats(request, number)
        message = Message.text("assistant", "")
        yield End("cancelled" if cancelled else "length", message, "", (), 0, stats)

    def stats(self, request: Request, number: int = 0) -> Stats:
        drafts = self.chosen if request.draft == "auto" else request.draft
        chance = request.synthetic_acceptance
        chance = self.accepts if chance is None else chance
        reached = [chance**i for i in range(drafts + 1)]  # that the first i drafts are accepted
        rounds, tokens = 1000, round(1000 * sum(reached))
        cost = self.verify[drafts] + drafts * self.draft_step
        seconds = rounds * cost * self.plain_step * self.slowness(number)
        histogram = [
            round(rounds * (here - after))
            for here, after in zip(reached, [*reached[1:], 0.0], strict=True)
        ]
        copied = round(self.copied * (tokens - rounds)) if request.draft == "auto" else 0
        return Stats(
            rounds=rounds,
            decoded=tokens,
            drafted=rounds * drafts,
            accepted=tokens - rounds,
            sources=(Drafted("lookup", copied, copied),),
            accepted_histogram=tuple(histogram) if drafts else (),
            decode_seconds=seconds,
            ttft_seconds=0.2,
        )

    def measure_costs(
        self,
        max_width: int = 9,
        repeats: int = 5,
        progress: Callable[[float], bool] = lambda fraction: True,
    ) -> Costs:
        assert progress(0.5)
        step = self.plain_step
        verify = {w: cost * step for w, cost in enumerate(self.verify, 1) if w <= max_width}
        return Costs(verify, self.draft_step * step, 0.0, 300)

    def close(self) -> None:
        pass


def runs(engine: CurveEngine, drafts: tuple[str, ...], repeat: int = 3) -> list[Run]:
    """The runs of a benchmark, in order."""
    found = []
    for r in range(repeat):
        for draft in drafts:
            request = Request((), draft=draft_setting(draft))
            found.append(Run(draft, r, "story", engine.stats(request, len(found))))
    return found


__all__ = ["GROUPS", "STEEP", "TINY", "CurveEngine", "runs"]
