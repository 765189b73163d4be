"""What goes wrong with a server, in a sentence each."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from gemma_mtp.errors import DoesNotFit, ExitStatus, GemmaMtpError, ModelNotAvailable, UsageError

_SIZES = re.compile(r"prompt has (\d+) tokens, and the context holds (\d+)")


class ServerError(GemmaMtpError):
    """The server or the way to it failed."""

    status = ExitStatus.HUB


def unreachable(address: str, error: Exception) -> ServerError:
    """No answer at all, or none to the end."""
    if isinstance(error, httpx.TimeoutException):
        return ServerError(f"{address} does not answer.", "Is it the right address?")
    if "CERTIFICATE" in str(error).upper():
        return ServerError(f"The certificate of {address} cannot be trusted: {error}.")
    if isinstance(error, httpx.ConnectError):
        hint = "Is the server running, and is the address right?"
        return ServerError(f"{address} cannot be reached: {error}.", hint)
    return ServerError(f"The connection to {address} broke off.", "Asking again may help.")


def refused(address: str, status: int, body: bytes, retry_after: str = "") -> GemmaMtpError:
    """What an answer with an HTTP status of 400 or more means."""
    if status < 400:
        return ServerError(f"{address} sends elsewhere.", "Give the address that it leads to.")
    found = _parsed(body)
    said = str(found.get("message") or "").strip()
    if status in (401, 403):
        return ServerError(
            f"{address} wants another key{_quoted(said)}", "--api-key or GEMMA_MTP_API_KEY has it."
        )
    if status == 404:
        hint = "gemma-mtp chat --server URL lists what it has with /list."
        if said:
            return ModelNotAvailable(f"{address} has no such model{_quoted(said)}", hint)
        return ServerError(f"{address} does not speak OpenAI's dialect: no /v1/chat/completions.")
    if "context" in f"{found.get('code')} {found.get('type')}".lower():
        return _too_long(found, said)
    if status in (429, 503):
        wait = f" in {retry_after} seconds" if retry_after.isdecimal() else " later"
        return ServerError(f"{address} is busy{_quoted(said)}", f"Ask again{wait}.")
    if status < 500:
        return UsageError(f"{address} refuses the request{_quoted(said)}")
    return ServerError(f"{address} failed with status {status}{_quoted(said)}")


def no_openai(address: str) -> ServerError:
    """An answer that is no JSON, such as the page of another program."""
    return ServerError(
        f"What answers at {address} is no server of models.", "Is it the right address?"
    )


def _too_long(found: dict[str, Any], said: str) -> DoesNotFit:
    tokens, size = found.get("n_prompt_tokens"), found.get("n_ctx")  # llama-server's
    if match := _SIZES.search(said):
        tokens, size = int(match[1]), int(match[2])
    return DoesNotFit(
        said or "The prompt does not fit the server's context.",
        tokens=tokens if isinstance(tokens, int) else None,
        size=size if isinstance(size, int) else None,
    )


def _parsed(body: bytes) -> dict[str, Any]:
    """The error's object, as OpenAI's servers have it, and others nearly."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    inner = found.get("error", found.get("detail", found)) if isinstance(found, dict) else found
    return inner if isinstance(inner, dict) else {"message": inner}


def _quoted(said: str) -> str:
    return f": {said.rstrip('.')}." if said else "."
