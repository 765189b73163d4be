"""What comes with the name of a model besides its files: settings, and how conversations begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemma_mtp.api.messages import Message


@dataclass(frozen=True)
class Preset:
    """`values` are settings by field of `Options`, the system prompt among them; `messages` are
    those that each conversation begins with. `name` is "" where these are a publisher's.
    """

    name: str = ""
    values: tuple[tuple[str, Any], ...] = ()
    messages: tuple[Message, ...] = ()
