"""A port to listen on, who has it where it is taken, and under which addresses it can be reached.

Called by `serve`.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from contextlib import closing, suppress
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from gemma_mtp.errors import GemmaMtpError, UsageError

BACKLOG = 128  # connections that wait to be taken up, as while the first model is loaded
ASKING = 1.0  # seconds that whoever has the port may take to say what it is


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address or a name of this machine.

    Raises UsageError for a host that is none here, and GemmaMtpError where the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        family, *_, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host} is no name of a machine.") from error
    everywhere = family == socket.AF_INET6 and address[0] == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            address[:2], family=family, backlog=BACKLOG, dualstack_ipv6=everywhere
        )
    except OSError as error:
        raise _why_not(host, port, error) from error


def read_host(said: str) -> tuple[str, int | None]:
    """Host, "" where none is named, and port of OLLAMA_HOST, as Ollama reads it:
    [scheme://]host[:port][/path]. Raises UsageError for a port that is none."""
    try:
        found = urlsplit(said if "://" in said else f"//{said}")
        return found.hostname or "", found.port
    except ValueError as error:
        what = f"OLLAMA_HOST is {said}, which is no address."
        raise UsageError(what, "OLLAMA_HOST=0.0.0.0:11434") from error


def is_own(host: str) -> bool:
    """Whether a host is this machine, or all of its addresses."""
    if is_loopback(host) or host.lower() in own_names():
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified or host in _own_addresses()
    return False


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach it."""
    if host.lower() == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return False


def addresses(host: str, port: int) -> list[str]:
    """URLs to ask at, the likeliest first."""
    with suppress(ValueError):
        if ipaddress.ip_address(host.strip("[]")).is_unspecified:
            return [_url(each, port) for each in ("127.0.0.1", *_own_addresses())]
    return [_url(host.strip("[]"), port)]


def own_names() -> tuple[str, ...]:
    """What this machine is called by others."""
    name = socket.gethostname().lower()
    return (name, f"{name.split('.')[0]}.local")


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_addresses() -> list[str]:
    """Those by which the network reaches this machine; nothing is sent for that."""
    found: list[str] = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), closing(socket.socket(family, socket.SOCK_DGRAM)) as asked:
            asked.connect((elsewhere, 9))
            found.append(asked.getsockname()[0])
    return found


def _why_not(host: str, port: int, error: OSError) -> GemmaMtpError:
    other = f"--port {port + 1} takes another one."
    if error.errno == errno.EADDRINUSE:
        who = _who_listens(host, port)
        helps = other if who != "Ollama" else f"Stop Ollama to take its place; {other}"
        return GemmaMtpError(f"Port {port} of {host} is taken: {who} listens there.", helps)
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{host} is no address of this machine.", "--host 0.0.0.0 takes all.")
    return GemmaMtpError(f"{host}:{port} cannot be listened on: {error.strerror or error}.", other)


def _who_listens(host: str, port: int) -> str:
    """Ollama and this program say who they are where Ollama's clients ask."""
    url = f"{addresses(host, port)[0]}/api/version"
    with suppress(OSError, ValueError):
        with build_opener(ProxyHandler({})).open(url, timeout=ASKING) as answer:
            said = json.loads(answer.read(1 << 16))
        if "gemma_mtp" in said:
            return "another gemma-mtp"
        if "version" in said:
            return "Ollama"
    return "another program"
