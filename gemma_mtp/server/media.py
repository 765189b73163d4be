"""Pictures and recordings as clients send them: in the request itself, as base64, in the form of
each dialect.

Addresses are not fetched: a server that asks other machines on a client's behalf could be led to
any of them, those of its own network included.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from typing import Any
from urllib.parse import unquote_to_bytes

from gemma_mtp.api import Media, pictures, recordings
from gemma_mtp.errors import UsageError
from gemma_mtp.files.media import PICTURE, RECORDING, UNNAMED, Kind, kind_of_data
from gemma_mtp.server.errors import Refused, Unsupported

PARTS = {"image_url": PICTURE, "input_image": PICTURE, "image": PICTURE, "input_audio": RECORDING}
"""What a part of a message that holds one is called in OpenAI's two dialects, and by Anthropic."""

PICTURES = [name for name, kind in PARTS.items() if kind is PICTURE]

ELSEWHERE = "is an address elsewhere: a {} must be in the request itself, in base64"
MOST_UNQUOTED = 1 << 20  # characters of a data: address without base64; a second for ten million
_SPACES = b" \t\r\n\v\f"  # base64 comes in lines
NO_DATA = "is no data: address: one begins with data:image/png;base64, and the picture follows"


def media_of(part: dict[str, Any], field: str) -> Media:
    """The picture of a part of one of PARTS. Raises Refused."""
    name = str(part.get("type"))
    kind = PARTS[name]
    if name == "image":
        return _of_source(part.get("source"), f"{field}.source", kind)
    if name == "input_audio":
        return _of_format(part.get(name), f"{field}.{name}", kind)
    held = part.get("image_url")
    if isinstance(held, dict):
        return _of_url(held.get("url"), f"{field}.image_url.url", kind)
    if held is None and part.get("file_id") is not None:
        raise Unsupported(f"{field}.file_id", "names a file, and no files are kept here")
    return _of_url(held, f"{field}.image_url", kind)


def of_base64(data: Any, field: str, kind: Kind | None = None) -> Media:
    """What a text in base64 holds: of this kind, or of what its first bytes tell. Raises
    Refused."""
    noun = (kind or PICTURE).noun
    if not isinstance(data, str):
        raise Unsupported(field, f"must be a {noun} in base64")
    if data.startswith("data:"):
        return _of_url(data, field, kind)
    if data.startswith(("http://", "https://")):
        raise Unsupported(field, ELSEWHERE.format(noun))
    return made(_decoded(data, field), field, kind)


def _decoded(data: str, field: str) -> bytes:
    try:
        return b64decode(data.encode().translate(None, _SPACES), validate=True)
    except (Error, ValueError) as error:
        raise Unsupported(field, "is no base64") from error


def _of_format(held: Any, field: str, kind: Kind) -> Media:
    """As OpenAI's clients send recordings; `format` is told by the file itself."""
    if not isinstance(held, dict):
        raise Unsupported(field, "must be an object")
    return of_base64(held.get("data"), f"{field}.data", kind)


def _of_source(source: Any, field: str, kind: Kind) -> Media:
    """As Anthropic's clients send it."""
    if not isinstance(source, dict):
        raise Unsupported(field, "must be an object")
    if source.get("type") == "base64":
        return of_base64(source.get("data"), f"{field}.data", kind)
    if source.get("type") == "url":
        return _of_url(source.get("url"), f"{field}.url", kind)
    raise Unsupported(f"{field}.type", f"is {source.get('type')}: it must be base64")


def _of_url(url: Any, field: str, kind: Kind | None) -> Media:
    if not isinstance(url, str):
        raise Unsupported(field, f"must be a {(kind or PICTURE).noun} as a data: address")
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise Unsupported(field, NO_DATA)
    if scheme.lower() != "data":
        raise Unsupported(field, ELSEWHERE.format((kind or PICTURE).noun))
    about, comma, data = rest.partition(",")
    if not comma:
        raise Unsupported(field, "is no data: address, which has a comma before the data")
    if about.lower().endswith(";base64"):
        return made(_decoded(data, field), field, kind)
    if len(data) > MOST_UNQUOTED:
        raise Unsupported(field, "is too long to be written without base64")
    return made(unquote_to_bytes(data.encode("utf-8", "replace")), field, kind)


def made(data: bytes, field: str, kind: Kind | None, name: str = "") -> Media:
    """What these bytes of a field are. Raises Refused."""
    kind = kind or kind_of_data(data)
    if kind is None:
        neither = f"{field} is neither a picture nor a recording that can be read here."
        raise Refused(400, neither, f"{pictures.KINDS} {recordings.KINDS}", field=field)
    try:
        return kind.made(data, name)
    except UsageError as error:
        why = str(error).removeprefix(f"{UNNAMED} ")
        raise Refused(400, f"{field} {why}", error.hint, field=field) from error
