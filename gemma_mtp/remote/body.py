"""A request as the body of `POST /v1/chat/completions`, with the fields that each server knows."""

from __future__ import annotations

from typing import Any

from gemma_mtp.api import Request, Sampling
from gemma_mtp.errors import UsageError
from gemma_mtp.remote.server import Kind, Model

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "repeat_last_n")
NAMES: dict[Kind, dict[str, str]] = {
    "gemma-mtp": {name: name for name in SAMPLING},
    "llama-server": {name: name for name in SAMPLING},
    "vllm": {
        **{name: name for name in SAMPLING[:4]},
        "repeat_penalty": "repetition_penalty",
    },
    "sglang": {
        **{name: name for name in SAMPLING[:4]},
        "repeat_penalty": "repetition_penalty",
    },
    "ollama": {name: name for name in SAMPLING[:2]},
    "other": {name: name for name in SAMPLING[:2]},
}
"""What each server calls our sampling settings, in its OpenAI dialect."""


def body(request: Request, model: Model) -> dict[str, Any]:
    """Raises UsageError for what this server cannot be asked for."""
    if request.prompt is not None:
        raise UsageError("A server is sent messages; a prompt without a template is not.")
    found: dict[str, Any] = {
        "model": model.name,
        "messages": [
            {"role": message.role, "content": message.content} for message in request.messages
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(request.sampling, model),
        **_thinking(request.think, model.kind),
    }
    if request.max_tokens is not None:
        found["max_tokens"] = request.max_tokens
    if request.stop:
        found["stop"] = list(request.stop)
    if request.seed is not None:
        found["seed"] = request.seed
    if model.kind == "gemma-mtp":
        found |= {"draft": request.draft, "exact": request.is_exact}
    elif request.draft != "auto":
        raise UsageError(
            "This server decides by itself what is drafted.", "/draft auto, or --draft auto."
        )
    if model.kind == "llama-server":
        found["timings_per_token"] = True
    return found


def _sampling(sampling: Sampling, model: Model) -> dict[str, Any]:
    """What is recommended for Gemma is sent to Gemma; to others only what differs from that.

    A setting that the server has no name for is left out while it changes nothing.
    """
    names, usual, neutral = NAMES[model.kind], Sampling(), Sampling(top_k=0, top_p=1.0)
    is_gemma = model.kind == "gemma-mtp" or "gemma" in model.name.lower()
    found = {}
    for name in SAMPLING:
        value = getattr(sampling, name)
        if name in names and (is_gemma or value != getattr(usual, name)):
            found[names[name]] = value
        elif name not in names and value not in (getattr(usual, name), getattr(neutral, name)):
            raise UsageError(f"This server has no setting like {name}.")
    return found


def _thinking(think: bool, kind: Kind) -> dict[str, Any]:
    if kind in ("gemma-mtp", "ollama"):
        return {"reasoning_effort": "medium" if think else "none"}
    if kind in ("llama-server", "vllm", "sglang"):
        return {"chat_template_kwargs": {"enable_thinking": think}}
    return {"reasoning_effort": "medium"} if think else {}
