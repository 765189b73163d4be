"""Which key does what while a message is typed; all others are prompt-toolkit's.

The session has these bindings, and does what they ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import (
    completion_is_selected,
    has_completions,
    has_focus,
    is_searching,
)
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.search import stop_search

from gemma_mtp.terminal.prompt.vt100 import NEW_LINE

if TYPE_CHECKING:
    from gemma_mtp.terminal.prompt.session import MessageSession


class HeldKey(KeyPress):
    """A key typed before something went wrong: it types as it would have, but sends nothing."""


def key_bindings(session: MessageSession) -> KeyBindings:
    """The keys of a message."""
    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)
    listed = typing & has_completions

    @keys.add("enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        if isinstance(event.key_sequence[-1], HeldKey):
            session.hold()
        else:
            session.send()

    @keys.add(NEW_LINE, filter=typing)
    @keys.add("c-j", filter=typing)
    def _(event: KeyPressEvent) -> None:
        session.buffer.insert_text("\n")

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _(event: KeyPressEvent) -> None:
        session.buffer.insert_text(session.pastes.pasted(event.data))

    @keys.add("c-x", "c-e", filter=typing)
    @keys.add("c-g", filter=typing)
    def _(event: KeyPressEvent) -> None:
        session.edit()

    @keys.add("tab", filter=typing)
    def _(event: KeyPressEvent) -> None:
        session.complete()

    @keys.add("s-tab", filter=listed)
    def _(event: KeyPressEvent) -> None:
        session.buffer.complete_previous()

    @keys.add("enter", filter=listed & completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        session.buffer.complete_state = None

    @keys.add("escape", filter=listed, eager=True)
    @keys.add("c-g", filter=listed)
    def _(event: KeyPressEvent) -> None:
        session.buffer.cancel_completion()

    @keys.add("c-c", filter=typing)
    @keys.add("<sigint>", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        session.discard()

    @keys.add("c-c", filter=is_searching)
    @keys.add("<sigint>", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        stop_search()

    return keys
