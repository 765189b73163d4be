"""Who is answered, and who gets nothing: names, origins, keys, limits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient
from support.fakes import Script
from support.serving import FakeEngines, body, serving
from support.waiting import wait_until

from gemma_mtp.server import engines as server_engines
from gemma_mtp.server import guard
from gemma_mtp.server import reply as server_reply
from gemma_mtp.server.app import make_app
from gemma_mtp.server.connections import Patient
from gemma_mtp.server.guard import Rules

PATH = "/v1/chat/completions"
ERRORS = {
    "/v1/chat/completions": lambda said: said["error"]["message"],
    "/v1/messages": lambda said: said["error"]["message"],
    "/api/chat": lambda said: said["error"],
}


def client(rules: Rules | None = None, engines: FakeEngines | None = None) -> TestClient:
    return TestClient(make_app(engines or FakeEngines(), rules), "http://127.0.0.1:11435")


def post(found: TestClient, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return found.post(PATH, json=body(), headers=named)


HERE = ["localhost", "LOCALHOST:1", "app.localhost", "127.0.0.1:11435", "127.8.8.8", "[::1]:5"]
NUMBERS = ["192.168.1.7:11435", "[fe80::1]", "172.17.0.1"]


@pytest.mark.parametrize("host", HERE + NUMBERS)
def test_this_machine_is_asked_by_its_names_and_by_any_address(host: str) -> None:
    assert post(client(), host=host).status_code == 200


FOREIGN = ["evil.example", "evil.example:11435", "localhost.evil.example", "127.0.0.1.nip.io", "x"]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_may_lead_here_from_elsewhere_gets_nothing(host: str) -> None:
    engines = FakeEngines()
    refused = post(client(engines=engines), host=host)
    assert refused.status_code == 403
    name = host.removesuffix(":11435")
    assert f"--allow-host {name}" in refused.json()["error"]["message"]
    assert engines.engine.requests == []


def test_a_name_that_is_allowed() -> None:
    found = client(Rules(hosts=("host.docker.internal",)))
    assert post(found, host="host.docker.internal:11435").status_code == 200
    assert post(found, host="docker.internal").status_code == 403


PAGES = ["https://evil.example", "http://evil.example:11435", "null", "https://localhost.evil.com"]
EXTENSIONS = ["chrome-extension://abc", "moz-extension://abc"]


@pytest.mark.parametrize("origin", [*PAGES, *EXTENSIONS, "http://192.168.1.7", ""])
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_page_of_another_origin_gets_nothing(origin: str, kind: str) -> None:
    engines = FakeEngines()
    headers = {"Origin": origin, "Content-Type": kind}
    refused = client(engines=engines).post(PATH, content=b"{}", headers=headers)
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    assert engines.engine.requests == []


def test_a_page_that_sends_no_origin_gets_nothing_but_a_link_leads_here() -> None:
    found = client()
    for kind, status in (("image", 403), ("iframe", 403), ("script", 403), ("document", 200)):
        asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": kind}
        assert found.get("/openapi.json", headers=asked).status_code == status


APPS = ["vscode-webview://1abc", "app://obsidian.md", "tauri://localhost", "file://"]
LOCAL = ["http://localhost:3000", "https://127.0.0.1", "http://tauri.localhost", "http://[::1]:80"]


@pytest.mark.parametrize("origin", [*APPS, *LOCAL, "http://127.0.0.1:11435"])
def test_apps_and_pages_of_this_machine_are_answered(origin: str) -> None:
    found = client()
    answered = post(found, origin=origin)
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == origin
    assert "Origin" in answered.headers["vary"]
    assert "Retry-After" in answered.headers["access-control-expose-headers"]


def preflight(found: TestClient, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
        "Access-Control-Request-Private-Network": "true",
    }
    return found.options(PATH, headers=asked)


def test_a_browser_that_asks_first_gets_the_permission_for_an_app() -> None:
    given = preflight(client(Rules("secret")), "app://obsidian.md")
    assert given.status_code == 200
    assert given.headers["access-control-allow-origin"] == "app://obsidian.md"
    assert "POST" in given.headers["access-control-allow-methods"]
    assert "x-stainless-os" in given.headers["access-control-allow-headers"]
    assert given.headers["access-control-allow-private-network"] == "true"


def test_a_browser_that_asks_first_gets_none_for_a_foreign_page() -> None:
    refused = preflight(client(), "https://evil.example")
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("https://chat.example", "https://chat.example", 200),
        ("https://chat.example/", "https://chat.example", 200),
        ("https://chat.example", "https://chat.example.evil.com", 403),
        ("https://chat.example", "http://chat.example", 403),
        ("https://chat.example", "https://chatXexample", 403),
        ("chrome-extension://*", "chrome-extension://abc", 200),
        ("*", "https://evil.example", 200),
        ("null", "null", 200),
    ],
)
def test_origins_that_are_allowed(allowed: str, origin: str, status: int) -> None:
    answered = post(client(Rules(origins=(allowed,))), origin=origin)
    assert answered.status_code == status
    assert answered.headers.get("access-control-allow-origin") == (
        origin if status == 200 else None
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "bearer secret"}, 200),
        ({"x-api-key": "secret"}, 200),
        ({"Authorization": "Bearer other", "x-api-key": "secret"}, 200),
        ({"Authorization": "Bearer secre"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"x-api-key": ""}, 401),
        ({"x-api-key": "sécret".encode()}, 401),
    ],
)
def test_the_key(headers: dict[str, str], status: int) -> None:
    found = client(Rules("secret"))
    assert found.post(PATH, json=body(), headers=headers).status_code == status
    assert found.get("/v1/models", headers=headers).status_code == status


def test_a_key_may_have_any_letters() -> None:
    for headers in (
        {"Authorization": "Bearer voilà".encode()},
        {"x-api-key": "voilà".encode()},
    ):
        assert client(Rules("voilà")).get("/v1/models", headers=headers).status_code == 200


def test_without_a_key_any_is_taken() -> None:
    assert post(client(), authorization="Bearer anything").status_code == 200


def test_what_is_not_private_needs_no_key() -> None:
    found = client(Rules("secret"))
    assert found.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("path", ERRORS)
def test_each_dialect_has_its_own_body_for_a_refusal(path: str) -> None:
    refused = client(Rules("secret")).post(path, json=body())
    assert refused.status_code == 401
    assert ERRORS[path](refused.json()).startswith("The API key is missing or wrong.")


def test_a_body_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_BYTES", 1 << 20)
    found = client()
    long = body(messages=[{"role": "user", "content": "x" * (1 << 20)}])
    refused = found.post(PATH, json=long)
    assert refused.status_code == 413
    assert "longer than 1 MB" in refused.json()["error"]["message"]

    def pieces() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * (1 << 16)

    assert found.post(PATH, content=pieces()).status_code == 413


def test_a_client_that_writes_all_of_a_long_body_first_reads_why_it_is_refused() -> None:
    with serving(FakeEngines()) as url:
        host, port = url.removeprefix("http://").split(":")
        asking = HTTPConnection(host, int(port), timeout=30)
        asking.request("POST", PATH, body=b"x" * (guard.MOST_BYTES + (20 << 20)))
        answer = asking.getresponse()
        assert answer.status == 413
        assert b"longer than 64 MB" in answer.read()
        asking.request("GET", "/health")  # the rest of the body is out of the way
        assert asking.getresponse().status == 200


@pytest.mark.parametrize("sent", ["", f"POST {PATH} HTTP/1.1\r\nHost: local"])
def test_a_header_that_does_not_come(monkeypatch: pytest.MonkeyPatch, sent: str) -> None:
    monkeypatch.setattr(Patient, "seconds", 0.2)
    with serving(FakeEngines()) as url, connection(url) as sock:
        sock.sendall(sent.encode())
        assert sock.recv(1 << 16) == b""


def test_a_slow_reply_outlives_the_time_for_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patient, "seconds", 0.5)
    engines = FakeEngines()
    engines.say(Script("One two three four.", delay=0.3))
    with serving(engines) as url:
        said = httpx.post(f"{url}{PATH}", json=body(), timeout=30)
    assert said.json()["choices"][0]["message"]["content"] == "One two three four."


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        yield sock


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    with serving(FakeEngines()) as url, connection(url) as sock:
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
        sock.sendall(head.encode() + b'{"model":')
        answer = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not come within" in answer


def test_a_client_that_leaves_in_its_body_is_served_by_nobody() -> None:
    engines = FakeEngines()
    with serving(engines, done=engines.records.append) as url:
        with connection(url) as sock:
            head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"
            sock.sendall(head.encode() + b'{"model":')
        wait_until(lambda: bool(engines.records))
    assert engines.engine.requests == []
    assert engines.records[0].left


def test_a_full_queue_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_engines, "MOST_WAITING", 0)
    refused = post(client())
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "10"
    assert "wait already" in refused.json()["error"]["message"]


def test_a_reply_that_takes_too_long_ends_as_at_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_reply, "LONGEST_REPLY", 1.0)
    (tmp_path / "three").touch()
    engines = FakeEngines()
    engines.say(Script("one two three", hold=str(tmp_path)))
    reply = post(client(engines=engines)).json()
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["choices"][0]["message"]["content"] == "one two"
    assert "took longer than" in reply["gemma_mtp"]["warning"]
