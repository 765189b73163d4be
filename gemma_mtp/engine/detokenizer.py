"""Token pieces to whole text: UTF-8 held back until complete, thoughts told from the answer, stops.

Knows neither llama.cpp nor a terminal: what a token's bytes are is a function handed in.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from gemma_mtp.api import TextDelta

# The first word of a thought, and the white space around it in its line.
_HEADER = re.compile(" *([^\\s<]*) *")
_NAME = "thought"
_LONGEST_NAME = 20


@dataclass(frozen=True)
class Channel:
    """The marks around a thought: `open`, a header line, the thought, `close`.

    With ids only those tokens count, and the same characters spelled out are ordinary text;
    without ids the characters count.
    """

    open: str = "<|channel>"
    close: str = "<channel|>"
    open_id: int | None = None
    close_id: int | None = None


class ReplyText:
    """One reply as it is generated: push tokens, show the events, read the parts at the end.

    `stopped_at` is the stop string that was met; neither it nor anything after it is shown or kept.
    `thought_tokens` is how many tokens the thoughts took, the marks around them included. Tokens
    in `hidden` (control tokens, end of generation) and those without bytes never show.
    """

    def __init__(
        self,
        piece: Callable[[int], bytes],
        stop: Sequence[str] = (),
        channel: Channel | None = None,
        hidden: Collection[int] = frozenset(),
    ) -> None:
        self.answer = ""
        self.thought = ""
        self.thought_tokens = 0
        self.stopped_at = ""
        self._piece = piece
        self._stops = tuple(text for text in stop if text)
        self._channel = channel or Channel()
        self._hidden = hidden
        self._spelled = self._channel.open_id is None or self._channel.close_id is None
        # What the end of the held text may be the beginning of.
        marks = (self._channel.open, self._channel.close) if self._spelled else ()
        self._before_answer = self._stops + marks
        self._before_close = (self._channel.close, "\n" + self._channel.close)

        self._mode: Literal["answer", "header", "thought"] = "answer"
        self._skip_newlines = False  # those between a thought and its answer belong to neither
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # decoded, not yet shown
        self._out: list[TextDelta] = []
        self._drafted = False
        self._ids: list[int] = []

    def open_thought(self, words: str) -> None:
        """The prompt has opened a thought with `words`: what comes first goes on with it."""
        self._mode = "header"
        self._held = words
        self._advance()
        self._out.clear()  # that part of the thought was not written by the model
        self.thought = ""

    @property
    def stopped(self) -> bool:
        """Whether a stop string was met."""
        return bool(self.stopped_at)

    def is_mark(self, token_id: int) -> bool:
        """Whether a token never shows, whatever its characters are."""
        channel = self._channel
        return token_id in self._hidden or token_id in (channel.open_id, channel.close_id)

    def interrupt(self) -> list[TextDelta]:
        """A mark of another kind comes: nothing held can go on across it, and a thought ends."""
        if not self.stopped:
            self._cross(opening=False)
        return self._taken()

    def push(self, token_id: int, drafted: bool = False) -> list[TextDelta]:
        """The text this token completes; nothing once `stopped`."""
        if self.stopped:
            return []
        self._drafted, mode = drafted, self._mode
        self._take(token_id)
        self.thought_tokens += not (mode == self._mode == "answer")
        return self._taken()

    def _take(self, token_id: int) -> None:
        if not self._spelled and token_id in (self._channel.open_id, self._channel.close_id):
            self._cross(opening=token_id == self._channel.open_id)
            return
        data = b"" if token_id in self._hidden else self._piece(token_id)
        if not data:
            return
        mode = self._mode
        separator = self._skip_newlines and not data.strip(b"\n")
        self._held += self._decoder.decode(data)
        self._advance()
        if mode == self._mode == "answer" and not separator:
            self._ids.append(token_id)

    def finish(self) -> list[TextDelta]:
        """Whatever was held back, now that nothing follows; an open thought stays a thought.

        The beginning of a character is dropped, with its tokens: a continued reply writes it anew.
        """
        if not self.stopped:
            self._decoder.reset()
            self._advance(ended=True)
        return self._taken()

    @property
    def answer_tokens(self) -> list[int]:
        """The ids that make exactly `answer`, or none where a token was shown only in part."""
        ids = list(self._ids)
        while ids:
            text = b"".join(map(self._piece, ids)).decode("utf-8", "replace")
            if text == self.answer:
                return ids
            if not text.startswith(self.answer):
                return []
            ids.pop()  # it belongs to the stop string, or begins a character
        return []

    def _cross(self, opening: bool) -> None:
        """A mark that came as a token of its own: nothing held can go on across it."""
        self._held += self._decoder.decode(b"", final=True)
        self._decoder.reset()
        if not opening and self._mode == "thought":
            self._held = self._held.removesuffix("\n")
        self._advance(ended=True)
        if not self.stopped:
            self._switch(opening)

    def _switch(self, opening: bool) -> None:
        if opening:
            self._mode = "header"
        elif self._mode != "answer":
            self._mode = "answer"
            self._skip_newlines = True
            if not self.answer:
                self._ids.clear()  # a mark spelled out was taken for the answer's beginning

    def _advance(self, ended: bool = False) -> None:
        """Take from the held text what is decided; again after each change of mode."""
        undecided = False
        while not undecided:
            if self._mode == "header":
                undecided = self._read_header(ended)
            elif self._mode == "thought":
                undecided = self._read_thought(ended)
            else:
                undecided = self._read_answer(ended)

    def _read_header(self, ended: bool) -> bool:
        """A header is a name and a line end. Where one is missing, the thought has begun."""
        found = _HEADER.match(self._held)
        assert found is not None
        name, rest = found[1], self._held[found.end() :]
        close = self._channel.close if self._spelled else ""
        if close and rest.startswith(close):
            self._pass_mark(found.end(), close)
            return False
        if close.startswith(rest) and len(name) <= _LONGEST_NAME:  # so also if nothing follows
            if not ended:
                return True
            if not rest and _NAME.startswith(name):
                self._held = ""
                return True
        if rest.startswith("\n") and len(name) <= _LONGEST_NAME:
            self._held = rest[1:]
        elif name == _NAME:
            self._held = rest
        self._mode = "thought"
        return False

    def _read_thought(self, ended: bool) -> bool:
        close = self._mark(self._channel.close)
        if close >= 0:
            self._show(self._held[:close].removesuffix("\n"))
            self._pass_mark(close, self._channel.close)
            return False
        self._show_until(
            len(self._held) if ended else undecided_from(self._held, self._before_close)
        )
        return True

    def _read_answer(self, ended: bool) -> bool:
        if self._skip_newlines:
            self._held = self._held.lstrip("\n")
            self._skip_newlines = not self._held
        # `end` also stands for the place of a mark or stop string that is not in the text.
        end = len(self._held)
        marks = (self._channel.open, self._channel.close) if self._spelled else ()
        mark_at, mark = min(((_find(self._held, m), m) for m in marks), default=(end, ""))
        stop_at, stop = min(((_find(self._held, s), s) for s in self._stops), default=(end, ""))
        undecided_at = end if ended else undecided_from(self._held, self._before_answer)
        # Nothing that begins later counts while something earlier is open: the text must not
        # depend on how it was cut into tokens.
        if stop_at < end and stop_at <= min(mark_at, undecided_at):
            self._show_until(stop_at)
            self._held = ""
            self.stopped_at = stop
            return True
        if mark_at < end:
            self._show_until(mark_at)
            self._pass_mark(0, mark)
            return False
        self._show_until(min(undecided_at, mark_at, stop_at))
        return True

    def _mark(self, mark: str) -> int:
        return self._held.find(mark) if self._spelled else -1

    def _pass_mark(self, at: int, mark: str) -> None:
        self._held = self._held[at + len(mark) :]
        self._switch(opening=mark == self._channel.open)

    def _show_until(self, end: int) -> None:
        self._show(self._held[:end])
        self._held = self._held[end:]

    def _show(self, text: str) -> None:
        if not text:
            return
        thought = self._mode == "thought"
        if thought:
            self.thought += text
        else:
            self.answer += text
        self._out.append(TextDelta(text, self._drafted, thought))

    def _taken(self) -> list[TextDelta]:
        out, self._out = self._out, []
        return out


def _find(text: str, part: str) -> int:
    return text.find(part) if part in text else len(text)


def undecided_from(text: str, patterns: Sequence[str]) -> int:
    """Where the longest end of `text` starts that may be the beginning of a pattern."""
    longest = max(map(len, patterns), default=0)
    for at in range(max(0, len(text) - longest + 1), len(text)):
        if any(pattern.startswith(text[at:]) for pattern in patterns):
            return at
    return len(text)
