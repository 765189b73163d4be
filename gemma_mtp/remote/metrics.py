"""Drafted and accepted tokens as vLLM and SGLang count them, for all whom they serve.

They tell nothing of a single reply; the difference of two readings is that of a reply while nobody
else is served.
"""

from __future__ import annotations

from typing import NamedTuple

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.remote.server import Server

NAMES = (
    ("vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_accepted_tokens_total"),
    ("sglang:spec_num_draft_tokens_total", "sglang:spec_num_accepted_tokens_total"),
)
RUNNING = ("vllm:num_requests_running", "sglang:num_running_reqs")


class Reading(NamedTuple):
    """Tokens drafted and accepted since the server started, and requests that it serves now."""

    drafted: float
    accepted: float
    running: float


def read(server: Server) -> Reading | None:
    """What the counters say; None where there are none."""
    try:
        response = server.request("GET", "/metrics")
    except GemmaMtpError:
        return None
    if not response.is_success:
        return None
    found = _sums(response.text)
    for drafted, accepted in NAMES:
        if drafted in found and accepted in found:
            running = sum(found.get(name, 0.0) for name in RUNNING)
            return Reading(found[drafted], found[accepted], running)
    return None


def between(before: Reading | None, after: Reading | None) -> tuple[int, int] | None:
    """Drafted and accepted tokens of the reply in between; None where that cannot be told."""
    if before is None or after is None or before.running or after.running:
        return None
    drafted, accepted = after.drafted - before.drafted, after.accepted - before.accepted
    return (int(drafted), int(accepted)) if drafted >= accepted >= 0 else None


def _sums(text: str) -> dict[str, float]:
    """Values by name in the Prometheus format, added up over their labels."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, _, rest = line.replace("{", " {", 1).partition(" ")
        try:
            found[name] = found.get(name, 0.0) + float(rest.rpartition("}")[2].split()[0])
        except (ValueError, IndexError):
            continue
    return found
