"""What goes wrong between here and a hub, as a sentence.

A TransientError where it may pass, which `retry` counts and waits for; else a HubError. `hub`
raises them. Knows statuses, headers, proxies and the system's errors; knows neither the library nor
its client.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gemma_mtp.errors import HubError

PROXIES = "Check HTTPS_PROXY and its kin."
NO_NETWORK = "Check the network and try again; what is here without one: gemma-mtp list"
LOG_IN = "Check the name, and HF_TOKEN, or log in with `hf auth login`."


class Site(NamedTuple):
    """Who is asked, as far as messages differ: its name, its kind, what to check where it answers
    oddly, and what to do where it refuses access or does not have what was asked for."""

    name: str
    kind: str
    address: str
    login: str
    missing: str = "Check the name."


HUB = Site("the hub", "a hub", "HF_ENDPOINT", LOG_IN)
PINNED = HUB._replace(
    missing="It was there before. A newer gemma-mtp, or pull with --update, may find what took its "
    "place."
)
"""The hub, where a file is asked for that it listed once, and not by a name that was typed."""
_LONGEST = 200  # characters of what others say


class TransientError(Exception):
    """An error that may pass. `wait`: seconds the server asks for; `crowded`: too many requests;
    `once`: it hardly ever passes, so one more attempt is enough; `hint`: what helps if it stays;
    `answered`: whoever was asked is there."""

    def __init__(
        self,
        reason: str,
        wait: float | None = None,
        crowded: bool = False,
        once: bool = False,
        hint: str = "",
        answered: bool = False,
    ) -> None:
        super().__init__(reason)
        self.wait, self.crowded, self.once, self.hint = wait, crowded, once, hint
        self.answered = answered


def not_a_hub(where: str, why: str = "", site: Site = HUB) -> TransientError:
    """An answer that no such site gives: a web page, other types, other names."""
    host = urlsplit(where).netloc or where
    return TransientError(
        f"{host} does not answer as {site.kind} does" + (f" ({why})" if why else ""),
        hint=f"Check {site.address}, and whether a login page of the network stands in between.",
    )


def no_session(error: Exception) -> HubError:
    """The client cannot even be made with what the environment says."""
    if isinstance(error, ImportError) and "socks" in str(error).lower():
        return HubError(
            f"{_named_socks()} is a SOCKS proxy, for which the package socksio is missing.",
            "pip install socksio, or let HTTPS_PROXY name an HTTP proxy.",
        )
    return HubError(
        f"No connection can be made with these settings: {words_of(error)}.",
        "Check HTTPS_PROXY and its kin, and SSL_CERT_FILE.",
    )


def connection_error(error: Exception, url: str, kind: str) -> TransientError:
    """A connection to `url` that failed; `kind` is the client's name for it."""
    proxy = proxy_of(url)
    if _is_unresolved(error):
        name, hint = (proxy, PROXIES) if proxy else (urlsplit(url).hostname, NO_NETWORK)
        return TransientError(f"the name {name} is not found", once=True, hint=hint)
    if kind in ("ConnectError", "ConnectTimeout") and proxy and "SSL" not in str(error):
        return TransientError(
            f"the proxy {proxy} cannot be reached: {words_of(error)}", hint=PROXIES
        )
    if kind == "ProxyError":
        return TransientError(f"the proxy {proxy} answers: {words_of(error)}", hint=PROXIES)
    return TransientError(words_of(error))


def status_error(
    status: int, headers: Mapping[str, str], where: str, what: str, url: str, site: Site = HUB
) -> Exception:
    """What an HTTP status means; `what` was asked of `where`, in the end at `url`."""
    code = headers.get("X-Error-Code", "")
    said = quoted(headers.get("X-Error-Message", ""))
    if status in (408, 429) or status >= 500:
        crowded, wait = status == 429, _asked_wait(headers)
        return TransientError(f"HTTP {status}", wait, crowded, answered=True)
    if status == 407:
        return HubError(
            f"The proxy {proxy_of(url)} wants a name and a password (HTTP 407).",
            "Put them into HTTPS_PROXY, as in http://NAME:PASSWORD@HOST:PORT.",
        )
    if code == "GatedRepo":
        return HubError(
            f"{where} refuses access (HTTP {status}): its terms must be accepted first.",
            "Accept them on that page, then set HF_TOKEN or log in with `hf auth login`.",
        )
    if status in (401, 403):
        because = f". The hub says: {said}." if said else "."
        return HubError(
            f"{where} refuses access (HTTP {status}): it is private, or not there at all{because}",
            site.login,
        )
    if status == 404:
        missing = "is not there" if code == "RepoNotFound" or not what else f"has no {what}"
        return HubError(f"{where} {missing}.", site.missing)
    if status == 416:
        return HubError(f"{what} was changed on {where} meanwhile.", "Pull again.")
    more = f": {said}" if said else ""
    return HubError(f"{where} answered with HTTP {status}{more}.", "Try again later.")


def words_of(error: BaseException) -> str:
    """A few words; the client's own messages are often empty, or numbers of the system."""
    known = {"ReadTimeout": "nothing came for a while", "ConnectTimeout": "no connection in time"}
    if type(error).__name__ in known:
        return known[type(error).__name__]
    texts = [str(error), *(e.strerror for e in _chain(error) if isinstance(e, OSError))]
    lines = [line for text in texts if text for line in text.strip().splitlines()[:1]]
    text = quoted(lines[-1]) if lines else type(error).__name__
    text = re.sub(r"^\[[^]]*\]\s*|\s*\(_ssl\.c:\d+\)", "", text)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def proxy_of(url: str) -> str:
    """Host and port of the proxy that the environment names for `url`, or ""."""
    from urllib.request import getproxies, proxy_bypass  # slow to import, and seldom needed

    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if proxy_bypass(parts.hostname or ""):
        return ""
    return proxy.rpartition("://")[2].rpartition("@")[2].rstrip("/")


def _named_socks() -> str:
    from urllib.request import getproxies

    kind = next(
        (k for k, proxy in getproxies().items() if proxy.lower().startswith("socks")), "all"
    )
    return f"{kind.upper()}_PROXY"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it was made of; clients wrap what the system says."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_unresolved(error: BaseException) -> bool:
    """No network, or a name that does not exist."""
    return any(isinstance(cause, socket.gaierror) for cause in _chain(error))


def quoted(text: str) -> str:
    """What others say, short and on one line."""
    line = "".join(c if c.isprintable() else " " for c in text).strip().rstrip(".")
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def _asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds, from Retry-After or the hub's own RateLimit header."""
    after = re.fullmatch(r"[0-9]{1,9}", headers.get("Retry-After", "").strip())
    if after:
        return float(after[0])
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*([0-9]{1,9})", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None
