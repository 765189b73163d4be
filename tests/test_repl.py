"""Whole conversations as transcripts: lines in, everything that was shown out."""

from __future__ import annotations

import io
import os
import signal
import stat
from pathlib import Path

import pytest
from fakes import FakeEngine, Script

from gemma_mtp import commands
from gemma_mtp.arguments import Options
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import Message, Text
from gemma_mtp.oneshot import stoppable
from gemma_mtp.render import Printer
from gemma_mtp.repl import Chat, _history, converse
from gemma_mtp.screen import Screen


class Talk:
    """A chat fed with lines; `text` is what a person would have seen."""

    def __init__(self, *scripts: Script, context: int = 8192, **options: object) -> None:
        self.out = io.StringIO()
        self.engine = FakeEngine(list(scripts) or [Script()], context)
        printer = Printer(Screen(self.out, self.out, {}))
        self.chat = Chat(self.engine, Options(**options), printer)  # type: ignore[arg-type]
        self.offered: list[str] = []

    def run(self, *lines: str, first: str | None = None) -> str:
        waiting = list(lines)

        def read(offered: str) -> str:
            self.offered.append(offered)
            if not waiting:
                raise EOFError
            self.out.write(f">>> {waiting[0]}\n")
            return waiting.pop(0)

        converse(self.chat, read, first)
        return self.out.getvalue()

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(m.role, m.content) for m in self.chat.messages]


LINE = "400 tok/s · 1.42x plain (measured) · accepted 33 % · 2.0/round · k=3 · ctx "


def test_two_turns() -> None:
    talk = Talk(Script("Hello there."), Script("Still here.\n"))
    assert talk.run("hi", "and now?", "/bye", "never read") == (
        f">>> hi\nHello there.\n{LINE}7/8192\n>>> and now?\nStill here.\n{LINE}20/8192\n>>> /bye\n"
    )
    second = talk.engine.requests[1].messages
    assert second == (
        Message("user", "hi"),
        Message("assistant", "Hello there.", (0, 1)),  # with its tokens, so the cache can be used
        Message("user", "and now?"),
    )


def test_a_first_message() -> None:
    talk = Talk()
    assert talk.run(first="/why is it so?") == f">>> /why is it so?\nHello there.\n{LINE}10/8192\n"


@pytest.mark.parametrize("verb", ["/bye", "/exit", "/quit", " /BYE "])
def test_ways_to_leave(verb: str) -> None:
    talk = Talk()
    talk.run(verb, "never read")
    assert talk.offered == [""]


def test_thoughts_are_set_apart_and_not_remembered() -> None:
    talk = Talk(Script("It is.", "Let me see.\n"))
    assert talk.run("hi").startswith(">>> hi\nthinking: Let me see.\n\nanswer: It is.\n400 tok/s")
    assert talk.said == [("user", "hi"), ("assistant", "It is.")]


def test_clear_keeps_the_system_prompt() -> None:
    talk = Talk(system="Be brief.")
    talk.run("hi", "/clear", "again")
    assert [m.content for m in talk.engine.requests[1].messages] == ["Be brief.", "again"]
    assert talk.chat.replies == 2


def test_help_lists_every_command() -> None:
    shown = Talk().run("/help")
    for entry in commands.COMMANDS:
        assert entry.usage in shown
        assert entry.summary in shown
        assert entry.details
    assert Talk().run("/?").splitlines()[1:] == shown.splitlines()[1:]


def test_help_for_one_command() -> None:
    assert "/bye (also /exit, /quit): leave\nLeaves the chat." in Talk().run("/help exit")
    assert Talk().run("/help /stats") == Talk().run("/help /stats")
    assert "did you mean /clear?" in Talk().run("/help claer")


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/claer", "There is no command /claer; did you mean /clear?"),
        ("/stat", "There is no command /stat; did you mean /stats?"),
        ("/exti", "There is no command /exti; did you mean /exit?"),
        ("/frobnicate it", "There is no command /frobnicate; /help lists the commands."),
    ],
)
def test_unknown_commands(typed: str, answer: str) -> None:
    talk = Talk()
    assert talk.run(typed) == f">>> {typed}\n{answer}\n"
    assert not talk.engine.requests


@pytest.mark.parametrize("text", ["/usr/bin/env is what?", "/ what", "// a comment", "why /bye"])
def test_a_message_may_hold_a_slash(text: str) -> None:
    talk = Talk()
    talk.run(text)
    assert talk.said[0] == ("user", text)


def test_completion() -> None:
    def names(typed: str) -> list[str]:
        return [c.names[0] for c in commands.completions(typed)]

    assert names("/") == [c.names[0] for c in commands.COMMANDS]
    assert names("/cl") == ["clear"]
    assert names("cl") == names("/x") == []


def test_several_lines() -> None:
    talk = Talk()
    talk.run('"""\nfirst\n  second\n"""', '"""one"""')
    assert talk.said[0] == ("user", "first\n  second")
    assert talk.said[2] == ("user", "one")


def test_empty_lines_ask_nothing() -> None:
    talk = Talk()
    talk.run("", "   ", '""""""')
    assert not talk.engine.requests


def test_stats() -> None:
    talk = Talk(Script("a b c d"))
    assert "nothing was said yet" in talk.run("/stats")
    shown = talk.run("hi", "again", "/stats").split(">>> /stats\n")[-1]
    assert shown == STATS


STATS = """\
last reply
  tokens     4 written, 18 read (0 from the cache)
  speed      400 tok/s
  speedup    1.42x plain (measured)
  accepted   33 % (2 of 6 drafted)
  rounds     2, 2.0 tokens each, k=3 last
  first      0.00 s to the first token
  time       0.01 s: draft 20 %, verify 60 %, sampling 10 %, other 10 %
  drafts accepted, rounds
    0      0
    1      2  ████████████████████████████████████████
    2      0
    3      0
session, 2 replies
  tokens     8 written, 23 read (0 from the cache)
  speed      400 tok/s
  speedup    1.42x plain (measured)
  accepted   33 % (4 of 12 drafted)
  rounds     4, 2.0 tokens each, k=3 last
  first      0.00 s to the first token
  time       0.02 s: draft 20 %, verify 60 %, sampling 10 %, other 10 %
  drafts accepted, rounds
    0      0
    1      4  ████████████████████████████████████████
    2      0
    3      0
pair tiny
  KV cache   target 60.0 MiB, drafter 0
  threads    2
"""


BACK = "The message is back on the line; Ctrl-C empties it.\n"


def test_an_error_loses_neither_session_nor_message() -> None:
    talk = Talk(Script(error="The engine is on fire."), Script("Better."))
    shown = talk.run("a long question", "hi")
    wanted = f">>> a long question\nThe engine is on fire.\nTry something else.\n{BACK}>>> hi\n"
    assert wanted in shown
    assert talk.offered == ["", "a long question", ""]
    assert talk.said == [("user", "hi"), ("assistant", "Better.")]


def test_a_crash_loses_neither_session_nor_message() -> None:
    talk = Talk(Script("a b", crash="out of luck"), Script("Better."))
    shown = talk.run("question", "hi")
    assert f">>> question\na\nThe reply failed: out of luck\n{BACK}>>> hi\nBetter.\n" in shown
    assert talk.offered[1] == "question"
    assert talk.said == [("user", "hi"), ("assistant", "Better.")]


def test_a_prompt_that_does_not_fit() -> None:
    talk = Talk(context=300)
    shown = talk.run("word " * 400)
    assert "The prompt has 404 tokens; the context holds 300.\n/clear starts afresh" in shown
    assert "--ctx" in shown
    assert talk.offered[1].startswith("word word")


def test_a_reply_that_fills_the_context() -> None:
    talk = Talk(Script("word " * 400), context=300)
    shown = talk.run("hi")
    assert "ctx 300/300 · context full\nThe context is full: 300 of 300 tokens. /clear" in shown
    assert "--ctx" in shown
    assert talk.said[1][0] == "assistant"


def test_a_picture_is_refused() -> None:
    talk = Talk()
    assert "images are not supported yet" in talk.run("~/cat.png")
    assert not talk.engine.requests


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
    talk.out = Interrupting("two", times)
    talk.chat.printer = Printer(Screen(talk.out, talk.out, {}))
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


def test_ctrl_c_between_a_reply_and_the_prompt_does_no_harm() -> None:
    talk = Talk()
    lines: list[str | type[BaseException]] = [KeyboardInterrupt, "hi", KeyboardInterrupt, EOFError]

    def read(offered: str) -> str:
        line = lines.pop(0)
        if isinstance(line, str):
            return line
        raise line

    converse(talk.chat, read)
    assert talk.said == [("user", "hi"), ("assistant", "Hello there.")]
    assert not lines


def test_ctrl_c_before_the_first_word_hands_the_message_back() -> None:
    talk = Talk(Script("", "one two three"))
    talk.out = Interrupting("one")
    talk.chat.printer = Printer(Screen(talk.out, talk.out, {}))
    assert "stopped\n" in talk.run("count")
    assert talk.offered == ["", "count"]
    assert talk.said == []


def test_the_printer_holds_back_line_ends() -> None:
    out = io.StringIO()
    printer = Printer(Screen(out, out, {}))
    for piece in ("a\n", "\n", "b\n\n\n"):
        printer.show(Text(piece))
    assert out.getvalue() == "a\n\nb"
    printer.finish()
    printer.finish()
    assert out.getvalue() == "a\n\nb\n"


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_the_history_is_private_and_optional(tmp_path: Path) -> None:
    path = tmp_path / "state" / "history"
    history = _history(path)
    history.append_string("hi")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*_history(path).load_history_strings()] == ["hi"]
    _history(None).append_string("in memory")
    _history(path / "below a file").append_string("in memory, too")


def test_errors_of_ours_are_shown_with_their_hint() -> None:
    out = io.StringIO()
    Printer(Screen(out, out, {})).error(GemmaMtpError("No.", "Do this."))
    assert out.getvalue() == "No.\nDo this.\n"
