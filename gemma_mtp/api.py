"""What goes into the engine and what comes out: plain, serialisable data.

Lines go down as a `Request`, events come up; nothing here knows llama.cpp or a terminal.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Protocol

DraftSetting = int | Literal["auto"]
"""Draft length k: "auto", or a fixed number of drafted tokens per round (0 is plain decoding)."""

MAX_DRAFT = 16

FinishReason = Literal["stop", "length", "context", "cancelled"]
"""stop: end of generation or a stop string; length: max_tokens; context: no cell left."""


DEFAULT_CONTEXT = 8192
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")

# Tokens evaluated at once. A long piece is faster on a GPU; a short one lets Ctrl-C land within a
# moment on a CPU. The size must not depend on time: other pieces give other last bits and exact
# mode other text.
GPU_PIECE, CPU_PIECE = 512, 64
MAX_WIDTH = MAX_DRAFT + 1  # rows that one round checks at the most


# States of the cache that are kept to come back to may take so many bytes together, or one part in
# so many of the model's own size, whichever is more.
SNAPSHOT_BYTES, SNAPSHOT_SHARE = 256 << 20, 16


@dataclass(frozen=True)
class PairFiles:
    """A pair on disk; of a split model, the first part.

    `drafter` None: this target has no drafter here, decode plainly; `no_drafter` may say why, as
    the rest of a sentence.
    """

    name: str
    target: Path
    drafter: Path | None
    no_drafter: str = ""


@dataclass(frozen=True)
class LoadOptions:
    """Context length in tokens, CPU threads, layers on the GPU (-1 all), KV cache type names.

    llama.cpp's own log goes to `log_file`, or to stderr when `verbose`.
    """

    context: int | None = None
    threads: int | None = None
    gpu_layers: int | None = None
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: bool | None = None
    verbose: bool = False
    log_file: Path | None = None


@dataclass(frozen=True)
class PairInfo:
    """What a loaded pair turned out to be; sizes in bytes.

    `threads` are the most that evaluate; with `adaptive_threads` fewer while others use processors.
    `plain_reason` says why there is no speculation ("" when there is); `warnings` are sentences
    about what is wrong with a pair that can be used.
    """

    name: str
    context_size: int
    threads: int
    gpu_layers: int
    target_kv_bytes: int
    drafter_kv_bytes: int
    target_parameters: int
    drafter_parameters: int
    plain_reason: str = ""
    adaptive_threads: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Message:
    """One turn. `tokens` are the ids the engine generated for exactly `content`, if it did.

    Keeping them lets a later prompt reuse the cache even where tokenizing the text again would
    split it differently.
    """

    role: Literal["system", "user", "assistant"]
    content: str
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from logits; defaults are those recommended for Gemma 4."""

    temperature: float = 1.0
    top_k: int = 64
    top_p: float = 0.95
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64


@dataclass(frozen=True)
class Request:
    """One reply to be written.

    `seed` None lets the engine pick one (reported in `End`). `exact` makes the text a function of
    model, prompt, sampling, seed and of what of the prompt was cached before, whatever is drafted;
    None means: if a seed is given. A last message of the assistant's is continued.

    For measuring: `ignore_end` goes on to `max_tokens` whatever the model says, and
    `synthetic_acceptance` accepts each draft with this chance, if those before it were, whatever
    the tokens are: the text is worthless, the cost is real.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    seed: int | None = None
    exact: bool | None = None
    draft: DraftSetting = "auto"
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    think: bool = False
    ignore_end: bool = False
    synthetic_acceptance: float | None = None

    @property
    def is_exact(self) -> bool:
        """`exact`, with None resolved."""
        return self.seed is not None if self.exact is None else self.exact


# A comparison with plain steps that differ by a larger share says nothing.
TOO_NOISY = 0.25

SpeedupBasis = Literal["measured", "estimated", "none"]
"""measured: plain steps were timed during the reply itself; estimated: earlier in the session."""


@dataclass
class Stats:
    """Counters of one reply; `+` adds replies up to a session. Times in seconds.

    A round drafts, verifies and commits `accepted + 1` tokens (the bonus token counts). The very
    first token of a reply comes from the prompt's last row and belongs to no round.
    Of the accepted drafts, `copied` were found in the text and not made by the drafter.
    `accepted_histogram[n]` is the number of rounds with a draft in which n drafts were accepted.
    `threads[n]` is the number of rounds that n threads evaluated.
    `plain_seconds` is what plain decoding would have taken for the tokens decoded in
    `compared_seconds`, from timed plain steps; both are 0 while nothing was timed.
    `plain_deviation` is how many seconds it may be off, going by how those steps differ.
    """

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    rounds: int = 0
    decoded: int = 0
    drafted: int = 0
    accepted: int = 0
    copied: int = 0
    accepted_histogram: list[int] = field(default_factory=list)
    threads: dict[int, int] = field(default_factory=dict)
    prefill_seconds: float = 0.0
    ttft_seconds: float = 0.0
    decode_seconds: float = 0.0
    draft_seconds: float = 0.0
    verify_seconds: float = 0.0
    sampling_seconds: float = 0.0
    plain_seconds: float = 0.0
    plain_deviation: float = 0.0
    compared_seconds: float = 0.0
    speedup_basis: SpeedupBasis = "none"
    context_used: int = 0
    context_size: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens decoded in rounds over the time of those rounds (no prefill)."""
        return self.decoded / self.decode_seconds if self.decode_seconds > 0 else 0.0

    @property
    def acceptance_rate(self) -> float | None:
        """Accepted over drafted tokens; None when nothing was drafted."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_accepted_length(self) -> float | None:
        """Tokens committed per round, bonus token included; None before the first round."""
        return self.decoded / self.rounds if self.rounds else None

    @property
    def draft_length(self) -> float:
        """Drafts verified per round, on average."""
        return self.drafted / self.rounds if self.rounds else 0.0

    @property
    def speedup(self) -> float | None:
        """Against plain decoding on this machine; None where too few plain steps were timed, or
        differ too much.

        Never more than a round brings, since it takes a plain step at the least.
        """
        length = self.mean_accepted_length
        if self.speedup_basis == "none" or self.compared_seconds <= 0 or length is None:
            return None
        if self.speedup_error > TOO_NOISY:
            return None
        return min(self.plain_seconds / self.compared_seconds, length)

    @property
    def speedup_error(self) -> float:
        """How far `speedup` may be off, as a share of it."""
        return self.plain_deviation / self.plain_seconds if self.plain_seconds else 0.0

    def __add__(self, later: Stats) -> Stats:
        """Totals of two replies; the context is that of the later one. Comparisons with plain
        decoding count where they were enough for a speedup of the reply's own."""
        total = Stats(**{f.name: getattr(later, f.name) for f in fields(Stats)})
        for name in _SUMMED:
            setattr(total, name, getattr(self, name) + getattr(later, name))
        for name in _COMPARED:
            counted = (s for s in (self, later) if s.speedup_basis != "none")
            setattr(total, name, sum(getattr(stats, name) for stats in counted))
        total.accepted_histogram = [
            a + b
            for a, b in zip_longest(self.accepted_histogram, later.accepted_histogram, fillvalue=0)
        ]
        total.threads = {
            count: self.threads.get(count, 0) + later.threads.get(count, 0)
            for count in sorted({*self.threads, *later.threads})
        }
        bases = {self.speedup_basis, later.speedup_basis} - {"none"}
        total.speedup_basis = (
            "none" if not bases else "estimated" if len(bases) > 1 else bases.pop()
        )
        return total

    def as_json(self) -> dict[str, Any]:
        """The `stats` object of `run --json`; rates that do not exist are null."""
        return {
            "tokens_per_second": _rounded(self.tokens_per_second),
            "rounds": self.rounds,
            "drafted": self.drafted,
            "accepted": self.accepted,
            "copied": self.copied,
            "acceptance_rate": _rounded(self.acceptance_rate),
            "draft_length": _rounded(self.draft_length),
            "mean_accepted_length": _rounded(self.mean_accepted_length),
            "accepted_histogram": self.accepted_histogram,
            "threads": {str(count): rounds for count, rounds in sorted(self.threads.items())},
            "speedup": _rounded(self.speedup),
            "speedup_error": None if self.speedup is None else _rounded(self.speedup_error),
            "speedup_basis": self.speedup_basis,
            "ttft_seconds": _rounded(self.ttft_seconds),
            "prefill_seconds": _rounded(self.prefill_seconds),
            "decode_seconds": _rounded(self.decode_seconds),
            "draft_seconds": _rounded(self.draft_seconds),
            "verify_seconds": _rounded(self.verify_seconds),
            "sampling_seconds": _rounded(self.sampling_seconds),
            "cached_tokens": self.cached_tokens,
            "context_used": self.context_used,
            "context_size": self.context_size,
        }


_SUMMED = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "rounds",
    "decoded",
    "drafted",
    "accepted",
    "copied",
    "prefill_seconds",
    "ttft_seconds",
    "decode_seconds",
    "draft_seconds",
    "verify_seconds",
    "sampling_seconds",
)
_COMPARED = ("plain_seconds", "plain_deviation", "compared_seconds")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True)
class Prefill:
    """`done` of `total` prompt tokens are in the cache; `cached` of them were there before."""

    done: int
    total: int
    cached: int


@dataclass(frozen=True)
class Text:
    """A piece of the reply, whole characters only; concatenated, the answer pieces are the answer.

    `drafted`: the token that completed it was proposed, by the drafter or as found in the text.
    `thought`: it belongs to the thought channel, not to the answer.
    """

    text: str
    drafted: bool = False
    thought: bool = False


@dataclass(frozen=True)
class Progress:
    """After each round: a snapshot of the counters, for a live status line."""

    stats: Stats


@dataclass(frozen=True)
class End:
    """Always the last event, also when the reply was stopped.

    `message` is the answer as it belongs into the history (thoughts left out), `token_ids` all
    generated ids, end-of-generation token included. `warning` is a sentence about something that
    failed and did not end the reply; it comes once, and "" means that nothing did.
    """

    reason: FinishReason
    message: Message
    thought: str
    token_ids: tuple[int, ...]
    seed: int
    stats: Stats
    warning: str = ""


Event = Prefill | Text | Progress | End


@dataclass(frozen=True)
class Turn:
    """A message of the user and the reply to it.

    `reply` is None while there is none. `seed` and `exact` let the reply be written again;
    `reason` says how it ended, None when that is not known: the program was killed meanwhile.
    """

    user: Message
    reply: Message | None = None
    thought: str = ""
    seed: int | None = None
    exact: bool = False
    reason: FinishReason | None = None
    stats: Stats | None = None


class Engine(Protocol):
    """What a reply needs of a loaded pair."""

    @property
    def info(self) -> PairInfo: ...

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]: ...

    def prompt(self, request: Request) -> list[int]: ...

    def prepare(self, request: Request | None) -> None: ...

    def close(self) -> None: ...
