"""A hub on this machine for tests: metadata, redirects to a CDN on another port, ranges, faults.

Speaks what huggingface_hub asks for: HEAD and GET on /OWNER/REPO/resolve/REVISION/FILE answer with
X-Repo-Commit, X-Linked-Etag, X-Linked-Size and a redirect; /api/models/OWNER/REPO lists the files;
the CDN serves signed addresses with ranges. Run as a program it serves a folder and prints its
address, for measurements from another process.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPO = "org/pair"
KAGGLE = "org/gemma-4/gguf/e2b"
BLOCK = 64 << 10
LONGEST_PAUSE = 0.05  # seconds between two blocks of a slow connection


@dataclass(frozen=True)
class Stored:
    """One file of the repository: its bytes, or the path of a large one; its sha256."""

    sha256: str
    size: int
    data: bytes = b""
    path: Path | None = None

    @classmethod
    def of(cls, data: bytes) -> Stored:
        return cls(hashlib.sha256(data).hexdigest(), len(data), data)

    @classmethod
    def at(cls, path: Path) -> Stored:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while part := file.read(4 << 20):
                digest.update(part)
        return cls(digest.hexdigest(), path.stat().st_size, path=path)

    @property
    def md5(self) -> str:
        """In base64, as Google's storage states it."""
        return base64.b64encode(hashlib.md5(self.data).digest()).decode()

    def blocks(self, start: int, stop: int, size: int = BLOCK):
        if self.path is None:
            for at in range(start, stop, size):
                yield self.data[at : min(at + size, stop)]
            return
        with open(self.path, "rb") as file:
            file.seek(start)
            while start < stop:
                part = file.read(min(size, stop - start))
                start += len(part)
                yield part


@dataclass
class Faults:
    """What goes wrong. Lists are used up one by one: a status, or 0 for a proper answer."""

    hub: list[int] = field(default_factory=list)
    cdn: list[int] = field(default_factory=list)
    hub_always: int = 0
    cdn_always: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # sent with every such status
    cut_every: int = 0  # bytes after which a connection of the CDN is closed
    cuts: int = 1 << 30  # how often
    stalls: int = 0  # answers of the CDN that stop after their first block
    ranges: bool = True
    corrupt: bool = False  # the CDN sends other bytes than the hub states
    corrupt_from: int = 0  # from this byte of a file on
    crowd: int = 0  # more connections than this at once are answered with 429
    rate: float = 0.0  # bytes a second for each connection
    claim: dict[str, Stored] = field(default_factory=dict)  # the CDN holds these instead
    listing: Iterable[bytes] | None = None  # sent instead of a listing, without a length
    listing_type: str = "application/json"
    drip: float = 0.0  # seconds between two bytes, where `drips` says so
    drips: str = ""  # "listing", "headers" of the hub, "address" (those of the CDN), or "body"
    stated: dict[str, str] = field(default_factory=dict)  # headers of the hub about every file
    sent: dict[str, str] = field(default_factory=dict)  # headers of the CDN
    page: bool = False  # the CDN answers with a web page


class Hub:
    """Two servers in threads of this process; everything they are asked is written down."""

    def __init__(self, files: dict[str, Stored | bytes], token: str = "") -> None:
        self.files = {
            name: Stored.of(body) if isinstance(body, bytes) else body
            for name, body in files.items()
        }
        self.token, self.gated = token, False
        self.repo = REPO  # whose files these are
        self.others: dict[str, dict[str, Stored]] = {}  # files of other repositories
        self.manifests: dict[str, bytes] = {}  # of Ollama's registry, by "owner/model/tag"
        self.versions: list[list[str]] = []  # the files of each, of KAGGLE
        self.redirect = ""  # where the registry and Kaggle send everybody
        self.kaggle_answers: dict[str, bytes] = {}  # what is said instead, by question
        self.faults = Faults()
        self.requests: Counter[str] = Counter()  # "HEAD name", "GET name", "API", "CDN name"
        self.sent: Counter[str] = Counter()  # bytes of the CDN by name
        self.addresses: Counter[str] = Counter()  # handed out, by name
        self.tokens_at_cdn: set[str] = set()
        self.tokens_at_kaggle: set[str] = set()
        self.signature = secrets.token_hex(4)
        self.connections = self.most_connections = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._hub = _serve(_HubHandler, self)
        self._cdn = _serve(_CdnHandler, self)
        self.url = f"http://127.0.0.1:{self._hub.server_port}"
        self.cdn_url = f"http://127.0.0.1:{self._cdn.server_port}"

    def stored(self, name: str) -> Stored:
        """A file of any repository here."""
        return next(files[name] for files in (self.files, *self.others.values()) if name in files)

    def expire(self) -> None:
        """Addresses handed out so far are no longer valid."""
        self.signature = secrets.token_hex(4)

    def close(self) -> None:
        self.closing.set()
        for server in (self._hub, self._cdn):
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    hub: Hub

    def handle_error(self, request: object, client_address: object) -> None:
        """Killed clients are the point of some tests."""


def _serve(handler: type[BaseHTTPRequestHandler], hub: Hub) -> _Server:
    server = _Server(("127.0.0.1", 0), handler)
    server.hub = hub
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def log_message(self, *args: object) -> None:
        pass

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def drip(self, kind: str, chunks: Iterable[bytes] = itertools.repeat(b"x")) -> bool:
        """Send bytes one by one until the other side leaves, if that is the fault."""
        if self.hub.faults.drips != kind:
            return False
        for byte in chunks:
            self.wfile.write(byte)
            self.wfile.flush()
            if self.hub.closing.wait(self.hub.faults.drip):
                break
        self.close_connection = True
        return True

    def fault(self, planned: list[int], always: int) -> bool:
        """Answer with a fault if one is due."""
        with self.hub.lock:
            status = planned.pop(0) if planned else always
        if status:
            self.reply(status, self.hub.faults.headers)
        return bool(status)


class _HubHandler(_Handler):
    def do_HEAD(self) -> None:
        path = unquote(urlsplit(self.path).path)
        match = re.fullmatch(r"/(\w[\w.-]*/[\w.-]+)/resolve/([^/]+)/(.+)", path)
        if path == "/api/agent-harnesses":  # the library's own affair
            return self.reply(404, {})
        self.hub.requests[f"{self.command} {match[3] if match else path}"] += 1
        if self.fault(self.hub.faults.hub, self.hub.faults.hub_always) or self.refused():
            return None
        if self.hub.faults.drips == "headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self.drip("headers")
            return None
        files = {self.hub.repo: self.hub.files, **self.hub.others}
        if match is None or match[1] not in files:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        if match[2] not in (REVISION, "main"):
            return self.reply(404, {"X-Error-Code": "RevisionNotFound"})
        stored = files[match[1]].get(match[3])
        if stored is None:
            return self.reply(404, {"X-Error-Code": "EntryNotFound"})
        self.hub.addresses[match[3]] += 1
        return self.reply(302, {
            "X-Repo-Commit": REVISION, "X-Linked-Etag": f'"{stored.sha256}"',
            "X-Linked-Size": str(stored.size), "ETag": f'"{REVISION}"',
            "Location": f"{self.hub.cdn_url}/{match[3]}?signature={self.hub.signature}",
            **self.hub.faults.stated,
        })  # fmt: skip

    def registry(self, path: str) -> None:
        """Ollama's registry: manifests, and layers that another server has."""
        self.hub.requests[f"registry {path.rpartition('/')[2]}"] += 1
        if self.fault(self.hub.faults.hub, self.hub.faults.hub_always):
            return None
        if self.headers.get("Authorization"):
            self.hub.tokens_at_cdn.add(self.headers["Authorization"])
        if self.hub.redirect:
            return self.reply(307, {"Location": self.hub.redirect})
        owner, model, kind, name = path.removeprefix("/v2/").split("/")
        manifest = self.hub.manifests.get(f"{owner}/{model}/{name}")
        if kind == "manifests" and manifest is not None:
            return self.reply(200, {"Content-Type": "application/json"}, manifest)
        files = self.hub.files.items()
        found = [path for path, stored in files if f"sha256:{stored.sha256}" == name]
        if kind == "blobs" and found:
            self.hub.addresses[found[0]] += 1
            where = f"{self.hub.cdn_url}/{found[0]}?signature={self.hub.signature}"
            return self.reply(307, {"Location": where})
        return self.reply(404, {})

    def do_POST(self) -> None:
        """Kaggle, as its library asks (kagglesdk/models/services): JSON in, JSON or a redirect."""
        hub, question = self.hub, urlsplit(self.path).path.rpartition("/")[2]
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hub.requests[f"Kaggle {question}"] += 1
        if self.headers.get("Authorization"):
            hub.tokens_at_kaggle.add(self.headers["Authorization"])
        if self.fault(hub.faults.hub, hub.faults.hub_always):
            return None
        if hub.redirect:
            return self.reply(302, {"Location": hub.redirect})
        if hub.faults.listing is not None and question.startswith("List"):
            return self.odd_listing(hub.faults.listing)
        json_type = {"Content-Type": "application/json"}
        if question in hub.kaggle_answers:
            return self.reply(200, {**json_type, **hub.faults.stated}, hub.kaggle_answers[question])
        framework = asked["framework"].removeprefix("MODEL_FRAMEWORK_").lower()
        named = (asked["ownerSlug"], asked["modelSlug"], framework, asked["instanceSlug"])
        version = asked.get("versionNumber", 1)
        if "/".join(named) != KAGGLE or not 0 < version <= len(hub.versions):
            body = {"code": 404, "message": "Not found"}
            return self.reply(404, json_type, json.dumps(body).encode())
        if question == "GetModelInstance":
            body = {"slug": named[3], "versionNumber": len(hub.versions)}
            return self.reply(200, json_type, json.dumps(body).encode())
        names = hub.versions[version - 1]
        if question == "ListModelInstanceVersionFiles":
            start, size = int(asked.get("pageToken", 0)), min(asked["pageSize"], 2)
            files = [
                {"name": name, "size": hub.stored(name).size}
                for name in names[start : start + size]
            ]
            more = str(start + size) if start + size < len(names) else ""
            body = {"files": files, "nextPageToken": more}
            return self.reply(200, json_type, json.dumps(body).encode())
        if asked["path"] not in names:
            body = {"code": 404, "message": "Not found"}
            return self.reply(404, json_type, json.dumps(body).encode())
        hub.addresses[asked["path"]] += 1
        where = f"{hub.cdn_url}/{quote(asked['path'])}?signature={hub.signature}"
        return self.reply(302, {"Location": where, **hub.faults.stated})

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/v2/"):
            return self.registry(unquote(path))
        if not path.startswith("/api/models/"):
            return self.do_HEAD()
        self.hub.requests["API"] += 1
        if self.fault(self.hub.faults.hub, self.hub.faults.hub_always) or self.refused():
            return None
        named = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        files = {self.hub.repo: self.hub.files, **self.hub.others}.get(named)
        if files is None:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        if self.hub.faults.listing is not None:
            return self.odd_listing(self.hub.faults.listing)
        siblings = [
            {"rfilename": name, "size": stored.size, "blobId": "0" * 40,
             "lfs": {"sha256": stored.sha256, "size": stored.size, "pointerSize": 135}}
            for name, stored in files.items()
        ]  # fmt: skip
        body = {
            "id": named,
            "sha": REVISION,
            "siblings": siblings,
            "tags": [],
            "private": False,
        }
        kind = {"Content-Type": "application/json"}
        return self.reply(200, kind, json.dumps(body).encode())

    def odd_listing(self, chunks: Iterable[bytes]) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", self.hub.faults.listing_type)
        self.send_header("Connection", "close")
        self.end_headers()
        if self.drip("listing", chunks):
            return
        for chunk in chunks:
            self.wfile.write(chunk)

    def refused(self) -> bool:
        if self.hub.gated:
            self.reply(403, {"X-Error-Code": "GatedRepo"})
        elif self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.reply(401, {"X-Error-Code": "RepoNotFound"})
        else:
            return False
        return True


class _CdnHandler(_Handler):
    def do_GET(self) -> None:
        hub, parts = self.hub, urlsplit(self.path)
        name = unquote(parts.path).lstrip("/")
        if self.headers.get("Range") != "bytes=0-0":  # as Kaggle's size is asked for
            hub.requests[f"CDN {name}"] += 1
        if self.headers.get("Authorization"):
            hub.tokens_at_cdn.add(self.headers["Authorization"])
        if self.fault(hub.faults.cdn, hub.faults.cdn_always):
            return None
        if parts.query != f"signature={hub.signature}":
            return self.reply(403, {})
        with hub.lock:
            hub.connections += 1
            hub.most_connections = max(hub.most_connections, hub.connections)
            crowded = 0 < hub.faults.crowd < hub.connections
        try:
            if crowded:
                self.reply(429, hub.faults.headers)
            else:
                self.serve(name, hub.faults.claim.get(name) or hub.stored(name))
        finally:
            with hub.lock:
                hub.connections -= 1

    def serve(self, name: str, stored: Stored) -> None:
        if self.hub.faults.page:
            return self.reply(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in")
        if self.hub.faults.drips == "address":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self.drip("address")
            return None
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, stop = 0, stored.size
        if asked and self.hub.faults.ranges:
            start = int(asked[1])
            stop = min(int(asked[2]) + 1 if asked[2] else stored.size, stored.size)
            if start >= stored.size:
                return self.reply(416, {"Content-Range": f"bytes */{stored.size}"})
            self.send_response(206)
            extent = f"bytes {start}-{stop - 1}/{stored.size}"
            self.send_header("Content-Range", self.hub.faults.sent.get("Content-Range", extent))
        else:
            self.send_response(200)
        length = self.hub.faults.sent.get("Content-Length", str(stop - start))
        self.send_header("Content-Length", length)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"an-etag-of-the-cdn"')
        self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={self.hub.stored(name).md5}")
        self.end_headers()
        if not self.drip("body"):
            self.send_body(name, stored, start, stop)
        return None

    def send_body(self, name: str, stored: Stored, start: int, stop: int) -> None:
        faults = self.hub.faults
        if stored.path is not None and not (faults.cut_every or faults.rate or faults.stalls):
            with open(stored.path, "rb") as file:
                self.hub.sent[name] += self.connection.sendfile(file, start, stop - start)
            return
        left = faults.cut_every if faults.cuts > 0 else 0
        size = min(BLOCK, int(faults.rate * LONGEST_PAUSE) + 1) if faults.rate else BLOCK
        for at, block in enumerate(stored.blocks(start, stop, size)):
            if faults.corrupt and start + at * size >= faults.corrupt_from:
                block = bytes(len(block))
            if faults.cut_every and faults.cuts > 0 and left <= 0:
                faults.cuts -= 1
                self.hang_up()
                return
            self.connection.sendall(block)
            left -= len(block)
            with self.hub.lock:
                if (start, stop) != (0, 1):
                    self.hub.sent[name] += len(block)
                stalled, faults.stalls = faults.stalls > 0, max(faults.stalls - 1, 0)
            if stalled:
                self.hub.closing.wait(30)
                self.hang_up()
                return
            if faults.rate:
                time.sleep(len(block) / faults.rate)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def main(folder: Path) -> None:
    """Serve every file of a folder until standard input ends."""
    files = {path.name: Stored.at(path) for path in sorted(folder.iterdir()) if path.is_file()}
    hub = Hub(dict(files))
    print(json.dumps({"url": hub.url, "files": {n: [s.size, s.sha256] for n, s in files.items()}}))
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
