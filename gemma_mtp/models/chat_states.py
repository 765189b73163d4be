"""States of the cache on disk: what a pair had read of a chat, so that it goes on at once.

One private file for each conversation, written whole, with a checksum, and bound to what the pair's
files contain, the way it was loaded, the library and the processor; anything else is as if there
were no file. Losing one costs time and nothing else, so nothing here ever fails. A chat admits its
conversation before anything is written, and one that is deleted meanwhile is not written again. The
engine's process reads and writes; chats, `chats`, `doctor` and `prune` admit, remove and count.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from gemma_mtp import paths
from gemma_mtp.api import Keeping, LoadOptions, PairFiles
from gemma_mtp.files import atomic, disk, private
from gemma_mtp.models import gguf_names
from gemma_mtp.models.contents import Contents, recall

FORMAT = 2  # raised whenever a state is packed in another way
MAGIC = b"gemma-mtp state\n"
ENDING = ".state"
LONGEST_HEADER = 64 << 20  # bytes
LEFT_FREE = 1_000_000_000  # bytes of the disk, for what others write
_NAME = re.compile(r"[\w-]{1,100}")
_HEAD = struct.Struct("<II")  # length of the header, and its checksum


def folder() -> Path:
    """Where all states lie."""
    return paths.cache_dir() / "states"


def admit(name: str) -> None:
    """Say that a state of this conversation may be kept from now on."""
    with suppress(OSError):
        os.close(private.open_file(_path(name), os.O_RDONLY))


def remove(name: str) -> None:
    """Delete the state of a conversation, if there is one; none is written any more."""
    with suppress(OSError):
        path = _path(name)
        for part in path.parent.glob(f"{path.name}.*.tmp"):  # of writers that were killed
            part.unlink()
        path.unlink()


def sizes() -> dict[str, int]:
    """Bytes of each state that is kept, by the name of its conversation."""
    return {path.name.removesuffix(ENDING): size for path, size, _ in _all() if size}


def unusable(wanted: bool = True) -> Iterator[tuple[Path, str]]:
    """Files that no chat can use any more, and why; all where no states are `wanted`."""
    for path, size, _ in _all():
        if why := _why_unusable(path, size) if wanted else "keep_chats is off":
            yield path, why
    for path in atomic.abandoned(folder()):
        yield path, "part of a state of a chat"


def _why_unusable(path: Path, size: int) -> str:
    if not size:  # nothing was kept yet
        return ""
    with suppress(OSError, KeyError, TypeError, ValueError), path.open("rb") as file:
        header = _read_header(file)
        if header is None:
            return "a damaged state of a chat"
        binding, files = header["binding"], [Path(name) for name in header["paths"]]
        if binding["format"] != FORMAT or binding["llama_cpp"] != _library():
            return "a state of a chat by another version"
        known = [recall(file) if file.is_file() else "" for file in files]
        if any(now not in (None, then) for now, then in zip(known, binding["files"], strict=True)):
            return "a state of a chat with a model that is gone"
    return ""


class ChatStates:
    """The states of one pair, loaded in one way: what an engine takes as `States`."""

    def __init__(self, files: PairFiles, options: LoadOptions, library: str) -> None:
        """`library`: version of llama.cpp, how it was built, processor and devices."""
        self._paths = gguf_names.parts_of(*files.models)
        self._contents = Contents(self._paths)
        self._binding: dict[str, Any] = {
            "format": FORMAT,
            "llama_cpp": _library(),
            "library": library,
            "kv": options.kv_type,
            "flash_attention": options.flash_attn,
        }
        self._writer = ThreadPoolExecutor(1)

    def about(self, name: str) -> dict[str, Any] | None:
        """What was said about the state of a conversation; None where there is none to use."""
        with suppress(OSError), _path(name).open("rb") as file:
            header = self._header(file)
            return header and header["about"]
        return None

    def read(self, name: str) -> tuple[dict[str, Any], list[memoryview]] | None:
        """The same, and the parts of the state. It counts as used now."""
        with suppress(OSError, MemoryError), _path(name).open("rb") as file:
            header = self._header(file)
            if header is None:
                return None
            whole = bytearray(sum(header["sizes"]))
            if file.readinto(whole) != len(whole) or zlib.crc32(whole) != header["sum"]:
                return None
            os.utime(_path(name))
            parts, at = [], 0
            for size in header["sizes"]:
                parts.append(memoryview(whole)[at : at + size])
                at += size
            return header["about"], parts
        return None

    def keep(self, keep: Keeping, about: dict[str, Any], parts: Sequence[memoryview]) -> None:
        """Write a state, in a thread of its own."""
        self._writer.submit(self._write, keep, about, parts)

    def close(self) -> None:
        """Wait until all is written."""
        self._writer.shutdown()

    def _write(self, keep: Keeping, about: dict[str, Any], parts: Sequence[memoryview]) -> None:
        path, checksum = _path(keep.name), 0
        for part in parts:
            checksum = zlib.crc32(part, checksum)
        contents = self._contents.find()  # the first time, this reads all of the files
        if contents is None:
            return
        told: dict[str, Any] = {"binding": {**self._binding, "files": contents}}
        told["paths"] = [str(path) for path in self._paths]
        told |= {"about": about, "sizes": [len(part) for part in parts], "sum": checksum}
        header = json.dumps(told).encode()
        head = MAGIC + _HEAD.pack(len(header), zlib.crc32(header))
        size = len(head) + len(header) + sum(map(len, parts))
        with suppress(OSError):
            if path.exists() and _make_room(path, size, keep.limit):
                whole: list[bytes | memoryview] = [head, header, *parts]
                atomic.write(path, whole, private=True, wanted=path.exists)

    def _header(self, file: BinaryIO) -> dict[str, Any] | None:
        found = _read_header(file)
        if found is None:
            return None
        contents = self._contents.known()
        bound = {**self._binding, "files": contents}
        return found if contents and found.get("binding") == bound else None


def _read_header(file: BinaryIO) -> dict[str, Any] | None:
    head = file.read(len(MAGIC) + _HEAD.size)
    if len(head) < len(MAGIC) + _HEAD.size or not head.startswith(MAGIC):
        return None
    length, checksum = _HEAD.unpack(head[len(MAGIC) :])
    text = file.read(length) if length <= LONGEST_HEADER else b""
    if len(text) != length or zlib.crc32(text) != checksum:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _library() -> str:
    try:
        return version("llama-cpp-python")
    except PackageNotFoundError:
        return ""


def _path(name: str) -> Path:
    """Raises OSError for what is no name."""
    if not _NAME.fullmatch(name):
        raise FileNotFoundError(name)
    return folder() / f"{name}{ENDING}"


def _all() -> Iterator[tuple[Path, int, float]]:
    """Each file with its bytes and when it was used last."""
    with suppress(OSError):
        for entry in sorted(os.scandir(folder()), key=lambda entry: entry.name):
            with suppress(OSError):
                if entry.name.endswith(ENDING) and entry.is_file(follow_symlinks=False):
                    found = entry.stat()
                    yield Path(entry.path), found.st_size, found.st_mtime


def _make_room(path: Path, size: int, limit: int) -> bool:
    """Remove states that were not used for longest, so that one more of `size` bytes in the place
    of `path` fits into `limit`; False where it cannot, or the disk is nearly full."""
    free = disk.free_bytes(folder())
    if size > limit or (free is not None and free < size + LEFT_FREE):
        return False
    for part in atomic.abandoned(folder()):
        part.unlink()
    others = [each for each in _all() if each[0] != path and each[1]]
    taken = size + sum(bytes for _, bytes, _ in others)
    for old, bytes, _ in sorted(others, key=lambda each: each[2]):
        if taken <= limit:
            break
        old.unlink()
        taken -= bytes
    return True
