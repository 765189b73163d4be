"""Nothing is lost wherever a chat breaks off: by a kill, by Ctrl-C, by an unexpected error."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.fakes import Script
from support.talk import BACK, Talk

from gemma_mtp.api import End, Event, Prefill, TextDelta
from gemma_mtp.chat import toolbar


class Killed(BaseException):
    """Nothing of the chat's catches it: what the archive holds then is all there is."""


def killed_at(talk: Talk, moment: Callable[[Event], bool], *lines: str) -> str:
    """Kill the chat before it shows the first event for which `moment` holds; what was shown."""
    show = talk.chat.printer.show

    def die(event: Event) -> None:
        if moment(event):
            raise Killed
        show(event)

    talk.chat.printer.show = die  # type: ignore[method-assign]
    before = len(talk.out.getvalue())
    with pytest.raises(Killed):
        talk.run(*lines)
    return talk.out.getvalue()[before:]


def answered(event: Event) -> bool:
    return isinstance(event, TextDelta) and not event.thought


# A kill


def test_what_is_shown_is_saved_before(tmp_path: Path) -> None:
    talk = Talk(Script("one two three four", thought="Let me see."), home=tmp_path)
    show, thought, said = talk.chat.printer.show, "", ""

    def check(event: Event) -> None:
        nonlocal thought, said
        if isinstance(event, TextDelta):
            thought, said = (
                (thought + event.text, said) if event.thought else (thought, said + event.text)
            )
            (turn,) = talk.saved.turns
            assert turn.thought == thought
            assert (turn.reply.content if turn.reply else "") == said
        show(event)

    talk.chat.printer.show = check  # type: ignore[method-assign]
    talk.run("count")
    assert said == "one two three four"


def begins(event: Event) -> bool:
    return isinstance(event, Prefill)


def written(event: Event) -> bool:
    return isinstance(event, TextDelta)


REPLACING = [("/regen", "hi"), ("/retry plain", "hi"), ("/edit", "ho")]


@pytest.mark.parametrize(("verb", "user"), REPLACING)
def test_an_old_reply_stays_until_the_new_one_has_a_word(verb: str, user: str) -> None:
    for moment in (begins, written, answered):
        talk = Talk(Script("Old words."), Script("New words.", thought="Hm, well."))
        talk.console.edited = "ho"
        talk.run("hi")
        before = talk.saved.turns
        killed_at(talk, moment, verb)
        if moment is answered:
            assert talk.saved_texts == [(user, "New")]
        else:
            assert talk.saved.turns == before


def test_a_new_message_is_saved_before_its_reply_begins() -> None:
    talk = Talk()
    killed_at(talk, begins, "hi")
    assert [(turn.user.content, turn.reply) for turn in talk.saved.turns] == [("hi", None)]


def test_a_message_whose_reply_was_only_thought_about_comes_back(tmp_path: Path) -> None:
    talk = Talk(Script("Yes.", thought="Let me see now."), home=tmp_path)
    killed_at(talk, answered, "rain?")
    killed_at(talk, written, "/clear", "snow?")
    again = Talk(home=tmp_path)
    again.run("/resume rain")
    assert again.said == [("user", "rain?"), ("assistant", "Yes.")]
    again.run("/resume snow")
    assert again.said == []
    assert again.offered[-1] == "snow?"


# Ctrl-C


WATCHED = ("chat/reply.py", "sending.py", "record.py", "archive.py", "context_overflow.py")


class Interrupt:
    """Presses Ctrl-C at line number `at` that runs in a watched file while the first message is
    acted on, counted from the first event of a kind, or from the beginning."""

    def __init__(self, talk: Talk, at: int, presses: int, since: type[Event] | None) -> None:
        self.talk, self.at, self.presses, self.since = talk, at, presses, since
        self.lines = 0
        self.seen = since is None
        reply = talk.engine.reply

        def watched(*arguments: Any) -> Iterator[Event]:
            for event in reply(*arguments):
                self.seen |= since is not None and isinstance(event, since)
                yield event

        talk.engine.reply = watched  # type: ignore[method-assign]

    def trace(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        on = self.seen and len(self.talk.offered) == 1 and self.presses
        if event == "line" and on:
            self.lines += 1
            if self.lines > self.at:
                self.presses -= 1
                signal.raise_signal(signal.SIGINT)
        return self.trace


def interrupted(presses: int, since: type[Event] | None, apart: int) -> Iterator[Talk]:
    """Talks with Ctrl-C at lines so far apart, from the first to the last."""
    for at in range(0, 10**6, apart):
        talk = Talk(Script("one two"), Script("More."))
        interrupt = Interrupt(talk, at, presses, since)
        before = sys.gettrace()
        sys.settrace(interrupt.trace)
        try:
            talk.run("count", "go on")
        finally:
            sys.settrace(before)
        if interrupt.presses == presses:
            assert at > 50
            return
        yield talk


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_at_any_line_after_the_last_word_loses_nothing(presses: int) -> None:
    for talk in interrupted(presses, End, 1):
        assert talk.saved_texts == [("count", "one two"), ("go on", "More.")]
        assert [text for _, text in talk.said] == ["count", "one two", "go on", "More."]


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_at_any_line_of_an_exchange_loses_no_message(presses: int) -> None:
    for talk in interrupted(presses, None, 7):
        if talk.offered[1]:
            assert talk.offered[1] == "count"
            assert [user for user, _ in talk.saved_texts] == ["go on"]
        else:
            (user, reply), (last, _) = talk.saved_texts
            assert (user, last) == ("count", "go on")
            assert reply in ("one", "one two")


# Errors nobody expected


def broken(*arguments: object) -> Any:
    raise RuntimeError("the tokenizer broke")


def test_an_error_while_room_is_made_hands_the_message_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk = Talk(Script("word " * 52), Script("Yes."), context=200, overflow="drop-oldest")
    talk.run("one", "two")
    long = ("three " * 160).strip()
    with monkeypatch.context() as patched:
        patched.setattr("gemma_mtp.chat.context_overflow.turns_to_drop", broken)
        assert f"The reply failed: the tokenizer broke\n{BACK}" in talk.run(long)
    assert talk.offered[-1] == long
    assert "Yes.\n" in talk.run("still here?")
    assert len(talk.saved_texts) == 3


def test_an_error_below_a_reply_keeps_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk(Script("one two"), Script("More."))
    monkeypatch.setattr(talk.chat.printer, "summary", broken)
    assert "The reply failed: the tokenizer broke\n" in talk.run("count", "go on")
    assert talk.saved_texts == [("count", "one two"), ("go on", "More.")]
    assert talk.offered == ["", "", ""]


def test_an_error_outside_of_everything_hands_the_line_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk = Talk()
    with monkeypatch.context() as patched:
        patched.setattr("gemma_mtp.chat.sending.message_of", broken)
        shown = talk.run("hi")
    assert shown == f">>> hi\nThis failed: the tokenizer broke\n{BACK}"
    assert talk.offered == ["", "hi"]
    assert "Hello there." in talk.run("hi")


def test_a_word_as_long_as_no_path_can_be_is_a_verb_that_does_not_exist() -> None:
    talk = Talk()
    assert "There is no command" in talk.run(f"/{'a' * 300} what is this", "hi")
    assert talk.said == [("user", "hi"), ("assistant", "Hello there.")]


def test_the_bar_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    talk.run("hi")
    talk.chat.start_afresh(talk.chat.conversation.skipping(0))
    monkeypatch.setattr(talk.engine, "count", broken)
    assert (9, "ctx 0/8192 (0 %)") in toolbar.parts(talk.chat)
    monkeypatch.setattr(type(talk.engine), "info", property(broken))
    assert toolbar.parts(talk.chat) == [(9, "tiny")]
