"""Turns to prompt text: the chat template of a model file, and what it must not do.

`prompts` asks for it. Knows neither llama.cpp nor the engine; `prompt_tokens` goes on from here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from hashlib import sha256
from math import inf

from gemma_mtp.api import Message, Text, Thought, Tool
from gemma_mtp.engine.template_rendering import Failure, LocalRenderer, Renderer, TooSlow, never
from gemma_mtp.engine.template_sheet import Sheet
from gemma_mtp.engine.tool_declarations import DECLARATION
from gemma_mtp.engine.tool_prompt import (
    THOUGHT_BEGINS,
    THOUGHT_CLOSES,
    THOUGHT_OPENS,
    Group,
    Piece,
    grouped,
    is_models,
    joined,
    names_of_calls,
    said,
)
from gemma_mtp.errors import BadPair

# Templates that have been read and found harmless, which may therefore run in this process: the
# built-in pair's, and the two that llama.cpp ships for Gemma 4. SHA-256 of the text without the
# white space around it.
HARMLESS = {
    "d74cfaae0261ec8b472a49cd9cd9f76cd5d33178f02cfa92bbedfebb3a62df32",
    "1d35a24a2a63cc600c0cab43628a6df4cd3318e959b03307cf5f9f7e29ecf783",
    "df900edd2fcee5defc268bee887666c43c976d973bb3e87355b52423a651bf91",
}

LONGEST_SOURCE = 1 << 20  # characters; the longest known template has 17,000

THINKING = "enable_thinking"  # the variable by which Gemma 4's templates are told to think

# Gemma 4's turns for a file that has no template of its own.
FALLBACK = """\
{{- bos_token -}}
{%- if enable_thinking and messages[0].role != 'system' %}{{ '<|turn>system\n<|think|>\n<turn|>\n' }}{% endif -%}
{%- for message in messages -%}
{{- '<|turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' -}}
{%- if enable_thinking and loop.first and message.role == 'system' %}{{ '<|think|>\n' }}{% endif -%}
{{- message.content | trim }}{{ '<turn|>\n' -}}
{%- endfor -%}
{{- '<|turn>model\n' -}}
"""  # noqa: E501

# A mark stands in for a message's text while the template runs, so that the template's own words
# and the message's are told apart by position, not by searching. The outer characters count as
# white space: if they are gone afterwards, the template trims. The inner ones hold a number that
# no template can know beforehand.
_MARK = "\u2003\ue000{key}.{number}\ue001\u2003"
_MARK_PARTS = re.compile("[\u2003\ue000\ue001]")


class ChatTemplate:
    """A compiled chat template; `is_fallback` says that the file had none.

    `renderer` runs those that are not known to be harmless; without one it is a process of their
    own. Raises BadPair for a template that cannot be read, and Cancelled.
    """

    def __init__(
        self,
        source: str,
        bos: str,
        eos: str,
        renderer: Renderer | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self.is_fallback = not source.strip()
        self.has_thoughts = self.is_fallback or THINKING in source  # whether it can ask for them
        self._globals = {"bos_token": bos, "eos_token": eos}
        self._key = secrets.token_hex(4)
        self._marks = re.compile(f"(\u2003?)\ue000{self._key}[.]([0-9]{{1,9}})\ue001(\u2003?)")
        self._renderer = _renderer(source, renderer)
        self._has_tools = True  # whether it declares them, as far as is known
        self._too_many: float = inf  # messages, with which the template took too long
        try:
            if len(source) > LONGEST_SOURCE:
                raise Failure(f"it has more than {LONGEST_SOURCE} characters", bound=True)
            self._renderer.compile(FALLBACK if self.is_fallback else source, cancelled)
        except Failure as failure:
            self._renderer.close()
            hint = "The model file is damaged or newer than this program; get it again."
            raise _refused("cannot be read", failure, hint) from failure

    def close(self) -> None:
        """End what runs the template; it starts again when it is needed."""
        self._renderer.close()

    def pieces(
        self,
        messages: Sequence[Message],
        think: bool,
        cancelled: Callable[[], bool] = never,
        tools: Sequence[Tool] = (),
    ) -> list[Piece]:
        """The prompt in order. System text the template refuses or drops joins the first user's.

        A last turn of the model's stays open: what it writes continues it. Whatever a template
        appends for a new turn, it was written after that; and nothing is trimmed. Tools are
        declared by the template, or as Gemma was trained with where it has no place for them.
        Raises BadPair when the template fails or goes beyond its bounds, and Cancelled.
        """
        groups = grouped(messages)
        if len(groups) > 1 and is_models(groups[-1]):
            before = [message for group in groups[:-1] for message in group]
            opened = self.pieces(before, think, cancelled, tools)
            return _opened(opened, groups[-1], names_of_calls(messages))
        try:
            if len(messages) >= self._too_many:  # it has taken too long for as many before
                raise TooSlow("it takes too long", bound=True)
            return self._with_system(list(messages), think, cancelled, tools)
        except Failure as failure:
            if isinstance(failure, TooSlow):
                self._too_many = len(messages)
            raise _refused("failed", failure, "Use another pair.") from failure

    def _with_system(
        self,
        turns: list[Message],
        think: bool,
        cancelled: Callable[[], bool],
        tools: Sequence[Tool],
    ) -> list[Piece]:
        system = {id(turn) for turn in turns if turn.role == "system"}
        try:
            pieces = self._pieces(turns, think, cancelled, tools)
        except Failure as failure:
            if failure.bound or not (system or tools):
                raise
            return self._pieces(_without_system(turns), think, cancelled, tools, has_system=False)
        shown = {id(piece.message) for piece in pieces}
        blank = {id(turn) for turn in turns if not turn.content.strip()}
        all_there = system <= shown | blank and (not tools or _declares(pieces))
        if len(pieces) > 1 and not all_there:
            return self._pieces(_without_system(turns), think, cancelled, tools, has_system=False)
        return pieces

    def _pieces(
        self,
        turns: list[Message],
        think: bool,
        cancelled: Callable[[], bool],
        tools: Sequence[Tool],
        has_system: bool = True,
    ) -> list[Piece]:
        by_template = tools if self._has_tools else ()
        sheet = Sheet(turns, () if self._has_tools else tools, by_template, has_system)
        marked = [
            _MARK.format(key=self._key, number=number) if text.strip() else ""
            for number, text in enumerate(sheet.texts)
        ]
        rendered = self._run(sheet, marked, think, cancelled)
        if by_template and not _declares([Piece(rendered)]):
            self._has_tools = False
            return self._pieces(turns, think, cancelled, tools, has_system)
        pieces = self._split(rendered, sheet)
        # The template takes messages apart, so that the marks did not survive: give it the real
        # ones.
        if pieces is None:
            if any(turn.media for turn in turns):
                raise Failure("it takes messages apart: pictures and recordings have no place")
            return [Piece(self._run(sheet, sheet.texts, think, cancelled))]
        size = sum(len(piece.text) for piece in pieces)
        if size > sheet.longest:
            raise Failure(f"it writes more than {sheet.longest} characters", bound=True)
        return joined(pieces)

    def _split(self, rendered: str, sheet: Sheet) -> list[Piece] | None:
        """The template's words and what was said among them; None if a mark is not whole."""
        pieces: list[Piece] = []
        # re.split with three groups: words, left, number, right, words, ...
        parts = self._marks.split(rendered)
        for at in range(0, len(parts), 4):
            if len(parts[at]) > sheet.longest_words:
                raise Failure(f"it writes {len(parts[at])} characters in a row", bound=True)
            if _MARK_PARTS.search(parts[at]):
                return None
            pieces.append(Piece(parts[at]))
            if at + 3 < len(parts):
                left, number, right = parts[at + 1 : at + 4]
                if int(number) >= len(sheet.texts):
                    return None
                pieces += sheet.pieces(int(number), bool(left), bool(right))
        return pieces

    def _run(
        self, sheet: Sheet, contents: list[str], think: bool, cancelled: Callable[[], bool]
    ) -> str:
        variables = {
            **self._globals,
            "messages": sheet.messages(contents),
            "add_generation_prompt": True,
            "enable_thinking": think,
            "tools": sheet.declared(contents) or None,
            "documents": None,
        }
        return self._renderer.render(variables, sheet.longest, cancelled)


def _declares(pieces: Sequence[Piece]) -> bool:
    """Whether there is a declaration among the words that become control tokens."""
    return any(piece.message is None and DECLARATION in piece.text for piece in pieces)


def _opened(opened: list[Piece], group: Group, names: dict[str, str]) -> list[Piece]:
    """A prompt for the model's turn, and what it has written of that turn."""
    begun = said(group, names, over=False)
    if open_thought(opened) is None or not begun:
        return joined([*opened, *begun])
    # The template has opened a thought: it goes on where the turn begins with one, else the answer
    # does.
    if any(isinstance(part, Thought) for part in group[0].parts[:1]):
        if not begun[0].ids:
            begun[0] = Piece(begun[0].text.removeprefix(THOUGHT_BEGINS))
        return joined([*opened, *begun])
    return joined([*opened, Piece(THOUGHT_CLOSES), *begun])


def open_thought(pieces: Sequence[Piece]) -> str | None:
    """The words behind the mark of a thought in which a prompt ends; None if it ends in none."""
    if not pieces or pieces[-1].message is not None:
        return None
    _, mark, words = pieces[-1].text.rpartition(THOUGHT_OPENS)
    return words if mark and THOUGHT_CLOSES not in words else None


def turn_after(messages: Sequence[Message]) -> list[Message]:
    """How the conversation will go on: what its prompt shares with that of `messages` will stay.

    Some templates append words to the prompt of a new turn that its history does not have.
    """
    return [*messages, Message.text("assistant", "."), Message.text("user", ".")]


def _without_system(turns: list[Message]) -> list[Message]:
    """System text put before the first user turn's own, for templates without that role."""
    system = "\n\n".join(t.content.strip() for t in turns if t.role == "system")
    rest = [turn for turn in turns if turn.role != "system"]
    for number, turn in enumerate(rest):
        if turn.role == "user":
            rest[number] = _after(system, turn) if system else turn
            return rest
    return [Message.text("user", system), *rest]


def _after(text: str, turn: Message) -> Message:
    """The turn with a text in front of what it says."""
    first, *others = turn.parts or (Text(""),)
    if isinstance(first, Text):
        return Message(turn.role, (Text(f"{text}\n\n{first.text}"), *others))
    return Message(turn.role, (Text(f"{text}\n\n"), *turn.parts))


def _renderer(source: str, renderer: Renderer | None) -> Renderer:
    """What runs a template: this process if it is known to be harmless, another one if not."""
    harmless = (
        not source.strip()
        or sha256(source.strip().encode("utf-8", "replace")).hexdigest() in HARMLESS
    )
    if harmless:
        if renderer is not None:
            renderer.close()
        return LocalRenderer()
    if renderer is not None:
        return renderer
    from gemma_mtp.engine.template_process import RendererProcess

    return RendererProcess()


def _refused(what: str, failure: Failure, hint: str) -> BadPair:
    if failure.bound:
        hint = "No chat needs that much; get the model from another source."
    return BadPair(f"The chat template of this model {what}: {failure}.", hint)
