"""A pull ends with a verified pair or one sentence; run against a small hub on this machine."""

from __future__ import annotations

import errno
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gemma_mtp import download
from gemma_mtp.catalogue import Entry, RemoteFile
from gemma_mtp.download import PullProgress, pull, ready_files
from gemma_mtp.errors import HubError

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENTS = {"target.gguf": b"target " * 40_000, "mtp-target.gguf": b"drafter " * 1000}


class Hub:
    """Serves `files` the way the hub does; `status` answers every request instead."""

    def __init__(self) -> None:
        self.files = dict(CONTENTS)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer()

            def do_GET(self) -> None:
                self.wfile.write(self.answer())

            def answer(self) -> bytes:
                name = self.path.split("?")[0].rpartition("/")[2]
                hub.requests[f"{self.command} {name}"] += 1
                assert self.path.startswith(f"/org/pair/resolve/{REVISION}/")
                body = hub.files.get(name, b"")
                status = hub.status if body or hub.status != 200 else 404
                self.send_response(status)
                self.send_header("X-Repo-Commit", REVISION)
                self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
                self.send_header("Content-Length", str(len(body) if status == 200 else 0))
                if status == 404:
                    self.send_header("X-Error-Code", "EntryNotFound")
                for key, value in hub.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                return body if status == 200 else b""

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants, file_download

    hub = Hub()
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(file_download, "_DEFAULT_RETRY_ON_STATUS_CODES", ())  # no waiting
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield hub
    hub.close()


def remote(path: str) -> RemoteFile:
    body = CONTENTS[path]
    return RemoteFile(path, "Q4_0", hashlib.sha256(body).hexdigest(), len(body))


ENTRY = Entry(
    name="12b",
    title="Gemma 4 12B",
    parameters="11.9B",
    context_length=262144,
    repo="org/pair",
    revision=REVISION,
    qat=True,
    target=remote("target.gguf"),
    drafter=remote("mtp-target.gguf"),
    default=True,
    builtin=False,
    spellings=("12b",),
)


def ignore(progress: PullProgress) -> None:
    pass


def failure(folder: Path, entry: Entry = ENTRY) -> HubError:
    with pytest.raises(HubError) as caught:
        pull(entry, folder, ignore)
    assert ready_files(entry, folder) is None
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_pull_fetches_verifies_and_marks_both_files(hub: Hub, tmp_path: Path) -> None:
    seen: list[PullProgress] = []
    files = pull(ENTRY, tmp_path / "12b", seen.append)
    assert files.target.read_bytes() == CONTENTS["target.gguf"]
    assert files.drafter is not None
    assert files.drafter.read_bytes() == CONTENTS["mtp-target.gguf"]
    assert ready_files(ENTRY, tmp_path / "12b") == files
    size = len(CONTENTS["target.gguf"])
    assert PullProgress("target.gguf", size, size) in seen
    assert seen[-1] == PullProgress("target.gguf", size, size, verifying=True)


def test_a_complete_pair_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    first = pull(ENTRY, tmp_path, ignore)
    hub.requests.clear()
    assert pull(ENTRY, tmp_path, ignore) == first
    assert not hub.requests


def test_what_is_already_there_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    pull(ENTRY, tmp_path, ignore)
    (tmp_path / download.MARKER).unlink()
    pull(ENTRY, tmp_path, ignore)
    assert hub.requests["GET target.gguf"] == hub.requests["GET mtp-target.gguf"] == 1


def test_wrong_contents_are_set_aside_and_a_second_pull_repairs(hub: Hub, tmp_path: Path) -> None:
    hub.files["target.gguf"] = b"something else"
    assert "other contents than expected" in str(failure(tmp_path))
    assert (tmp_path / "target.gguf.corrupt").read_bytes() == b"something else"
    assert not (tmp_path / "target.gguf").exists()
    hub.files = dict(CONTENTS)
    pull(ENTRY, tmp_path, ignore)


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (401, {}, "refuses access (HTTP 401)"),
        (401, {"X-Error-Code": "RepoNotFound"}, "refuses access (HTTP 401)"),
        (403, {}, "refuses access (HTTP 403)"),
        (403, {"X-Error-Code": "GatedRepo"}, "refuses access (HTTP 403)"),
        (404, {"X-Error-Code": "RevisionNotFound"}, "no longer has 12b at revision 0123456789ab"),
        (404, {}, "no longer has 12b"),
        (503, {}, "answered with HTTP 503"),
    ],
)
def test_what_the_hub_refuses(
    hub: Hub, tmp_path: Path, status: int, headers: dict[str, str], words: str
) -> None:
    hub.status, hub.headers = status, headers
    error = failure(tmp_path)
    assert words in str(error)
    assert error.hint


def test_an_unreachable_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    monkeypatch.setattr(file_download, "_DEFAULT_RETRY_ON_EXCEPTIONS", ())
    hub.close()
    assert f"Cannot download 12b from {hub.url}/org/pair: " in str(failure(tmp_path))


def test_offline_mode(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in str(failure(tmp_path))
    assert not hub.requests


def test_a_full_disk_is_noticed_before_anything_is_fetched(hub: Hub, tmp_path: Path) -> None:
    huge = replace(ENTRY, target=replace(ENTRY.target, bytes=10**18))
    error = failure(tmp_path, huge)
    assert "12b needs 1000000000.0 GB, but only" in str(error)
    assert not hub.requests


def test_a_disk_that_fills_up_on_the_way(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_mark_ready", full)
    assert str(failure(tmp_path)) == f"The disk of {tmp_path} is full."


def test_a_folder_that_cannot_be_made(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "Cannot write to" in str(failure(tmp_path / "file" / "12b"))


@pytest.mark.parametrize("damage", ["truncate", "delete", "marker", "repinned"])
def test_a_pair_that_is_not_what_the_marker_says_is_not_ready(
    hub: Hub, tmp_path: Path, damage: str
) -> None:
    pull(ENTRY, tmp_path, ignore)
    entry = ENTRY
    if damage == "truncate":
        (tmp_path / "target.gguf").write_bytes(b"short")
    elif damage == "delete":
        (tmp_path / "mtp-target.gguf").unlink()
    elif damage == "marker":
        (tmp_path / download.MARKER).write_text("[1, {")
    else:
        entry = replace(ENTRY, target=replace(ENTRY.target, sha256="0" * 64))
    assert ready_files(entry, tmp_path) is None
