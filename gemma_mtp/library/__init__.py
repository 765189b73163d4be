"""gemma-mtp for programs in Python: what `import gemma_mtp` offers. docs/python.md shows it."""

from gemma_mtp.api import Message, Stats, TextDelta, Tool, ToolCall, ToolCallDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.library.model import Model, Reply, Stream
from gemma_mtp.library.opening import open

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
