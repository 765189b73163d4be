"""Two hundred requests of eight clients at once, in three dialects, against a real process."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.server_process import Server, server_process
from support.waiting import wait_until

CLIENTS, EACH = 8, 25
KINDS = ("whole", "stream", "left", "bad", "unknown")
SHARES = (8, 10, 4, 2, 1)  # how often of 25, so that each of them comes up
MOST_GROWTH = 1.2  # times the memory after a first pass of the same requests
WORDS = 24  # tokens of a reply

Answers = tuple[int, str]  # status and text


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    with server_process(home) as running:
        yield running


@dataclass
class Client:
    """One of the eight: a conversation of its own in one dialect, which grows now and then."""

    number: int
    server: Server
    order: Iterator[int]
    problems: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def run(self) -> None:
        chosen = random.Random(self.number)
        kinds = [kind for kind, share in zip(KINDS, SHARES, strict=True) for _ in range(share)]
        chosen.shuffle(kinds)
        with httpx.Client(base_url=self.server.url, timeout=120) as http:
            for turn, kind in enumerate(kinds):
                try:
                    self.ask(http, kind, turn)
                except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
                    self.problems.append(f"{self.number}.{turn} {kind}: {error!r}")
                self.ends.append(next(self.order))

    def ask(self, http: httpx.Client, kind: str, turn: int) -> None:
        path, body = self.request(kind, turn)
        if kind == "left":
            with http.stream("POST", path, json=body) as answer:
                assert answer.status_code == 200
                next(answer.iter_lines())
            return
        answer = http.post(path, json=body)
        if kind in ("bad", "unknown"):
            assert answer.status_code == {"bad": 400, "unknown": 404}[kind], answer.text
            assert "error" in answer.json()
            return
        assert answer.status_code == 200, answer.text
        assert self.text(answer, kind == "stream"), answer.text

    def request(self, kind: str, turn: int) -> tuple[str, dict[str, Any]]:
        said = [{"role": "user", "content": f"Client {self.number} asks {turn // 5} things."}]
        for earlier in range(turn % 5):
            said += [{"role": "assistant", "content": f"That is answer {earlier}."}]
            said += [{"role": "user", "content": "And then?"}]
        model = "nope" if kind == "unknown" else "tiny"
        body: dict[str, Any] = {"model": model, "messages": said, "stream": kind != "whole"}
        temperature = -1 if kind == "bad" else 0.7
        if self.number % 3 == 0:
            more = {"num_predict": WORDS, "temperature": temperature}
            return "/api/chat", {**body, "options": more}
        path = "/v1/chat/completions" if self.number % 3 == 1 else "/v1/messages"
        return path, {**body, "max_tokens": WORDS, "temperature": temperature}

    def text(self, answer: httpx.Response, stream: bool) -> str:
        """The text of a whole answer, or of one in pieces, which has to end as it should."""
        if self.number % 3 == 0:
            lines = [json.loads(line) for line in answer.text.splitlines()]
            assert lines[-1]["done"]
            return "".join(line["message"]["content"] for line in lines)
        if not stream:
            found = answer.json()
            choices, content = found.get("choices"), found.get("content")
            return str(choices[0]["message"]["content"] if choices else content[0]["text"])
        data = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        if self.number % 3 == 1:
            assert data.pop() == "[DONE]"
            chunks = [json.loads(each) for each in data]
            assert chunks[-1]["choices"][0]["finish_reason"]
            return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
        events = [json.loads(each) for each in data]
        assert events[-1]["type"] == "message_stop"
        return "".join(e["delta"].get("text", "") for e in events if "delta" in e)


def pass_through(server: Server) -> list[Client]:
    """All requests, of all clients at once."""
    order = count()
    clients = [Client(number, server, order) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return clients


@pytest.mark.slow
def test_all_are_answered_in_a_fair_order_and_memory_stays(server: Server) -> None:
    first = pass_through(server)
    wait_until(server.is_idle)
    before = memory(server)
    second = pass_through(server)
    wait_until(server.is_idle)
    after = memory(server)
    assert [problem for client in first + second for problem in client.problems] == []
    for clients in (first, second):
        assert_fair(clients)
    growth = {name: after[name] / before[name] for name in before}
    assert all(share < MOST_GROWTH for share in growth.values()), (before, after)


def assert_fair(clients: list[Client]) -> None:
    """Nobody is far behind: when the first client is done, each has had most of its replies."""
    over = min(client.ends[-1] for client in clients)
    assert all(sum(end < over for end in client.ends) > EACH / 2 for client in clients)


def memory(server: Server) -> dict[str, int]:
    """Bytes that the server and the engine take."""
    pids = {"server": server.process.pid, "engine": server.engine()["pid"]}
    return {name: resident(pid) for name, pid in pids.items()}


def resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("no /proc here")
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) << 10
