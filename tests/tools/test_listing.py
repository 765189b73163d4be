"""What a server says of its tools may have no end."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from gemma_mtp.tools.connection import MOST_TOOLS, _listed


class Endless:
    """A client of a server that always has another page, up to many more than are taken."""

    pages = 0

    async def list_tools(self, cursor: str | None) -> SimpleNamespace:
        self.pages += 1
        tool = SimpleNamespace(name=f"t{self.pages}", description="", title="", input_schema=None)
        more = "more" if self.pages < 3 * MOST_TOOLS else None
        return SimpleNamespace(tools=[tool], next_cursor=more)


def test_a_server_that_lists_tools_without_end_is_given_up() -> None:
    with pytest.raises(ValueError, match="more than 2000 tools"):
        asyncio.run(_listed(Endless()))  # type: ignore[arg-type]
