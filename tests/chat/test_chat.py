"""Whole conversations as transcripts: lines in, everything that was shown out."""

from __future__ import annotations

import io
import signal

import pytest
from support.fakes import Script
from support.talk import BACK, LINE, Talk

from gemma_mtp.api import Message, TextDelta
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.terminal.interrupts import breakable, stoppable
from gemma_mtp.terminal.render import Printer
from gemma_mtp.terminal.screen import Screen


def test_two_turns() -> None:
    talk = Talk(Script("Hello there."), Script("Still here.\n"))
    assert talk.run("hi", "and now?", "/bye", "never read") == (
        f">>> hi\nHello there.\n{LINE}7/8192\n>>> and now?\nStill here.\n{LINE}20/8192\n>>> /bye\n"
    )
    second = talk.engine.requests[1].messages
    assert second == (
        Message.text("user", "hi"),
        Message.text(
            "assistant", "Hello there.", (0, 1)
        ),  # with its tokens, so the cache can be used
        Message.text("user", "and now?"),
    )


def test_a_first_message() -> None:
    talk = Talk()
    assert talk.run(first="/why is it so?") == f">>> /why is it so?\nHello there.\n{LINE}10/8192\n"


def test_thoughts_are_set_apart_and_not_remembered() -> None:
    talk = Talk(Script("It is.", "Let me see.\n"))
    assert talk.run("hi").startswith(">>> hi\nthinking: Let me see.\n\nanswer: It is.\n400 tok/s")
    assert talk.said == [("user", "hi"), ("assistant", "It is.")]


@pytest.mark.parametrize(
    ("script", "options", "said"),
    [
        (Script(""), {}, "the reply was empty.\n"),
        (
            Script("Yes.", "one two three"),
            {"think": True, "max_tokens": 2},
            "the token limit came while the model was still thinking.\n"
            "/set parameter max_tokens none takes the limit away, "
            "/think 500 ends its thought after 500 tokens.\n",
        ),
    ],
)
def test_a_reply_without_an_answer_says_so_and_hands_the_message_back(
    script: Script, options: dict[str, object], said: str
) -> None:
    talk = Talk(script, **options)  # type: ignore[arg-type]
    shown = talk.run("hi")
    assert shown.endswith(f"There is no answer: {said}{BACK}")
    assert talk.offered[-1] == "hi"
    assert talk.said == []


def test_clear_keeps_the_system_prompt() -> None:
    talk = Talk(system="Be brief.")
    talk.run("hi", "/clear", "again")
    assert [m.content for m in talk.engine.requests[1].messages] == ["Be brief.", "again"]
    assert talk.chat.replies == 2


@pytest.mark.parametrize("text", ["/usr/bin/env is what?", "/ what", "// a comment", "why /bye"])
def test_a_message_may_hold_a_slash(text: str) -> None:
    talk = Talk()
    talk.run(text)
    assert talk.said[0] == ("user", text)


def test_several_lines() -> None:
    talk = Talk()
    talk.run('"""\nfirst\n  second\n"""', '"""one"""')
    assert talk.said[0] == ("user", "first\n  second")
    assert talk.said[2] == ("user", "one")


def test_empty_lines_ask_nothing() -> None:
    talk = Talk()
    talk.run("", "   ", '""""""')
    assert not talk.engine.requests


def test_an_error_loses_neither_session_nor_message() -> None:
    talk = Talk(Script(error="The engine is on fire."), Script("Better."))
    shown = talk.run("a long question", "hi")
    wanted = f">>> a long question\nThe engine is on fire.\nTry something else.\n{BACK}>>> hi\n"
    assert wanted in shown
    assert talk.offered == ["", "a long question", ""]
    assert talk.said == [("user", "hi"), ("assistant", "Better.")]


def test_a_crash_keeps_what_was_written() -> None:
    talk = Talk(Script("a b", crash="out of luck"), Script("Better."))
    shown = talk.run("question", "hi")
    kept = "What was written is kept: /continue goes on, /regen tries again.\n"
    assert f">>> question\na\nThe reply failed: out of luck\n{kept}>>> hi\nBetter.\n" in shown
    assert talk.said[:2] == [("user", "question"), ("assistant", "a")]
    assert talk.saved_texts == [("question", "a"), ("hi", "Better.")]


def test_what_failed_without_ending_the_reply_is_said_below_it() -> None:
    talk = Talk(Script("Hello there.", warning="The drafter broke."), Script("Still here."))
    shown = talk.run("hi", "and now?")
    assert f"Hello there.\n{LINE}7/8192\nThe drafter broke.\n>>> and now?\nStill here." in shown
    assert shown.count("broke") == 1
    assert talk.said[1] == ("assistant", "Hello there.")


def test_while_the_next_message_is_typed_what_comes_before_it_is_prepared() -> None:
    talk = Talk(Script("Hello there."), seed=5, think=True)
    talk.run("hi", "/help")
    before, after, again = talk.engine.prepared
    assert before is None
    assert after == again
    assert after is not None
    assert [m.content for m in after.messages] == ["hi", "Hello there."]
    assert (after.seed, after.think) == (5, True)
    talk.run("/clear")
    assert talk.engine.prepared[-1] is None


def test_after_a_reply_that_was_broken_off_the_cache_stays_for_going_on() -> None:
    talk = Talk(Script("one two three"), max_tokens=2)
    talk.run("count", "/help")
    assert set(talk.engine.prepared) == {None}
    talk.run("/continue")
    assert talk.said[1] == ("assistant", "one two three")
    assert talk.engine.prepared[-1] is not None


class Interrupting(io.StringIO):
    """A screen on which someone presses Ctrl-C (`times`) as soon as `text` appears."""

    def __init__(self, text: str, times: int = 1) -> None:
        super().__init__()
        self.wanted, self.times = text, times

    def write(self, text: str) -> int:
        count = super().write(text)
        if self.times and self.wanted in self.getvalue():
            for _ in range(self.times):
                self.times -= 1
                signal.raise_signal(signal.SIGINT)
        return count


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_said(times: int) -> None:
    talk = Talk(Script("one two three four five"), Script("More."))
    before = signal.getsignal(signal.SIGINT)
    talk.show_on(Interrupting("two", times))
    shown = talk.run("count", "go on")
    assert signal.getsignal(signal.SIGINT) is before
    assert ">>> count\none two\n" in shown
    assert "stopped\n>>> go on\nMore.\n" in shown
    assert talk.said[:2] == [("user", "count"), ("assistant", "one two")]
    assert talk.offered == ["", "", ""]


def test_a_second_ctrl_c_does_not_wait_for_the_engine() -> None:
    with stoppable() as cancel:
        signal.raise_signal(signal.SIGINT)
        assert cancel.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # things are being put in order


def test_a_question_meanwhile_can_be_broken_off() -> None:
    with stoppable():
        with breakable(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_what_was_stopped_can_be_shown_in_peace() -> None:
    with stoppable(raising=False) as late:
        with stoppable() as cancel:
            signal.raise_signal(signal.SIGINT)
        assert not late.is_set()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert cancel.is_set()
    assert late.is_set()


def test_ctrl_c_between_a_reply_and_the_prompt_does_no_harm() -> None:
    talk = Talk()
    talk.run(KeyboardInterrupt, "hi", KeyboardInterrupt)
    assert talk.said == [("user", "hi"), ("assistant", "Hello there.")]
    assert not talk.console.lines


def test_ctrl_c_before_the_first_word_hands_the_message_back() -> None:
    talk = Talk(Script("", "one two three"))
    talk.show_on(Interrupting("one"))
    assert "stopped\n" in talk.run("count")
    assert talk.offered == ["", "count"]
    assert talk.said == []


def test_the_printer_holds_back_line_ends() -> None:
    out = io.StringIO()
    printer = Printer(Screen(out, out, {}))
    for piece in ("a\n", "\n", "b\n\n\n"):
        printer.show(TextDelta(piece))
    assert out.getvalue() == "a\n\nb"
    printer.finish()
    printer.finish()
    assert out.getvalue() == "a\n\nb\n"


def test_a_conversation_that_the_pair_cannot_take_may_be_begun_anew() -> None:
    talk = Talk(Script("One."), Script(error="The chat template of this model failed."))
    helps = "A new conversation, with /clear, may fare better."
    assert helps in talk.run("a", "b")
    assert helps not in Talk(Script(error="The chat template of this model failed.")).run("a")


def test_errors_of_ours_are_shown_with_their_hint() -> None:
    out = io.StringIO()
    Printer(Screen(out, out, {})).error(GemmaMtpError("No.", "Do this."))
    assert out.getvalue() == "No.\nDo this.\n"
