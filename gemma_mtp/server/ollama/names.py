"""Names of models as Ollama's clients write and read them: each has a tag."""

from __future__ import annotations

from gemma_mtp.models.hub_names import PREFIX
from gemma_mtp.server.engines import LATEST

HUB = "hf.co/"  # as Ollama names the hub's repositories


def shown(name: str) -> str:
    """A name of ours as these clients expect it; understood wherever a name is."""
    if name.startswith(PREFIX):
        name = HUB + name.removeprefix(PREFIX)
    return name if ":" in name or name.lower().endswith(".gguf") else name + LATEST


def ours(name: str) -> str:
    """The name that a client means."""
    return name.removesuffix(LATEST)
