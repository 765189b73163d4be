"""Fixtures that more than one test file needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

try:
    from terminal import Terminal
except ImportError:  # pseudo-terminals are POSIX
    Terminal = None


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    if Terminal is None:
        pytest.skip("pseudo-terminals are POSIX")
    opened: list[Terminal] = []

    def start(*arguments: str, **settings: object) -> Terminal:
        opened.append(Terminal(*arguments, **settings))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()
