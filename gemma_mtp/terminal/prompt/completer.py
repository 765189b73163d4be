"""Completion of verbs, words and files for prompt-toolkit; the session uses it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit import completion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, get_common_complete_suffix
from prompt_toolkit.document import Document

from gemma_mtp.terminal.prompt.completion import Completion
from gemma_mtp.text import harmless


class ChatCompleter(Completer):
    """Hands prompt-toolkit what the text before the cursor may become."""

    def __init__(self, complete: Callable[[str], Iterable[Completion]]) -> None:
        self._complete = complete

    def get_completions(
        self, document: Document, event: CompleteEvent
    ) -> Iterator[completion.Completion]:
        found = [*self._complete(document.text_before_cursor)]
        shared = _shared_folder([one.text for one in found])
        for one in found:
            yield completion.Completion(
                one.text,
                one.start,
                display=harmless(one.text[len(shared) :]),
                display_meta=harmless(one.description),
            )


def complete(buffer: Buffer) -> int:
    """Finish the word as far as it is clear, or start a list of what it may become; the number of
    those in the list.

    At once: prompt-toolkit's own would come after the keys that were typed behind the Tab.
    """
    assert buffer.completer
    found = [*buffer.completer.get_completions(buffer.document, CompleteEvent())]
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif common := get_common_complete_suffix(buffer.document, found):
        buffer.insert_text(common)
    elif found:
        buffer.start_completion()
        return len(found)
    return 0


def _shared_folder(texts: list[str]) -> str:
    """The folder that is the same in all of these paths; they are told apart without it."""
    folder = texts[0].rpartition("/")[0] + "/" if texts else ""
    return folder if len(folder) > 1 and all(t.startswith(folder) for t in texts) else ""
