"""Tools of several servers under names that a model can call and that do not clash. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gemma_mtp.api.tools import Tool

LONGEST_NAME = 64  # characters, as `check_tools` has it
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)


@dataclass(frozen=True)
class Listed:
    """A tool as a server lists it; `schema` is the text of a JSON Schema."""

    name: str
    description: str = ""
    schema: str = ""


@dataclass(frozen=True)
class Offered:
    """A tool of a server, as the model knows it; `own_name` is what its server calls it."""

    tool: Tool
    server: str
    own_name: str

    @property
    def name(self) -> str:
        return self.tool.name


def offered(listed: Mapping[str, Sequence[Listed]]) -> list[Offered]:
    """The tools of each server; a name that several of them have gets the server's in front."""
    count = Counter(_fitting(each.name) for tools in listed.values() for each in tools)
    found: list[Offered] = []
    taken: set[str] = set()
    for server, tools in listed.items():
        for each in tools:
            name = _fitting(each.name)
            if count[name] > 1:
                name = _fitting(f"{server}_{each.name}")
            name = _free(name, taken)
            taken.add(name)
            tool = Tool(name, each.description, each.schema)
            found.append(Offered(tool, server, each.name))
    return found


def _fitting(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:LONGEST_NAME] or "tool"


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with a number where that is taken."""
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: LONGEST_NAME - len(str(number)) - 1]}_{number}"
    return found
