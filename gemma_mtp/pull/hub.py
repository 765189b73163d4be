"""The hub: what a repository holds, what a file weighs, and its bytes, range by range.

The only importer of huggingface_hub, which brings sessions, tokens, proxies, certificates and
mirrors (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HTTPS_PROXY). Knows nothing of pairs, folders and
retries: a fault that may pass is raised as a Hiccup, every other one as a HubError.
"""

from __future__ import annotations

import importlib
import logging
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from gemma_mtp.errors import HubError
from gemma_mtp.pull.retry import Hiccup
from gemma_mtp.pull.transfer import Body

EXPIRED = (400, 401, 403, 404, 410)  # what a CDN says to an address that was signed too long ago


@dataclass(frozen=True)
class HubFile:
    """A file as the hub states it at one commit; `sha256` "" and `bytes` None: not stated."""

    path: str
    bytes: int | None
    sha256: str
    commit: str


def is_offline() -> bool:
    """HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def endpoint() -> str:
    """The hub, or the mirror named by HF_ENDPOINT."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def cache_folder() -> Path:
    """Where the library, `hf download` and others keep their files."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def list_files(repo: str, revision: str | None) -> list[HubFile]:
    """Every file of a repository at a revision (None: its newest)."""
    from huggingface_hub import HfApi, constants

    with _translated(f"{endpoint()}/{repo}"):
        info = HfApi(endpoint=endpoint()).model_info(
            repo,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        siblings = info.siblings or []
        commit = info.sha or revision or "main"
    return [
        HubFile(s.rfilename, s.size, _hash(s.lfs.sha256 if s.lfs else None), commit)
        for s in siblings
    ]


def unreachable(timeout: float = 5.0) -> HubError | None:
    """Why nothing can be pulled just now; None when the hub answers, whatever it says."""
    from huggingface_hub import get_session

    try:
        with _translated(endpoint()):
            status = get_session().head(endpoint(), timeout=timeout).status_code
    except HubError as error:
        return error
    except Hiccup as hiccup:
        return HubError(f"{endpoint()} cannot be reached: {hiccup}.", "Check the network.")
    if status >= 500:
        return HubError(f"{endpoint()} answers with HTTP {status}.", "Try again later.")
    return None


class Blob:
    """One file at one revision. Threads may share it."""

    def __init__(self, repo: str, revision: str, path: str) -> None:
        self.where = f"{endpoint()}/{repo}"
        self._repo, self._revision, self._path = repo, revision, path
        self._lock = threading.Lock()
        self._address: str | None = None  # after redirects: usually a CDN
        self._headers: dict[str, str] = {}

    @property
    def host(self) -> str:
        """Who sends the bytes, for messages."""
        return urlsplit(self._address or self.where).netloc

    def facts(self) -> HubFile:
        """Ask the hub for size, sha256 and the present address of the bytes."""
        from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined,unused-ignore]

        url = hf_hub_url(self._repo, self._path, revision=self._revision, endpoint=endpoint())
        with _translated(self.where, f"{self._path} at revision {self._revision[:12]}"):
            found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
            headers = build_hf_headers()
        if found.commit_hash is None:
            raise HubError(
                f"{self.where} does not answer as a hub does.",
                "Check HF_ENDPOINT, and whether a login page of the network stands in between.",
            )
        address = urljoin(url, found.location)
        if _origin(address) != _origin(url):
            headers.pop("authorization", None)  # a token is for the hub alone
        with self._lock:
            self._address = address
            self._headers = {**headers, "Accept-Encoding": "identity"}
            self._revision = found.commit_hash  # a branch may move on
        return HubFile(self._path, found.size, _hash(found.etag), self._revision)

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Body]:
        """The bytes from `start` up to, but without, `stop`."""
        with ExitStack() as stack:
            response = self._open(stack, start, stop)
            if response.status_code not in (200, 206):
                raise _refusal(response, self.where, self._path)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise HubError(
                    f"{self.host} sends {self._path} in an encoding that was not asked for.",
                    "A proxy on the way may do that; try without it.",
                )
            ranged = response.status_code == 206
            first, total = _extent(response, ranged, start)
            yield Body(first, total, ranged, self._chunks(response))

    def _open(self, stack: ExitStack, start: int, stop: int) -> Any:
        """The response; an address that is no longer valid is asked for once again."""
        fresh = self._address is None
        if fresh:
            self.facts()
        response = stack.enter_context(self._request(start, stop))
        if response.status_code in EXPIRED and not fresh:
            response.close()
            self.facts()
            response = stack.enter_context(self._request(start, stop))
        return response

    @contextmanager
    def _request(self, start: int, stop: int) -> Iterator[Any]:
        from huggingface_hub import constants, get_session

        with self._lock:
            address, headers = self._address or "", dict(self._headers)
        headers["Range"] = f"bytes={start}-{stop - 1}"
        with ExitStack() as stack:
            with _translated(self.where, self._path):
                response = stack.enter_context(
                    get_session().stream(
                        "GET",
                        address,
                        headers=headers,
                        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
                        follow_redirects=True,
                    )
                )
            yield response

    def _chunks(self, response: Any) -> Iterator[bytes]:
        with _translated(self.where, self._path):
            yield from response.iter_raw()


def _extent(response: Any, ranged: bool, asked: int) -> tuple[int, int | None]:
    """Offset of the first byte, and the size of the whole file."""
    if not ranged:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length else None
    match = re.match(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return asked, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _hash(etag: str | None) -> str:
    """ETags of large files are their sha256; those of small ones are not."""
    return etag if etag and re.fullmatch(r"[0-9a-f]{64}", etag) else ""


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@contextmanager
def _translated(where: str, what: str = "") -> Iterator[None]:
    """Turn what the library and its HTTP client raise into a Hiccup or a HubError."""
    from huggingface_hub.utils import logging as library_log

    library_log.set_verbosity(logging.CRITICAL)  # retries and faults are told in our words
    try:
        yield
    except (HubError, Hiccup):
        raise
    except Exception as error:
        raise _fault(error, where, what) from error


def _fault(error: Exception, where: str, what: str) -> Exception:
    from huggingface_hub import errors, get_session

    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError("HF_HUB_OFFLINE is set, so nothing can be downloaded.", "Unset it to pull.")
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error.response, where, what)
    # httpx or httpx2, whichever this release of the library is built on
    http = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    if isinstance(error, http.UnsupportedProtocol | http.InvalidURL):
        return HubError(f"{where} is not an address.", "Check HF_ENDPOINT.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return HubError(
            f"The certificate of {where} is not trusted.",
            "Behind a company proxy, let SSL_CERT_FILE name its certificate.",
        )
    reason = _reason(error)
    if isinstance(error, http.TransportError):
        if _is_unresolved(error):
            return Hiccup(f"the name {urlsplit(where).hostname} is not found", once=True)
        return Hiccup(reason)
    return HubError(f"{where} cannot be used: {reason}.", "Check HF_ENDPOINT and the network.")


def _is_unresolved(error: BaseException | None) -> bool:
    """No network, or a name that does not exist; clients wrap what the system says."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: Exception) -> str:
    """A few words; the client's own messages are often empty."""
    kind = type(error).__name__
    known = {"ReadTimeout": "nothing came for a while", "ConnectTimeout": "no connection in time"}
    lines = str(error).strip().splitlines()
    return known.get(kind) or (lines[0].rstrip(".") if lines else kind)


def _refusal(response: Any, where: str, what: str) -> Exception:
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if status in (408, 429) or status >= 500:
        return Hiccup(f"HTTP {status}", _asked_wait(response.headers), crowded=status == 429)
    if code == "GatedRepo":
        return HubError(
            f"{where} refuses access (HTTP {status}): its terms must be accepted first.",
            "Accept them on that page, then set HF_TOKEN or log in with `hf auth login`.",
        )
    if status in (401, 403):
        return HubError(
            f"{where} refuses access (HTTP {status}): it is private, or not there at all.",
            "Check the name, and HF_TOKEN, or log in with `hf auth login`.",
        )
    if status == 404:
        missing = "is not there" if code == "RepoNotFound" or not what else f"has no {what}"
        hint = "Check the name; a newer gemma-mtp may know where it went."
        return HubError(f"{where} {missing}.", hint)
    if status == 416:
        return HubError(f"{what} was changed on {where} meanwhile.", "Pull again.")
    return HubError(f"{where} answered with HTTP {status}.", "Try again later.")


def _asked_wait(headers: Any) -> float | None:
    """Seconds, from Retry-After or the hub's own RateLimit header."""
    after = str(headers.get("Retry-After", "")).strip()
    if after.isdigit():
        return float(after)
    limit = re.search(r"r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None
