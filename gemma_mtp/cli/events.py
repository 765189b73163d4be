"""`run --jsonl`: a reply as lines of JSON while it is written, the last one with all figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gemma_mtp.api import Event, Prefill, TextDelta, Waiting
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.text import json_text


@dataclass(frozen=True)
class Lines:
    """Events as lines, each of which `write` gets in one piece."""

    write: Callable[[str], None]

    def show(self, event: Event) -> None:
        """What happens, as far as it is a line."""
        if isinstance(event, TextDelta):
            self._say("thought" if event.thought else "text", text=event.text)
        elif isinstance(event, Prefill):
            self._say("prompt", done=event.done, total=event.total, cached=event.cached)
        elif isinstance(event, Waiting):
            self._say("waiting", ahead=event.ahead)

    def end(self, found: dict[str, Any]) -> None:
        """The calls of a reply, and then what `run --json` prints."""
        for index, call in enumerate(found.get("tool_calls", ())):
            self._say("tool_call", index=index, **call)
        self._say("end", **found)

    def failed(self, error: GemmaMtpError) -> None:
        """The last line of a reply that has no end."""
        self._say("error", message=str(error), hint=error.hint, status=int(error.status))

    def _say(self, kind: str, **fields: Any) -> None:
        self.write(json_text({"type": kind, **fields}) + "\n")
