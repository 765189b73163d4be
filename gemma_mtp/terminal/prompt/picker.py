"""One of several things, chosen with arrows, by its number, or by a part of its name."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, VerticalAlign, Window
from prompt_toolkit.output import Output

from gemma_mtp.terminal.prompt import menu
from gemma_mtp.terminal.prompt.device import ESCAPE_WAIT, asking, style
from gemma_mtp.text import harmless

HELP = "arrows, a number or a part of the name; Enter takes it, Ctrl-C none"


class Picker:
    """A question with its choices on the screen, until one is taken."""

    def __init__(
        self, question: str, choices: Sequence[str], numbers: Sequence[int] | None = None
    ) -> None:
        self.question, self.choices = question, choices
        self.numbers = numbers or range(1, len(choices) + 1)
        self.typed, self.chosen = "", 0

    def run(self, terminal: tuple[Input, Output]) -> int | None:
        """The index of the choice; None when none was taken."""
        keys, output = terminal
        head = Window(
            FormattedTextControl(self._head, show_cursor=True, focusable=True),
            wrap_lines=True,
            dont_extend_height=True,
        )
        below = Window(FormattedTextControl(lambda: self._rows(output)), dont_extend_height=True)
        app: Application[int | None] = Application(
            layout=Layout(HSplit([head, below], align=VerticalAlign.TOP), focused_element=head),
            key_bindings=_keys(self),
            style=style(),
            include_default_pygments_style=False,
            erase_when_done=True,
            input=keys,
            output=output,
        )
        app.ttimeoutlen = ESCAPE_WAIT
        try:
            with asking(keys):
                taken = app.run()
        except KeyboardInterrupt:  # before the question was there
            taken = None
        if taken is not None:
            output.write(harmless(f"{self.question} {self.choices[taken]}\n"))
            output.flush()
        return taken

    def found(self) -> list[int]:
        """The choices that what was typed may mean; a number only moves to one."""
        if self._number() is not None:
            return list(range(len(self.choices)))
        words = self.typed.lower().split()
        return [i for i, c in enumerate(self.choices) if all(w in c.lower() for w in words)]

    def type(self, text: str) -> None:
        """Change what was typed, and move to what it means."""
        self.typed = text
        number = self._number()
        found = self.found()
        if number is not None:
            self.chosen = number
        elif self.chosen not in found and found:
            self.chosen = found[0]

    def move(self, rows: int) -> None:
        found = self.found()
        if found:
            place = found.index(self.chosen) if self.chosen in found else 0
            self.chosen = found[(place + rows) % len(found)]

    def taken(self) -> int | None:
        return self.chosen if self.chosen in self.found() else None

    def _number(self) -> int | None:
        number = int(self.typed) if self.typed.isdecimal() else 0
        return self.numbers.index(number) if number in self.numbers else None

    def _head(self) -> StyleAndTextTuples:
        cursor = ("[SetCursorPosition]", "")
        return [("", f"{self.question} {self.typed}"), cursor]

    def _rows(self, output: Output) -> StyleAndTextTuples:
        size = output.get_size()
        found = self.found()
        width = len(str(max(self.numbers)))
        items = [(f"{self.numbers[i]:{width}}  {self.choices[i]}", "") for i in found]
        chosen = found.index(self.chosen) if self.chosen in found else None
        height = max(size.rows - 4, 3)
        rows = menu.rows(items, chosen, size.columns - 1, height) if found else []
        note = HELP if found else "nothing like that; Backspace takes letters back"
        return [*rows, ("class:bar", "\n" * bool(rows) + menu.clipped(note, size.columns - 1))]


def _keys(picker: Picker) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("up")
    @keys.add("c-p")
    @keys.add("s-tab")
    def _(event: KeyPressEvent) -> None:
        picker.move(-1)

    @keys.add("down")
    @keys.add("c-n")
    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        picker.move(1)

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        if picker.taken() is not None:
            event.app.exit(result=picker.taken())

    @keys.add("escape", eager=True)
    @keys.add("c-c")
    @keys.add("c-d")
    @keys.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        event.app.exit(result=None)

    @keys.add("backspace")
    def _(event: KeyPressEvent) -> None:
        picker.type(picker.typed[:-1])

    @keys.add("c-u")
    def _(event: KeyPressEvent) -> None:
        picker.type("")

    @keys.add(Keys.Any)
    def _(event: KeyPressEvent) -> None:
        if event.data.isprintable():
            picker.type(picker.typed + event.data)
        elif event.key_sequence[0].key == Keys.BracketedPaste:  # no part of a name: for the line
            store_typeahead(event.app.input, event.key_sequence)

    return keys
