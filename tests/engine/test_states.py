"""A conversation goes on after a restart as if there had been none: same text, same drafts, and
only what is new is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from support.pairs import TINY
from support.replies import end_of, evaluated
from support.waiting import wait_until

from gemma_mtp.api import End, Keeping, LoadOptions, Message, Request
from gemma_mtp.decoding.transcript import Transcript
from gemma_mtp.engine import engine as engine_module
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.engine.prompt_cache import NEGLIGIBLE
from gemma_mtp.models import chat_states
from gemma_mtp.models.chat_states import ChatStates

LONG = "Tell me a long story about a dog and a cat who went to the sea. " * 12
KEEP = Keeping("chat-1", 10**9)
OPTIONS = LoadOptions(context=4096, threads=1)
Load = Callable[..., Engine]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    chat_states.admit(KEEP.name)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Load]:
    """Loads the pair as another process would; all are closed at the end."""
    loaded: list[Engine] = []

    def start(options: LoadOptions = OPTIONS, library: str = "1") -> Engine:
        states = ChatStates(TINY, options, library)
        loaded.append(load(TINY, options, states=states))
        return loaded[-1]

    yield start
    for engine in loaded:
        if engine.pair is not None:
            close(engine)


def close(engine: Engine) -> None:
    engine.close()
    engine.pair = None  # type: ignore[assignment]


class Talk:
    """A conversation that is kept, with an engine that may be another one for each turn."""

    def __init__(self, begins: str = LONG, keep: Keeping | None = KEEP) -> None:
        self.messages, self.keep = (Message.text("system", begins),), keep

    def request(self, draft: int = 3, seed: int = 3) -> Request:
        return Request(
            self.messages, keep=self.keep, seed=seed, draft=draft, max_tokens=100, exact=True
        )

    def ask(self, engine: Engine, text: str, draft: int = 3) -> End:
        self.messages = (*self.messages, Message.text("user", text))
        end = end_of(engine, self.request(draft))
        self.messages = (*self.messages, end.message)
        return end

    def read_ahead(self, engine: Engine) -> None:
        expected = engine.prompts.expected(self.request())
        engine.prepare(self.request())
        wait_until(lambda: is_read(engine.cache.transcript, expected))


def is_read(transcript: Transcript, expected: Transcript) -> bool:
    """But for the few tokens that are left to the next prompt."""
    return transcript.shared(expected) == transcript.end >= expected.end - NEGLIGIBLE


def written(engine: Engine) -> None:
    """Wait until what is to be kept is on the disk."""
    engine.cache.states._states._writer.submit(lambda: None).result()  # type: ignore[union-attr]


def told(end: End) -> tuple[object, ...]:
    """What a restart must not change."""
    stats = end.stats
    return end.token_ids, end.reason, stats.drafted, stats.accepted_histogram, stats.cached_tokens


@pytest.mark.parametrize("ahead", [True, False], ids=["read ahead", "at once"])
@pytest.mark.parametrize("draft", [0, 4])
def test_a_restart_shows_in_nothing(start: Load, ahead: bool, draft: int) -> None:
    def turns(engine: Engine, talk: Talk, *texts: str) -> list[End]:
        ends = []
        for text in texts:
            if ahead:
                talk.read_ahead(engine)
            ends.append(talk.ask(engine, text, draft))
        return ends

    before, after = ("What is your name?", "Tell me more about the dog."), ("And the cat?", "Why?")
    unbroken, talk = start(), Talk()
    expected = turns(unbroken, Talk(keep=None), *before, *after)
    first = start()
    found = turns(first, talk, *before)
    if ahead:
        talk.read_ahead(first)
    close(first)
    found += turns(start(), talk, *after)
    assert [told(end) for end in found] == [told(end) for end in expected]
    assert evaluated(found[2]) < 150 < found[2].stats.prompt_tokens


@pytest.mark.parametrize("how", ["set aside", "restart"])
def test_reading_ahead_that_was_left_off_does_not_show(start: Load, how: str) -> None:
    """The rest is evaluated in the pieces that were left: others may give other last bits."""
    rows, ends = [], []
    for left_off in (False, True):
        engine = start()
        talk = Talk(keep=KEEP if how == "restart" and left_off else None)
        talk.ask(engine, "Who are you?")
        talk.messages = (*talk.messages[:-1], Message.text("assistant", f"Well. {LONG}"))
        request = talk.request()
        pieces = engine.cache.prepare(engine.prompts.expected(request), True, request.keep)
        done = {piece.done for piece in islice(pieces, 2 if left_off else None)}
        pieces.close()  # type: ignore[attr-defined]
        if left_off and how == "restart":
            close(engine)
            engine = start()
        elif left_off:
            Talk(f"Others speak. {LONG}", None).ask(engine, "Who are you?")
        talk.messages = (*talk.messages, Message.text("user", "And now?"))
        prompt = engine.prompts.of(talk.request())
        lasting = engine.prompts.lasting(talk.request(), prompt)
        done |= {p.done for p in engine.cache.prefill(prompt, True, lasting, request.keep)}
        ends.append(done)
        assert engine.cache.last_row is not None
        rows.append(engine.cache.last_row.copy())
    assert np.array_equal(*rows)
    assert ends[0] == ends[1]


def test_what_goes_back_after_a_restart_goes_back_as_without(start: Load) -> None:
    """The last message is answered again, and then the first ones are given up."""
    results = []
    for restart in (False, True):
        engine = start()
        talk = Talk(keep=KEEP if restart else None)
        for text in ("What is your name?", f"Read this. {LONG}", "And the cat?"):
            talk.ask(engine, text)
        if restart:
            close(engine)
            engine = start()
        talk.messages = talk.messages[:-2]
        again = talk.ask(engine, "And the cat?")
        talk.messages = talk.messages[:3]
        results.append((told(again), told(talk.ask(engine, "Something else, please."))))
    assert results[0] == results[1]


def test_a_conversation_that_was_set_aside_is_kept_too(start: Load) -> None:
    engine = start()
    talk, other = Talk(), Talk(f"Others speak. {LONG}", None)
    talk.ask(engine, "Who are you?")
    other.ask(engine, "Who are you?")
    written(engine)
    again = start()
    assert evaluated(talk.ask(again, "And now?")) < 150


def test_what_is_kept_at_rest_survives_a_kill(start: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REST", 0.0)
    engine, talk = start(), Talk()
    talk.ask(engine, "Who are you?")
    engine.background.wait()
    written(engine)
    monkeypatch.setattr(engine_module, "REST", 1000.0)  # what follows is lost
    before = talk.messages
    talk.ask(engine, "And then?")
    assert evaluated(talk.ask(start(), "And now?")) < 300
    talk.messages = before
    assert evaluated(talk.ask(start(), "And now?")) < 150


def test_a_chat_that_goes_on_is_not_written_after_each_reply(
    start: Load, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, talk = start(), Talk()
    names: list[str] = []
    monkeypatch.setattr(ChatStates, "keep", lambda states, keep, *_: names.append(keep.name))
    for text in ("Who are you?", "And then?", "Why?"):
        talk.ask(engine, text)
        talk.read_ahead(engine)
    assert names == []
    close(engine)
    assert names == [KEEP.name]


def test_what_is_not_to_be_kept_is_not(start: Load, home: Path) -> None:
    engine = start()
    Talk(keep=None).ask(engine, "Who are you?")
    Talk(keep=Keeping(KEEP.name, 1000)).ask(engine, "Who are you?")  # larger than all may be
    close(engine)
    assert chat_states.sizes() == {}


@pytest.mark.parametrize(
    ("options", "library"),
    [
        (LoadOptions(context=4096, threads=1, kv_type="f32"), "1"),
        (LoadOptions(context=4096, threads=1, flash_attn="on"), "1"),
        (OPTIONS, "2"),
    ],
)
def test_another_way_of_loading_means_evaluating_again(
    start: Load, options: LoadOptions, library: str
) -> None:
    engine, talk = start(), Talk("Be brief. " * 10)
    talk.ask(engine, "Hi")
    close(engine)
    end = talk.ask(start(options, library), "Hi")
    assert end.stats.cached_tokens == 0


@pytest.mark.parametrize("context", [2048, 8192])
def test_a_context_of_another_size_takes_a_state_that_fits(start: Load, context: int) -> None:
    engine, talk = start(), Talk()
    talk.ask(engine, "Hi")
    close(engine)
    assert evaluated(talk.ask(start(LoadOptions(context=context, threads=1)), "Hi")) < 150


def test_a_state_that_cannot_be_put_back_is_evaluated_again(
    start: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, talk = start(), Talk()
    talk.ask(engine, "Hi")
    close(engine)
    monkeypatch.setattr("gemma_mtp.llama.window_cells.restore_all", lambda context, state: False)
    assert talk.ask(start(), "Hi").stats.cached_tokens == 0
