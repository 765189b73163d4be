"""The verbs of a chat; importing this registers all of them."""

from gemma_mtp.chat.verbs import conversation, files, general, model, replies, saved, set, settings
from gemma_mtp.chat.verbs.registry import (
    VERBS,
    Verb,
    find,
    listed,
    path_in,
    read_verb,
    run,
    suggestions,
    table,
)

__all__ = [
    "VERBS",
    "Verb",
    "conversation",
    "files",
    "find",
    "general",
    "listed",
    "model",
    "path_in",
    "read_verb",
    "replies",
    "run",
    "saved",
    "set",
    "settings",
    "suggestions",
    "table",
]
