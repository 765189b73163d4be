"""Ollama's parameters of a model as settings of ours: their names, and values written differently.

Modelfiles and requests of Ollama's clients have them. What each means is said in its documentation:
github.com/ollama/ollama/blob/main/docs/modelfile.mdx.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gemma_mtp.errors import UsageError
from gemma_mtp.options import PARAMETER_NAMES, SETTINGS
from gemma_mtp.settings import MAX_DRAFT
from gemma_mtp.text import suggestion

WHOLE_CONTEXT = 2**20  # tokens that repeat_last_n -1 looks back at: no context is longer
NO_LIMIT = (-1, -2)
"""Values of num_predict: go on without end, or until the context is full. No reply goes on beyond
the context here, so they mean the same."""

NAMES = {**PARAMETER_NAMES, "draft_num_predict": PARAMETER_NAMES["draft"],
         **dict.fromkeys(("keep_alive", "keepalive"), SETTINGS["keep_alive"])}  # fmt: skip
"""Their names, and ours, of the parameters that are known here."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "mirostat": (0,),
    "tfs_z": (1,),
    "typical_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "penalize_newline": (True,),
    "f16_kv": (True,),
    "logits_all": (False,),
    "vocab_only": (False,),
    "embedding_only": (False,),
}
"""Parameters that are not known here, and what they are where they change nothing."""

# `num_keep` matters where a full context is shifted, the next two where mirostat is on, and the
# others say how a model is loaded.
IGNORED = frozenset(
    {"num_keep", "mirostat_tau", "mirostat_eta", "num_batch", "numa", "main_gpu"}
    | {"low_vram", "use_mmap", "use_mlock"}
)
"""Parameters that change no text."""

_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)


def no_limit(value: int) -> int | None:
    """A number of tokens, or None for the values that mean no limit."""
    return None if value in NO_LIMIT else value


OURS: dict[str, Callable[[Any], Any]] = {
    "max_tokens": no_limit,
    "seed": lambda value: None if value < 0 else value,
    "top_k": lambda value: max(value, 0),  # as in llama.cpp, where less than 1 keeps all
    "repeat_last_n": lambda value: WHOLE_CONTEXT if value < 0 else value,
    "draft": lambda value: min(max(value, 0), MAX_DRAFT) if isinstance(value, int) else value,
    "ctx": lambda value: max(value, int(PARAMETER_NAMES["ctx"].least or 0)),
}
"""What a number means that we write differently, by our name of the setting."""


def read(given: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Settings by field, and the names of parameters that are left out since nothing here is like
    them. A value may be a text, as in a Modelfile; `stop` may come more than once;
    a value that means no limit, or no seed, sets nothing.

    Raises UsageError for a value out of range, and for a name that means nothing to Ollama either.
    """
    values: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in given:
        known, found = NAMES.get(name.lower()), _number(value)
        if known is None:
            if name not in NEUTRAL and name not in IGNORED:
                near = suggestion(name, [*NAMES, *NEUTRAL, *IGNORED])
                raise UsageError(f'There is no parameter "{name}".', near)
            if found not in NEUTRAL.get(name, ()):
                left_out.append(name)
            continue
        if known.name in OURS and isinstance(found, int | float):
            found = OURS[known.name](found)
        if known.kind is int and isinstance(found, float) and found.is_integer():
            found = int(found)
        if found is None:
            continue
        accepted = known.accept(value if known.kind is tuple else found, name)
        before = values.get(known.field, ()) if known.kind is tuple else ()
        values[known.field] = (*before, *accepted) if known.kind is tuple else accepted
    return values, left_out


def _number(value: Any) -> Any:
    """A number or a truth that is written as text."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not _NUMBER.fullmatch(value):
        return value
    return int(value) if re.fullmatch(r"[+-]?\d+", value) else float(value)
