"""A reply as far as it was written, so that none of it is lost however it ends. `reply` uses it."""

from __future__ import annotations

from dataclasses import replace

from gemma_mtp.api import Event, Message, Part, Text, TextDelta, Thought, ToolCall, ToolCallDelta


class PartialReply:
    """The text, the thought and the calls of one reply; the last call may be broken off."""

    def __init__(self) -> None:
        self.thought = ""
        self._parts: list[Part] = []

    def take(self, event: Event) -> bool:
        """Add what an event says; False if it says nothing."""
        last = self._parts[-1] if self._parts else None
        if isinstance(event, ToolCallDelta):
            if event.name or not isinstance(last, ToolCall):
                self._parts.append(ToolCall(event.id, event.name, event.arguments))
            else:
                self._parts[-1] = replace(last, arguments=last.arguments + event.arguments)
        elif not isinstance(event, TextDelta):
            return False
        elif event.thought:
            self.thought += event.text
        elif isinstance(last, Text):
            self._parts[-1] = Text(last.text + event.text)
        else:
            self._parts.append(Text(event.text))
        return True

    @property
    def said(self) -> bool:
        """There is more than a thought."""
        return bool(self._parts)

    @property
    def message(self) -> Message:
        """What was written so far, without its tokens."""
        return Message("assistant", tuple(self._parts))

    def completed(self, end: Message) -> Message:
        """The message of the end, with the call that was being written, if it is not in there."""
        last = self._parts[-1] if self._parts else None
        if not isinstance(last, ToolCall) or last.id in {call.id for call in end.calls}:
            return end
        return Message(end.role, (*(part for part in end.parts if part != Text("")), last))


def has_thought(message: Message) -> bool:
    """Its thought is a part of it, since it led to calls."""
    return any(isinstance(part, Thought) for part in message.parts)
