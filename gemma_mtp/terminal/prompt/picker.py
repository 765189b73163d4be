"""One of several things, chosen with arrows, by its number, or by a part of its name.

The console asks with it: which saved conversation, and questions with yes and no.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output
from prompt_toolkit.validation import ValidationError, Validator

from gemma_mtp.terminal.prompt import vt100
from gemma_mtp.text import harmless

HELP = "arrows, a number or a part of the name; Enter takes the first, Ctrl-C none"
UNKNOWN = "nothing like that; Backspace takes letters back"
MENU_ROWS = 16  # the most that prompt-toolkit's list has
OTHER_ROWS = 2  # of the screen, for the help and for what is wrong


class Choices(Completer, Validator):
    """What there is to choose from, each with the number that stands before it."""

    def __init__(self, choices: Sequence[str], numbers: Sequence[int]) -> None:
        self.choices, self.numbers = choices, numbers
        width = len(str(max(numbers)))
        self.rows = [f"{n:{width}}  {c}" for n, c in zip(numbers, choices, strict=True)]

    def meant(self, typed: str) -> list[int]:
        """Indices of the choices that what was typed may mean, the likeliest first."""
        if typed in self.rows:
            return [self.rows.index(typed)]
        if typed.strip().isdecimal():
            return [i for i, number in enumerate(self.numbers) if number == int(typed)]
        words = typed.lower().split()
        return [i for i, c in enumerate(self.choices) if all(w in c.lower() for w in words)]

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
        """Those choices, for the list."""
        for index in self.meant(document.text):
            row = self.rows[index]
            yield Completion(row, -document.cursor_position, display=harmless(row))

    def validate(self, document: Document) -> None:
        """Raises ValidationError for what means nothing."""
        if not self.meant(document.text):
            raise ValidationError(len(document.text), UNKNOWN)


def pick(
    terminal: tuple[Input, Output], question: str, choices: Sequence[str], numbers: Sequence[int]
) -> int | None:
    """The index of the choice; None when none was taken."""
    keys, output = terminal
    known = Choices(choices, numbers)
    rows = min(min(len(choices), MENU_ROWS) + 1, output.get_size().rows - OTHER_ROWS)
    session: PromptSession[str] = PromptSession(
        f"{harmless(question)} ",
        completer=known,
        validator=known,
        reserve_space_for_menu=max(rows, 1),
        bottom_toolbar=HELP,
        key_bindings=_keys(),
        style=vt100.style(),
        include_default_pygments_style=False,
        erase_when_done=True,
        input=keys,
        output=output,
    )
    vt100.draw_at_the_top(session.layout)
    session.app.ttimeoutlen = vt100.ESCAPE_WAIT
    try:
        with vt100.listening_from_now_on(keys):
            typed = session.prompt(pre_run=session.default_buffer.start_completion)
    except (KeyboardInterrupt, EOFError):
        return None
    taken = known.meant(typed)[0]
    output.write(harmless(f"{question} {choices[taken]}\n"))
    output.flush()
    return taken


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", eager=True)
    def _(event: KeyPressEvent) -> None:
        event.app.exit(exception=KeyboardInterrupt())

    @keys.add("backspace")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor()
        event.current_buffer.start_completion()

    return keys
