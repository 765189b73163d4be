"""The lines of a batch: what each asks for, and what the line with its answer looks like.

Read by `work`. A line is plain, an object with a prompt, or in the format of OpenAI's batches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from gemma_mtp.api import End, PairInfo, Request
from gemma_mtp.batch.plain import Form, Plain
from gemma_mtp.errors import GemmaMtpError, UsageError

if TYPE_CHECKING:
    from gemma_mtp.server.asked import Asked

Key = int | str
"""What an answer is found by: the number of its line from 0, or the custom_id of OpenAI's."""

_OPENAI = {"custom_id", "method", "url", "body"}
"""The fields of a line of OpenAI's."""


class Line(Protocol):
    """One request of a batch, as its format has it."""

    @property
    def key(self) -> Key: ...

    @property
    def index(self) -> int:
        """The number of the line, from 0."""

    @property
    def model(self) -> str:
        """The model that it names, "" for none."""

    def asked(self) -> Asked:
        """What it asks for. Raises UsageError and the server's Refused."""

    def answered(
        self, end: End, info: PairInfo, request: Request, seconds: float
    ) -> dict[str, Any]:
        """The line with the answer, which took so many seconds."""

    def failed(self, error: GemmaMtpError) -> dict[str, Any]:
        """The line that says why there is no answer."""


def read(lines: Iterable[bytes], form: Form) -> list[Line]:
    """All requests; blank lines count and ask for nothing. A line that cannot be read is one that
    fails when its turn comes. `form` makes the object of a plain answer."""
    found: list[Line] = []
    known: dict[str, int] = {}
    for index, raw in enumerate(lines):
        if raw.strip():
            found.append(_line(index, raw, form, known))
    return found


def _line(index: int, raw: bytes, form: Form, known: dict[str, int]) -> Line:
    try:
        data = _parsed(raw)
        if _OPENAI.isdisjoint(data.keys() - {"custom_id"}):
            return Plain(index, data, form)
        name = _custom_id(data)
        if name in known:
            raise UsageError(f'The custom_id "{name}" is that of line {known[name] + 1}, too.')
    except UsageError as error:
        return Plain(index, {}, form, error)
    from gemma_mtp.batch.openai import OpenAI

    known[name] = index
    return OpenAI(index, name, data)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError("The line is no UTF-8.") from error
    except json.JSONDecodeError as error:
        where = f"{error.msg}, at character {error.pos + 1}"
        raise UsageError(f"The line is no JSON: {where}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            "The line is no JSON that can be read: it is nested too deeply, or has a number with "
            "too many digits."
        ) from error
    if not isinstance(data, dict):
        raise UsageError('The line must be an object, such as {"prompt": "Why?"}.')
    return data


def _custom_id(data: dict[str, Any]) -> str:
    name = data.get("custom_id")
    if not isinstance(name, str) or not name:
        raise UsageError("custom_id must be a text, by which the answer is found.")
    return name
