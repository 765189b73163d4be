"""A reply as it is generated, in parts: the text of `detokenizer`, and calls of tools.

A call begins and ends with a mark. It never shows as text, whether anybody asked for calls or not.
Arguments that a grammar holds to the notation are shown as they come; others are read, and mended,
once the call has ended. `reply` makes one for each reply. Knows no llama.cpp.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gemma_mtp.api import Message, Part, Text, TextDelta, Thought, ToolCall, ToolCallDelta
from gemma_mtp.engine.detokenizer import ReplyText, undecided_from
from gemma_mtp.engine.tool_notation import MARK, QUOTE, ToJson, json_of
from gemma_mtp.engine.tool_prompt import CALL_CLOSES, CALL_OPENS
from gemma_mtp.engine.tool_repair import Unreadable, arguments_of, split_call

Delta = TextDelta | ToolCallDelta
LONGEST_SHOWN = 200  # characters of a call in a warning


@dataclass(frozen=True)
class CallMarks:
    """The ids of the marks around a call and around a text in it; where one has none, their
    characters count."""

    opens: int | None = None
    closes: int | None = None
    quote: int | None = None

    @property
    def spelled(self) -> bool:
        """Whether the characters count."""
        return None in (self.opens, self.closes, self.quote)


@dataclass(frozen=True)
class Expected:
    """What is known beforehand of the calls in a reply.

    `types` holds, by the names of the tools, what their schemas say of the types of arguments;
    None: no tools were declared. `held`: a grammar holds them to the notation. `new_id` makes the
    id of a call from its number.
    """

    types: Mapping[str, Mapping[str, Any]] | None = None
    held: bool = False
    new_id: Callable[[int], str] = "call_{}".format


NO_CALLS = CallMarks(-1, -1, -1)
"""For a prompt of somebody's own: whatever marks come are text."""


class ReplyParts:
    """One reply: push tokens, show the events, read the message at the end."""

    def __init__(
        self,
        text: ReplyText,
        piece: Callable[[int], bytes],
        marks: CallMarks,
        expected: Expected,
    ) -> None:
        self.text = text
        self.warning = ""
        self._piece, self._marks, self._expected = piece, marks, expected
        self._parts: list[Part] = []
        self._ids: list[int] = []
        self._kept = 0  # how many of the ids the parts up to the last call were
        self._lost = False  # whether something was generated that is in no part
        self._call: _Call | None = None
        self._held = ""  # spelled marks: text that may be the beginning of one

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return self.text.stopped

    @property
    def calls(self) -> int:
        """How many calls are complete."""
        return sum(isinstance(part, ToolCall) for part in self._parts)

    def push(self, token: int, drafted: bool = False) -> list[Delta]:
        """What this token completes; nothing once `stopped`."""
        if self.stopped:
            return []
        self._ids.append(token)
        marks = self._marks
        if marks.spelled:
            return self._sorted(self.text.push(token, drafted))
        if token == marks.opens:
            unfinished = self._ended(self._call, [], cut=False)
            found = self._shown(self.text.interrupt())
            if not self.stopped:
                self._call = self._new_call()
            return [*unfinished, *found]
        if self._call is None:
            return self._shown(self.text.push(token, drafted))
        if token == marks.closes:
            return self._ended(self._call, [], cut=False)
        if token == marks.quote:
            return list(self._call.push(QUOTE))
        return list(self._call.push(b"" if self.text.is_mark(token) else self._piece(token)))

    def finish(self, ended: bool) -> list[Delta]:
        """What was held back. `ended`: the model ended the reply, and with it a call that has no
        end mark; else that call is left out."""
        found = self._sorted(self.text.finish(), last=True) if self._marks.spelled else []
        if self._call is not None:
            return self._ended(self._call, found, cut=not ended)
        return [*found, *self._shown(self.text.finish())]

    @property
    def message(self) -> Message:
        """The reply as it belongs into the history."""
        if not self.calls:
            if self._marks.spelled:
                return Message.text("assistant", self._all_text())
            return Message.text("assistant", self.text.answer, tuple(self.text.answer_tokens))
        parts = [p for p in self._parts if not isinstance(p, Text) or p.text.strip()]
        if self.text.thought:
            parts.insert(0, Thought(self.text.thought))
        complete = not self._lost and isinstance(parts[-1], ToolCall) and not self._marks.spelled
        return Message("assistant", tuple(parts), tuple(self._ids[: self._kept * complete]))

    def _all_text(self) -> str:
        return "".join(part.text for part in self._parts if isinstance(part, Text))

    def _shown(self, deltas: list[TextDelta]) -> list[Delta]:
        """Keep the text of the answer; white space behind a call is none."""
        found: list[Delta] = []
        for delta in deltas:
            last = self._parts[-1] if self._parts else None
            if delta.thought:
                found.append(delta)
            elif isinstance(last, Text):
                self._parts[-1] = Text(last.text + delta.text)
                found.append(delta)
            elif delta.text.strip() or not isinstance(last, ToolCall):
                self._parts.append(Text(delta.text))
                found.append(delta)
        return found

    def _new_call(self) -> _Call:
        return _Call(self.calls, self._expected)

    def _ended(self, call: _Call | None, before: list[Delta], cut: bool) -> list[Delta]:
        """A call is over: it is a part of the reply, unless it was cut or cannot be read."""
        self._call = None
        if call is None:
            return before
        if cut:
            return before
        if self._expected.types is None:
            self._lost = True
            self._warn(f"The model called a tool, and it has none: {call.raw}")
            return before
        try:
            found, deltas = call.close()
        except Unreadable:
            self._lost = True
            self._warn(f"A tool call of the model could not be read: {call.raw}")
            return before
        if call.warning:
            self._warn(call.warning)
        self._parts.append(found)
        self._kept = len(self._ids)
        return [*before, *deltas]

    def _warn(self, sentence: str) -> None:
        self.warning = self.warning or sentence

    def _sorted(self, deltas: list[TextDelta], last: bool = False) -> list[Delta]:
        """Text in which marks are spelled out, told apart."""
        found: list[Delta] = []
        for delta in deltas:
            if delta.thought:
                found.append(delta)
                continue
            self._held += delta.text
            found += self._told_apart(delta.drafted)
        if last and self._call is None:
            found += self._shown([TextDelta(self._held)] if self._held else [])
            self._held = ""
        return found

    def _told_apart(self, drafted: bool) -> list[Delta]:
        found: list[Delta] = []
        while True:
            mark = CALL_OPENS if self._call is None else CALL_CLOSES
            before, met, after = self._held.partition(mark)
            end = len(before) if met else undecided_from(before, (mark, MARK))
            inside, self._held = before[:end], after if met else before[end:]
            if self._call is not None:
                found += self._call.push(inside.replace(MARK, QUOTE))
                found = self._ended(self._call, found, cut=False) if met else found
            else:
                found += self._shown([TextDelta(inside, drafted)] if inside else [])
                self._call = self._new_call() if met else None
            if not met:
                return found


class _Call:
    """A call that is being written."""

    def __init__(self, number: int, expected: Expected) -> None:
        self.warning = ""
        self._number, self._expected = number, expected
        self._id = expected.new_id(number)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._name = ""
        self._json: ToJson | None = None  # once the name is known, of arguments that are held
        self._arguments = ""

    @property
    def raw(self) -> str:
        """What the model wrote, for a warning."""
        return self._text.replace(QUOTE, '"')[:LONGEST_SHOWN]

    def push(self, data: bytes | str) -> list[ToolCallDelta]:
        """More of it: the bytes of a token, or text with `QUOTE` for string marks."""
        if isinstance(data, str):
            text = self._decoder.decode(b"", final=True) + data
            self._decoder.reset()
        else:
            text = self._decoder.decode(data)
        self._text += text
        if not self._expected.held or self._expected.types is None:
            return []
        if self._json is not None:
            return self._more(self._json.push(text))
        header, brace, rest = self._text.partition("{")
        if not brace:
            return []
        self._name, self._json = header.removeprefix("call:"), ToJson()
        begun = ToolCallDelta(self._number, self._id, self._name)
        return [begun, *self._more(self._json.push(brace + rest))]

    def _more(self, arguments: str) -> list[ToolCallDelta]:
        self._arguments += arguments
        return [ToolCallDelta(self._number, arguments=arguments)] if arguments else []

    def close(self) -> tuple[ToolCall, list[ToolCallDelta]]:
        """The call, and what of it was not shown yet. Raises Unreadable."""
        if self._json is not None:
            if not self._json.complete:
                raise Unreadable(self._text)
            return ToolCall(self._id, self._name, self._arguments), []
        tools = self._expected.types or {}
        name, rest = split_call(self._text, tools)
        types = tools.get(name, {})
        try:
            arguments = json_of(arguments_of(rest, dict(types)))
        except Unreadable:
            text = rest.replace(QUOTE, '"')
            arguments = json_of({"text": text})
            what = f"What the model wrote as arguments of {name} could not be read"
            self.warning = f'{what}. It is passed on as it is, as "text".'
        call = ToolCall(self._id, name, arguments)
        index = self._number
        return call, [
            ToolCallDelta(index, self._id, name),
            ToolCallDelta(index, arguments=arguments),
        ]
