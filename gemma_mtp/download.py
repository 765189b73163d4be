"""Gets a pair from the hub, checks it, and marks its folder as ready.

The only importer of huggingface_hub, which does bytes, tokens and mirrors (HF_ENDPOINT, HF_TOKEN,
HF_HUB_OFFLINE). Knows nothing of models beyond their catalogue entry.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemma_mtp.catalogue import Entry, RemoteFile
from gemma_mtp.errors import HubError
from gemma_mtp.options import PairFiles

MARKER = "pair.json"
CHUNK = 4 << 20
SPARE = 64 << 20  # left free on the disk


@dataclass(frozen=True)
class PullProgress:
    """`done` of `total` bytes (0: not known) of one file were fetched, or read to verify it."""

    file: str
    done: int
    total: int
    verifying: bool = False


OnProgress = Callable[[PullProgress], None]


def ready_files(entry: Entry, folder: Path) -> PairFiles | None:
    """The pair in `folder`, if a pull of exactly this entry was completed there."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sizes = {(f["path"], f["sha256"]): f["bytes"] for f in marker["files"]}
        for file in _files(entry):
            if (folder / file.path).stat().st_size != sizes[file.path, file.sha256]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return PairFiles(entry.name, folder / entry.target.path, folder / entry.drafter.path)


def pull(entry: Entry, folder: Path, on_progress: OnProgress) -> PairFiles:
    """Fetch and verify both files; returns at once when they are already there."""
    ready = ready_files(entry, folder)
    if ready:
        return ready
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_space(entry, folder)
        for file in _files(entry):
            _fetch(entry, file, folder, on_progress)
            _verify(file, folder, on_progress)
        _mark_ready(entry, folder)
    except OSError as error:
        raise _disk_error(error, folder) from error
    return PairFiles(entry.name, folder / entry.target.path, folder / entry.drafter.path)


def _files(entry: Entry) -> tuple[RemoteFile, RemoteFile]:
    # The small one first: what is wrong with access or network shows early.
    return entry.drafter, entry.target


def _check_space(entry: Entry, folder: Path) -> None:
    missing = sum(f.bytes or 0 for f in _files(entry) if not (folder / f.path).exists())
    free = shutil.disk_usage(folder).free
    if missing + SPARE > free:
        raise HubError(
            f"{entry.name} needs {missing / 1e9:.1f} GB, but only {free / 1e9:.1f} GB are free "
            f"on the disk of {folder}.",
            "Free some space, or set GEMMA_MTP_HOME to a folder on another disk.",
        )


def _fetch(entry: Entry, file: RemoteFile, folder: Path, on_progress: OnProgress) -> None:
    from huggingface_hub import hf_hub_download  # slow to import

    try:
        hf_hub_download(
            entry.repo,
            file.path,
            revision=entry.revision,
            local_dir=folder,
            tqdm_class=_reporter(file, on_progress),
        )
    except Exception as error:  # the library and its HTTP client raise many unrelated types
        raise _hub_error(error, entry, folder) from error


def _reporter(file: RemoteFile, on_progress: OnProgress) -> Any:
    """A progress bar class as the library wants it, which draws nothing and reports instead."""
    from huggingface_hub.utils.tqdm import tqdm

    class Reporter(tqdm):  # type: ignore[misc,unused-ignore]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.done = int(kwargs.get("initial") or 0)
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call,unused-ignore]

        def update(self, n: float | None = 1) -> None:
            self.done += int(n or 0)
            on_progress(PullProgress(file.path, self.done, file.bytes or int(self.total or 0)))

        def update_transfer(self, n: float | None = 1) -> None:
            """Bytes that arrived but are not on disk yet; without this a second bar is made."""

    return Reporter


def _verify(file: RemoteFile, folder: Path, on_progress: OnProgress) -> None:
    path = folder / file.path
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            on_progress(PullProgress(file.path, done, total, verifying=True))
    if digest.hexdigest() != file.sha256:
        aside = path.with_name(path.name + ".corrupt")
        path.replace(aside)
        raise HubError(
            f"{path.name} arrived with other contents than expected; it was set aside as "
            f"{aside.name}.",
            "Pull again; if it happens again, the file on the hub was changed.",
        )


def _mark_ready(entry: Entry, folder: Path) -> None:
    """Written last and moved into place: a folder is ready or it is not."""
    listed = [
        {"path": f.path, "bytes": (folder / f.path).stat().st_size, "sha256": f.sha256}
        for f in _files(entry)
    ]
    marker = {"name": entry.name, "repo": entry.repo, "revision": entry.revision, "files": listed}
    temporary = folder / f"{MARKER}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(marker, indent=2), encoding="utf-8")
    temporary.replace(folder / MARKER)


def _disk_error(error: OSError, folder: Path) -> HubError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubError(f"The disk of {folder} is full.", "Free some space and pull again.")
    return HubError(f"Cannot write to {folder}: {error.strerror or error}.")


def _hub_error(error: Exception, entry: Entry, folder: Path) -> HubError:
    """One sentence for what the library raised; it often wraps the cause in something vaguer."""
    from huggingface_hub import constants, errors

    chain = list(_causes(error))
    where = f"{constants.ENDPOINT}/{entry.repo}"
    for cause in chain:
        if isinstance(cause, errors.OfflineModeIsEnabled):
            return HubError(
                f"{entry.name} cannot be downloaded: HF_HUB_OFFLINE is set.", "Unset it to pull."
            )
        if isinstance(cause, errors.HfHubHTTPError):
            return _http_error(cause, entry, where)
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES):
            return _disk_error(cause, folder)
    return HubError(
        f"Cannot download {entry.name} from {where}: {_first_line(chain[-1])}.",
        "Check the network connection and pull again.",
    )


def _http_error(error: Any, entry: Entry, where: str) -> HubError:
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError) or status in (401, 403):
        return HubError(
            f"{where} refuses access (HTTP {status}).",
            "Check HF_TOKEN or log in with `hf auth login`.",
        )
    if status == 404:
        return HubError(
            f"{where} no longer has {entry.name} at revision {entry.revision[:12]}.",
            "A newer gemma-mtp may know where it went.",
        )
    return HubError(f"{where} answered with HTTP {status}.", "Try again later.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
