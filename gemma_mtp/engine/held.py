"""What holds a reply: the grammar of a request and its tools, as matchers for one reply.

`reply` asks for it before anything is evaluated, so that what cannot be held to is refused early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gemma_mtp.api import Request
from gemma_mtp.decoding.constraint import Calls, Matcher
from gemma_mtp.engine.tool_calls import NO_CALLS, Expected, ReplyParts
from gemma_mtp.engine.tool_declarations import types_of
from gemma_mtp.errors import UsageError

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine


class Held:
    """`text` is what holds the text of a reply, `calls` how tools may be called in it; None where
    nothing does. `loosened` are sentences about what is not held to its schema."""

    def __init__(self, engine: Engine, request: Request) -> None:
        """Raises UsageError for a grammar, or tools, that nothing can be held to."""
        grammar = request.grammar
        self.text: Matcher | None = None if grammar is None else engine.grammars.matcher(grammar)
        self.calls: Calls | None = None
        self.loosened: list[str] = []
        if request.tools:
            self._hold_calls(engine, request)

    @property
    def is_free(self) -> bool:
        """Whether nothing holds anything."""
        return self.text is None and (self.calls is None or self.calls.matcher is None)

    def _hold_calls(self, engine: Engine, request: Request) -> None:
        """Where nothing is left for text to be, or no room for calls, it is by the text's matcher
        that a call must come, or none may."""
        marks, choice, grammars = engine.call_marks, request.tool_choice, engine.grammars
        if marks.opens is None or marks.spelled:
            if choice.mode == "required":
                raise UsageError(
                    "This model has no marks for calls of tools; none can be demanded."
                )
            if choice.constrained and choice.mode == "auto":
                self.loosened.append("This model has no marks for calls: no schema holds them.")
            return
        if choice.mode == "none":
            self.text = self.text or grammars.only([marks.opens], every_other=True)
            return
        if choice.mode == "required":
            self.text = grammars.only([])
        if not choice.constrained and choice.mode == "auto" and choice.parallel:
            self.calls = Calls(marks.opens)
            return
        matcher, loosened = grammars.calls(request.tools, choice, marks)
        self.loosened += loosened
        self.calls = Calls(marks.opens, matcher)


def reply_parts(
    engine: Engine, request: Request, held: Held, new_id: Callable[[int], str]
) -> ReplyParts:
    """What makes events and a message of the tokens of a reply."""
    may_call = request.tools and request.tool_choice.mode != "none"
    raw = request.prompt is not None and not request.tools
    expected = Expected(
        types_of(request.tools) if may_call else None,
        held.calls is not None and request.tool_choice.constrained,
        new_id,
    )
    return ReplyParts(
        engine.reply_text(request.stop, raw),
        engine.pair.target.vocabulary.piece,
        NO_CALLS if raw else engine.call_marks,
        expected,
    )
