"""Figures of a reply, as far as a server tells them.

Another gemma-mtp tells all of `Stats`, llama-server its `timings`, others how many tokens it were;
what is missing is measured here, or left out.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from time import perf_counter
from typing import Any

from gemma_mtp.api import Drafted, Stats, from_json
from gemma_mtp.errors import UsageError

SOURCE = "server"  # what drafts of a server are counted under


class Figures:
    """Collects them while a reply comes."""

    def __init__(self, context_size: int) -> None:
        self._started = perf_counter()
        self._first = self._last = 0.0
        self._size = context_size
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self._counters: Stats | None = None
        self.seed = 0
        self.warning = ""
        self.thought_cut = False
        self.drafts: tuple[int, int] | None = None  # drafted and accepted, as metrics tell them

    def text(self) -> None:
        """A piece of text has come."""
        self._last = perf_counter()
        self._first = self._first or self._last

    def chunk(self, chunk: dict[str, Any]) -> bool:
        """Whatever figures a chunk has; whether there were any."""
        usage, timings, ours = (chunk.get(name) for name in ("usage", "timings", "gemma_mtp"))
        if isinstance(usage, dict):
            self._usage = usage
        if isinstance(timings, dict):
            self._timings = timings
        if isinstance(ours, dict):
            self.seed = _whole(ours, "seed")
            self.warning = str(ours.get("warning") or "")
            self.thought_cut = ours.get("thought_cut") is True
            with suppress(UsageError):
                self._counters = from_json(Stats, ours.get("counters"), "counters")
        return bool(usage or timings or ours)

    @property
    def thought_tokens(self) -> int:
        """Tokens of the thoughts, 0 where the server does not say."""
        details = self._usage.get("completion_tokens_details")
        return _whole(details, "reasoning_tokens") if isinstance(details, dict) else 0

    @property
    def stats(self) -> Stats:
        """What is known by now."""
        ttft = (self._first or perf_counter()) - self._started
        if self._counters is not None:
            return replace(self._counters, ttft_seconds=ttft)
        found = self._timed() if self._timings else self._counted()
        return replace(found, ttft_seconds=ttft, context_size=self._size)

    def _timed(self) -> Stats:
        """From llama-server's `timings`, in milliseconds."""
        known = self._timings
        written, cached = _whole(known, "predicted_n"), _whole(known, "cache_n")
        drafted, accepted = _whole(known, "draft_n"), _whole(known, "draft_n_accepted")
        prompt = _whole(known, "prompt_n") + cached
        return Stats(
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=written,
            decoded=written,
            decode_seconds=_number(known, "predicted_ms") / 1000,
            prefill_seconds=_number(known, "prompt_ms") / 1000,
            context_used=prompt + written,
            **_drafted(drafted, accepted),
        )

    def _counted(self) -> Stats:
        """From `usage`, and from the time between the first and the last piece of text."""
        details = self._usage.get("prompt_tokens_details")
        cached = _whole(details, "cached_tokens") if isinstance(details, dict) else 0
        prompt, written = (
            _whole(self._usage, name) for name in ("prompt_tokens", "completion_tokens")
        )
        return Stats(
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=written,
            decoded=max(written - 1, 0),  # the first one comes with the prompt
            decode_seconds=self._last - self._first,
            context_used=prompt + written,
            **_drafted(*(self.drafts or (0, 0))),
        )


def _drafted(drafted: int, accepted: int) -> dict[str, Any]:
    if not drafted:
        return {}
    sources = (Drafted(SOURCE, drafted, accepted),)
    return {"drafted": drafted, "accepted": accepted, "sources": sources, "drafts": "used"}


def _whole(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _number(found: dict[str, Any], name: str) -> float:
    value = found.get(name)
    return float(value) if isinstance(value, int | float) and value >= 0 else 0.0
