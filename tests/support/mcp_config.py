"""A file that names MCP servers, each of them the one in mcp_server.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SERVER = Path(__file__).with_name("mcp_server.py")


def write_config(folder: Path, *names: str, **more: object) -> str:
    """The path of a new file with a server for each name, one called calc without any. What is
    called is noted in the file `calls` beside it."""
    server = {"command": sys.executable, "args": [str(SERVER)]}
    server |= {"env": {"CALLS": str(folder / "calls")}, **more}
    file = folder / "mcp.json"
    file.write_text(json.dumps({"mcpServers": dict.fromkeys(names or ("calc",), server)}))
    return str(file)
