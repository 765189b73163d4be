"""One message being typed: what is on the screen meanwhile, and what remains there.

While it is typed, prompt-toolkit draws it with a bar below; when it is sent, all that is erased and
the message is written as plain text, which the terminal wraps, keeps and copies as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.cursor_shapes import (
    CursorShapeConfig,
    DynamicCursorShapeConfig,
    ModalCursorShapeConfig,
)
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.output import Output

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.prompt.completion import Completion
from gemma_mtp.terminal.prompt.device import ESCAPE_WAIT, Held, is_styled, listening, style
from gemma_mtp.terminal.prompt.editor import edited
from gemma_mtp.terminal.prompt.history import Lines, Suggestions
from gemma_mtp.terminal.prompt.keys import bindings
from gemma_mtp.terminal.prompt.layout import Completions, layout
from gemma_mtp.terminal.prompt.menu import clipped
from gemma_mtp.terminal.prompt.message import LEAVING, is_open, shown
from gemma_mtp.terminal.prompt.pastes import Pastes
from gemma_mtp.terminal.screen import fit

Complete = Callable[[str], Iterable[Completion]]
Bar = Callable[[], list[tuple[int, str]]]

WAITING = "What you typed meanwhile comes next."


class Line:
    """Reads messages, one at a time."""

    def __init__(
        self,
        terminal: tuple[Input, Output],
        history: Lines,
        pastes: Pastes,
        complete: Complete,
        bar: Bar,
        prompt: str,
    ) -> None:
        keys, self.output = terminal
        self.history, self.pastes, self.prompt = history, pastes, prompt
        self._complete, self._bar = complete, bar
        self._completer = Completions(complete)
        self._notice = ""
        self._sent = ("", "")
        self._held: list[Held] = []  # typed before something went wrong, and not offered yet
        self._suggestions = Suggestions(pastes) if is_styled() else None
        self.buffer = Buffer(
            multiline=True,
            history=history,
            completer=self._completer,
            auto_suggest=self._suggestions,
            enable_history_search=True,
            accept_handler=self._accepted,
        )
        self.app: Application[str] = Application(
            layout=layout(self),
            key_bindings=bindings(self),
            style=style(),
            include_default_pygments_style=False,
            cursor=DynamicCursorShapeConfig(self._cursor),
            reverse_vi_search_direction=True,
            erase_when_done=True,
            input=keys,
            output=self.output,
        )
        self.app.ttimeoutlen = ESCAPE_WAIT
        self.app.key_processor.before_key_press += self._forget_notice

    def read(self, default: str, vi: bool) -> str:
        """The next message, as it is meant; EOFError when there are no more."""
        self.app.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
        self._notice = ""
        self.buffer.reset(Document(self._offered(default)))
        with listening(self.app.input):
            self._hold_back(default)
            typed = self.app.run()
        self._write(self.pastes.labelled(typed))
        self.history.append_string(typed)
        self._sent = (self.pastes.expanded(typed), typed)
        return self._sent[0]

    def send(self) -> None:
        """Send, unless a `\"\"\"` is still open."""
        if is_open(self.buffer.text):
            self.buffer.insert_text("\n")
        else:
            self.buffer.validate_and_handle()

    def hold(self) -> None:
        """The end of a line that was typed ahead, and is to be looked at before it is sent."""
        if is_open(self.buffer.text):
            self.buffer.insert_text("\n")
        elif self.buffer.text:
            self._held = _held(self.app.key_processor.empty_queue())

    def complete(self) -> None:
        """Finish the word as far as it is clear; list what it may become where it is not."""
        before = self.buffer.document
        found = list(self._completer.get_completions(before, CompleteEvent()))
        if len(found) == 1:
            self.buffer.apply_completion(found[0])
        elif common := get_common_complete_suffix(before, found):
            self.buffer.insert_text(common)
        elif found:
            self.buffer.start_completion()

    def discard(self) -> None:
        """Clear the line, to be found in the history; on an empty one say how to leave."""
        if self.buffer.text:
            self.history.remember(self.buffer.text)
            self.buffer.reset()
            self.app.vi_state.reset()
            self.app.key_processor.feed_multiple(self._released(), first=True)
        else:
            self._notice = LEAVING

    def edit(self) -> None:
        """Change the line in the user's editor."""
        before = self.pastes.expanded(self.buffer.text)

        def run() -> None:
            try:
                after = edited(before)
            except GemmaMtpError as error:
                self._notice = f"{error} {error.hint}"
                return
            if after != before:
                self.buffer.document = Document(self.pastes.folded(after))

        run_in_terminal(run)

    def below(self) -> str:
        """The row below the line: a notice, the verbs that it may become, or the bar."""
        width = self.columns - 1
        if self._notice:
            return clipped(self._notice, width)
        text = self.buffer.text
        if verbs := self._verbs(text):
            return clipped(verbs, width)
        parts = list(self._bar())
        if self.pastes.any_in(text):
            parts = [(100, "Ctrl-G shows the paste"), *parts]
        return clipped(fit(parts, width), width) if parts else ""

    @property
    def columns(self) -> int:
        """Width of the terminal just now."""
        columns = self.output.get_size().columns
        if self._suggestions:
            self._suggestions.room = columns - len(self.prompt) - 1
        return columns

    def _verbs(self, text: str) -> str:
        if not re.fullmatch(r"/\S*", text):
            return ""
        found = list(self._complete(text))
        exact = next((c for c in found if c.text.strip() == text), None)
        if exact or len(found) == 1:
            only = exact or found[0]
            return f"{only.text.strip()}  {only.description}"
        return "  ".join(c.text.strip() for c in found)

    def _hold_back(self, default: str) -> None:
        """What was typed ahead does not run into a message that was handed back. It is offered
        after that one, line by line, but sends nothing by itself: things are not as they were."""
        if default or self._held:
            self._held += _held(get_typeahead(self.app.input))
        if not default:
            store_typeahead(self.app.input, self._released())
        elif self._held:
            self._notice = WAITING

    def _released(self) -> list[KeyPress]:
        keys, self._held = self._held, []
        return [*keys]

    def _offered(self, default: str) -> str:
        """A text to start from; what was just sent comes back as it was typed."""
        sent, typed = self._sent
        return typed if default and default == sent.strip() else self.pastes.folded(default)

    def _cursor(self) -> CursorShapeConfig | None:
        """With vi keys the cursor shows which mode it is; otherwise it is left alone."""
        return ModalCursorShapeConfig() if self.app.editing_mode == EditingMode.VI else None

    def _accepted(self, buffer: Buffer) -> bool:
        self.app.exit(result=buffer.text)
        return True

    def _write(self, text: str) -> None:
        self.output.write(shown(self.prompt, text))
        self.output.flush()

    def _forget_notice(self, _: object) -> None:
        self._notice = ""


def _held(keys: Iterable[KeyPress]) -> list[Held]:
    return [Held(key.key, key.data) for key in keys]
