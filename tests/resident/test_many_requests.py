"""Many requests of many kinds against a real engine process: all answered, and nothing piles up."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from support.engines import status
from support.pairs import TINY
from support.waiting import wait_until

from gemma_mtp.api import End, LoadOptions, Message, Request, TextDelta
from gemma_mtp.resident.client import ResidentPair

CLIENTS, EACH = 8, 25
CONTEXTS = (1024, 2048)
MOST_GROWTH = 1.1  # times the memory after the first quarter
KINDS = ("reply", "raw", "count", "cancel")


class Client:
    """One connection, and what became of its requests."""

    def __init__(self, folder: Path, number: int, finished: list[int]) -> None:
        self.number, self.finished = number, finished
        options = LoadOptions(threads=1, context=CONTEXTS[number % 2])
        self.pair = ResidentPair(folder, TINY, options, 300.0, party=f"party {number}")
        self.chance = random.Random(number)
        self.problems: list[str] = []

    def run(self, count: int) -> None:
        for turn in range(count):
            kind = self.chance.choice(KINDS)
            try:
                self.ask(kind, turn)
            except Exception as error:
                self.problems.append(f"{self.number}.{turn} {kind}: {error!r}")
            if kind != "count":  # those wait for nobody
                self.finished.append(self.number)

    def ask(self, kind: str, turn: int) -> None:
        # The same few again and again: copies of conversations are kept, and those would add up.
        text = f"Client {self.number} asks {turn % 2 + 1} things. {'Why? ' * 40 * (turn % 2)}"
        messages = (Message.text("user", text),)
        cancel = threading.Event()
        if kind == "count":
            assert self.pair.count(Request(messages)) > 8
            return
        request = Request(messages, seed=1, max_tokens=24, ignore_end=True)
        if kind == "raw":
            request = Request(prompt=text, seed=1, max_tokens=24, ignore_end=True)
        end = None
        for end in self.pair.reply(request, cancel):
            if kind == "cancel" and isinstance(end, TextDelta):
                cancel.set()
        assert isinstance(end, End)
        assert end.reason == "length" or (kind == "cancel" and end.reason == "cancelled")


def served(clients: list[Client], count: int) -> None:
    """Each client asks for so much, all at once."""
    threads = [threading.Thread(target=client.run, args=(count,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_two_hundred_mixed_requests_are_answered_in_a_fair_order_and_memory_stays(
    engine_home: Path,
) -> None:
    finished: list[int] = []
    clients = [Client(engine_home, number, finished) for number in range(CLIENTS)]
    served(clients, EACH // 4)
    wait_until(lambda: status(engine_home)["busy_for"] is None)
    before = status(engine_home)
    finished.clear()
    served(clients, EACH - EACH // 4)
    wait_until(lambda: status(engine_home)["busy_for"] is None)
    after = status(engine_home)
    assert [problem for client in clients for problem in client.problems] == []
    assert after["pid"] == before["pid"]
    assert after["info"]["context_size"] == max(CONTEXTS)
    ends = [max(at for at, number in enumerate(finished) if number == n) for n in range(CLIENTS)]
    over = finished[: min(ends) + 1]
    # When the first one has all its replies, nobody is far behind.
    assert all(over.count(n) > over.count(over[-1]) * 0.6 for n in range(CLIENTS)), over
    for client in clients:
        client.pair.close()
    assert after["memory_bytes"] < MOST_GROWTH * before["memory_bytes"], (before, after)
