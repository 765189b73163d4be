"""A request: one reply to be written, and how. Made by clients, read by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gemma_mtp.api.messages import Audio, Image, Message, Role, Text, ToolCall, ToolResult
from gemma_mtp.errors import UsageError

DraftSetting = int | Literal["auto"]
"""Draft length k: "auto", or a fixed number of drafted tokens per round (0 is plain decoding)."""

MAX_DRAFT = 16


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from logits; defaults are those recommended for Gemma 4."""

    temperature: float = 1.0
    top_k: int = 64
    top_p: float = 0.95
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64


@dataclass(frozen=True)
class Request:
    """One reply to be written.

    `seed` None lets the engine pick one (reported in `End`). `exact` makes the text a function of
    model, prompt, sampling, seed and of what of the prompt was cached before, whatever is drafted;
    None means: if a seed is given. A last message of the assistant's is continued.

    For measuring: `ignore_end` goes on to `max_tokens` whatever the model says, and
    `synthetic_acceptance` accepts each draft with this chance, if those before it were, whatever
    the tokens are: the text is worthless, the cost is real.
    """

    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    seed: int | None = None
    exact: bool | None = None
    draft: DraftSetting = "auto"
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    think: bool = False
    ignore_end: bool = False
    synthetic_acceptance: float | None = None

    @property
    def is_exact(self) -> bool:
        """`exact`, with None resolved."""
        return self.seed is not None if self.exact is None else self.exact

    def check(self) -> None:
        """Raise UsageError with a sentence about the first field that cannot be served.

        Whoever makes a request, this is where it is validated; an engine calls it before anything
        else. Whether the prompt fits the context is only known to the engine.
        """
        if not self.messages:
            raise UsageError("messages must hold at least one message.")
        for message in self.messages:
            _check_message(message)
        for name, value in (*vars(self.sampling).items(), *vars(self).items()):
            if name in _RANGES and value is not None:
                _check_number(name, value, *_RANGES[name])
        if self.draft != "auto":
            _check_number("draft", self.draft, int, 0, MAX_DRAFT, f'"auto" or 0 to {MAX_DRAFT}')
        if isinstance(self.stop, str) or not all(isinstance(t, str) and t for t in self.stop):
            raise UsageError("stop must hold texts that are not empty.")


def _check_message(message: Message) -> None:
    if message.role not in get_args(Role):
        raise UsageError(f'role must be one of {", ".join(get_args(Role))}, not "{message.role}".')
    for part in message.parts:
        if not isinstance(part, Text):
            raise UsageError(f"{_PARTS_TO_COME[type(part)]} are not supported yet.")
    if message.role == "tool":
        raise UsageError(f"{_PARTS_TO_COME[ToolResult]} are not supported yet.")


_PARTS_TO_COME = {
    Image: "Images",
    Audio: "Audio recordings",
    ToolCall: "Tool calls",
    ToolResult: "Tool results",
}


def _check_number(
    name: str, value: object, kind: type, least: float, most: float, wanted: str
) -> None:
    """`kind` is int or float; a whole number is a float as well, a truth value is neither."""
    number = type(value) is kind or (kind is float and type(value) is int)
    if not number or not least <= value <= most:  # type: ignore[operator]
        raise UsageError(f"{name} must be {wanted}, not {value!r}.")


_TINY = 5e-324  # the least number above 0
_RANGES: dict[str, tuple[type, float, float, str]] = {
    "temperature": (float, 0, 100, "between 0 and 100"),
    "top_k": (int, 0, 2**20, "between 0 (off) and 1048576"),
    "top_p": (float, _TINY, 1, "above 0 and at most 1"),
    "min_p": (float, 0, 1, "between 0 and 1"),
    "repeat_penalty": (float, _TINY, 10, "above 0 and at most 10"),
    "repeat_last_n": (int, 0, 2**20, "between 0 (off) and 1048576"),
    "seed": (int, 0, 2**63 - 1, "between 0 and 2**63 - 1"),
    "max_tokens": (int, 1, 2**20, "at least 1"),
    "synthetic_acceptance": (float, 0, 1, "between 0 and 1"),
}
