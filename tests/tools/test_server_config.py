"""Files that name MCP servers, and the names under which their tools are offered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.tools import servers
from gemma_mtp.tools.offered import Listed, offered
from gemma_mtp.tools.server_config import ServerConfig, read_config
from gemma_mtp.tools.servers import Servers


def read(folder: Path, text: str) -> list[ServerConfig]:
    file = folder / "mcp.json"
    file.write_text(text)
    return read_config(file, lambda said: None)


def test_servers_of_both_kinds(tmp_path: Path) -> None:
    said = {
        "here": {"command": "srv", "args": ["-x"], "env": {"A": "b"}, "cwd": "/", "timeout": 5},
        "there": {"url": "http://x/mcp", "headers": {"K": "v"}, "type": "http", "gallery": True},
        "old": {"url": "http://x/sse", "type": "sse"},
        "not": {"command": "srv", "disabled": True},
    }
    here, there, old = read(tmp_path, json.dumps({"mcpServers": said}))
    assert here == ServerConfig("here", "srv", ("-x",), {"A": "b"}, "/", timeout=5)
    assert (there.url, there.headers, there.unknown) == ("http://x/mcp", {"K": "v"}, ("gallery",))
    assert (there.is_sse, old.is_sse) == (False, True)
    assert [s.name for s in read(tmp_path, json.dumps({"servers": {"a": said["old"]}}))] == ["a"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "names no MCP servers"),
        ('{"mcpServers": {"a": 3}}', "a must be an object"),
        ('{"mcpServers": {"a": {}}}', "a needs either a command or a url"),
        ('{"mcpServers": {"a": {"command": "x", "url": "y"}}}', "either a command or a url"),
        ('{"mcpServers": {"a": {"command": "x", "args": "y"}}}', "args must be a list of texts"),
        ('{"mcpServers": {"a": {"command": "x", "env": {"A": 1}}}}', "env must be an object of"),
        ('{"mcpServers": {"a": {"command": "x", "timeout": 0}}}', "timeout must be a number of"),
        ('{"mcpServers": {"a": {"command": "x", "type": "sse"}}}', 'the type "sse" is not known'),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read(tmp_path, text)


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with pytest.raises(GemmaMtpError, match="mcp, which is not installed") as raised:
        Servers([])
    assert "gemma-mtp[mcp]" in raised.value.hint


def test_names_that_a_model_can_call_and_that_do_not_clash() -> None:
    listed = {"a b": [Listed("get/it"), Listed("x"), Listed("get it")], "c": [Listed("x")]}
    found = offered({**listed, "long": [Listed("y" * 100)], "longer": [Listed("y" * 100 + "z")]})
    names = [each.name for each in found]
    assert names[:4] == ["a_b_get_it", "a_b_x", "a_b_get_it_2", "c_x"]
    assert [each.own_name for each in found][:4] == ["get/it", "x", "get it", "x"]
    assert len(set(names)) == 6
    assert max(map(len, names)) == 64
