"""Forms with files (multipart/form-data, RFC 7578), which `transcriptions` reads.

Cut at their boundary, whatever lies between: what it takes depends on their length alone, and not
on what anybody writes there.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from typing import NamedTuple

from gemma_mtp.server.errors import Refused

MOST_PARTS = 100
MOST_HEADERS = 4096  # bytes of what is said of a part, and of the form
_LINE = b"\r\n"


class Part(NamedTuple):
    """A field; `filename` is "" for what is no file, and where it has no name."""

    name: str
    filename: str
    data: bytes


def parts_of(body: bytes, content_type: str) -> Iterator[Part]:
    """The fields of a form, none for a body of another kind. Raises Refused for one with too many,
    or with too much said about them."""
    form = _headers(b"Content-Type: " + content_type.encode("latin-1", "replace"))
    boundary = form.get_boundary("").encode("latin-1", "replace")
    if form.get_content_type() != "multipart/form-data" or not boundary:
        return
    _, *found = (_LINE + body).split(_LINE + b"--" + boundary, MOST_PARTS + 1)
    for number, piece in enumerate(found):
        if piece.startswith(b"--"):
            return
        if number == MOST_PARTS:
            raise Refused(400, f"The form has more than {MOST_PARTS} parts.")
        head, _, data = piece.partition(2 * _LINE)
        about = _headers(head.lstrip())
        name = about.get_param("name", "", "content-disposition")
        yield Part(str(name), about.get_filename() or "", data)


def _headers(head: bytes) -> Message:
    if len(head) > MOST_HEADERS:
        raise Refused(400, "The form says more of its parts than can be read.")
    return BytesParser().parsebytes(head + 2 * _LINE, headersonly=True)
