"""What goes wrong, as an HTTP status and as the body that each dialect has for errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gemma_mtp.errors import (
    BadPair,
    Cancelled,
    DoesNotFit,
    GemmaMtpError,
    ModelNotAvailable,
    UsageError,
    unforeseen,
)
from gemma_mtp.text import harmless

RETRY_AFTER = 10  # seconds after which one that found the queue full may try again


class Refused(GemmaMtpError):
    """A request that is turned away with an HTTP status of its own.

    `field` is the client's name of what is wrong, "" where it is nothing in the body.
    `retry_after`: seconds after which another try makes sense, 0 where none does.
    """

    def __init__(
        self, status: int, message: str, hint: str = "", field: str = "", retry_after: int = 0
    ) -> None:
        super().__init__(message, hint)
        self.http_status, self.field, self.retry_after = status, field, retry_after


class Unsupported(Refused):
    """A field that would change the reply and cannot be had."""

    def __init__(self, field: str, why: str = "is not supported") -> None:
        super().__init__(400, f"{field} {why}.", field=field)


def unexpected(error: Exception) -> GemmaMtpError:
    """What is said about an error that nobody foresaw; one of ours as it is."""
    if isinstance(error, GemmaMtpError):
        return error
    return Refused(500, unforeseen(error))


# Where a field may be of several kinds, pydantic puts the kind that it tried into the path.
_KIND = re.compile(r"str|int|float|bool|none|(list|dict|tuple|literal|function-.*)\[.*\]|[A-Z].*")
_WANTED = "Input should be "
_WANTED_KINDS = {
    "string_type": "a text",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "an object"),
}
"""What is wanted, by the type of pydantic's error."""


def wrong_body(found: Sequence[Any]) -> Refused:
    """One sentence of what pydantic says of a body: about the field that it got deepest into."""
    if found[0]["type"] == "json_invalid":
        return Refused(400, f"The body is no JSON object: {found[0]['msg']}.")
    paths = [[str(p) for p in error["loc"][1:] if not _KIND.fullmatch(str(p))] for error in found]
    deepest = max(paths, key=len)
    said = [
        _WANTED_KINDS.get(error["type"]) or error["msg"].removeprefix(_WANTED)
        for error, path in zip(found, paths, strict=True)
        if path == deepest
    ]
    wanted = " or ".join(dict.fromkeys(said))
    what = "is missing" if wanted == "Field required" else f"must be {wanted}"
    field = ".".join(deepest)
    return Refused(400, f"{field or 'The body'} {what}.", field=field)


def unreadable_body(encoding: str) -> Refused:
    """About a body that is no JSON at all; `encoding` is how the client has packed it, if so."""
    if encoding:
        what = f"A body with content-encoding {encoding} cannot be read."
        return Refused(415, what, "Send it as it is.")
    why = "it is no UTF-8, nested too deeply, or has a number with too many digits"
    return Refused(400, f"The body cannot be read: {why}.")


def http_status(error: GemmaMtpError) -> int:
    """400 for what the client can mend, 404 for a model that is not here, 5xx for the rest."""
    if isinstance(error, Refused):
        return error.http_status
    if isinstance(error, ModelNotAvailable):
        return 404
    if isinstance(error, DoesNotFit):  # without a number of tokens, the memory is meant
        return 400 if error.tokens else 507
    if isinstance(error, UsageError):
        return 400
    return 499 if isinstance(error, Cancelled) else 500 if isinstance(error, BadPair) else 503


def sentence(error: GemmaMtpError) -> str:
    """What happened and what helps; names that a client made up may be no text."""
    hint = error.hint
    # Whoever reads it may sit in front of another program.
    if hint.startswith("gemma-mtp "):
        hint = f"On the machine of the server: {hint}"
    elif ": gemma-mtp " in hint:
        hint = f"{hint} (on the machine of the server)"
    return harmless(f"{error} {hint}".strip())


_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


# By which Anthropic's client knows that no conversation is held here: its tool runner asks for that
# first, and then goes on by sending all messages.
NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def body(error: GemmaMtpError, path: str) -> dict[str, Any]:
    """The body for a client that asked for `path`, which tells its dialect."""
    status, text = http_status(error), sentence(error)
    if path.startswith("/api/"):
        return {"error": text}
    if path.startswith("/v1/messages"):
        kind = _ANTHROPIC_TYPES.get(status, "api_error")
        details = {"details": NO_THREADS} if getattr(error, "field", "") == "thread" else {}
        return {"type": "error", "error": {"type": kind, "message": text, **details}}
    usual = "invalid_request_error" if status < 500 else "server_error"
    code = {404: "model_not_found"}.get(status) if isinstance(error, ModelNotAvailable) else None
    if isinstance(error, DoesNotFit) and error.tokens:
        code = "context_length_exceeded"
    return {
        "error": {
            "message": text,
            "type": _OPENAI_TYPES.get(status, usual),
            "param": getattr(error, "field", "") or None,
            "code": code,
        }
    }
