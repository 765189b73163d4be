"""The resident engine and its clients, in one process and with a scripted pair."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.fakes import FakeEngine, Script
from support.scripted_resident import FILES, NEVER, Engine, request, said
from support.waiting import wait_until

from gemma_mtp.api import (
    End,
    Loading,
    LoadOptions,
    Progress,
    Request,
    TextDelta,
    Waiting,
    to_json,
)
from gemma_mtp.errors import BadPair, Cancelled, DoesNotFit, UsageError
from gemma_mtp.resident.attach import make_room
from gemma_mtp.resident.client import EngineDied, ResidentPair
from gemma_mtp.resident.sockets import connect
from gemma_mtp.resident.wire import Connection
from gemma_mtp.settings import KEEP_ALIVE


def test_a_reply_is_that_of_the_pair(engine: Engine) -> None:
    events = list(engine.pair().reply(request(), NEVER))
    directly = list(FakeEngine(engine.scripts).reply(request(), NEVER))
    assert said(events) == "One two three four."
    assert events[-1] == directly[-1]
    texts = [event for event in directly if isinstance(event, TextDelta)]
    assert [event for event in events if isinstance(event, TextDelta)] == texts


def test_the_second_client_finds_the_pair_loaded(engine: Engine) -> None:
    engine.pair().close()
    engine.pair().close()
    assert len(engine.pairs) == 1


def test_another_pair_takes_its_place(engine: Engine) -> None:
    first = engine.pair("tiny")
    second = engine.pair("e2b", context=1024)
    assert [pair.closed for pair in engine.pairs] == [True, False]
    assert second.info.context_size == 1024
    assert said(first.reply(request(), NEVER)) == "One two three four."
    assert [pair.name for pair in engine.pairs] == ["tiny", "e2b", "tiny"]


def test_how_long_a_pair_stays_says_nothing_of_the_next(engine: Engine) -> None:
    def left(seconds: float | None) -> None:
        wait_until(lambda: engine.resident.status()["seconds_left"] == seconds)

    engine.pair("tiny", keep=-1)
    left(None)
    engine.pair("tiny", keep=None)
    left(None)
    engine.pair("e2b", keep=None)
    left(KEEP_ALIVE)


def test_another_pair_waits_for_the_reply_in_progress(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "two").touch()
    engine.scripts[:] = [Script("one two three", hold=str(tmp_path))]
    events = engine.pair("tiny").reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    other = threading.Thread(target=lambda: engine.pair("e2b"))
    other.start()
    wait_until(lambda: len(engine.resident._jobs) == 1)
    assert not engine.pairs[0].closed
    (tmp_path / "two").unlink()
    assert isinstance(end := list(events)[-1], End)
    assert (end.reason, end.message.content) == ("stop", "one two three")
    other.join(60)
    assert [pair.name for pair in engine.pairs] == ["tiny", "e2b"]


def test_counting_waits_for_no_reply_in_progress(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 5000, delay=0.005)]
    first, other = engine.pair(), engine.pair(party="other")
    events = first.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    assert other.count(request("One two three.")) == 7
    assert engine.resident.status()["busy_for"] is not None
    assert isinstance(next(events), TextDelta | Progress)


def test_where_its_pair_is_not_loaded_counting_loads_it(engine: Engine) -> None:
    first = engine.pair("tiny")
    engine.pair("e2b")
    assert first.count(request("One two three.")) == 7
    assert [pair.name for pair in engine.pairs] == ["tiny", "e2b", "tiny"]


def test_what_cannot_be_counted_is_said_and_ends_nothing(engine: Engine) -> None:
    pair = engine.pair()
    with pytest.raises(UsageError, match="at least one message"):
        pair.count(Request())
    assert pair.count(request("One two three.")) == 7


def test_a_client_sees_that_its_pair_is_loaded_again(engine: Engine) -> None:
    first = engine.pair("tiny")
    engine.pair("e2b")
    assert Loading(1.0) in list(first.reply(request(), NEVER))


def test_what_the_pair_raises_is_raised_at_the_client(engine: Engine) -> None:
    pair = engine.pair(context=256)
    with pytest.raises(DoesNotFit, match=r"The prompt has \d+ tokens; the context holds 256"):
        list(pair.reply(request("word " * 300), NEVER))
    assert said(pair.reply(request(), NEVER)) == "One two three four."


def test_a_pair_that_cannot_be_loaded_says_why_and_how_to_go_on(engine: Engine) -> None:
    with pytest.raises(BadPair, match="It is no pair") as failure:
        engine.pair("bad")
    assert failure.value.hint == "Take another one."
    assert engine.pair().info.name == "tiny"


def test_a_cancelled_reply_ends_and_keeps_what_was_said(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 5000, delay=0.005)]
    cancel = threading.Event()
    events = []
    for event in engine.pair().reply(request(), cancel):
        events.append(event)
        if isinstance(event, TextDelta):
            cancel.set()
    assert isinstance(events[-1], End)
    assert events[-1].reason == "cancelled"
    assert said(events) == events[-1].message.content


def test_a_reply_that_an_exception_breaks_off_is_not_mixed_with_the_next_one(
    engine: Engine,
) -> None:
    engine.scripts[:] = [Script("word " * 5000, delay=0.005), Script("Done.")]
    pair = engine.pair()
    events = pair.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert said(pair.reply(request(), NEVER)) == "Done."


def test_reading_ahead_has_no_answer_and_no_turn_to_wait_for(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005)]
    events = engine.pair().reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    sock = connect(engine.folder)
    assert sock is not None
    other = Connection(sock)
    other.send({"op": "prepare", "request": to_json(request())})
    other.send({"op": "prepare", "request": "nonsense"})
    other.send({"op": "cancel"}, {"op": "status"})
    answer = other.receive(60.0)
    assert answer is not None
    assert answer["all"][0]["done"]["waiting"] == 0
    events.close()  # type: ignore[attr-defined]
    wait_until(lambda: not engine.resident._jobs._spare)
    assert other.receive(0.05) is None
    other.close()


def test_reading_ahead_is_done_by_the_pair_that_is_loaded(engine: Engine) -> None:
    pair = engine.pair()
    pair.prepare(request())
    wait_until(lambda: engine.pairs[0].prepared == [request()])
    other = engine.pair("e2b")
    pair.prepare(request("Hello"))
    other.prepare(request("Now"))
    wait_until(lambda: engine.pairs[1].prepared == [request("Now")])


def test_an_abandoned_reply_is_over_before_the_next_one(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 5000, delay=0.005), Script("Done.")]
    pair = engine.pair()
    events = pair.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    events.close()  # type: ignore[attr-defined]
    assert said(pair.reply(request(), NEVER)) == "Done."


def test_a_client_that_is_gone_stops_its_reply(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005), Script("Done.")]
    gone = engine.pair()
    events = gone.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    gone.close()
    assert said(engine.pair().reply(request(), NEVER)) == "Done."


def test_the_status_says_what_is_loaded_for_whom_and_who_waits_for_what(engine: Engine) -> None:
    engine.go_on.clear()
    pair = ResidentPair(engine.folder, FILES, LoadOptions(), 300.0)
    thread = threading.Thread(target=lambda: pair.load(lambda fraction: True))
    thread.start()
    wait_until(lambda: engine.resident.status()["loading"] is not None)
    status = engine.resident.status()
    assert status["loading"] == {"model": "tiny", "done": 0.5}
    assert status["model"] is None
    engine.go_on.set()
    thread.join(60)
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005), Script("Done.")]
    events = pair.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    others = [threading.Thread(target=engine.pair, args=(name,)) for name in ("e2b", "e2b", "12b")]
    for other in others:
        other.start()
    wait_until(lambda: engine.resident.status()["waiting"] == 3)
    status = engine.resident.status()
    assert status["loading"] is None
    assert status["model"] == "tiny"
    assert status["busy_for"] == status["clients"][0]
    assert len(status["clients"]) == 4
    assert status["waiting_for"] == {"e2b": 2, "12b": 1}
    assert sorted(each["model"] for each in status["queue"]) == ["12b", "e2b", "e2b"]
    assert {each["name"] for each in status["queue"]} == {status["busy_for"]}
    events.close()  # type: ignore[attr-defined]
    for other in others:
        other.join(60)
    assert engine.resident.status()["waiting_for"] == {}


def test_who_waits_for_another_reply_is_told(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005), Script("Done.")]
    first, second = engine.pair(), engine.pair()
    events = first.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    waiting = second.reply(request(), NEVER)
    assert next(waiting) == Waiting(1)
    events.close()  # type: ignore[attr-defined]
    assert said(waiting) == "Done."


def test_waiting_can_be_stopped(engine: Engine) -> None:
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005)]
    first, second = engine.pair(), engine.pair()
    events = first.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    cancel = threading.Event()
    waiting = second.reply(request(), cancel)
    assert next(waiting) == Waiting(1)
    cancel.set()
    wait_until(lambda: next(waiting, None) is None)
    events.close()  # type: ignore[attr-defined]


def test_a_client_that_wants_it_sees_the_log_of_loading_and_shares_the_pair(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.pair("e2b")
    engine.pair("tiny")
    assert capsys.readouterr().err == ""
    verbose = engine.pair("tiny", verbose=True)
    assert capsys.readouterr().err == "loading tiny\n"
    assert len(engine.pairs) == 2
    engine.resident.loaded.journal.write("something happens\n")
    verbose.count(request())
    assert capsys.readouterr().err == "something happens\n"
    engine.pair("e4b", verbose=True)
    assert capsys.readouterr().err == "loading e4b\n"


def test_loading_can_be_stopped(engine: Engine) -> None:
    engine.go_on.clear()
    pair = ResidentPair(engine.folder, FILES, LoadOptions(), 300.0)
    with pytest.raises(Cancelled):
        pair.load(lambda fraction: fraction < 0.5)
    engine.go_on.set()
    assert engine.pair().info.name == "tiny"


def test_the_pair_is_unloaded_when_its_time_is_over_and_loaded_when_it_is_needed(
    engine: Engine,
) -> None:
    pair = engine.pair(keep=60.0)
    engine.pass_time(59.0)
    assert said(pair.reply(request(), NEVER)) == "One two three four."
    engine.pass_time(59.0)
    assert not engine.pairs[0].closed
    engine.pass_time(2.0)
    wait_until(lambda: engine.pairs[0].closed)
    assert said(pair.reply(request(), NEVER)) == "One two three four."
    assert len(engine.pairs) == 2


def test_a_pair_that_is_to_stay_stays(engine: Engine) -> None:
    engine.pair(keep=-1.0)
    engine.pass_time(1e9)
    assert engine.resident.status()["seconds_left"] is None
    assert not engine.pairs[0].closed


def test_the_process_ends_when_nothing_is_loaded_and_nobody_is_there(engine: Engine) -> None:
    pair = engine.pair(keep=60.0)
    engine.pass_time(61.0)
    wait_until(lambda: engine.pairs[0].closed)
    engine.pass_time(61.0)
    assert engine.threads[1].is_alive()  # a client is there
    pair.close()
    wait_until(lambda: not engine.resident._clients)
    engine.pass_time(61.0)
    engine.threads[1].join(60)
    assert not engine.threads[1].is_alive()


def test_stopping_waits_for_the_reply_in_progress(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "two").touch()
    engine.scripts[:] = [Script("one two three", hold=str(tmp_path))]
    events = engine.pair().reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    engine.resident.stop()
    (tmp_path / "two").unlink()
    rest = list(events)
    assert isinstance(rest[-1], End)
    assert rest[-1].reason == "stop"
    engine.threads[1].join(60)
    assert engine.pairs[0].closed


@pytest.fixture
def found(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """The engine, as commands find it."""
    monkeypatch.setattr("gemma_mtp.resident.attach.place", lambda: engine.folder)
    return engine


def test_who_measures_has_an_idle_engine_unload(found: Engine) -> None:
    notes: list[str] = []
    make_room(notes.append, lambda busy: pytest.fail("it is not busy"))
    assert notes == []
    found.pair()
    make_room(notes.append, lambda busy: pytest.fail("it is not busy"))
    assert found.pairs[0].closed
    assert notes == ["tiny was loaded for the next command; it is unloaded for this."]


@pytest.mark.parametrize("waits", [True, False])
def test_who_measures_waits_for_a_busy_engine_or_leaves_it_alone(
    found: Engine, waits: bool, tmp_path: Path
) -> None:
    (tmp_path / "two").touch()
    found.scripts[:] = [Script("one two three", hold=str(tmp_path))]
    notes: list[str] = []
    events = found.pair().reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    reader = threading.Thread(target=lambda: list(events))
    reader.start()

    def answer(busy: object) -> bool:
        if waits:
            (tmp_path / "two").unlink()
        return waits

    make_room(notes.append, answer)
    (tmp_path / "two").unlink(missing_ok=True)
    assert found.pairs[0].closed == waits
    assert ("unloaded" in notes[0]) == waits
    assert ("shares the machine" in notes[0]) != waits
    reader.join(60)
    assert not reader.is_alive()


def test_a_client_that_speaks_nonsense_harms_nobody(engine: Engine) -> None:
    pair = engine.pair()
    for line in (b"\xff\n", b"{}\n", b'{"op": "fly"}\n', b'{"op": "reply", "request": 1}\n'):
        sock = connect(engine.folder)
        assert sock is not None
        sock.sendall(line)
        if line.startswith(b'{"op'):
            told = Connection(sock).receive(60.0)
            assert told is not None
            assert "error" in told["all"][0]
        sock.close()
    assert said(pair.reply(request(), NEVER)) == "One two three four."


def test_an_engine_that_ends_in_the_middle_is_an_error_of_the_reply(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.scripts[:] = [Script("word " * 100_000, delay=0.005)]
    pair = engine.pair()
    events = pair.reply(request(), NEVER)
    while not isinstance(next(events), TextDelta):
        pass
    engine.resident._clients[0].connection.close()
    with pytest.raises(EngineDied):
        list(events)


def test_how_long_a_pair_stays_can_be_said_anew(engine: Engine) -> None:
    pair = engine.pair(keep=300)
    pair.stay(3600)
    assert said(pair.reply(request(), NEVER)) == "One two three four."
    assert engine.resident.status()["seconds_left"] > 3000
    pair.close()
    pair.stay(7200)  # with a new connection
    list(pair.reply(request(), NEVER))
    assert engine.resident.status()["seconds_left"] > 7000
