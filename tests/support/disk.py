"""States of chats, kept in memory as JSON and bytes."""

from __future__ import annotations

import json
from typing import Any

from gemma_mtp.api import Keeping


class Disk:
    """Keeps what it is given until the test is over."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[str, list[bytes]]] = {}

    def about(self, name: str) -> Any:
        return json.loads(self.kept[name][0]) if name in self.kept else None

    def read(self, name: str) -> Any:
        about = self.about(name)
        return about and (about, [memoryview(part) for part in self.kept[name][1]])

    def keep(self, keeping: Keeping, about: Any, parts: Any) -> None:
        self.kept[keeping.name] = json.dumps(about), [bytes(part) for part in parts]

    def close(self) -> None:
        pass
