"""A server of models that answers what a test says, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class OpenAIServer:
    """`stream` are the objects of the next replies; `pages` what other paths answer: an object, or
    a status and an object. `left` is set when a client leaves in the middle of a stream."""

    def __init__(self, owner: str = "vllm", models: Iterable[str] = ("gemma-4",), **more: Any):
        listed = [{"id": name, "object": "model", "owned_by": owner, **more} for name in models]
        self.pages: dict[str, Any] = {"/v1/models": {"object": "list", "data": listed}}
        self.stream: list[Any] = []
        self.refusal: tuple[int, Any, dict[str, str]] | None = None
        self.pause = 0.0  # seconds between two objects
        self.cut = False  # leave without an end
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.left = threading.Event()
        self.address = ""

    @property
    def last(self) -> Any:
        """The body of the last request for a reply."""
        return next(body for path, _, body in reversed(self.asked) if path.endswith("completions"))


def piece(text: str = "", finish: str | None = None, **more: Any) -> dict[str, Any]:
    """An object of a stream."""
    delta = {"content": text} if text else {}
    return {"choices": [{"index": 0, "delta": delta | more, "finish_reason": finish}]}


@contextmanager
def running(server: OpenAIServer) -> Iterator[OpenAIServer]:
    """The server at work, at `server.address`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append((self.path, dict(self.headers), None))
            self._answer(server.pages.get(self.path, (404, {"detail": "Not Found"})))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.asked.append((self.path, dict(self.headers), body))
            if self.path != "/v1/chat/completions":
                self._answer(server.pages.get(self.path, (404, {"detail": "Not Found"})))
            elif server.refusal is not None:
                status, found, headers = server.refusal
                self._answer((status, found), headers)
            else:
                self._stream()

        def _answer(self, found: Any, headers: dict[str, str] | None = None) -> None:
            status, found = found if isinstance(found, tuple) else (200, found)
            data = found.encode() if isinstance(found, str) else json.dumps(found).encode()
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            try:
                for item in server.stream:
                    text = item if isinstance(item, str) else f"data: {json.dumps(item)}\n\n"
                    self.wfile.write(text.encode())
                    self.wfile.flush()
                    time.sleep(server.pause)
                if not server.cut:
                    self.wfile.write(b"data: [DONE]\n\n")
            except OSError:
                server.left.set()

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.daemon_threads = True
    server.address = f"http://127.0.0.1:{found.server_address[1]}"
    threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        found.shutdown()
        found.server_close()
