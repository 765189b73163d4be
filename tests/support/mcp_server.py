"""An MCP server for tests, by the protocol's official library. Run as a program.

What is called is noted in the file that CALLS names. SILENT makes a server that never answers.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Literal

import anyio
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("support")


def note(line: str) -> None:
    if calls := os.environ.get("CALLS"):
        with Path(calls).open("a", encoding="utf-8") as file:
            print(line, file=file)


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    note(f"add {a} {b}")
    return str(a + b)


@server.tool()
def shout(text: str) -> str:
    """Say it louder."""
    note(f"shout {text}")
    print("NOISE on stderr", file=sys.stderr, flush=True)
    return text.upper()


@server.tool()
def paint(colour: Literal["red", "green", "blue"]) -> str:
    """Paint the wall."""
    note(f"paint {colour}")
    return f"the wall is {colour}"


@server.tool()
def picture() -> Image:
    """A picture of nothing."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
def long_text(lines: int) -> str:
    """So many lines."""
    return "\n".join(f"line {n} of many" for n in range(1, lines + 1))


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("the disk is on fire")


@server.tool()
def die() -> str:
    """Ends the server."""
    note("die")
    os._exit(3)


@server.tool()
async def sleep(seconds: float) -> str:
    """Take a while."""
    note("sleep")
    await anyio.sleep(seconds)
    return "awake"


if __name__ == "__main__":
    if os.environ.get("SILENT"):
        time.sleep(1000)
    server.run("stdio")
