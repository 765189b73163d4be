"""Turns of several parties with the resident engine, and what becomes of those who give up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support.fakes import Script
from support.scripted_resident import NEVER, Engine, request, said
from support.waiting import wait_until

from gemma_mtp.api import End, Event, Message, Progress, Request, TextDelta, Waiting
from gemma_mtp.resident.client import EngineDied, ResidentPair


class Asking:
    """One request, read in a thread of its own."""

    def __init__(self, pair: ResidentPair, text: str = "Hi") -> None:
        self.cancel = threading.Event()
        self.events: list[Event] = []
        self._pair, self._text = pair, text
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        asked = Request((Message.text("user", self._text),), seed=1)
        with suppress(EngineDied):  # as it seems to one whose connection is cut
            for event in self._pair.reply(asked, self.cancel):
                self.events.append(event)

    @property
    def places(self) -> list[int]:
        return [event.ahead for event in self.events if isinstance(event, Waiting)]

    def end(self) -> End:
        self.thread.join(60)
        assert isinstance(self.events[-1], End)
        return self.events[-1]


def busy(engine: Engine) -> Iterator[Event]:
    """Somebody has a reply that ends only when its reader closes it."""
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005), Script("Done.")]
    events = iter(engine.pair().reply(request(), NEVER))
    while not isinstance(next(events), TextDelta):
        pass
    return events


def waits(engine: Engine, count: int) -> None:
    wait_until(lambda: engine.resident.status()["waiting"] == count)


def test_one_who_sends_many_requests_does_not_keep_the_others_waiting(engine: Engine) -> None:
    many = [engine.pair(party="many") for _ in range(20)]
    others = [engine.pair(party=f"other {n}") for n in range(7)]
    first = busy(engine)
    asked = []
    for pairs, name in ((many, "many"), (others, "other")):
        for pair in pairs:
            asked.append(Asking(pair, name))
            waits(engine, len(asked))
    first.close()  # type: ignore[attr-defined]
    for each in asked:
        assert each.end().reason == "stop"
    served = [each.messages[-1].content for each in engine.pairs[0].requests[1:]]
    assert served == ["many", *["other"] * 7, *["many"] * 19]


def test_eight_who_want_several_replies_take_turns(engine: Engine) -> None:
    parties = {str(n): [engine.pair(party=str(n)) for _ in range(3)] for n in range(8)}
    first = busy(engine)
    asking = [Asking(pair, name) for name, pairs in parties.items() for pair in pairs]
    waits(engine, len(asking))
    first.close()  # type: ignore[attr-defined]
    assert {each.end().message.content for each in asking} == {"Done."}
    served = [asked.messages[0].content for asked in engine.pairs[0].requests[1:]]
    rounds = [served[start : start + 8] for start in range(0, len(served), 8)]
    assert [sorted(each) for each in rounds] == [sorted(parties)] * 3


def test_who_waits_sees_its_place_change(engine: Engine) -> None:
    pairs = [engine.pair() for _ in range(3)]
    first = busy(engine)
    asked = []
    for n, pair in enumerate(pairs):
        asked.append(Asking(pair))
        waits(engine, n + 1)
    first.close()  # type: ignore[attr-defined]
    for each in asked:
        each.end()
    assert [each.places for each in asked] == [[1], [2, 1], [3, 2, 1]]


def test_one_that_disconnects_while_it_waits_is_forgotten_at_once(engine: Engine) -> None:
    gone, stays = engine.pair(), engine.pair()
    first = busy(engine)
    events = gone.reply(request(), NEVER)
    assert next(events) == Waiting(1)
    waiting = Asking(stays)
    wait_until(lambda: waiting.places == [2])
    gone.close()
    wait_until(lambda: waiting.places == [2, 1])
    assert engine.resident.status()["waiting"] == 1
    first.close()  # type: ignore[attr-defined]
    assert waiting.end().message.content == "Done."
    assert len(engine.pairs[0].requests) == 2


def test_one_that_cancels_while_it_waits_ends_while_the_other_goes_on(engine: Engine) -> None:
    pair = engine.pair()
    first = busy(engine)
    waiting = Asking(pair)
    wait_until(lambda: waiting.places == [1])
    waiting.cancel.set()
    assert waiting.end().reason == "cancelled"
    assert isinstance(next(first), TextDelta | Progress)
    assert len(engine.pairs[0].requests) == 1
    first.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["cancels", "disconnects"])
def test_one_that_gives_up_while_the_prompt_is_read_stops_that(engine: Engine, how: str) -> None:
    engine.scripts[:] = [Script("No.", prefill_delay=3600.0), Script("Done.")]
    pair = engine.pair()
    waiting = Asking(pair)
    wait_until(lambda: bool(waiting.events))
    waiting.cancel.set() if how == "cancels" else pair.close()
    assert said(engine.pair().reply(request(), NEVER)) == "Done."
    if how == "cancels":
        assert waiting.end().reason == "cancelled"


@pytest.mark.parametrize("how", ["cancels", "disconnects"])
def test_one_that_gives_up_while_the_pair_is_loaded_stops_that(engine: Engine, how: str) -> None:
    pair = engine.pair("tiny")
    engine.pair("e2b")
    engine.go_on.clear()
    waiting = Asking(pair)
    wait_until(lambda: engine.resident.status()["loading"] is not None)
    waiting.cancel.set() if how == "cancels" else pair.close()
    wait_until(lambda: engine.resident.status()["loading"] is None)
    engine.go_on.set()
    assert said(engine.pair("12b").reply(request(), NEVER)) == "One two three four."
    assert [each.name for each in engine.pairs] == ["tiny", "e2b", "12b"]
    if how == "cancels":
        assert waiting.end().reason == "cancelled"
