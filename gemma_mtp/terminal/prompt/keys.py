"""Which key does what while a message is typed; all others are prompt-toolkit's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.filters import (
    Condition,
    completion_is_selected,
    emacs_mode,
    has_completions,
    has_focus,
    is_searching,
)
from prompt_toolkit.key_binding import (
    KeyBindings,
    KeyBindingsBase,
    KeyPressEvent,
    merge_key_bindings,
)
from prompt_toolkit.key_binding.bindings.auto_suggest import load_auto_suggest_bindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.search import stop_search
from prompt_toolkit.utils import suspend_to_background_supported

from gemma_mtp.terminal.prompt.device import NEW_LINE, Held

if TYPE_CHECKING:
    from gemma_mtp.terminal.prompt.line import Line


def bindings(line: Line) -> KeyBindingsBase:
    """The keys of a message."""
    return merge_key_bindings(
        [load_auto_suggest_bindings(), _sending(line), _completing(line), _leaving(line)]
    )


def _sending(line: Line) -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(line.buffer)

    @keys.add("enter", filter=typing)
    def _(event: KeyPressEvent) -> None:
        if isinstance(event.key_sequence[-1], Held):
            line.hold()
        else:
            line.send()

    @keys.add(NEW_LINE, filter=typing)
    @keys.add("escape", "enter", filter=typing & emacs_mode)
    @keys.add("c-j", filter=typing)
    def _(event: KeyPressEvent) -> None:
        line.buffer.insert_text("\n")

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _(event: KeyPressEvent) -> None:
        line.buffer.insert_text(line.pastes.pasted(event.data))

    @keys.add("c-x", "c-e", filter=typing)
    @keys.add("c-g", filter=typing)
    def _(event: KeyPressEvent) -> None:
        line.edit()

    return keys


def _completing(line: Line) -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(line.buffer)
    listed = typing & has_completions

    @keys.add("tab", filter=typing)
    def _(event: KeyPressEvent) -> None:
        if line.buffer.complete_state:
            line.buffer.complete_next()
        else:
            line.complete()

    @keys.add("s-tab", filter=listed)
    def _(event: KeyPressEvent) -> None:
        line.buffer.complete_previous()

    @keys.add("enter", filter=listed & completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        line.buffer.complete_state = None

    @keys.add("escape", filter=listed, eager=True)
    @keys.add("c-g", filter=listed)
    def _(event: KeyPressEvent) -> None:
        line.buffer.cancel_completion()

    return keys


def _leaving(line: Line) -> KeyBindings:
    keys = KeyBindings()
    typing = has_focus(line.buffer)
    can_suspend = Condition(suspend_to_background_supported)

    @keys.add("c-c", filter=typing)
    @keys.add("<sigint>", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        line.discard()

    @keys.add("c-c", filter=is_searching)
    @keys.add("<sigint>", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        stop_search()

    @keys.add("c-d", filter=typing & Condition(lambda: not line.buffer.text))
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError)

    @keys.add("c-z", filter=can_suspend)
    def _(event: KeyPressEvent) -> None:
        run_in_terminal(lambda: os.kill(0, signal.SIGTSTP))

    return keys
