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
)
from gemma_mtp.chat.verbs.registry import (
    VERBS,
    listed,
    path_in,
    read_verb,
    run,
    suggestions,
    table,
)

__all__ = ["VERBS", "listed", "path_in", "read_verb", "run", "suggestions", "table"]
