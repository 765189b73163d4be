"""How the text of a message is drawn while it is typed; the session uses it."""

from __future__ import annotations

from bisect import bisect_right

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from gemma_mtp.terminal.prompt.pastes import Pastes
from gemma_mtp.text import harmless


class PasteLabels(Processor):
    """Shows a paste that was put aside as its label, on which the cursor does not stop, and a sign
    in place of each character that could act on the terminal."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes

    def apply_transformation(self, given: TransformationInput) -> Transformation:
        text = "".join(text for _, text, *_ in given.fragments)
        if harmless(self._pastes.labelled(text)) == text:
            return Transformation(given.fragments)
        fragments: StyleAndTextTuples = []
        starts = [0]  # where each character of the text starts on the screen, and the text ends
        for style, char, *_ in explode_text_fragments(given.fragments):
            label = harmless(self._pastes.labelled(char))
            fragments.append((f"{style} class:paste" if len(label) > 1 else style, label))
            starts.append(starts[-1] + len(label))
        last = len(starts) - 1
        return Transformation(
            fragments,
            source_to_display=lambda at: starts[min(at, last)] + max(at - last, 0),
            display_to_source=lambda at: bisect_right(starts, at) - 1,
        )
