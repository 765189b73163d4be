"""Pictures as clients send them: in the request itself, as base64, in each dialect's form.

Addresses are not fetched: a server that asks other machines on a client's behalf could be led to
any of them, those of its own network included.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from typing import Any
from urllib.parse import unquote_to_bytes

from gemma_mtp.api import Image
from gemma_mtp.errors import UsageError
from gemma_mtp.files import pictures
from gemma_mtp.server.errors import Refused, Unsupported

KINDS = ("image_url", "input_image", "image")
"""What a part of a message that holds a picture is called in OpenAI's two dialects, and by
Anthropic."""

ELSEWHERE = "is an address elsewhere: a picture must be in the request itself, in base64"
NO_DATA = "is no data: address: one begins with data:image/png;base64, and the picture follows"


def picture_of(part: dict[str, Any], field: str) -> Image:
    """The picture of a part of one of KINDS. Raises Refused."""
    kind = str(part.get("type"))
    if kind == "image":
        return _of_source(part.get("source"), f"{field}.source")
    held = part.get("image_url")
    if isinstance(held, dict):
        return _of_url(held.get("url"), f"{field}.image_url.url")
    if held is None and part.get("file_id") is not None:
        raise Unsupported(f"{field}.file_id", "names a file, and no files are kept here")
    return _of_url(held, f"{field}.image_url")


def of_base64(data: Any, field: str) -> Image:
    """The picture that a text in base64 holds. Raises Refused."""
    if not isinstance(data, str):
        raise Unsupported(field, "must be a picture in base64")
    if data.startswith("data:"):
        return _of_url(data, field)
    if data.startswith(("http://", "https://")):
        raise Unsupported(field, ELSEWHERE)
    try:
        found = b64decode("".join(data.split()), validate=True)
    except (Error, ValueError) as error:
        raise Unsupported(field, "is no base64") from error
    return _picture(found, field)


def _of_source(source: Any, field: str) -> Image:
    """As Anthropic's clients send it."""
    if not isinstance(source, dict):
        raise Unsupported(field, "must be an object")
    if source.get("type") == "base64":
        return of_base64(source.get("data"), f"{field}.data")
    if source.get("type") == "url":
        return _of_url(source.get("url"), f"{field}.url")
    raise Unsupported(f"{field}.type", f"is {source.get('type')}: it must be base64")


def _of_url(url: Any, field: str) -> Image:
    if not isinstance(url, str):
        raise Unsupported(field, "must be a picture as a data: address")
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise Unsupported(field, NO_DATA)
    if scheme.lower() != "data":
        raise Unsupported(field, ELSEWHERE)
    about, comma, data = rest.partition(",")
    if not comma:
        raise Unsupported(field, "is no data: address, which has a comma before the data")
    if about.lower().endswith(";base64"):
        return of_base64(data, field)
    return _picture(unquote_to_bytes(data), field)


def _picture(data: bytes, field: str) -> Image:
    try:
        return pictures.picture(data)
    except UsageError as error:
        why = str(error).removeprefix(f"{pictures.UNNAMED} ")
        raise Refused(400, f"{field} {why}", error.hint, field=field) from error
