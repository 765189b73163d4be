"""What a tool answered, as the text that the model gets. Pure; knows the protocol's shapes only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemma_mtp.text import clean, json_text

NOT_SHOWN = {"image": "a picture", "audio": "a recording"}


@dataclass(frozen=True)
class Outcome:
    """What came of a call. `failed`: the text says what went wrong."""

    text: str
    failed: bool = False


def outcome(result: Any) -> Outcome:
    """Of a `CallToolResult` of the protocol's library."""
    parts = [_text(block) for block in result.content]
    text = "\n".join(part for part in parts if part)
    if not text and result.structured_content is not None:
        text = json_text(result.structured_content)
    if result.is_error:
        lead = "" if text.startswith("Error") else "Error: "
        return Outcome(clean(lead + (text or "the tool failed and said nothing.")), failed=True)
    return Outcome(clean(text or "(The tool said nothing.)"))


def _text(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type in NOT_SHOWN:
        return f"({NOT_SHOWN[block.type]}, {block.mime_type}: results of tools are shown as text)"
    if block.type == "resource_link":
        return f"{block.name}: {block.uri}"
    if block.type == "resource":
        text = getattr(block.resource, "text", None)
        return str(text) if text is not None else f"({block.resource.uri}: not a text)"
    return f"({block.type}: not supported yet)"
