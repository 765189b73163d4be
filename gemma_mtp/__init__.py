"""gemma-mtp: chat with Gemma 4 on one's own machine, with MTP speculative decoding one can see.

Programs in Python have it as `gemma_mtp.open`; the command line goes without `library`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gemma_mtp.library import (
        GemmaMtpError,
        Message,
        Model,
        Reply,
        Stats,
        Stream,
        TextDelta,
        Tool,
        ToolCall,
        ToolCallDelta,
        open,
    )

__all__ = [
    "GemmaMtpError",
    "Message",
    "Model",
    "Reply",
    "Stats",
    "Stream",
    "TextDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "open",
]


def __getattr__(name: str) -> Any:
    """Names of the library, which the command line does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gemma_mtp import library

    return getattr(library, name)
