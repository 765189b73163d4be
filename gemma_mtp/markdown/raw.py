"""The text as it is: what `stream` does where nothing is to be rendered."""

from __future__ import annotations

from gemma_mtp.markdown.pieces import Piece, Style


class Raw:
    """Gives out all it is fed, but keeps back line ends that nothing has followed yet."""

    waiting = ""

    def __init__(self, base: Style = ()) -> None:
        self._base = base
        self._kept = ""

    def feed(self, text: str, drafted: bool = False) -> list[Piece]:
        """Go on with the text."""
        whole = self._kept + text
        visible = whole.rstrip("\n")
        self._kept = whole[len(visible) :]
        return [Piece(visible, self._base, drafted)] if visible else []

    def finish(self) -> list[Piece]:
        """Nothing follows."""
        return []

    @property
    def held(self) -> list[Piece]:
        return []
