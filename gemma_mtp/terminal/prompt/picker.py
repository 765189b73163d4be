"""One of several things, chosen with arrows, by its number, or by a part of its name.

The console of a chat asks with it: which saved conversation, and questions with yes and no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer, CompletionState
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output

from gemma_mtp.terminal.prompt import vt100
from gemma_mtp.terminal.widths import clipped
from gemma_mtp.text import harmless

HELP = "Enter takes it, Ctrl-C none; arrows, a number or a part of the name"
UNKNOWN = "nothing like that; Backspace takes letters back"
MENU_ROWS = 16  # the most that prompt-toolkit's list has


class Choices(Completer):
    """What there is to choose from, each with the number that stands before it."""

    def __init__(self, choices: Sequence[str], numbers: Sequence[int]) -> None:
        self.choices, self.numbers = choices, numbers

    def meant(self, typed: str) -> list[int]:
        """Indices of the choices that what was typed may mean; a number means one."""
        if typed.strip().isdecimal():
            return [i for i, number in enumerate(self.numbers) if number == int(typed)]
        words = typed.lower().split()
        return [i for i, c in enumerate(self.choices) if all(w in c.lower() for w in words)]

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        """Their indices, shown as rows of the list."""
        width = len(str(max(self.numbers)))
        for i in self.meant(document.text):
            yield Completion(
                str(i), display=harmless(f"{self.numbers[i]:{width}}  {self.choices[i]}")
            )


def pick(
    terminal: tuple[Input, Output], question: str, choices: Sequence[str], numbers: Sequence[int]
) -> int | None:
    """The index of the choice; None when none was taken."""
    keys, output = terminal

    def help_text() -> str:
        text = HELP if session.default_buffer.complete_state else UNKNOWN
        return clipped(text, output.get_size().columns - 1)

    session: PromptSession[str] = PromptSession(
        f"{harmless(question)} ",
        completer=Choices(choices, numbers),
        complete_while_typing=False,
        reserve_space_for_menu=min(len(choices), MENU_ROWS, output.get_size().rows - 2) + 1,
        bottom_toolbar=help_text,
        key_bindings=_keys(),
        style=vt100.style(),
        include_default_pygments_style=False,
        erase_when_done=True,
        input=keys,
        output=output,
    )
    session.app.ttimeoutlen = vt100.ESCAPE_WAIT
    session.default_buffer.on_text_changed += _list
    session.default_buffer.on_cursor_position_changed += _list
    vt100.draw_at_the_top(session.layout)
    try:
        with vt100.listening_from_now_on(keys):
            taken = int(session.prompt(pre_run=lambda: _list(session.default_buffer)))
            output.write(harmless(f"{question} {choices[taken]}\n"))
            output.flush()
            return taken
    except (KeyboardInterrupt, EOFError):
        return None


def _list(buffer: Buffer) -> None:
    """Show what may be meant as a list of completions, the first one chosen but not typed."""
    assert buffer.completer
    found = [*buffer.completer.get_completions(buffer.document, CompleteEvent())]
    buffer.complete_state = CompletionState(buffer.document, found, 0) if found else None


def _keys() -> KeyBindings:
    keys = KeyBindings()

    def move(event: KeyPressEvent, rows: int) -> None:
        state = event.current_buffer.complete_state
        if state and state.complete_index is not None:
            state.go_to_index((state.complete_index + rows) % len(state.completions))

    @keys.add("up")
    @keys.add("c-p")
    @keys.add("s-tab")
    def _(event: KeyPressEvent) -> None:
        move(event, -1)

    @keys.add("down")
    @keys.add("c-n")
    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        move(event, 1)

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        state = event.current_buffer.complete_state
        if state and state.current_completion:
            event.app.exit(result=state.current_completion.text)

    @keys.add("escape", eager=True)
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt())

    return keys
