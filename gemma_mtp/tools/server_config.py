"""The file that says which MCP servers there are: {"mcpServers": {NAME: {...}}}, as other programs
have it. Pure but for reading the file; `servers` starts what it names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemma_mtp.errors import UsageError
from gemma_mtp.files.reading import Say, read_text

CALL_SECONDS = 120.0  # that a tool may take; a search or a build takes a minute
EXAMPLE = '{"mcpServers": {"files": {"command": "my-server", "args": ["/home/me"]}}}'
_REMOTE = ("http", "streamable-http", "streamableHttp", "sse")


@dataclass(frozen=True)
class ServerConfig:
    """One server: a `command` that is started here, or the `url` of one that runs elsewhere.

    `timeout` is in seconds, of one call and of its start. `unknown` are keys that mean nothing
    here.
    """

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    cwd: str | None = None
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    is_sse: bool = False
    timeout: float = CALL_SECONDS
    unknown: tuple[str, ...] = ()


def read_config(path: Path, say: Say) -> list[ServerConfig]:
    """The servers that a file names, without those that are `disabled` in it.

    Raises UsageError with a sentence about the first thing that makes no sense.
    """
    text = read_text(path, say)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no JSON: {error}.", EXAMPLE) from error
    servers = found.get("mcpServers", found.get("servers")) if isinstance(found, dict) else None
    if not isinstance(servers, dict):
        raise UsageError(f"{path} names no MCP servers.", EXAMPLE)
    for name, said in servers.items():
        if not isinstance(said, dict):
            raise UsageError(f"In {path}, {name} must be an object.", EXAMPLE)
    return [
        _server(name, said, f"In {path}, {name}")
        for name, said in servers.items()
        if said.get("disabled") is not True
    ]


def _server(name: str, said: dict[str, Any], where: str) -> ServerConfig:
    left = dict(said)

    def take(key: str, fits: Callable[[Any], bool], kind: str, default: Any) -> Any:
        value = left.pop(key, None)
        if value is None:
            return default
        if not fits(value):
            raise UsageError(f"{where}: {key} must be {kind}.", EXAMPLE)
        return value

    command, url = (take(key, _is_text, "a text", "") for key in ("command", "url"))
    if bool(command) == bool(url):
        raise UsageError(f"{where} needs either a command or a url.", EXAMPLE)
    kind = take("type", _is_text, "a text", "")
    if kind not in ("", *(("stdio",) if command else _REMOTE)):
        raise UsageError(f'{where}: the type "{kind}" is not known here.')
    left.pop("disabled", None)
    return ServerConfig(
        name,
        os.path.expanduser(command),
        tuple(take("args", _is_texts, "a list of texts", ())),
        take("env", _is_map, "an object of texts", {}),
        take("cwd", _is_text, "a text", None),
        url,
        take("headers", _is_map, "an object of texts", {}),
        kind == "sse",
        take("timeout", _is_seconds, "a number of seconds above 0", CALL_SECONDS),
        tuple(left),
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_map(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6
