"""One thing that `doctor` looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `problem` "" when it is fine; `hint` says what to do about it."""

    name: str
    value: str
    problem: str = ""
    hint: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
