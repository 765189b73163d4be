"""One message being typed: what is on the screen meanwhile, and what remains there.

While it is typed, prompt-toolkit draws it with a toolbar below; when it is sent, all that is erased
and the message is written as plain text, which the terminal wraps, keeps and copies as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.cursor_shapes import ModalCursorShapeConfig
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.output import Output

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.prompt import CONTINUED, PROMPT, vt100
from gemma_mtp.terminal.prompt.completer import ChatCompleter, complete
from gemma_mtp.terminal.prompt.completion import Completion
from gemma_mtp.terminal.prompt.editor import edited
from gemma_mtp.terminal.prompt.history import MessageHistory, Suggestions
from gemma_mtp.terminal.prompt.key_bindings import HeldKey, key_bindings
from gemma_mtp.terminal.prompt.line_input import HOW_TO_LEAVE
from gemma_mtp.terminal.prompt.paste_labels import PasteLabels
from gemma_mtp.terminal.prompt.pastes import Pastes
from gemma_mtp.terminal.prompt.quotes import is_open
from gemma_mtp.terminal.screen import fit
from gemma_mtp.terminal.widths import clipped
from gemma_mtp.text import harmless

Completions = Callable[[str], Iterable[Completion]]
Toolbar = Callable[[], list[tuple[int, str]]]

MENU_ROWS = 8  # of the list of completions
WAITING = "What you typed meanwhile comes next."


class MessageSession:
    """Asks for messages, one at a time."""

    def __init__(
        self,
        terminal: tuple[Input, Output],
        history: MessageHistory,
        pastes: Pastes,
        completions: Completions,
        toolbar: Toolbar,
    ) -> None:
        self.input, self.output = terminal
        self.history, self.pastes = history, pastes
        self._completions, self._parts = completions, toolbar
        self._notice = ""
        self._sent = ("", "")  # the last message in full, and as it was typed
        self._held: list[KeyPress] = []  # typed before something went wrong, and not offered yet
        self._suggestions = Suggestions(pastes)
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=lambda width, number, wrapped: "" if wrapped else CONTINUED,
            history=history,
            enable_history_search=True,
            search_ignore_case=True,
            completer=ChatCompleter(completions),
            auto_suggest=self._suggestions if vt100.is_styled() else None,
            bottom_toolbar=self._toolbar,
            input_processors=[PasteLabels(pastes)],
            key_bindings=key_bindings(self),
            enable_suspend=True,
            style=vt100.style(),
            include_default_pygments_style=False,
            erase_when_done=True,
            input=self.input,
            output=self.output,
        )
        self.app.ttimeoutlen = vt100.ESCAPE_WAIT
        self.app.key_processor.before_key_press += self._forget_notice
        vt100.draw_at_the_top(self._session.layout)

    @property
    def app(self) -> Application[str]:
        """What draws the message and reads the keys."""
        return self._session.app

    @property
    def buffer(self) -> Buffer:
        """The message as it is now."""
        return self._session.default_buffer

    def read(self, default: str, vi: bool) -> str:
        """The next message, as it is meant; EOFError when there are no more."""
        self.app.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
        self._session.cursor = ModalCursorShapeConfig() if vi else None
        self._notice = ""
        with vt100.listening(self.input):
            self._hold_back(default)
            typed = self._session.prompt(default=self._offered(default))
            self._write(self.pastes.labelled(typed))
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
        """Finish the word before the cursor, or list what it may become, or choose the next."""
        if self.buffer.complete_state:
            self.buffer.complete_next()
        else:
            most = min(MENU_ROWS, self.output.get_size().rows // 2)
            self._session.reserve_space_for_menu = min(complete(self.buffer), most) + 1

    def discard(self) -> None:
        """Clear the line, to be found in the history; on an empty one say how to leave."""
        if self.buffer.text:
            self.history.append_string(self.buffer.text, stored=False)
            self.buffer.reset()
            self.app.vi_state.reset()
            self.app.key_processor.feed_multiple(self._released(), first=True)
        else:
            self._notice = HOW_TO_LEAVE

    def edit(self) -> None:
        """Change the message in the user's editor."""
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

    def _toolbar(self) -> str:
        """A notice, the verbs that the message may become, or how the chat stands."""
        columns = self.output.get_size().columns
        self._suggestions.columns = columns - len(PROMPT) - 1
        text = self.buffer.text
        parts = list(self._parts())
        if self.pastes.labelled(text) != text:
            parts = [(100, "Ctrl-G shows the paste"), *parts]
        shown = self._notice or self._verbs(text) or fit(parts, columns - 1)
        return "" if self.buffer.complete_state else clipped(harmless(shown), columns - 1)

    def _verbs(self, text: str) -> str:
        if not re.fullmatch(r"/\S*", text):
            return ""
        found = list(self._completions(text))
        exact = [one for one in found if one.text.strip() == text] or found
        if len(exact) == 1:
            return f"{exact[0].text.strip()}  {exact[0].description}"
        return "  ".join(one.text.strip() for one in found)

    def _hold_back(self, default: str) -> None:
        """What was typed ahead does not run into a message that was handed back. It is offered
        after that one, line by line, but sends nothing by itself: things are not as they were."""
        if default or self._held:
            self._held += _held(get_typeahead(self.input))
        if not default:
            store_typeahead(self.input, self._released())
        elif self._held:
            self._notice = WAITING

    def _released(self) -> list[KeyPress]:
        keys, self._held = self._held, []
        return keys

    def _offered(self, default: str) -> str:
        """A text to start from; what was just sent comes back as it was typed."""
        sent, typed = self._sent
        return typed if default and default == sent.strip() else self.pastes.folded(default)

    def _write(self, text: str) -> None:
        self.output.write(shown(text))
        self.output.flush()

    def _forget_notice(self, _: object) -> None:
        self._notice = ""


def shown(text: str) -> str:
    """A message as it stays on the screen; control characters in it do nothing."""
    return PROMPT + harmless(text).replace("\n", f"\n{CONTINUED}") + "\n"


def _held(keys: Iterable[KeyPress]) -> list[KeyPress]:
    return [HeldKey(key.key, key.data) for key in keys]
