"""Errors a user can meet, and the exit status each one ends with.

Raise these anywhere; `cli` formats them once. Knows neither terminal nor engine.
"""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What the process ends with; documented in docs/reference.md."""

    OK = 0
    ERROR = 1
    USAGE = 2
    LENGTH = 3  # stopped by the token limit, only with --fail-on-length
    NO_MODEL = 4
    NO_ROOM = 5  # does not fit the context or the memory
    BAD_PAIR = 6  # not a GGUF, truncated, wrong architecture, drafter does not belong
    HUB = 7
    LINES_FAILED = 8  # of a batch, and the others are answered
    INTERRUPTED = 130


class GemmaMtpError(Exception):
    """One clear sentence (`str(error)`), what to do next (`hint`), and an exit status."""

    status = ExitStatus.ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def unforeseen(error: Exception) -> str:
    """What is said about an error that none of these is."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"Something went wrong: {what}"


class NoEngine(GemmaMtpError):
    """llama.cpp is not there, or a library that it needs."""


class UsageError(GemmaMtpError):
    """The request itself makes no sense: an unknown option value, an empty prompt."""

    status = ExitStatus.USAGE


class ModelNotAvailable(GemmaMtpError):
    """No such model, or a known one that is not on this machine."""

    status = ExitStatus.NO_MODEL


class NotPulled(ModelNotAvailable):
    """A model of the catalogue that is not on this machine, but could be."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not on this machine.", f"gemma-mtp pull {name}")
        self.name = name


class DoesNotFit(GemmaMtpError):
    """The prompt does not fit the context, or the model does not fit the memory.

    Of a prompt, `tokens` are how many it has (about, where they were not all counted) and `size`
    how many the context holds; None where that is not known or not the matter. Whoever shows it
    says what to type.
    """

    status = ExitStatus.NO_ROOM

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        tokens: int | None = None,
        size: int | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.tokens, self.size = tokens, size


class NotCounted(GemmaMtpError):
    """Nobody here can say how many tokens a text has."""


class BadPair(GemmaMtpError):
    """A file that cannot be used, or a drafter that does not belong to its target."""

    status = ExitStatus.BAD_PAIR


class HubError(GemmaMtpError):
    """The hub or the network failed."""

    status = ExitStatus.HUB


class Cancelled(GemmaMtpError):
    """Stopped by the user while loading or evaluating the prompt."""

    status = ExitStatus.INTERRUPTED
