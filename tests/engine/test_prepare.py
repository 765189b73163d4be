"""What comes before the next message is evaluated while nobody waits, and no text shows it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from support import talk
from support.fakes import FakeConsole, FakeEnvironment
from support.pairs import TINY
from support.replies import end_of, evaluated

from gemma_mtp.api import End, LoadOptions, Message, Request
from gemma_mtp.chat.loop import converse
from gemma_mtp.engine.chat_template import FALLBACK
from gemma_mtp.engine.engine import Engine
from gemma_mtp.llama import load_pair
from gemma_mtp.options import Options
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

DATA = Path(__file__).parents[1] / "data" / "templates"
REAL = ("google-gemma-4-31B-it.jinja", "google-gemma-4-31B-it-interleaved.jinja")
OPTIONS = LoadOptions(context=4096, threads=1)


def with_template(source: str | None) -> Engine:
    pair = load_pair(TINY, OPTIONS)
    if source is not None:
        pair.chat_template = source
    return Engine(pair)


@pytest.fixture(scope="module", params=[*REAL, None], ids=["real", "interleaved", "built-in"])
def engine(request):
    name = request.param
    engine = with_template((DATA / name).read_text(encoding="utf-8") if name else None)
    yield engine
    engine.close()


class Chat:
    """Turns with an engine; counts the tokens that are evaluated, and by whom."""

    def __init__(self, engine, monkeypatch, **settings):
        self.engine, self.settings = engine, {"max_tokens": 100, "seed": 1, **settings}
        self.messages = ()
        self.in_background = self.in_front = self.pieces = 0
        self.on_piece = lambda: None
        self.calls: list[tuple[int, int]] = []  # position and number of tokens
        self._decode = engine.pair.target.decode
        monkeypatch.setattr(engine.pair.target, "decode", self.decode)
        engine.cache.rewind(0)
        engine.cache.shelf._kept.clear()

    def decode(self, tokens, position, outputs, short=False):
        if threading.current_thread() is threading.main_thread():
            self.in_front += len(tokens)
        else:
            self.in_background += len(tokens)
            self.pieces += 1
            self.on_piece()
        self.calls.append((position, len(tokens)))
        return self._decode(tokens, position, outputs)

    def request(self, **settings):
        return Request(self.messages, **{"ignore_end": True, **self.settings, **settings})

    def ask(self, text) -> End:
        self.messages = (*self.messages, Message.text("user", text))
        end = end_of(self.engine, self.request())
        self.messages = (*self.messages, end.message)
        return end

    def prepare(self):
        self.engine.prepare(self.request())
        self.engine.background.wait()


def test_turn_10_evaluates_only_what_is_new(engine, monkeypatch):
    chat = Chat(engine, monkeypatch)
    for turn in range(1, 11):
        if turn > 1:
            chat.prepare()
            expected = engine.prompts.expected(chat.request()).end
        end = chat.ask(f"Tell me story number {turn} about a fox, please.")
        if turn > 1:
            assert evaluated(end) == end.stats.prompt_tokens - expected < 30
    assert end.stats.prompt_tokens > 1000


def test_without_preparing_a_turn_evaluates_the_reply_before_it(engine, monkeypatch):
    chat = Chat(engine, monkeypatch)
    chat.ask("Tell me a story about a fox.")
    assert evaluated(chat.ask("And then?")) > 100


def test_a_reply_that_loses_its_thoughts_is_prepared_without_them(engine, monkeypatch):
    chat = Chat(engine, monkeypatch, think=True, ignore_end=False, max_tokens=300)
    first = chat.ask("What is 7 + 5?")
    assert first.thought
    chat.prepare()
    assert chat.in_background > 0
    assert evaluated(chat.ask("And 8 + 5?")) < 25


def test_what_was_prepared_is_not_prepared_again(engine, monkeypatch):
    chat = Chat(engine, monkeypatch)
    chat.ask("Tell me a story about a fox.")
    threads = threading.active_count()
    chat.prepare()
    done = chat.in_background
    assert done > 0
    chat.prepare()
    engine.prepare(None)
    chat.prepare()
    assert chat.in_background == done
    assert threading.active_count() == threads, "nothing runs on"


def test_where_a_reply_stays_as_it_was_written_nothing_is_evaluated(monkeypatch):
    engine = with_template(FALLBACK)
    chat = Chat(engine, monkeypatch)
    chat.ask("Tell me a story about a fox.")
    chat.prepare()
    assert chat.in_background == 0
    assert evaluated(chat.ask("And then?")) < 20
    engine.close()


def test_how_far_it_came_shows_in_no_bit_of_the_next_reply(engine, monkeypatch):
    """0 steps: the next message came at once; 100: all was prepared. Tokens evaluated in the same
    pieces have the same rows."""

    def second(steps) -> tuple[End, list[tuple[int, int]]]:
        chat = Chat(engine, monkeypatch, max_tokens=230)
        chat.ask("Tell me a story about a fox.")
        chat.calls.clear()
        pieces = engine.cache.prepare(engine.prompts.expected(chat.request()), True)
        for _ in range(1 + steps):  # the first one is taken in any case
            next(pieces, None)
        pieces.close()
        end = chat.ask("And what came of it?")
        return end, [call for call in chat.calls if sum(call) <= end.stats.prompt_tokens]

    reference, as_prepared = second(100)
    assert len(as_prepared) > 4
    for steps in (0, 1, 2, 3):
        end, pieces = second(steps)
        assert pieces == as_prepared
        assert end.token_ids == reference.token_ids
        assert evaluated(end) >= evaluated(reference)


def test_the_same_prompt_again_starts_from_its_snapshot_and_gives_the_same_text(
    engine, monkeypatch
):
    chat = Chat(engine, monkeypatch, max_tokens=250)
    chat.ask("Tell me a story about a fox.")
    chat.prepare()
    first = chat.ask("And then?")
    same = replace(chat.request(), messages=chat.messages[:-1])
    lasting = engine.prompts.lasting(same, engine.prompts.of(same))
    for draft in (0, 3, "auto"):
        chat.prepare()
        again = end_of(engine, replace(same, draft=draft))
        assert again.token_ids == first.token_ids
        assert again.stats.cached_tokens == lasting


def test_a_message_that_comes_meanwhile_waits_for_a_piece_and_no_longer(engine, monkeypatch):
    chat = Chat(engine, monkeypatch, max_tokens=250)
    chat.ask("Tell me a story about a fox.")
    begun = threading.Event()

    def until_wanted():
        begun.set()
        engine.background._cancelled.wait(60)

    chat.on_piece = until_wanted
    engine.prepare(chat.request())
    assert begun.wait(60)
    end = chat.ask("And then?")
    assert chat.pieces == 1
    assert evaluated(end) > 100
    chat.on_piece = lambda: None
    chat.prepare()
    assert evaluated(chat.ask("And then?")) < 25


def test_an_error_in_it_costs_nothing_but_time(engine, monkeypatch):
    def second(fail) -> End:
        chat = Chat(engine, monkeypatch)
        chat.ask("Tell me a story about a fox.")
        if fail:
            chat.on_piece = lambda: 1 / 0
        chat.prepare()
        chat.on_piece = lambda: None
        return chat.ask("And then?")

    assert second(True).token_ids == second(False).token_ids


def test_neither_a_failing_template_nor_a_full_context_is_an_error(engine, monkeypatch):
    chat = Chat(engine, monkeypatch)
    chat.ask("Tell me a story about a fox.")
    chat.messages = (*chat.messages, Message.text("user", "word " * 5000), chat.messages[-1])
    chat.prepare()
    assert chat.in_background == 0
    monkeypatch.setattr(engine.prompts, "of", lambda request: 1 / 0)
    engine.prepare(None)
    chat.prepare()


def test_an_engine_can_be_closed_meanwhile(monkeypatch):
    threads = threading.active_count()
    engine = with_template((DATA / REAL[0]).read_text(encoding="utf-8"))
    chat = Chat(engine, monkeypatch, max_tokens=250)
    chat.ask("Tell me a story about a fox.")
    begun = threading.Event()
    chat.on_piece = begun.set
    engine.prepare(chat.request())
    assert begun.wait(60)
    engine.close()
    assert threading.active_count() <= threads, "one may end that was still there before"


class Patient(FakeConsole):
    """Somebody who reads every reply before typing on."""

    def __init__(self, engine: Engine, *lines: str) -> None:
        super().__init__(*lines)
        self.engine = engine

    def read(self, default: str) -> str:
        self.engine.background.wait()
        return super().read(default)


class Holding(FakeEnvironment):
    """Loads one engine that is there."""

    def load(self, *_: object) -> Engine:
        return self.engine


def test_in_a_chat_every_turn_reads_only_what_is_new(engine):
    engine.cache.rewind(0)
    lines = ["Tell me a story about a fox.", "And then?", "/help", "/regen", "Why?", "/undo", "So?"]
    console = Patient(engine, *lines)
    printer = Printer(Screen(console.shown, console.shown, {}))
    chat = talk.Chat(Holding(engine), console, printer, Options(seed=3, max_tokens=300))
    chat.use(TINY)
    read = []
    count = chat.add_figures
    chat.add_figures = lambda stats: (
        read.append(stats.prompt_tokens - stats.cached_tokens),
        count(stats),
    )
    converse(chat)
    assert all(turn.reason == "stop" for turn in chat.conversation.turns)
    assert len(chat.conversation.turns) == 3
    assert len(read) == 5
    assert max(read[1:]) < 20
    text = chat.conversation.turns[0].reply.content
    assert len(text) > 200
    engine.prepare(None)


def test_where_the_system_gives_no_thread_nothing_is_prepared_and_all_else_goes_on(
    engine, monkeypatch
):
    chat = Chat(engine, monkeypatch)
    chat.ask("Hello")

    def refused(*_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        chat.prepare()
    assert chat.in_background == 0
    assert chat.ask("Tell me a story").message.content
    chat.prepare()
    engine.background.wait()
    assert chat.in_background > 0


def test_a_slow_template_is_rendered_where_nobody_waits(monkeypatch):
    engine = with_template(None)
    rendering, ready = [], threading.Event()
    prompt = engine.prompts.of

    def slow(request):
        rendering.append(threading.current_thread())
        assert ready.wait(60)
        return prompt(request)

    monkeypatch.setattr(engine.prompts, "of", slow)
    messages = (Message.text("user", "Hello"), Message.text("assistant", "Hi."))
    engine.prepare(Request(messages))
    assert threading.main_thread() not in rendering
    ready.set()
    engine.background.wait()
    assert len(rendering) == 2
    engine.close()
