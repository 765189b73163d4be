"""What is drawn while a message is typed: the message, below it a list, a search, or the bar."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer
from prompt_toolkit.completion import Completion as Found
from prompt_toolkit.document import Document
from prompt_toolkit.filters import has_completions, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_len
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    VerticalAlign,
    Window,
)
from prompt_toolkit.layout.processors import (
    AppendAutoSuggestion,
    HighlightIncrementalSearchProcessor,
    HighlightSelectionProcessor,
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.widgets import SearchToolbar

from gemma_mtp.terminal.prompt import menu
from gemma_mtp.terminal.prompt.completion import Completion
from gemma_mtp.terminal.prompt.message import CONTINUED
from gemma_mtp.terminal.prompt.pastes import Pastes

if TYPE_CHECKING:
    from gemma_mtp.terminal.prompt.line import Line

MENU_ROWS = 8


def layout(line: Line) -> Layout:
    """The message at the top; nothing else is higher than it must be."""
    search = SearchToolbar(
        ignore_case=True,
        forward_search_prompt="search forward: ",
        backward_search_prompt="search: ",
    )
    text = Window(
        BufferControl(
            line.buffer,
            input_processors=[
                HighlightIncrementalSearchProcessor(),
                HighlightSelectionProcessor(),
                AppendAutoSuggestion(),
                Labels(line.pastes),
            ],
            include_default_input_processors=False,
            search_buffer_control=search.control,
            preview_search=True,
        ),
        wrap_lines=True,
        dont_extend_height=True,
        get_line_prefix=lambda number, wrapped: _prefix(line.prompt, number, wrapped),
    )
    rows = Window(
        FormattedTextControl(lambda: _menu(line)), dont_extend_height=True, dont_extend_width=True
    )
    bar = Window(
        FormattedTextControl(lambda: [("class:bar", line.below())]),
        height=1,
        dont_extend_height=True,
    )
    return Layout(
        HSplit(
            [
                text,
                search,
                ConditionalContainer(rows, has_completions),
                ConditionalContainer(bar, ~has_completions & ~is_searching),
            ],
            align=VerticalAlign.TOP,
        ),
        focused_element=text,
    )


def _prefix(prompt: str, number: int, wrapped: int) -> str:
    """Before each line; a row that is only the rest of one has none."""
    if wrapped:
        return ""
    return CONTINUED if number else prompt


def _menu(line: Line) -> StyleAndTextTuples:
    state = line.buffer.complete_state
    if state is None:
        return []
    texts = _told_apart([found.text for found in state.completions])
    about = [found.display_meta_text for found in state.completions]
    height = max(min(MENU_ROWS, line.output.get_size().rows // 2), 1)
    items = list(zip(texts, about, strict=True))
    return list(menu.rows(items, state.complete_index, line.columns - 1, height))


def _told_apart(texts: list[str]) -> list[str]:
    """Paths without the folder that all of them share."""
    shared = texts[0].rpartition("/")[0] + "/"
    if len(shared) > 1 and all(text.startswith(shared) for text in texts):
        return [text[len(shared) :] for text in texts]
    return texts


class Labels(Processor):
    """Shows a paste that was put aside as its label, on which the cursor does not stop."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes

    def apply_transformation(self, given: TransformationInput) -> Transformation:
        if not self._pastes.any_in("".join(text for _, text, *_ in given.fragments)):
            return Transformation(given.fragments)
        fragments: StyleAndTextTuples = []
        starts = [0]
        for style, char, *_ in explode_text_fragments(given.fragments):
            label = self._pastes.label(char)
            fragments.append((style if label == char else f"{style} class:paste", label))
            starts.append(starts[-1] + fragment_list_len(fragments[-1:]))

        def to_display(position: int) -> int:
            beyond = max(position - len(starts) + 1, 0)
            return starts[min(position, len(starts) - 1)] + beyond

        def to_source(position: int) -> int:
            return max(i for i, start in enumerate(starts) if start <= position)

        return Transformation(fragments, to_display, to_source)


class Completions(Completer):
    """Hands prompt-toolkit what a chat's words may become."""

    def __init__(self, complete: Callable[[str], Iterable[Completion]]) -> None:
        self._complete = complete

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Found]:
        for found in self._complete(document.text_before_cursor):
            yield Found(found.text, found.start, display_meta=found.description)
