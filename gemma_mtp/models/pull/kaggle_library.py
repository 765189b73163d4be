"""Kaggle, through its own library: what a model holds, and where the bytes of a file are.

The only importer of kagglehub, which brings credentials, addresses and the form of questions. Its
answers are read within limits of time and size here, and the bytes of files by `hub`, range by
range, as those of all others. Knows nothing of pairs.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from gemma_mtp.errors import GemmaMtpError, HubError, UsageError
from gemma_mtp.files.schema import text, whole
from gemma_mtp.models import kaggle_names
from gemma_mtp.models.catalogue_schema import MOST_BYTES
from gemma_mtp.models.kaggle_names import KaggleName
from gemma_mtp.models.pull import hub, hub_errors
from gemma_mtp.models.pull.hub_errors import Site, TransientError
from gemma_mtp.models.pull.hub_responses import (
    LONGEST_LISTING,
    MOST_FILES,
    SIZE,
    HubFile,
    parse_range,
)

SITE = Site(
    "Kaggle",
    "Kaggle",
    "the proxy settings",
    "Check the name; else accept the model's terms on its page and set KAGGLE_API_TOKEN, or put "
    "the kaggle.json of your account's settings into ~/.kaggle.",
)
PAGE = 200  # files that are asked for at once

_PATH = text(LONGEST_LISTING, any_character=True)
_SIZE = whole(0, MOST_BYTES)
_VERSION = whole(1, 10**9)
_TOKEN = text(10_000)


def current_version(about: KaggleName) -> int:
    """The number of the newest version. Raises HubError and TransientError."""
    from kagglesdk.models.types.model_api_service import ApiGetModelInstanceRequest

    with _asking(about, ApiGetModelInstanceRequest(), "variation of that name") as (api, request):
        return int(_VERSION(api.get_model_instance(request).version_number, "the version"))


def list_files(about: KaggleName, version: int) -> list[HubFile]:
    """Every file of a version; Kaggle states no sha256. Raises HubError and TransientError."""
    from kagglesdk.models.types.model_api_service import ApiListModelInstanceVersionFilesRequest

    asked, found = ApiListModelInstanceVersionFilesRequest(), list[HubFile]()
    asked.version_number, asked.page_size = version, PAGE
    with _asking(about, asked, f"version {version}") as (api, request):
        while True:
            answer = api.list_model_instance_version_files(request)
            for file in answer.files:
                path, size = _PATH(file.name, "a name"), _SIZE(file.size, "a size")
                found.append(HubFile(path, size, "", str(version)))
            token = _TOKEN(answer.next_page_token, "the next page")
            if not token:
                return found
            if len(found) > MOST_FILES or token == request.page_token or not answer.files:
                raise ValueError("its list of files has no end")
            request.page_token = token


class Missing(HubError):
    """Kaggle has no such thing."""


class KaggleBlob(hub.Blob):
    """One file of a version. Threads may share it.

    `md5` is what Kaggle's storage states of it, in hexadecimal, "" where it states none.
    """

    site = SITE

    def __init__(self, about: KaggleName, version: str, path: str) -> None:
        super().__init__(about.path, version, path)
        self.where, self._about = about.page, about

    def facts(self) -> HubFile:
        """Size and MD5 of the file; of one that the library has fetched, its size alone."""
        here = kaggle_names.file_here(self._about, int(self._revision), self._path)
        if here is not None:
            return HubFile(self._path, here.stat().st_size, "", self._revision)
        return self._locate()

    def _locate(self) -> HubFile:
        """Ask Kaggle for the present address of the bytes."""
        version = int(self._revision)
        try:
            address, headers = _address(self._about, version, self._path)
        except Missing as error:
            try:
                name = kaggle_names.name_there(self._path)
                address, headers = _address(self._about, version, name)
            except Missing:
                raise error from None
        with self._lock:
            self._address, self._headers = address, {"Accept-Encoding": "identity"}
        self.md5 = _md5(headers.get("x-goog-hash", ""))
        size = parse_range(headers, "content-range" in headers, 0)[1]
        return HubFile(self._path, SIZE(size, "the size"), "", self._revision)


def _address(about: KaggleName, version: int, path: str) -> tuple[str, Mapping[str, str]]:
    """Where the bytes of a file are, and the headers of that place."""
    from kagglesdk.models.types.model_api_service import ApiDownloadModelInstanceVersionRequest

    asked = ApiDownloadModelInstanceVersionRequest()
    asked.version_number, asked.path = version, path
    with _asking(about, asked, f"{path} in version {version}") as (api, request):
        response = api.download_model_instance_version(request)
        try:
            if not response.history or urlsplit(response.url).scheme not in ("http", "https"):
                raise ValueError("it does not say where the file is")
            return response.url, response.headers  # whose names are in any letter case
        finally:
            response.close()


def _md5(stated: str) -> str:
    """Of a header such as crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==."""
    match = re.search(r"(?:^|,)\s*md5=([A-Za-z0-9+/]{22}==)\s*(?:,|$)", stated)
    try:
        return base64.b64decode(match[1]).hex() if match else ""
    except (binascii.Error, ValueError):
        return ""


@contextmanager
def _asking(about: KaggleName, request: Any, what: str) -> Iterator[tuple[Any, Any]]:
    """The library's client for models, and `request` about this one. What it raises becomes a
    TransientError or a HubError; `what` is what was asked of the variation."""
    require_library()
    from kagglehub.handle import parse_model_handle
    from requests import HTTPError, RequestException

    try:
        framework = parse_model_handle(about.path).framework_enum()
    except ValueError as error:
        raise UsageError(
            f"Kaggle has no framework {about.framework}.", "Of use here is: gguf"
        ) from error
    request.owner_slug, request.model_slug = about.owner, about.model
    request.framework, request.instance_slug = framework, about.variation
    client = _client()
    try:
        with client:
            session = client.http_client()._session
            # Whoever has the bytes of a file sends one of them, and says how many there are.
            session.headers.update({"Accept-Encoding": "identity", "Range": "bytes=0-0"})
            for scheme in ("https://", "http://"):
                session.mount(scheme, _bounded())
            yield client.models.model_api_client, request
    except (HubError, TransientError):
        raise
    except HTTPError as error:
        raise _status_error(error, about.page, what) from error
    except ValueError as error:  # also what requests calls one: no JSON, no address of the web
        raise hub_errors.not_a_hub(about.page, hub_errors.words_of(error), SITE) from error
    except RequestException as error:
        url = error.request.url if error.request is not None else about.page
        raise hub_errors.connection_error(error, url or about.page, type(error).__name__) from error
    except Exception as error:
        raise hub_errors.not_a_hub(about.page, hub_errors.words_of(error), SITE) from error


def _client() -> Any:
    """The library's client, with the user's credentials. Raises HubError where these, or what the
    environment says, cannot be used."""
    from kagglehub.clients import build_kaggle_client
    from kagglehub.config import get_kaggle_credentials

    hint = "Correct or unset KAGGLE_API_TOKEN and its kin, or the files in ~/.kaggle."
    try:
        found, client = get_kaggle_credentials(), build_kaggle_client()
    except Exception as error:  # of its many kinds
        why = hub_errors.words_of(error)
        raise HubError(f"Kaggle's credentials or settings cannot be used: {why}.", hint) from error
    for value in (found.username, found.key, found.api_key) if found else ():
        if not re.fullmatch(r"[\x21-\x7e]*", value or ""):
            raise HubError("Kaggle's credentials hold a character that none has.", hint)
    return client


def require_library() -> None:
    """Raise GemmaMtpError where the library is missing; and have it print nothing."""
    try:
        importlib.import_module("kagglehub")
    except ImportError as error:
        raise GemmaMtpError(
            "Models of Kaggle need the Python library kagglehub, which is not installed.",
            "pip install 'gemma-mtp[kaggle]' brings it.",
        ) from error
    logging.getLogger("kagglehub").handlers.clear()  # it would write to standard output


def _status_error(error: Any, where: str, what: str) -> Exception:
    """What Kaggle's refusal means. It may come with status 200 and stand in the answer alone."""
    answer, status = error.response, int(error.response.status_code)
    if status < 400:
        code = answer.json().get("code")
        status = code if type(code) is int and 400 <= code < 600 else 500
    headers = {"Retry-After": answer.headers.get("Retry-After", "")}
    found = hub_errors.status_error(status, headers, where, what, answer.url, SITE)
    return Missing(str(found), SITE.missing) if status == 404 else found


def _bounded() -> Any:
    """What sends the library's questions: with a time-out, and an answer of bearable size."""
    from requests.adapters import HTTPAdapter

    adapter = HTTPAdapter()
    send = adapter.send

    def bounded(request: Any, stream: bool = False, **given: Any) -> Any:
        given["timeout"] = hub.longest_answer() / 3
        response = send(request, stream=True, **given)
        kind = response.headers.get("Content-Type", "")
        if stream and response.status_code in (200, 206) and "json" not in kind:
            return response  # a file, of which only the headers are looked at
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("it sends an encoding that was not asked for")
        body = response.raw.read(LONGEST_LISTING + 1, decode_content=False)
        if len(body) > LONGEST_LISTING:
            raise ValueError(f"it sends more than {LONGEST_LISTING >> 20} MB")
        response._content, response._content_consumed = body, True
        response.close()
        return response

    adapter.send = bounded
    return adapter
