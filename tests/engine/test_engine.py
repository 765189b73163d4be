"""The engine on real llama.cpp: invariance, stops, prefix reuse, statistics, honest failures."""

from __future__ import annotations

import io
import itertools
import queue
import random
import signal
import subprocess
import threading
from dataclasses import FrozenInstanceError, replace

import llama_cpp
import numpy as np
import pytest
from support.pairs import TINY, random_pair, with_template

from gemma_mtp.api import (
    DeviceShare,
    End,
    Image,
    LoadOptions,
    Message,
    PairFiles,
    Placement,
    Prefill,
    Progress,
    Request,
    Sampling,
    Stats,
    TextDelta,
    from_json,
    to_json,
)
from gemma_mtp.cli.answer import Report, answer
from gemma_mtp.cli.environment import Environment
from gemma_mtp.decoding.draft_length import AutoDraft
from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.round import Speculator
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.engine import template_process
from gemma_mtp.engine.drafting import Drafting
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import (
    BadPair,
    Cancelled,
    DoesNotFit,
    ExitStatus,
    GemmaMtpError,
    UsageError,
)
from gemma_mtp.llama import NEEDED_VERSION, LoadedPair, load_pair
from gemma_mtp.llama.target import LlamaTarget
from gemma_mtp.models.saved_costs import CostMemory
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen

LENGTHS = [1, 2, 3, 4, 5, 6, 7, 8, "auto"]
OPTIONS = LoadOptions(context=2048, threads=1)
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
STORY = "Tell me a very long story about a fox."


def ask(text=STORY, **settings):
    settings.setdefault("max_tokens", 100)
    return Request((Message.text("user", text),), **settings)


def endless(**settings):
    """A reply up to its token limit: the models here end theirs too soon."""
    return ask(ignore_end=True, **settings)


def finish(engine: Engine, request: Request, fresh: bool = True) -> End:
    if fresh:
        engine.cache.rewind(0)
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


@pytest.fixture(scope="module")
def random_engine(tmp_path_factory):
    engine = load(random_pair(tmp_path_factory.mktemp("pair")), OPTIONS)
    yield engine
    engine.close()


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_in_exact_mode_the_draft_length_does_not_change_the_text(engine, temperature):
    sampling = Sampling(temperature)
    plain = finish(engine, endless(sampling=sampling, seed=1, draft=0, max_tokens=600))
    assert len(plain.token_ids) == 600
    for draft in LENGTHS:
        drafted = finish(engine, endless(sampling=sampling, seed=1, draft=draft, max_tokens=600))
        assert drafted.token_ids == plain.token_ids, f"differs at draft {draft}"
        assert drafted.stats.accepted > 0


def two_threads_agree(temperature, tokens, drafts):
    engine = load(TINY, LoadOptions(context=2048, threads=2))
    settings = {"sampling": Sampling(temperature), "seed": 2, "max_tokens": tokens}
    plain = finish(engine, endless(draft=0, **settings))
    for draft in drafts:
        drafted = finish(engine, endless(draft=draft, **settings))
        assert drafted.token_ids == plain.token_ids, f"differs at draft {draft}"
    engine.close()


def test_nor_with_two_threads():
    two_threads_agree(1.0, 100, [3])


# On a machine with other work to do, two threads of llama.cpp wait for each other far longer than
# they compute: minutes instead of seconds.
@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_nor_with_two_threads_over_long_replies(temperature):
    two_threads_agree(temperature, 600, LENGTHS)


class ScriptedDrafter:
    """Proposes what plain decoding is known to write, and with chance `wrong` something else."""

    def __init__(self, ids, first, size, wrong):
        self.ids, self.first, self.size, self.wrong = ids, first, size, wrong
        self.random = random.Random(5)

    def begin(self, hidden, position):
        self.at = position - self.first

    def step(self, token, short=False):
        self.at += 1
        row = np.zeros(self.size, np.float32)
        known = self.at < len(self.ids) and self.random.random() >= self.wrong
        row[self.ids[self.at] if known else self.random.randrange(self.size)] = 1e4
        return row


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("wrong", [0.0, 0.4])
def test_nor_on_random_weights_with_scripted_drafts(random_engine, monkeypatch, temperature, wrong):
    engine = random_engine
    sampling = Sampling(temperature)
    plain = finish(engine, endless(sampling=sampling, seed=3, draft=0, max_tokens=600))
    for draft in (1, 3, 4, 8):
        script = ScriptedDrafter(
            plain.token_ids,
            plain.stats.prompt_tokens,
            engine.pair.target.vocabulary.size,
            wrong,
        )
        monkeypatch.setattr(engine.pair, "drafter", script)
        drafted = finish(engine, endless(sampling=sampling, seed=3, draft=draft, max_tokens=600))
        assert drafted.token_ids == plain.token_ids, f"differs at draft {draft}"
        rate = drafted.stats.acceptance_rate
        assert rate > 0.98 if wrong == 0 else 0.1 < rate < 0.9


def test_a_seed_gives_the_same_text_again_and_another_seed_another(engine):
    one, again, other = (finish(engine, ask(seed=s)) for s in (7, 7, 8))
    assert one.token_ids == again.token_ids != other.token_ids
    assert one.seed == 7


def test_without_a_seed_one_is_chosen_that_repeats_the_text(engine):
    one = finish(engine, ask(exact=True))
    assert finish(engine, ask(seed=one.seed)).token_ids == one.token_ids


def test_texts_add_up_to_the_message_and_say_which_were_drafted(engine):
    events = list(engine.reply(ask(sampling=Sampling(0.0), draft=3)))
    texts = [e for e in events if isinstance(e, TextDelta)]
    end = events[-1]
    assert "".join(t.text for t in texts if not t.thought) == end.message.content
    assert {t.drafted for t in texts} == {True, False}
    assert isinstance(events[0], Prefill)
    assert any(isinstance(e, Progress) for e in events)


def test_the_drafter_owns_no_kv_cache(engine):
    assert engine.info.drafter_kv_bytes == 0
    assert engine.info.target_kv_bytes > 0


def test_the_token_limit_is_exact_at_every_draft_length(engine):
    for draft in (0, 3, 8):
        for limit in (1, 2, 7):
            end = finish(engine, endless(draft=draft, max_tokens=limit, seed=1))
            assert (end.reason, len(end.token_ids)) == ("length", limit)
            assert len(engine.cache.tokens) == end.stats.prompt_tokens + limit - 1


def test_a_full_context_ends_the_reply_at_the_same_token_whatever_is_drafted():
    engine = load(TINY, LoadOptions(context=256, threads=1))
    ends = [finish(engine, endless(draft=d, max_tokens=None, seed=1)) for d in (0, 1, 3, 8)]
    assert {e.reason for e in ends} == {"context"}
    assert len({e.token_ids for e in ends}) == 1
    assert ends[0].stats.context_used >= 253
    with pytest.raises(DoesNotFit, match="256") as caught:
        finish(engine, ask("one two three " * 200))
    assert caught.value.tokens > caught.value.size == 256
    assert caught.value.hint == "", "what to type is for the caller to say"
    assert finish(engine, ask("hi", seed=1)).message.content, "and the engine goes on"
    engine.close()


def test_a_stop_string_ends_the_reply_and_the_cache_forgets_the_rest(engine):
    whole = finish(engine, ask(sampling=Sampling(0.0), max_tokens=60))
    stop = whole.message.content[len(whole.message.content) // 2 :][:4]
    for draft in (0, 3, 7):
        cut = finish(engine, ask(sampling=Sampling(0.0), stop=(stop,), draft=draft))
        assert (cut.reason, cut.stopped_at) == ("stop", stop)
        assert cut.message.content == whole.message.content.split(stop)[0]
        assert len(engine.cache.tokens) == cut.stats.prompt_tokens + len(cut.token_ids) - 1


def test_what_stands_behind_a_stop_string_is_not_counted(engine):
    whole = finish(engine, ask(sampling=Sampling(0.0), max_tokens=60))
    text, inside = whole.message.content, 0
    for at in range(len(text) // 3, len(text) // 3 + 30, 3):
        wanted = ask(sampling=Sampling(0.0), stop=(text[at : at + 4],), draft=7)
        cut = finish(engine, wanted)
        counted = cut.stats
        inside += counted.decoded < counted.rounds + counted.accepted
        assert counted.completion_tokens == counted.decoded + 1 == len(cut.token_ids)
        assert counted.accepted <= counted.drafted
        assert counted.decoded - counted.rounds <= counted.accepted <= counted.decoded
        histogram = enumerate(counted.accepted_histogram)
        assert sum(n * rounds for n, rounds in histogram) == counted.accepted
    assert inside, "a stop string was met within a draft"


def test_cancelling_keeps_what_was_written_and_the_next_turn_continues(engine):
    engine.cache.rewind(0)
    cancel = threading.Event()
    for event in engine.reply(ask(max_tokens=None, seed=1, draft=3), cancel):
        if isinstance(event, TextDelta):
            cancel.set()
    assert event.reason == "cancelled"
    assert 1 <= len(event.token_ids) <= 5
    request = Request(
        (Message.text("user", STORY), event.message, Message.text("user", "go on")), max_tokens=5
    )
    end = finish(engine, request, fresh=False)
    assert end.stats.cached_tokens >= event.stats.prompt_tokens - 1, "but for the reply's mark"
    assert end.token_ids


def test_an_abandoned_reply_leaves_cache_and_session_in_step(engine):
    reference = finish(engine, ask(seed=4, max_tokens=40))
    for stop_after in (0, 1, 3, 9):
        engine.cache.rewind(0)
        reply = engine.reply(ask(seed=4, max_tokens=40, draft=5))
        for _ in range(stop_after + 1):
            next(reply)
        reply.close()
        assert finish(engine, ask(seed=4, max_tokens=40)).token_ids == reference.token_ids


class Broken(Exception):
    """Something nobody expected."""


@pytest.mark.parametrize("way_out", ["stop string", "cancel", "close", "target", "sampler"])
def test_on_every_way_out_cache_and_transcript_agree(engine, monkeypatch, way_out):
    whole = finish(engine, ask(sampling=Sampling(0.0), max_tokens=60))
    stop = whole.message.content[30:34] if way_out == "stop string" else "never said"
    cancel, calls = threading.Event(), itertools.count()

    def after(count, function):
        def breaking(*arguments):
            if next(calls) == count:
                raise Broken
            return function(*arguments)

        return breaking

    engine.cache.rewind(0)
    with monkeypatch.context() as patch:
        if way_out == "target":
            decode = engine.pair.target.decode
            patch.setattr(engine.pair.target, "decode", after(6, decode))
        if way_out == "sampler":  # in the middle of accepting a draft
            patch.setattr(Sampler, "sample", after(7, Sampler.sample))
        reply = engine.reply(ask(sampling=Sampling(0.0), draft=3, stop=(stop,)), cancel)
        texts = []
        try:
            for event in reply:
                texts += [event] if isinstance(event, TextDelta) else []
                if len(texts) == 5 and way_out == "cancel":
                    cancel.set()
                if len(texts) == 5 and way_out == "close":
                    break
        except Broken:
            assert way_out in ("target", "sampler")
        reply.close()
    transcript, target = engine.cache.transcript, engine.pair.target
    assert transcript.cached == transcript.end == len(engine.cache.tokens)
    assert llama_cpp.llama_memory_seq_pos_max(target._memory, 0) == transcript.end - 1
    if isinstance(event, End):
        assert transcript.ids[event.stats.prompt_tokens :] == list(event.token_ids[:-1])
    again = finish(engine, ask(sampling=Sampling(0.0), max_tokens=60), fresh=False)
    assert again.token_ids == whole.token_ids


def test_a_reply_that_was_abandoned_does_not_disturb_the_next(engine):
    abandoned = engine.reply(endless(seed=3, max_tokens=50))
    for _ in range(5):
        next(abandoned)
    events = engine.reply(endless(seed=4, max_tokens=50))
    for _ in range(5):
        next(events)
    abandoned.close()
    *_, end = events
    assert end.token_ids == finish(engine, endless(seed=4, max_tokens=50)).token_ids


def test_a_reply_cannot_go_on_after_another_one_began(engine):
    overtaken = engine.reply(endless(seed=3, max_tokens=50))
    for _ in range(5):
        next(overtaken)
    end = finish(engine, endless(seed=4, max_tokens=50), fresh=False)
    with pytest.raises(GemmaMtpError, match="cannot go on"):
        next(overtaken)
    assert finish(engine, endless(seed=4, max_tokens=50)).token_ids == end.token_ids


def test_a_cancelled_prefill_ends_with_an_empty_reply(engine):
    engine.cache.rewind(0)
    cancel = threading.Event()
    cancel.set()
    events = list(engine.reply(ask("word " * 500), cancel))
    assert events[-1].reason == "cancelled"
    assert events[-1].message.content == ""
    assert len(engine.cache.tokens) < 200


@pytest.mark.parametrize("fields", [{"draft": 17}, {"sampling": Sampling(top_p=0)}, {"stop": ("",)},
    {"messages": (Message("user", (Image(b"", "image/png"),)),)}, {"messages": ()}])  # fmt: skip
def test_a_bad_request_never_reaches_the_model(engine, monkeypatch, fields):
    before = list(engine.cache.tokens)
    monkeypatch.setattr(engine.pair.target, "decode", lambda *args: 1 / 0)
    bad = replace(ask(), **fields)
    with pytest.raises(UsageError):
        list(engine.reply(bad))
    with pytest.raises(UsageError):
        engine.count(bad)
    engine.prepare(bad)  # nobody waits for it, so nobody is told
    engine.background.stop()
    assert engine.cache.tokens == before


def test_a_prompt_that_opens_the_thought_gets_a_thought(tmp_path):
    source = (
        "{{ bos_token }}{% for m in messages %}<|turn>{{ m.role }}\n{{ m.content }}<turn|>\n"
        "{% endfor %}<|turn>model\n<|channel>thought\n"
    )
    engine = load(with_template(tmp_path, source), OPTIONS)
    channel = [engine.pair.target.vocabulary.id_of(text) for text in ("<|channel>", "<channel|>")]
    end = finish(engine, ask(seed=1, max_tokens=20, ignore_end=True))
    assert channel[1] not in end.token_ids  # the built-in model knows no thoughts
    assert end.thought
    assert end.message.content == ""
    engine.close()


def test_a_template_that_fails_leaves_the_engine_as_it_was(tmp_path):
    source = "{% for m in messages %}{{ m.content }}{% endfor %}{{ 6 // (messages | length - 3) }}"
    engine = load(with_template(tmp_path, source), OPTIONS)
    cut = [Message.text("user", "a"), Message.text("assistant", "b"), Message.text("user", "c")]
    assert finish(engine, ask(max_tokens=3), fresh=False).token_ids
    held = list(engine.cache.tokens)
    with pytest.raises(BadPair, match="failed: integer division or modulo by zero"):
        finish(engine, Request(tuple(cut)), fresh=False)
    assert engine.cache.tokens == held
    assert finish(engine, ask(max_tokens=3), fresh=False).token_ids
    engine.close()


def test_while_a_large_file_loads_the_process_for_its_template_starts(tmp_path, monkeypatch):
    started = []
    popen = subprocess.Popen

    def record(*arguments, **settings):
        started.append(popen(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", record)
    monkeypatch.setattr("gemma_mtp.engine.template_process.LONG_TO_LOAD", 0)
    load(TINY, OPTIONS).close()  # which has no use for it
    engine = load(with_template(tmp_path, "{{ messages[0].content }}"), OPTIONS)
    assert [process.poll() is None for process in started] == [False, True]
    assert finish(engine, ask(max_tokens=3)).token_ids
    engine.close()
    with pytest.raises(Cancelled):
        load(TINY, OPTIONS, lambda fraction: False)
    with pytest.raises(BadPair, match="cannot be read"):
        load(with_template(tmp_path, "{% break %}"), OPTIONS)
    assert [process.poll() is None for process in started] == [False] * 4


def test_a_pair_whose_template_cannot_be_read_is_freed(tmp_path, monkeypatch):
    freed = []
    close = LoadedPair.close
    monkeypatch.setattr(LoadedPair, "close", lambda pair: (freed.append(pair), close(pair)))
    with pytest.raises(BadPair, match="cannot be read"):
        load(with_template(tmp_path, "{% for %}"), OPTIONS)
    assert len(freed) == 1


def test_a_template_without_end_can_be_cancelled(tmp_path):
    engine = load(with_template(tmp_path, LOOPS), OPTIONS)
    cancel = threading.Event()
    cancel.set()
    (end,) = engine.reply(ask(), cancel)
    assert (end.reason, end.message.content) == ("cancelled", "")
    engine.close()


def test_one_ctrl_c_ends_a_template_without_end(tmp_path, monkeypatch):
    armed = []

    class Waiting(queue.SimpleQueue):
        """Somebody presses Ctrl-C when nothing has come for a moment."""

        def get(self, block=True, timeout=None):
            try:
                return super().get(block, timeout)
            except queue.Empty:
                if armed:
                    armed.clear()
                    signal.raise_signal(signal.SIGINT)
                raise

    monkeypatch.setattr(template_process, "SimpleQueue", Waiting)
    engine = load(with_template(tmp_path, LOOPS), OPTIONS)
    armed.append(True)
    printer = Printer(Screen(io.StringIO(), io.StringIO()))
    assert answer(Environment(), engine, ask(), printer, Report()) == ExitStatus.INTERRUPTED
    assert not armed
    engine.close()


def test_a_second_turn_evaluates_the_reply_again_and_what_is_new(engine):
    """The template puts a mark before a reply that its history does not have; see test_prepare."""
    engine.cache.rewind(0)
    first = finish(engine, ask(seed=1), fresh=False)
    turns = (Message.text("user", STORY), first.message, Message.text("user", "And then?"))
    second = finish(engine, Request(turns, seed=1, max_tokens=10), fresh=False)
    assert second.stats.cached_tokens == first.stats.prompt_tokens - 1
    new = second.stats.prompt_tokens - second.stats.cached_tokens
    assert new < len(first.token_ids) + 25


def test_statistics_are_consistent(engine):
    s = finish(engine, endless(draft=3, max_tokens=200)).stats
    assert s.completion_tokens == s.decoded + 1 == 200
    assert sum(s.accepted_histogram) <= s.rounds
    assert sum(n * c for n, c in enumerate(s.accepted_histogram)) == s.accepted
    assert s.decoded == s.rounds + s.accepted
    assert s.draft_seconds + s.verify_seconds + s.sampling_seconds <= s.decode_seconds
    assert s.speedup_basis == "measured"
    assert s.speedup is None or 0 < s.speedup <= s.mean_accepted_length


def test_the_speedup_counts_every_round_of_a_reply():
    """Also those before the first plain step was timed."""
    engine = load(TINY, OPTIONS)
    short = finish(engine, endless(draft=3, max_tokens=20)).stats
    assert short.speedup is None
    stats = finish(engine, endless(draft=3, max_tokens=100)).stats
    assert stats.compared_seconds == pytest.approx(stats.decode_seconds)
    engine.close()


def test_progress_is_a_snapshot_that_later_rounds_do_not_change(engine):
    events = list(engine.reply(endless(draft=3, max_tokens=30)))
    shown = [event.stats for event in events if isinstance(event, Progress)]
    assert [stats.rounds for stats in shown] == list(range(1, len(shown) + 1))
    assert [stats.decoded for stats in shown] == sorted({stats.decoded for stats in shown})
    with pytest.raises(FrozenInstanceError):
        shown[0].rounds = 99
    assert hash(shown[0]), "nothing in it can be changed either"


@pytest.mark.parametrize("exact", [False, True])
def test_a_speedup_is_over_plain_decoding_of_the_same_kind(exact, monkeypatch):
    """A plain round of exact mode has width 2, so that is what it is compared with."""
    engine = load(TINY, OPTIONS)
    timed = []
    time_plain_step = Speculator.time_plain_step

    def spy(speculator):
        decode = speculator.target.decode
        with monkeypatch.context() as patch:
            patch.setattr(
                speculator.target,
                "decode",
                lambda tokens, *rest: (timed.append(len(tokens)), decode(tokens, *rest))[1],
            )
            return time_plain_step(speculator)

    monkeypatch.setattr(Speculator, "time_plain_step", spy)
    stats = finish(engine, endless(draft=3, exact=exact, max_tokens=100)).stats
    assert set(timed) == {2 if exact else 1}
    assert stats.compared_with == ("exact plain" if exact else "plain")
    assert stats.speedup_basis == "measured"
    even = replace(stats, plain_deviation=0.0)  # also where the machine is busy
    both = even + replace(even, compared_with="plain")
    assert both.compared_with == ("either" if exact else "plain")
    engine.close()


def test_the_sources_of_drafts_add_up(engine):
    stats = finish(engine, endless(draft="auto", max_tokens=200)).stats
    assert sum(count.drafted for count in stats.sources) == stats.drafted
    assert sum(count.accepted for count in stats.sources) == stats.accepted
    twice = stats + stats
    assert [count.drafted for count in twice.sources] == [2 * c.drafted for c in stats.sources]


@pytest.mark.parametrize(("draft", "use"), [(0, "off"), (3, "used")])
def test_a_reply_says_whether_drafts_were_used(engine, draft, use):
    end = finish(engine, ask(draft=draft, max_tokens=30))
    assert (end.stats.drafts, end.stats.as_json()["drafts"]) == (use, use)
    assert from_json(Stats, to_json(end.stats)) == end.stats


@pytest.mark.parametrize(
    ("four", "use"), [(1.1, "used"), (6.0, "unprofitable")], ids=["cheap", "dear"]
)
def test_auto_says_whether_drafts_pay(monkeypatch, four, use):
    """Widths cost what an invented clock says: verifying four tokens, so many plain steps."""
    engine = load(TINY, OPTIONS)
    now = 0.0
    decode, step = engine.pair.target.decode, engine.pair.drafter.step

    def verify(tokens, *rest):
        nonlocal now
        now += 0.001 * (1 + (four - 1) * (len(tokens) - 1) / 3)
        return decode(tokens, *rest)

    def draft(token, *rest):
        nonlocal now
        now += 0.00005
        return step(token, *rest)

    monkeypatch.setattr(engine.pair.target, "decode", verify)
    monkeypatch.setattr(engine.pair.drafter, "step", draft)
    monkeypatch.setattr("gemma_mtp.decoding.round.perf_counter", lambda: now)
    first = finish(engine, endless(draft="auto", max_tokens=12)).stats
    assert first.drafts == "trying", "nothing is known yet"
    finish(engine, endless(draft="auto", max_tokens=100))
    assert finish(engine, endless(draft="auto", max_tokens=300)).stats.drafts == use
    engine.close()


def test_what_exact_mode_costs_is_known_once_both_widths_were_timed():
    engine = load(TINY, OPTIONS)
    assert engine.info.exact_slowdown is None
    engine.measure_costs(max_width=2, repeats=1)
    finish(engine, endless(draft=0, max_tokens=2))
    verify = engine.drafting.auto.book.at(0).verify
    assert engine.info.exact_slowdown == verify(2) / verify(1) > 0
    engine.close()


def test_plain_decoding_claims_no_speedup(engine):
    stats = finish(engine, ask(draft=0)).stats
    assert (stats.speedup, stats.drafted, stats.acceptance_rate) == (None, 0, None)


def test_a_text_written_before_is_copied_and_stays_the_same_to_the_token(monkeypatch):
    """The second time the counting is found in the first reply; nothing else tells it so. Whatever
    is timed takes equally long, so that what pays does not depend on this machine."""
    now = 0.0
    monkeypatch.setattr("gemma_mtp.decoding.round.perf_counter", lambda: now)

    def timed(decode):
        def evaluated(*batch):
            nonlocal now
            now += 0.001
            return decode(*batch)

        return evaluated

    question = Message.text("user", "Count from 1 to 40.")
    texts, copied = set(), 0
    for draft in (0, "auto"):
        engine = load(TINY, OPTIONS)
        monkeypatch.setattr(engine.pair.target, "decode", timed(engine.pair.target.decode))
        monkeypatch.setattr(engine.pair.drafter, "step", timed(engine.pair.drafter.step))
        messages = (question,)
        for _ in range(3):
            request = Request(messages, Sampling(0.0), seed=1, draft=draft, max_tokens=160)
            end = finish(engine, request, fresh=False)
            messages = (*messages, end.message, question)
        texts.add(end.token_ids)
        copied = end.stats.copied
        assert copied <= end.stats.accepted
        engine.close()
    assert len(texts) == 1
    assert copied > 0.5 * len(end.token_ids)


def test_without_a_drafter_decoding_is_plain_and_says_why():
    engine = load(PairFiles("alone", TINY.target, None), OPTIONS)
    assert "no drafter" in engine.info.plain_reason
    stats = finish(engine, ask(draft=3)).stats
    assert (stats.drafted, stats.drafts) == (0, "no-drafter")
    assert finish(engine, ask(draft="auto", max_tokens=10)).stats.drafts == "no-drafter"
    engine.close()


def test_without_a_drafter_a_text_written_before_is_copied(monkeypatch):
    """Prompt lookup needs none. The clock ticks as in the test above."""
    ticks = itertools.count()
    monkeypatch.setattr("gemma_mtp.decoding.round.perf_counter", lambda: next(ticks) / 1000)
    engine = load(PairFiles("alone", TINY.target, None), OPTIONS)
    question = Message.text("user", "Count from 1 to 40.")
    texts = []
    for draft in (0, "auto"):
        messages = (question,)
        for _ in range(3):
            request = Request(messages, Sampling(0.0), seed=1, draft=draft, max_tokens=160)
            end = finish(engine, request, fresh=False)
            messages = (*messages, end.message, question)
        texts.append(end.token_ids)
    assert texts[0] == texts[1]
    assert {count.source for count in end.stats.sources} == {"lookup"}
    assert end.stats.copied == end.stats.accepted > 0.5 * len(end.token_ids)
    engine.close()


def test_nothing_is_looked_up_where_nothing_uses_it(engine, monkeypatch):
    monkeypatch.setattr(Lookup, "propose", lambda *_: 1 / 0)
    for draft in (0, 3):
        assert finish(engine, ask(draft=draft, max_tokens=10)).token_ids


def test_without_the_mtp_functions_decoding_is_plain_and_names_the_version(monkeypatch):
    monkeypatch.setattr("gemma_mtp.llama.library.ext", None)
    engine = load(TINY, OPTIONS)
    assert NEEDED_VERSION in engine.info.plain_reason
    assert finish(engine, ask()).message.content
    engine.close()


class FailingDrafter:
    """Works for `good` steps; then its numbers are none, or it fails to evaluate."""

    def __init__(self, drafter, good, error=None):
        self.drafter, self.good, self.error, self.steps = drafter, good, error, 0

    def begin(self, hidden, position):
        self.drafter.begin(hidden, position)

    def step(self, token, short=False):
        self.steps += 1
        if self.steps <= self.good:
            return self.drafter.step(token)
        if self.error:
            raise self.error
        return np.full_like(self.drafter.step(token), np.nan)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("error", [None, GemmaMtpError("llama.cpp failed.")])
@pytest.mark.parametrize("good", [0, 4])  # none at all, or in the middle of the second draft
def test_a_drafter_that_fails_ends_no_reply_and_is_not_asked_again(temperature, error, good):
    engine = load(TINY, OPTIONS)
    wanted = endless(sampling=Sampling(temperature), seed=1, draft=3, max_tokens=60)
    whole = finish(engine, wanted)
    failing = FailingDrafter(engine.pair.drafter, good, error)
    engine.pair.drafter = failing
    end = finish(engine, wanted)
    assert (end.token_ids, end.reason) == (whole.token_ids, "length")
    assert end.warning.startswith("llama.cpp failed" if error else "The drafter computed")
    assert end.stats.drafted == good
    assert failing.steps == good + 1
    again = finish(engine, wanted)
    assert (again.token_ids, again.warning) == (whole.token_ids, "")
    assert (again.stats.drafted, failing.steps) == (0, good + 1)
    assert engine.info.plain_reason in end.warning[:1].lower() + end.warning[1:]
    engine.pair.drafter = failing.drafter  # to be freed
    engine.close()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_target_without_numbers_is_an_error_that_keeps_what_was_written(temperature, monkeypatch):
    engine = load(TINY, OPTIONS)
    target, decode = engine.pair.target, engine.pair.target.decode
    texts = []
    reply = engine.reply(endless(sampling=Sampling(temperature), seed=1))
    while len(texts) < 5:
        texts += [e for e in [next(reply)] if isinstance(e, TextDelta)]
    monkeypatch.setattr(target, "decode", lambda *a: np.full_like(decode(*a), np.nan))
    with pytest.raises(BadPair, match="model computed no usable numbers"):
        texts += [e for e in reply if isinstance(e, TextDelta)]
    assert engine.info.plain_reason == ""
    engine.close()


def test_loading_reports_progress_and_can_be_stopped():
    seen = []
    load(TINY, OPTIONS, lambda f: seen.append(f) or True).close()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(Cancelled):
        load(TINY, OPTIONS, lambda f: False)


def test_the_default_context_is_8192_tokens():
    engine = load(TINY, LoadOptions(threads=1))
    assert engine.info.context_size == 8192
    engine.close()


def test_more_context_than_the_model_was_trained_for_is_a_usage_error():
    with pytest.raises(UsageError, match="100000") as caught:
        load(TINY, LoadOptions(context=100_000))
    assert not caught.value.hint  # which word sets it is the caller's to say
    with pytest.raises(UsageError, match="100000") as caught:
        Environment().load(TINY, LoadOptions(context=100_000), lambda fraction: True)
    assert "--ctx" in caught.value.hint


def test_a_file_llama_cpp_refuses_is_a_bad_pair(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.target.read_bytes()[:100_000])
    with pytest.raises(BadPair, match=r"broken\.gguf"):
        load(PairFiles("broken", broken, None), OPTIONS)


def test_an_unknown_kv_type_is_a_usage_error():
    with pytest.raises(UsageError, match="q9"):
        load(TINY, LoadOptions(kv_type="q9"))


def test_other_kv_types_and_flash_attention_settings_work():
    for options in (
        LoadOptions(context=512, threads=1, kv_type="q8_0"),
        LoadOptions(context=512, threads=1, flash_attn="off"),
        LoadOptions(context=512, threads=1, flash_attn="on"),
    ):
        engine = load(TINY, options)
        assert finish(engine, ask(max_tokens=20)).token_ids
        engine.close()


def test_the_end_can_be_ignored_for_measuring(engine):
    end = finish(engine, Request((Message.text("user", "Hi"),), ignore_end=True, max_tokens=150))
    assert (end.reason, len(end.token_ids)) == ("length", 150)


def test_synthetic_acceptance_is_met_on_any_weights(random_engine):
    stats = finish(
        random_engine, endless(draft=3, max_tokens=1200, synthetic_acceptance=0.5, seed=1)
    ).stats
    rounds = np.repeat(np.arange(4), stats.accepted_histogram)
    assert np.mean(rounds > 0) == pytest.approx(0.5, abs=0.07)
    assert np.mean(rounds[rounds > 0] > 1) == pytest.approx(0.5, abs=0.1)


def test_measuring_costs_leaves_cache_and_text_alone(engine):
    first = finish(engine, ask(seed=1, max_tokens=40))
    held = list(engine.cache.tokens)
    # The least of three: other programs may disturb one of them.
    measured = [engine.measure_costs(max_width=5, repeats=2) for _ in range(3)]
    costs = measured[-1]
    assert set(costs.verify) == {1, 2, 3, 4, 5}
    assert 0 < min(c.draft_step for c in measured) < min(c.verify[5] for c in measured)
    assert engine.cache.tokens == held
    assert costs.position == len(held)
    again = finish(engine, ask(seed=1, max_tokens=40), fresh=False)
    assert again.token_ids == first.token_ids
    assert again.stats.cached_tokens >= again.stats.prompt_tokens - 1


def test_measuring_costs_that_was_stopped_changes_nothing_known(engine):
    full = engine.measure_costs(repeats=1)
    known = engine._book.at(full.position).as_dict()
    stopped = engine.measure_costs(repeats=2, progress=lambda fraction: fraction < 0.2)
    assert len(stopped.verify) < len(full.verify)
    assert engine._book.at(full.position).as_dict() == known


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 40])
def test_exact_mode_never_evaluates_a_lone_row(engine, monkeypatch, tokens):
    target, widths = engine.pair.target, []
    decode = target.decode

    def spy(tokens, position, outputs, *more):
        widths.append((len(tokens), outputs))
        return decode(tokens, position, outputs, *more)

    monkeypatch.setattr(engine.drafting, "auto", AutoDraft())  # knows nothing yet
    monkeypatch.setattr(engine, "_plain_steps", {})
    monkeypatch.setattr(target, "decode", spy)
    for seed in range(3):
        widths.clear()
        finish(engine, endless(seed=seed, exact=True, max_tokens=tokens))
        after_prompt = widths[[outputs for _, outputs in widths].index(1) + 1 :]
        assert all(width > 1 for width, _ in after_prompt)


def test_a_reply_of_a_new_machine_ends_well_at_the_end_of_the_context():
    """While widths are still being timed, none may be wider than there is room."""
    for seed in range(12):
        engine = load(TINY, LoadOptions(context=256, threads=1))
        end = finish(engine, endless(seed=seed, max_tokens=None))
        assert end.reason == "context"
        engine.close()


def test_costs_learned_in_a_chat_are_remembered(tmp_path):
    memory = CostMemory(tmp_path, TINY, OPTIONS, "1")
    engine = load(TINY, OPTIONS, memory=memory)
    engine.drafting = Drafting(engine._book, 10**9)  # a real model tries drafts at once
    for _ in range(8):  # a busy machine may put it off
        finish(engine, endless(max_tokens=400, draft="auto"))
        if {1, 4} <= set(engine._book.at(100).widths):
            break
    engine.close()
    curve = memory.recall(engine.info).at(100)
    assert {1, 4} <= set(curve.widths)
    assert curve.draft_step > 0


def test_whether_exact_mode_holds_is_looked_at_where_a_gpu_computes(monkeypatch) -> None:
    """There is none here: the placement is made up, and llama.cpp computes on the CPU."""
    decode, tokens = LlamaTarget.decode, [2, 5, 7]
    plain = load(TINY, LoadOptions(context=512, threads=1))
    expected = plain.pair.target.decode(tokens, 0, 1)[0].copy()
    plain.close()

    def pretended(*args):
        pair = load_pair(*args[:3])
        card = Placement(1, 8, (DeviceShare("A", 1),))
        pair.info = replace(pair.info, placement=card)
        return pair

    def differing(self, tokens, *more):
        return decode(self, tokens, *more) + np.float32(len(tokens) == 9)

    monkeypatch.setattr("gemma_mtp.engine.loading.load_pair", pretended)
    for holds, function in ((True, decode), (False, differing)):
        monkeypatch.setattr(LlamaTarget, "decode", function)
        engine = load(TINY, LoadOptions(context=512, threads=1))
        assert engine.info.exact_holds == holds
        assert np.array_equal(engine.pair.target.decode(tokens, 0, 1)[0], expected)
        engine.close()
