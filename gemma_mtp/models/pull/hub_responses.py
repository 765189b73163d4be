"""What a hub's responses look like: declared shapes, and what is taken from them.

`hub` calls it. Knows neither the library nor its client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemma_mtp.files import bounded
from gemma_mtp.files.schema import maybe, rows, table, text, whole
from gemma_mtp.models.catalogue_schema import MOST_BYTES

LONGEST_LISTING = 8 << 20  # bytes; a file takes some 300
MOST_FILES = 20_000  # of one repository

SIZE = maybe(whole(0, MOST_BYTES))
COMMIT = maybe(text(100, r"[\w./-]+", "a commit"))
ETAG = maybe(text(1000))
_FILE = table(
    # The name is checked where it becomes a path: other files may be called anything.
    {"rfilename": text(LONGEST_LISTING, any_character=True)},
    {"size": SIZE, "lfs": maybe(table({}, {"sha256": ETAG}, others=True))},
    others=True,
)
_LISTING = table({}, {"sha": COMMIT, "siblings": maybe(rows(_FILE, MOST_FILES))}, others=True)


@dataclass(frozen=True)
class HubFile:
    """A file as the hub states it at one commit; `sha256` "" and `bytes` None: not stated."""

    path: str
    bytes: int | None
    sha256: str
    commit: str


def parse_listing(body: bytes | bytearray, revision: str | None) -> list[HubFile]:
    """The files of a listing; ValueError when it is none."""
    data: dict[str, Any] = _LISTING(bounded.parse_json(body), "")
    commit = data.get("sha") or revision or "main"
    files = data.get("siblings") or []
    etags = [(file.get("lfs") or {}).get("sha256") for file in files]
    return [
        HubFile(file["rfilename"], file.get("size"), sha256_of_etag(etag), commit)
        for file, etag in zip(files, etags, strict=True)
    ]


def parse_metadata(path: str, commit: Any, size: Any, etag: Any) -> HubFile:
    """A file by what the headers of its address say; ValueError when no hub would say that."""
    if COMMIT(commit, "the commit") is None:
        raise ValueError("it names no commit")
    return HubFile(path, SIZE(size, "the size"), sha256_of_etag(ETAG(etag, "the ETag")), commit)


def sha256_of_etag(etag: str | None) -> str:
    """ETags of large files are their sha256; those of small ones are not."""
    return etag.lower() if etag and re.fullmatch(r"[0-9a-fA-F]{64}", etag) else ""


def parse_range(headers: Mapping[str, str], ranged: bool, asked: int) -> tuple[int, int | None]:
    """Offset of the first byte that is sent, and the size of the whole file."""
    if not ranged:
        length = re.fullmatch(r"[0-9]{1,18}", headers.get("Content-Length", ""))
        return 0, int(length[0]) if length else None
    form = r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)"
    match = re.fullmatch(form, headers.get("Content-Range", ""))
    if match is None:
        return asked, None
    return int(match[1]), None if match[2] == "*" else int(match[2])
