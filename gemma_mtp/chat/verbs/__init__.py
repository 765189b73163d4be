"""The verbs of a chat; importing this registers all of them."""

from gemma_mtp.chat.verbs import (  # noqa: F401
    conversation,
    files,
    general,
    model,
    replies,
    saved,
    set,
    settings,
    tools,
)
from gemma_mtp.chat.verbs.others import ASKING, LEAVING
from gemma_mtp.chat.verbs.registry import VERBS, listed, path_in, suggestions, table
from gemma_mtp.chat.verbs.running import read_verb, run

__all__ = [
    "ASKING",
    "LEAVING",
    "VERBS",
    "listed",
    "path_in",
    "read_verb",
    "run",
    "suggestions",
    "table",
]
