"""Where a server is, however people write it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from gemma_mtp.errors import UsageError

ENDINGS = ("/chat/completions", "/v1", "/api")  # of addresses that other programs want
EXAMPLE = "As in --server http://127.0.0.1:8080"


def root(typed: str) -> str:
    """The address without the path of its API, such as http://127.0.0.1:8080.

    Raises UsageError for what is none.
    """
    text = typed.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f'"{typed}" is no address of a server.', EXAMPLE) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError(f'"{typed}" is no address of a server.', EXAMPLE)
    if parts.username or parts.password:
        raise UsageError("A key does not belong into the address.", "--api-key is for that.")
    path = parts.path.rstrip("/")
    for ending in ENDINGS:
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def is_here(address: str) -> bool:
    """Whether it is this machine, to which no proxy of the network leads."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
