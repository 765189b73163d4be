"""Why no pair can be made of a repository without a GGUF file of a target: what it holds instead.

`choose_pair` asks. Pure: knows the names of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from gemma_mtp.errors import BadPair
from gemma_mtp.models.pull.hub_responses import HubFile

LOOK = "Look for a repository with GGUF."


def refusal(repo: str, files: Sequence[HubFile], drafters: Sequence[HubFile]) -> BadPair:
    """The sentence about it, and what to do next."""
    if drafters:
        only = drafters[0].path
        why = f"{repo} holds a drafter, {only}, and no target."
        return BadPair(why, "Pull the target; a drafter is found for it: gemma-mtp pull OWNER/REPO")
    names = [PurePosixPath(file.path).name.lower() for file in files]
    if "adapter_config.json" in names:
        why = "a LoRA adapter, which gemma-mtp cannot apply"
        return BadPair(f"{repo} holds {why}.", "Look for a model that it was merged into.")
    if any(name.endswith(".safetensors") for name in names):
        if "mlx" in repo.lower():
            return BadPair(f"{repo} holds weights in MLX's format; only GGUF can be loaded.", LOOK)
        return BadPair(
            f"{repo} holds its weights as safetensors; only GGUF can be loaded.",
            f"To make one of them: gemma-mtp convert {repo}",
        )
    return BadPair(f"{repo} holds no GGUF file of a model.", LOOK)
