"""A budget for thoughts on real llama.cpp: held to the token, the same text whatever is drafted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemma_mtp.api import End, Grammar, LoadOptions, Message, Request, Sampling
from gemma_mtp.engine.detokenizer import Channel
from gemma_mtp.engine.engine import Engine
from gemma_mtp.errors import UsageError

OPTIONS = LoadOptions(context=2048, threads=1)
DRAFTS = [0, 1, 3, 7, "auto"]
QUESTION = Request((Message.text("user", "What is 7 + 5?"),), Sampling(0.0), seed=1, max_tokens=400)
STORY = replace(
    QUESTION, messages=(Message.text("user", "Tell me a story about a robot."),), think=True
)


@pytest.fixture(scope="module")
def marks(engine):
    return engine.channel.open_id, engine.channel.close_id


def finish(engine, request: Request) -> End:
    *_, end = engine.reply(request)
    return end


def everywhere(engine, request: Request) -> End:
    """The reply, which has to be the same at every draft length."""
    ends = [finish(engine, replace(request, draft=draft)) for draft in DRAFTS]
    for end in ends[1:]:
        assert end.token_ids == ends[0].token_ids
        assert end.message.content == ends[0].message.content
        assert (end.thought, end.thought_cut) == (ends[0].thought, ends[0].thought_cut)
    return ends[0]


def test_without_a_budget_the_thought_ends_by_itself(engine):
    end = finish(engine, STORY)
    assert not end.thought_cut
    assert end.thought_tokens > 20


@pytest.mark.parametrize("budget", [4, 5, 8, 11, 20])
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)])
def test_a_thought_ends_at_its_budget_and_the_answer_begins(engine, marks, budget, sampling):
    request = replace(STORY, think_budget=budget, sampling=sampling)
    end = everywhere(engine, request)
    taken = budget - (budget == 5)  # its heading has a line of its own, after which it may end
    assert end.thought_tokens == taken
    assert end.token_ids[taken - 1] == marks[1]
    assert end.thought_cut
    assert end.message.content
    assert end.reason == "stop"


def test_a_thought_that_is_shorter_is_left_alone(engine):
    free = finish(engine, STORY)
    end = everywhere(engine, replace(STORY, think_budget=free.thought_tokens + 2))
    assert end.token_ids == free.token_ids
    assert not end.thought_cut


@pytest.mark.parametrize("budget", [0, 1, 3])
def test_there_is_no_thought_where_it_has_no_room(engine, marks, budget):
    end = everywhere(engine, replace(QUESTION, think_budget=budget, sampling=Sampling(1.0)))
    assert not set(marks) & set(end.token_ids)
    assert (end.thought, end.thought_tokens, end.thought_cut) == ("", 0, False)
    assert "12" in end.message.content


def test_no_budget_at_all_is_as_good_as_no_thinking(engine):
    off = finish(engine, QUESTION)
    none = replace(QUESTION, think=True, think_budget=0)
    assert finish(engine, none).token_ids == off.token_ids
    assert engine.prompt(none) == engine.prompt(QUESTION)


def test_a_budget_lets_the_model_think(engine):
    assert finish(engine, replace(QUESTION, think_budget=100)).thought


def opened(engine, words: str) -> str:
    """A prompt that ends in a thought."""
    return f"<|turn>user\nWhat is 7 + 5?<turn|>\n<|turn>model\n<|channel>thought\n{words}"


@pytest.mark.parametrize("budget", [0, 1, 2, 9])
@pytest.mark.parametrize("words", ["", "I have to"])
def test_a_thought_that_the_prompt_has_opened_ends_there_too(engine, marks, budget, words):
    raw = replace(QUESTION, messages=(), prompt=opened(engine, words), sampling=Sampling(1.0))
    end = everywhere(engine, replace(raw, think_budget=budget))
    assert end.thought_tokens == max(budget, 1) - (budget == 2 and not words)
    assert end.token_ids[end.thought_tokens - 1] == marks[1]
    assert end.message.content


def test_an_endless_thought_ends(engine, marks, monkeypatch):
    """The target wants the same word for ever."""
    word = engine.pair.target.vocabulary.tokenize("well", special=False)[0]
    wants(engine, monkeypatch, lambda position: word)
    end = everywhere(engine, replace(STORY, think_budget=30, prompt=None, max_tokens=40))
    assert marks[1] not in end.token_ids  # it never thinks
    raw = replace(STORY, messages=(), prompt=opened(engine, ""), think_budget=30, max_tokens=40)
    end = everywhere(engine, raw)
    assert end.thought_tokens == 30
    assert end.thought_cut
    assert end.message.content == engine.pair.target.vocabulary.piece(word).decode() * 10


def test_thought_after_thought_is_one_budget(engine, marks, monkeypatch):
    """The target opens and closes thoughts and writes nothing else."""
    wants(engine, monkeypatch, lambda position: marks[position % 2])
    end = everywhere(engine, replace(STORY, think_budget=20, max_tokens=40))
    assert 16 < end.thought_tokens <= 20
    assert marks[0] not in end.token_ids[end.thought_tokens + 1 :]


def test_a_reply_does_not_end_in_its_thought(engine, monkeypatch):
    end_of_turn = min(engine.pair.target.vocabulary.end_of_generation)
    raw = replace(QUESTION, messages=(), prompt=opened(engine, ""), think_budget=12)
    wants(engine, monkeypatch, lambda position: end_of_turn)
    end = everywhere(engine, raw)
    assert end.thought_tokens == 12
    assert end.token_ids[12:] == (end_of_turn,)


def wants(engine, monkeypatch, token_of) -> None:
    """Let the target want what `token_of` says, above all that it wants itself."""
    decode = engine.pair.target.decode

    def changed(tokens, position, outputs, *more):
        rows = decode(tokens, position, outputs, *more)
        for at, row in enumerate(rows[:outputs]):
            row[token_of(position + at)] += 1000
        return rows

    monkeypatch.setattr(engine.pair.target, "decode", changed)


@pytest.mark.parametrize("budget", [0, 1, 6, 50])
def test_the_form_of_an_answer_begins_behind_the_thought(engine, budget):
    grammar = Grammar("choices", '["eleven", "twelve", "thirteen"]')
    request = replace(QUESTION, think_budget=budget, grammar=grammar, sampling=Sampling(1.0))
    end = everywhere(engine, request)
    assert end.message.content in ("eleven", "twelve", "thirteen")
    assert end.reason == "stop"
    assert end.thought_tokens <= budget


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_the_limit_of_an_answer_leaves_the_thought_alone(engine, limit):
    request = replace(STORY, think_budget=10, max_tokens=limit, limit_answer=True)
    end = everywhere(engine, request)
    assert end.reason == "length"
    assert end.thought_tokens == 10
    assert len(end.token_ids) == 10 + limit
    whole = finish(engine, replace(request, max_tokens=100))
    assert end.token_ids == whole.token_ids[: 10 + limit]


def test_the_limit_of_a_reply_counts_thoughts(engine):
    end = everywhere(engine, replace(STORY, think_budget=10, max_tokens=6))
    assert (len(end.token_ids), end.thought_tokens) == (6, 6)
    assert not end.thought_cut  # the limit of tokens came first
    assert (end.reason, end.message.content) == ("length", "")


def test_what_closes_a_thought_is_drafted_for_nothing(engine):
    end = finish(engine, replace(STORY, think_budget=12, draft="auto"))
    forced = [count for count in end.stats.sources if count.source == "forced"]
    assert sum(count.drafted for count in forced) <= 2
    assert all(count.accepted == count.drafted for count in forced)


def test_where_marks_are_ordinary_text_a_budget_is_refused(engine, monkeypatch):
    monkeypatch.setattr(Engine, "channel", Channel())
    with pytest.raises(UsageError, match="cannot be held to a budget"):
        finish(engine, replace(QUESTION, think_budget=5))
    assert finish(engine, replace(QUESTION, think_budget=0, max_tokens=3)).token_ids
