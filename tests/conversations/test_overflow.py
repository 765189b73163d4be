"""What is left out when the context is full: the arithmetic, and what a person sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import Script
from support.talk import BACK, Talk

from gemma_mtp.conversations.overflow import quoted, turns_to_drop


def dropping(sizes: list[int], size: int) -> int | None:
    return turns_to_drop(lambda n: sum(sizes[n:]), len(sizes), size)


@pytest.mark.parametrize(
    ("sizes", "size", "dropped"),
    [
        ([400, 300, 300, 100], 1000, 1),  # 700 are left, room for a reply and more
        ([100, 100, 700, 100], 1000, 3),  # a quarter is kept free if it can be
        ([600, 100, 800], 1000, 1),  # else as few as possible
        ([600, 990], 1000, None),  # which must be worth while
        ([2000], 1000, None),  # the last turn is never left out
        ([10, 2000], 1000, None),
    ],
)
def test_as_many_of_the_oldest_as_needed(sizes: list[int], size: int, dropped: int | None) -> None:
    assert dropping(sizes, size) == dropped


def test_turns_are_named_by_what_was_said() -> None:
    said = ("hi", "a\nb " + "long " * 20, "c", "d")
    assert quoted(said) == '"hi", "a b long long long long long…", "c" and 1 more'


def filled(overflow: str, *scripts: Script, home: Path | None = None) -> Talk:
    """Two exchanges of 64 tokens each in a context of 200."""
    reply = Script("word " * 52)
    replies = (reply, reply, *(scripts or [Script("Yes.")]))
    talk = Talk(*replies, context=200, overflow=overflow, home=home)  # type: ignore[arg-type]
    talk.run("one " * 4, "two " * 4)
    return talk


LONG = "three " * 80


def test_drop_oldest_says_what_it_leaves_out() -> None:
    talk = filled("drop-oldest")
    shown = talk.run(LONG)
    assert (
        'Left out of the prompt from here on: the oldest exchange, "one one one one". '
        "It stays saved.\nYes.\n"
    ) in shown
    assert [text.split()[0] for _, text in talk.said] == ["two", "word", "three", "Yes."]
    assert len(talk.saved.turns) == 3


def test_ask_asks() -> None:
    talk = filled("ask")
    talk.console.answers = [1]
    shown = talk.run(LONG)
    ((question, choices),) = talk.console.asked
    longer = "no, make the context longer: 400 tokens"
    assert (question, choices) == ("Leave it out?", ("yes, leave out", "no, stop here", longer))
    assert (
        "The prompt has 212 tokens; the context holds 200.\n"
        'To make room, the model can do without the oldest exchange, "one one one one".\n'
    ) in shown
    assert "/clear starts afresh" in shown
    assert talk.offered[-1] == LONG.strip()
    talk.console.answers = [0]
    assert "Yes.\n" in talk.run(LONG)
    assert len(talk.said) == 4


def test_stop_hands_the_message_back() -> None:
    talk = filled("stop")
    shown = talk.run(LONG)
    assert "The prompt has 212 tokens; the context holds 200.\n/clear starts afresh" in shown
    assert "--overflow drop-oldest" in shown
    assert BACK in shown
    assert len(talk.said) == 4


@pytest.mark.parametrize("overflow", ["ask", "drop-oldest", "stop"])
def test_a_message_that_is_too_long_in_itself(overflow: str) -> None:
    talk = Talk(context=300, overflow=overflow)  # type: ignore[arg-type]
    talk.console.answers = [1]
    shown = talk.run("hi", "word " * 400, "word")
    assert "The prompt has 415 tokens; the context holds 300." in shown or overflow == "stop"
    assert (
        "The message itself is too long, by 104 tokens.\n"
        "Shorten it; /set ctx 1200 holds more.\n" in shown
    )
    assert talk.offered[2].startswith("word word")
    asked = ("Make the context longer, 1200 tokens?", ("yes, make it longer", "no, stop here"))
    assert talk.console.asked == ([asked] if overflow == "ask" else [])
    assert len(talk.said) == 4


@pytest.mark.parametrize("limits", [{}, {"room": 300}])
def test_the_context_is_made_longer_where_somebody_wants_that(limits: dict[str, int]) -> None:
    talk = filled("ask")
    for name, value in limits.items():
        setattr(talk.engine, name, value)
    talk.console.answers = [2]
    shown = talk.run(LONG)
    if limits:
        assert "There is no memory for a context of 400 tokens." in shown
        assert talk.offered[-1] == LONG.strip()
        assert len(talk.said) == 4
        return
    assert "The context holds 400 tokens now.\nYes.\n" in shown
    assert len(talk.said) == 6
    assert len(talk.saved.turns) == 3
    talk.console.answers = [0]
    shown = talk.run("word " * 900)
    assert "The message itself is too long" in shown
    assert "The context holds 1600 tokens now.\nYes.\n" in shown
    assert talk.engine.info.context_size == 1600
    assert not talk.engine.closed


def test_what_makes_a_message_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("word " * 400)
    talk = Talk(context=300)
    shown = talk.run(f"/file {path}", "What is it?")
    assert "Too much is attached: 403 tokens, and the context holds 300. /file none" in shown
    assert "The message itself is too long, by 110 tokens.\n" in shown
    assert f"Attached to it: {path}; /file none takes that away.\n" in shown
    talk.run("/file none", "hi")
    assert talk.said[0] == ("user", "hi")


def test_several_exchanges_stay_saved() -> None:
    talk = filled("ask")
    talk.console.answers = [0]
    shown = talk.run("three " * 150)
    assert talk.console.asked[0][0] == "Leave them out?"
    assert 'the oldest 2 exchanges, "one one one one", "two two two two". They stay saved' in shown


def test_a_reply_that_fills_the_context_goes_on_when_there_is_room() -> None:
    whole = ("word " * 100).rstrip()
    talk = filled("drop-oldest", Script(whole))
    shown = talk.run("three " * 10)
    assert "context full" in shown
    assert "Left out of the prompt from here on" in shown
    assert talk.said[-1] == ("assistant", whole)
    assert talk.saved_texts[-1][1] == whole


def test_a_reply_that_fills_the_context_by_itself() -> None:
    talk = Talk(Script("word " * 400), context=300)
    talk.console.answers = [1]
    shown = talk.run("hi")
    assert "ctx 300/300 · context full\nThe context is full: 300 of 300 tokens.\n/clear" in shown
    assert "/set ctx 600 holds more." in shown
    assert talk.said[1][0] == "assistant"


@pytest.mark.parametrize(
    ("limit", "words", "advice"),
    [
        (0, 400, "Shorten it; /set ctx 1200 holds more."),
        (1000, 400, "Shorten it; /set ctx 1000 holds more."),
        (1000, 2000, "Shorten it; this model holds 1000 tokens at the most."),
        (300, 400, "Shorten it; this model holds 300 tokens at the most."),
    ],
)
def test_no_context_is_asked_for_that_cannot_be(limit: int, words: int, advice: str) -> None:
    talk = Talk(context=300)
    talk.engine.limit = limit
    talk.console.answers = [1]
    assert talk.run("word " * words).split("\n")[2] == advice


def test_a_warning_before_the_context_is_full() -> None:
    talk = Talk(Script("word " * 150), Script("word " * 5), context=200, overflow="drop-oldest")
    shown = talk.run("hi", "and", "so")
    warning = "full, the oldest exchanges are left out."
    assert shown.count(warning) == 1
    assert "The context is 8" not in shown.partition(">>> and")[0]
    assert "The context is 8" in shown


@pytest.mark.parametrize("overflow", ["ask", "drop-oldest", "stop"])
def test_what_was_left_out_still_is_after_resuming(overflow: str, tmp_path: Path) -> None:
    filled("drop-oldest", home=tmp_path).run(LONG)
    talk = Talk(context=200, overflow=overflow, home=tmp_path)  # type: ignore[arg-type]
    shown = talk.run("/resume one", "and then?")
    assert "Still left out of the prompt: the oldest exchange.\n" in shown
    assert ">>> one one one one\n" in shown
    assert "Hello there.\n" in shown
    assert talk.console.asked == []
    assert [text.split()[0] for _, text in talk.said[:2]] == ["two", "word"]
    assert (len(talk.saved.turns), talk.saved.skipped) == (4, 1)
    assert talk.chat.context_used() < 200


def test_a_larger_context_has_room_for_what_was_left_out(tmp_path: Path) -> None:
    filled("drop-oldest", home=tmp_path).run(LONG)
    talk = Talk(context=2000, home=tmp_path)
    shown = talk.run("/resume one", "and then?")
    assert "left out" not in shown
    assert len(talk.said) == 8
    assert talk.saved.skipped == 0


def test_a_saved_conversation_that_does_not_fit_says_so(tmp_path: Path) -> None:
    filled("ask", home=tmp_path)
    talk = Talk(context=100, home=tmp_path)
    talk.console.answers = [0]
    shown = talk.run("/resume one", "and then?")
    assert "The context is 128 % full (128 of 100); when it is full, you will be asked" in shown
    assert "Hello there.\n" in shown
