"""The form of an answer that a person names: JSON, or what a JSON Schema says.

`run --format` and `/set format` read it here.
"""

from __future__ import annotations

import json
from pathlib import Path

from gemma_mtp.api import Grammar
from gemma_mtp.errors import UsageError
from gemma_mtp.files.reading import Say, read_text


def form_of(typed: str, say: Say, called: str) -> Grammar:
    """The grammar of `json`, of a JSON Schema, or of the file of one; `called` is what asks for it.
    Raises UsageError, also for a file that cannot be read."""
    if typed.lower() == "json":
        return Grammar("json")
    inline = typed.lstrip().startswith("{")
    text = typed if inline else read_text(Path(typed), say)
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"What {called} has" if inline else typed
        raise UsageError(f"{what} is no JSON: {error}.") from error
    return Grammar("json_schema", text)
