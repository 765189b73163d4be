"""`serve` as a process, with the built-in pair: how it begins, what it says, how it ends."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from support.fakes import invoke
from support.waiting import wait_until

from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.serve import _tell as tell
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.resident.identity import place
from gemma_mtp.resident.line import ask
from gemma_mtp.server import run
from gemma_mtp.server.ports import listen
from gemma_mtp.server.record import Record

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


class Serving:
    """A `serve` that runs; what it says is in a file."""

    def __init__(self, log: Path, *words: str, **variables: str) -> None:
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gemma_mtp", "serve", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "GEMMA_MTP_KEEP_ALIVE": "", **variables},
            )

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it is to be asked, once it says so."""
        wait_until(lambda: "API key" in self.said or self.process.poll() is not None)
        found = re.search(r"listens at (\S+);", self.said)
        assert found, self.said
        return found[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def chat(self, text: str = "Tell me a story.", **more: Any) -> Any:
        client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", max_retries=0)
        messages: Any = [{"role": "user", "content": text}]
        return client.chat.completions.create(model="tiny", messages=messages, **more)


Start = Callable[..., Serving]


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts `serve`; none outlives its test."""
    begun: list[Serving] = []

    def start(*words: str, **variables: str) -> Serving:
        if "--port" not in words:
            words = (*words, "--port", "0")
        begun.append(Serving(tmp_path / f"said{len(begun)}", *words, **variables))
        return begun[-1]

    yield start
    for each in begun:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `serve` in this process says where it does not begin, and ends with that status."""

    def began(*_: object) -> None:
        raise AssertionError("it was not refused")

    monkeypatch.setattr(run, "run", began)

    def refused(status: int, *words: str) -> str:
        outcome = invoke("serve", "--port", "0", *words, env=Environment())
        assert outcome.status == status, outcome.stderr
        return outcome.stderr

    return refused


@contextmanager
def listening(answers: dict[str, bytes]) -> Iterator[int]:
    """Another program on a port; it answers these paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_it_loads_its_model_says_how_to_connect_and_tells_of_each_request(start: Start) -> None:
    server = start("tiny", CI="true")
    assert f"OpenAI     {server.url}/v1\n" in server.said
    assert "model      tiny, and any other that is here\n" in server.said
    assert ask(place(), "status")["model"] == "tiny"
    server.chat(max_tokens=70, extra_body={"colour": "blue"})
    assert httpx.get(f"{server.url}/health").is_success
    with pytest.raises(openai.BadRequestError):
        server.chat(n=3)
    wait_until(lambda: " 400 " in server.said)
    *_, reply, refused = server.said.splitlines()
    pattern = (
        r"\d\d:\d\d:\d\d 200 POST /v1/chat/completions tiny: 15( \(\d+ cached\))? \+ 70 tokens"
    )
    assert re.match(pattern, reply)
    assert "tok/s" in reply
    assert reply.endswith("passed over: colour")
    assert re.search(r" 400 POST /v1/chat/completions: n must be 1$", refused)
    for keep in (300, 0):
        httpx.post(f"{server.url}/api/generate", json={"model": "tiny", "keep_alive": keep})
    wait_until(lambda: server.said.endswith(" 200 POST /api/generate tiny: unloaded\n"))
    assert " 200 POST /api/generate tiny: loaded\n" in server.said
    assert server.end() == 0


def test_with_quiet_nothing_is_said_of_requests(start: Start) -> None:
    server = start("--quiet")
    assert server.url
    before = server.said
    assert "model      tiny, and any other that is here\n" in before
    server.chat(max_tokens=5)
    assert server.end(signal.SIGINT) == 0
    assert server.said == before


def test_a_port_that_is_taken(start: Start) -> None:
    server = start()
    port = server.url.rpartition(":")[2]
    again = start("--port", port)
    assert again.process.wait(60) == 1
    assert f"Port {port} of 127.0.0.1 is taken: another gemma-mtp listens there." in again.said
    assert f"--port {int(port) + 1} takes another one." in again.said
    for answers, who in (
        ({"/api/version": b'{"version": "0.9.0"}'}, "Ollama"),
        ({"/api/version": b"hello"}, "another program"),
        ({}, "another program"),
    ):
        with listening(answers) as port, pytest.raises(GemmaMtpError) as error:
            listen("127.0.0.1", port)
        assert f"is taken: {who} listens there." in str(error.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_others_on_the_network_need_a_key_or_leave_said_out_loud(
    start: Start, refused: Callable[..., str], host: str
) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    assert "no API key is set" in refused(2, "--host", host)
    server = start("--host", host, "--no-auth")
    assert httpx.get(f"{server.url}/v1/models").is_success
    locked = start("--host", host, GEMMA_MTP_API_KEY="secret")
    models = f"{locked.url}/v1/models"
    assert httpx.get(models).status_code == 401
    assert httpx.get(models, headers={"Authorization": "Bearer secret"}).is_success
    assert "secret" not in locked.said


def test_the_key_in_a_file(start: Start, refused: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("secret\n")
    server = start("--api-key-file", str(file))
    models = f"{server.url}/v1/models"
    assert httpx.get(models, headers={"x-api-key": "other"}).status_code == 401
    assert httpx.get(models, headers={"x-api-key": "secret"}).is_success
    lost = refused(2, "--api-key-file", str(tmp_path / "nowhere"))
    assert "cannot be read: No such file" in lost


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.77"])
def test_a_host_that_is_none_here(refused: Callable[..., str], host: str) -> None:
    assert "Traceback" not in refused(2, "--host", host, "--no-auth")


def test_a_model_that_is_not_here(refused: Callable[..., str]) -> None:
    assert "nosuch" in refused(4, "nosuch")


def test_a_stream_says_that_the_engine_died_and_the_next_has_another(start: Start) -> None:
    server = start("tiny")
    stream = iter(server.chat(stream=True, max_tokens=4000))
    for _ in range(3):
        next(stream)
    os.kill(ask(place(), "status")["pid"], signal.SIGKILL)
    with pytest.raises(openai.APIError, match="has ended"):
        list(stream)
    assert server.chat(max_tokens=5).choices[0].message.content
    assert "has ended" in server.said


def test_told_to_end_it_finishes_the_reply_in_progress(start: Start) -> None:
    server = start("tiny")
    stream = iter(server.chat(stream=True, max_tokens=60))
    next(stream)
    server.process.send_signal(signal.SIGTERM)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert server.process.wait(60) == 0


def test_told_twice_it_ends_at_once(start: Start) -> None:
    server = start("tiny")
    stream = iter(server.chat(stream=True, max_tokens=4000))
    next(stream)
    engine = ask(place(), "status")["pid"]
    os.kill(engine, signal.SIGSTOP)  # so that the reply does not end
    try:
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: not _accepts(server.url))
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 130
    finally:
        os.kill(engine, signal.SIGCONT)


def _accepts(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_client_of_another_origin_and_a_foreign_name_get_nothing(start: Start) -> None:
    server = start()
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        refused = httpx.get(f"{server.url}/api/tags", headers=headers)
        assert refused.status_code == 403
        assert "tiny" not in json.dumps(refused.json())


def test_a_request_is_one_line_whatever_it_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Record("GET", "/a\n12:00:00 200 POST /b", 404, error=GemmaMtpError("No /a\nhere.")))
    assert capsys.readouterr().err.count("\n") == 1
