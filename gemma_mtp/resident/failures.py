"""Errors as data, and back: what the engine raises, a client raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gemma_mtp import errors

_KINDS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.GemmaMtpError)
} | {"NotPulled": errors.ModelNotAvailable}  # which is made of a name


@contextmanager
def what_helps() -> Iterator[None]:
    """Errors of loading say what to do, where they do not yet."""
    try:
        yield
    except errors.BadPair as error:
        error.hint = error.hint or "llama.cpp's whole log comes with --verbose."
        raise
    except errors.UsageError as error:
        error.hint = error.hint or "A smaller context may do: --ctx N."
        raise
    except errors.DoesNotFit as error:
        error.hint = error.hint or "Less may do: a smaller --ctx N, or --kv-type q8_0."
        raise


def as_data(error: Exception) -> dict[str, Any]:
    """An error as JSON has it; one that is not ours is named by its type."""
    if not isinstance(error, errors.GemmaMtpError):
        return {"kind": "GemmaMtpError", "text": errors.unforeseen(error), "hint": ""}
    data: dict[str, Any] = {"kind": type(error).__name__, "text": str(error), "hint": error.hint}
    if isinstance(error, errors.DoesNotFit):
        data |= {"tokens": error.tokens, "size": error.size}
    return data


def of_data(data: dict[str, Any]) -> errors.GemmaMtpError:
    """The error that `as_data` described."""
    kind = _KINDS.get(data["kind"], errors.GemmaMtpError)
    more = {name: data[name] for name in ("tokens", "size") if name in data}
    return kind(data["text"], data["hint"], **more)
