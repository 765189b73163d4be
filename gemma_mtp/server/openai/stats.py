"""Figures of a reply in the fields that OpenAI's clients, and llama-server's, read."""

from __future__ import annotations

import secrets
import time
from typing import Any

from fastapi import Request

from gemma_mtp.api import End, Stats, to_json
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.streams import engines


def head(kind: str, prefix: str, model: str) -> dict[str, Any]:
    """What every object of a reply begins with; a stream has the same head in all of them."""
    name = f"{prefix}-{secrets.token_hex(12)}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": model}


def figures(end: End) -> dict[str, Any]:
    """All figures of a reply."""
    return {"usage": usage(end), "timings": timings(end.stats), "gemma_mtp": ours(end)}


def usage(end: End) -> dict[str, Any]:
    """OpenAI's `usage`."""
    stats = end.stats
    return {
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.completion_tokens,
        "total_tokens": stats.prompt_tokens + stats.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": stats.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": end.thought_tokens},
    }


def timings(stats: Stats) -> dict[str, Any]:
    """llama-server's `timings`; times in milliseconds."""
    prompt, decode = 1000 * stats.prefill_seconds, 1000 * stats.decode_seconds
    return {
        "cache_n": stats.cached_tokens,
        "prompt_n": stats.evaluated_tokens,
        "prompt_ms": prompt,
        "prompt_per_second": 1000 * stats.evaluated_tokens / prompt if prompt else 0.0,
        "predicted_n": stats.completion_tokens,
        "predicted_ms": decode,
        "predicted_per_second": stats.tokens_per_second,
        "draft_n": stats.drafted,
        "draft_n_accepted": stats.accepted,
    }


def ours(end: End) -> dict[str, Any]:
    """What gemma-mtp knows besides. `counters` are all of `Stats`, as `from_json` reads them."""
    known = {"seed": end.seed, "reason": end.reason, "warning": end.warning}
    known |= {"thought_cut": end.thought_cut}
    return {**known, **end.stats.as_json(), "counters": to_json(end.stats)}


def finish_reason(end: End) -> str:
    """ "length" for whichever limit it was."""
    return "length" if end.reason in ("length", "context") else "stop"


async def counted(http: Request, asked: Asked) -> dict[str, Any]:
    """OpenAI's answer to how many tokens a prompt has."""
    found = await engines(http).count(asked)
    return {"object": "response.input_tokens", "input_tokens": found}
