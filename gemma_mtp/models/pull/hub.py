"""The hub: what a repository holds, size and sha256 of a file, and its bytes, range by range.

The only importer of huggingface_hub, which brings sessions, tokens, proxies, certificates and
mirrors (HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, HTTPS_PROXY). Answers are read within limits and
checked against a declared shape. Knows nothing of pairs, folders and retries: a fault that may pass
is raised as a TransientError, every other one as a HubError.
"""

from __future__ import annotations

import importlib
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from gemma_mtp.errors import HubError
from gemma_mtp.models.pull import hub_errors, hub_responses
from gemma_mtp.models.pull.hub_errors import HUB, PINNED, Site, TransientError
from gemma_mtp.models.pull.hub_responses import HubFile
from gemma_mtp.models.pull.source import Body
from gemma_mtp.models.pull.stalls import require_pace, with_deadline

EXPIRED = (400, 401, 403, 404, 410)  # what a CDN says to an address that was signed too long ago

__all__ = ["Blob", "HubFile", "list_files"]


def _constants() -> Any:
    """The library's settings; the first look at them reads the environment."""
    try:
        from huggingface_hub import constants
    except ValueError as error:
        raise HubError(
            f"A variable of the environment that begins with HF_ is no number: {error}.",
            "Correct or unset it.",
        ) from error
    return constants


def is_offline() -> bool:
    """HF_HUB_OFFLINE is set."""
    return bool(_constants().HF_HUB_OFFLINE)


def endpoint() -> str:
    """The hub, or the mirror named by HF_ENDPOINT."""
    return str(_constants().ENDPOINT)


def cache_folder() -> Path:
    """Where the library, `hf download` and others keep their files."""
    return Path(_constants().HF_HUB_CACHE)


def longest_answer() -> float:
    """Seconds after which a question that has no whole answer is asked again."""
    return 3 * float(_constants().HF_HUB_ETAG_TIMEOUT)


def list_files(repo: str, revision: str | None) -> list[HubFile]:
    """Every file of a repository at a revision (None: its newest)."""
    where = f"{endpoint()}/{repo}"
    path = f"/revision/{quote(revision, safe='')}" if revision else ""
    url = f"{endpoint()}/api/models/{repo}{path}?blobs=true"
    with _translated(where):
        body = _whole_body(url, where, f"revision {revision}" if revision else "", _headers())
        return hub_responses.parse_listing(body, revision)


def document(
    url: str, where: str, what: str, site: Site, headers: Mapping[str, str] = MappingProxyType({})
) -> bytearray:
    """A short document of another place, asked without the hub's token."""
    with _translated(where, site=site):
        return _whole_body(url, where, what, headers, site)


def _whole_body(
    url: str, where: str, what: str, headers: Mapping[str, str], site: Site = HUB
) -> bytearray:
    """The body of a listing, within its limit."""
    from huggingface_hub import constants, get_session

    body, headers = bytearray(), {**headers, "Accept-Encoding": "identity"}
    timeout = constants.HF_HUB_ETAG_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout,
                              follow_redirects=True) as response:  # fmt: skip
        _accept(response, where, what, (200,), site)
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > hub_responses.LONGEST_LISTING:
                most = hub_responses.LONGEST_LISTING >> 20
                raise HubError(
                    f"{where} sends a listing of more than {most} MB, which no repository has.",
                    f"Check the name, and {site.address}.",
                )
    return body


def unreachable(timeout: float = 5.0) -> HubError | None:
    """Why nothing can be pulled just now; None when the hub answers, whatever it says."""
    from huggingface_hub import get_session

    def status() -> int:
        with _translated(endpoint()):
            return int(get_session().head(endpoint(), timeout=timeout).status_code)

    try:
        answer = with_deadline(2 * timeout, status)
    except HubError as error:
        return error
    except TransientError as error:
        return HubError(f"{endpoint()} cannot be reached: {error}.", "Check the network.")
    if answer >= 500:
        return HubError(f"{endpoint()} answers with HTTP {answer}.", "Try again later.")
    return None


class Blob:
    """One file at one revision. Threads may share it. `md5`: what is stated of it, if that is."""

    site = PINNED
    md5 = ""

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

        what = f"{self._path} at revision {self._revision[:12]}"
        with _translated(self.where, what, self.site):
            headers = _headers()
            url = hf_hub_url(self._repo, self._path, revision=self._revision, endpoint=endpoint())
            found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
            facts = hub_responses.parse_metadata(
                self._path, found.commit_hash, found.size, found.etag
            )
            address = urljoin(url, found.location)
        if _origin(address) != _origin(url):
            headers.pop("authorization", None)  # a token is for the hub alone
        with self._lock:
            self._address = address
            self._headers = {**headers, "Accept-Encoding": "identity"}
            self._revision = facts.commit  # a branch may move on
        return facts

    @contextmanager
    def read(self, start: int, stop: int) -> Iterator[Body]:
        """The bytes from `start` up to, but without, `stop`."""
        from huggingface_hub import constants

        response = with_deadline(
            2 * longest_answer(),  # of the hub and of the CDN
            lambda: self._open(start, stop),
            discard=lambda late: late.close(),
        )
        try:
            _accept(response, self.where, self._path, (200, 206), self.site)
            ranged = response.status_code == 206
            first, total = hub_responses.parse_range(response.headers, ranged, start)
            chunks = require_pace(self._chunks(response), constants.HF_HUB_DOWNLOAD_TIMEOUT)
            yield Body(first, total, ranged, chunks)
        finally:
            response.close()

    def _open(self, start: int, stop: int) -> Any:
        """The response; an address that is no longer valid is asked for once again."""
        fresh = self._address is None
        if fresh:
            self._locate()
        response = self._request(start, stop)
        if response.status_code in EXPIRED and not fresh:
            response.close()
            self._locate()
            response = self._request(start, stop)
        return response

    def _locate(self) -> HubFile:
        """Find out where the bytes are now."""
        return self.facts()

    def _request(self, start: int, stop: int) -> Any:
        from huggingface_hub import constants, get_session

        with self._lock:
            address, headers = self._address or "", dict(self._headers)
        headers["Range"] = f"bytes={start}-{stop - 1}"
        with _translated(self.where, self._path, self.site):
            session, timeout = get_session(), constants.HF_HUB_DOWNLOAD_TIMEOUT
            request = session.build_request("GET", address, headers=headers, timeout=timeout)
            return session.send(request, stream=True, follow_redirects=True)

    def _chunks(self, response: Any) -> Iterator[bytes]:
        with _translated(self.where, self._path, self.site):
            yield from response.iter_raw()


def _headers() -> dict[str, str]:
    """What every request carries: who asks, and the token."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined,unused-ignore]

    headers = build_hf_headers()
    if not re.fullmatch(r"[\x21-\x7e ]*", headers.get("authorization", "")):
        raise HubError(
            f"The access token (in HF_TOKEN or {constants.HF_TOKEN_PATH}) holds a character that "
            "no token has.",
            "Copy it again from the hub, or log in with `hf auth login`.",
        )
    return headers


def _accept(response: Any, where: str, what: str, statuses: tuple[int, ...], site: Site) -> None:
    """Raise unless this is an answer of the kind that was asked for."""
    headers, url = response.headers, str(response.request.url)
    if response.status_code not in statuses:
        raise hub_errors.status_error(response.status_code, headers, where, what, url, site)
    host = urlsplit(url).netloc
    if headers.get("Content-Encoding", "identity") != "identity":
        raise HubError(
            f"{host} sends an encoding that was not asked for.",
            "A proxy on the way may do that; try without it.",
        )
    if headers.get("Content-Type", "").lower().startswith("text/html"):
        raise hub_errors.not_a_hub(host, "it sends a web page", site)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@contextmanager
def _translated(where: str, what: str = "", site: Site = HUB) -> Iterator[None]:
    """Turn what the library and its HTTP client raise into a TransientError or a HubError."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import logging as library_log

    library_log.set_verbosity(logging.CRITICAL)  # retries and faults are told in our words
    try:
        session = get_session()
    except Exception as error:
        raise hub_errors.no_session(error) from error
    try:
        yield
    except (HubError, TransientError):
        raise
    except Exception as error:
        # httpx or httpx2, whichever this release of the library is built on
        client = importlib.import_module(type(session).__module__.partition(".")[0])
        raise _in_our_words(error, client, where, what, site) from error


def _in_our_words(error: Exception, client: Any, where: str, what: str, site: Site) -> Exception:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError("HF_HUB_OFFLINE is set, so nothing can be downloaded.", "Unset it to pull.")
    if isinstance(error, errors.HfHubHTTPError):
        answer = error.response
        return hub_errors.status_error(
            answer.status_code, answer.headers, where, what, str(answer.request.url), site
        )
    if isinstance(error, errors.HFValidationError):
        return HubError(f"{where} is not an address of a repository: {hub_errors.words_of(error)}.",
                        "Check the name.")  # fmt: skip
    there = getattr(error, "_request", None)  # the property raises when there is none
    if isinstance(error, client.UnsupportedProtocol) and there and where.startswith("http"):
        kind = hub_errors.quoted(str(there.url.scheme))
        return HubError(
            f"{where} leads to an address of another kind ({kind}), which is not followed.",
            f"Check {site.address}.",
        )
    if isinstance(error, client.UnsupportedProtocol | client.InvalidURL):
        return HubError(f"{where} is not an address.", f"Check {site.address}.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return HubError(
            f"The certificate of {where} is not trusted.",
            "Behind a company proxy, let SSL_CERT_FILE name its certificate.",
        )
    if isinstance(error, client.TransportError):
        request = getattr(error, "_request", None)  # the property raises when there is none
        return hub_errors.connection_error(
            error, str(request.url) if request else where, type(error).__name__
        )
    if isinstance(error, ValueError):  # it has not the declared shape
        return hub_errors.not_a_hub(where, hub_errors.words_of(error), site)
    return HubError(
        f"{where} cannot be used: {hub_errors.words_of(error)}.",
        f"Check {site.address} and the network.",
    )
