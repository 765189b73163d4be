"""Every verb as a person meets it: keys into a pseudo-terminal, words on its screen, at two widths.

What is said is compared without its spaces, so that it may be broken anywhere into lines.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.drawn import png
from support.mcp_config import write_config
from support.sounds import wav
from support.terminal import CTRL_C, CTRL_D, ENTER, Terminal

from gemma_mtp.chat.verbs.model import SHOWN
from gemma_mtp.chat.verbs.registry import listed
from gemma_mtp.chat.verbs.set import SETTINGS
from gemma_mtp.conversations.archive import Archive

ESCAPE, DOWN = "\x1b", "\x1b[B"
FIGURES = "400 tok/s · 33 % of drafts accepted"
CODE = "Look:\n\n```python\nprint(1)\n```\n\nDone."
NO_CLIPBOARD = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "WSL_DISTRO_NAME": ""}


class Person:
    """Someone at a terminal who types a line at a time."""

    def __init__(self, terminal: Terminal, home: Path) -> None:
        self.terminal, self.home = terminal, home

    def do(self, line: str, *answers: str) -> str:
        """Type a line and all that is asked for after it; what it led to, once the chat waits for
        the next line."""
        chat = self.terminal
        chat.say(line)
        for answer in answers:
            chat.until("Enter takes it")
            chat.keys(answer)
        chat.prompt()
        rows = [*chat.scrolled, *chat.lines]
        typed = f">>> {line}"[: chat.screen.columns].rstrip()
        start = max(i for i, row in enumerate(rows) if row.startswith(typed))
        return "\n".join(rows[start + 1 : max(i for i, r in enumerate(rows) if r[:3] == ">>>")])

    def sees(self, line: str, *words: str, answers: tuple[str, ...] = ()) -> str:
        """What a line led to, which has these words in it, in this order."""
        shown = self.do(line, *answers)
        rest = squeezed(shown)
        for word in words:
            assert squeezed(word) in rest, f"{line}: no {word!r} in\n{shown}"
            rest = rest.partition(squeezed(word))[2]
        return shown

    def waits(self, words: str) -> None:
        """Look at the screen until these words are on it."""
        chat = self.terminal
        chat.until(lambda: squeezed(words) in squeezed("".join(chat.lines)))

    @property
    def saved(self) -> list[tuple[str, str]]:
        """The latest conversation: who said what."""
        archive = Archive(self.home / "chats.sqlite")
        latest = archive.latest()
        turns = archive.read(latest).turns if latest else ()
        return [(t.user.content, t.reply.content if t.reply else "") for t in turns]

    def leave(self, *keys: str) -> None:
        self.terminal.prompt()
        assert self.terminal.leave(*(keys or (CTRL_D,))) == 0


def squeezed(text: str) -> str:
    return "".join(text.split())


Start = Callable[..., Person]


@pytest.fixture(params=[80, 40])
def start(
    request: pytest.FixtureRequest, open_terminal: Callable[..., Terminal], tmp_path: Path
) -> Start:
    """Begins a chat with a scripted engine; `replies` come in turn."""
    monkey = {"GEMMA_MTP_HOME": str(tmp_path), **NO_CLIPBOARD}

    def begin(
        *arguments: str, replies: tuple[object, ...] = ("Hello there.",), **more: object
    ) -> Person:
        env = more.pop("env", {})
        scripts = [one if isinstance(one, dict) else {"text": one} for one in replies]
        script = {"scripts": scripts, "home": str(tmp_path), **more}
        terminal = open_terminal(
            "chat",
            *arguments,
            columns=request.param,
            script=script,
            **monkey,
            **env,
        )
        return Person(terminal, tmp_path)

    return begin


def test_every_verb_is_explained(start: Start) -> None:
    me = start()
    for verb in listed():
        me.sees(f"/help {verb.names[0]}", f"{verb.usage}", verb.summary, verb.details)
    me.leave()


def test_help_and_words_that_are_no_verbs(start: Start) -> None:
    me = start()
    wide = me.terminal.screen.columns >= 72
    usages = [verb.usage if wide else f"/{verb.names[0]}" for verb in listed()]
    me.sees("/help", *usages, "Keys", "Ctrl-D", "/help set")
    me.sees("/?", *usages)
    me.sees("/? /retry", "/retry plain|mtp")
    me.sees("/help statz", "did you mean /stats?")
    me.sees("/regem", "There is no command /regem; did you mean /regen?")
    me.sees("/xylophone", "There is no command /xylophone; /help lists the commands.")
    me.sees("/undo it", "/undo takes nothing after it.")
    me.leave()


def test_what_the_model_is(start: Start) -> None:
    me = start()
    expected = {
        "info": ("tiny", "Q4_0"),
        "parameters": ("temperature", "1.0", "draft", "auto"),
        "system": ("There is no system prompt.",),
        "modelfile": ("FROM tiny",),
        "template": ("{{", "}}"),
        "license": ("Apache-2.0",),
    }
    assert set(expected) == set(SHOWN)
    for word, words in expected.items():
        me.sees(f"/show {word}", *words)
    me.sees("/show", "tiny")
    me.sees("/show nothing", '/show knows no "nothing".', "Known: /show info")
    me.sees("/list", "* tiny")
    me.leave()


def test_another_model(start: Start) -> None:
    me = start(broken={"e4b": "e4b.gguf is damaged."})
    me.sees("hi", "Hello there.")
    me.sees("/model", "tiny is loaded")
    me.sees("/load e2b", "e2b is loaded, context 8192.")
    me.sees("/model nosuch", 'There is no model called "nosuch".')
    me.sees("/model e4b", "e4b.gguf is damaged.", "Pull it again.")
    me.sees("/model 31b", "31b is not on this machine", "gemma-mtp pull 31b")
    me.sees("/model", "e2b is loaded")
    me.sees("still there?", "Hello there.")
    assert [said for said, _ in me.saved] == ["hi", "still there?"]
    me.sees("/model tiny", "tiny is loaded")
    me.leave()


def test_the_reply_again(start: Start) -> None:
    me = start(replies=("One two three.", "Four five.", "Six seven.", "Six seven.", "Eight."))
    for verb in ("regen", "retry plain", "race", "continue", "copy", "undo", "edit", "export md"):
        me.sees(f"/{verb}", "Nothing was said yet.")
    me.sees("count", "One two three.", FIGURES)
    me.sees("/regen", "Four five.", FIGURES)
    me.sees("/retry", "/retry needs a word after it.", "/retry plain", "/retry mtp")
    me.sees("/retry plain", "Six seven.", "The text differs after 0 characters.", "not in exact")
    me.sees("/retry mtp", "Six seven.", "The text is the same as before.", "Too short")
    me.sees("/continue", "The last reply ended by itself.", "/regen writes another one.")
    assert me.saved == [("count", "Six seven.")]
    me.sees("/stats", "KV cache")
    me.sees("/undo", 'Taken back: "count" and its reply.')
    assert me.saved == []
    me.leave("/bye", ENTER)


def test_a_race(start: Start) -> None:
    me = start(replies=("Hello.", "One two three.", "One two three."))
    me.do("count")
    me.sees("/race", "plain", "with drafts", "One two", "The texts are equal: 3 tokens.")
    assert me.saved == [("count", "Hello.")]
    me.leave("/quit", ENTER)


def test_the_reply_to_the_clipboard(start: Start) -> None:
    me = start(replies=("No code.", CODE))
    me.do("hi")
    me.sees("/copy", "Sent to the terminal", "(OSC 52)")
    me.sees("/copy code", "There is no code block in the last reply.")
    me.do("code?")
    me.sees("/copy code", "Sent to the terminal")
    me.sees("/copy all", '/copy knows no "all".', "/copy takes the reply")
    for text in ("No code.", "print(1)"):
        data = base64.b64encode(text.encode())
        assert b"\x1b]52;c;" + data + b"\x1b\\" in me.terminal.raw
    me.leave("/exit", ENTER)


def test_a_reply_that_was_stopped_goes_on(start: Start, tmp_path: Path) -> None:
    text = "one two three four five six"
    (tmp_path / "four").touch()
    me = start(replies=({"text": text, "hold": str(tmp_path)}, text))
    me.terminal.say("count")
    me.terminal.until("one two three")
    me.terminal.keys(CTRL_C)
    me.terminal.until("stopped")
    me.sees("/continue", "six")
    assert me.saved == [("count", text)]
    me.leave()


def test_files(start: Start, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"This is {name}.\n")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\0")
    (tmp_path / "d.png").write_bytes(png())
    (tmp_path / "e.wav").write_bytes(wav(2))
    me = start()
    me.sees("hi", "Hello there.")
    me.sees(f"/file {tmp_path}/*.txt", "attached:", "a.txt, 3 tokens of 8192", "b.txt, 3 tokens")
    me.sees("/file", "a.txt, 3 tokens", "b.txt, 3 tokens")
    me.sees(f"/file {tmp_path}/missing.txt", "missing.txt cannot be read: No such file")
    me.sees(f"/file {tmp_path}/*.md", "No file matches")
    me.sees(f"/file {tmp_path}/c.png", "c.png is no picture that can be read here.")
    me.sees("/file", "a.txt, 3 tokens", "b.txt, 3 tokens")
    me.sees("/file none", "Nothing is attached.")
    me.sees(f"/image {tmp_path}/d.png", "attached: [picture d.png 4x3], 100 tokens of 8192")
    me.sees("/image none", "Nothing is attached.")
    me.sees(f"/audio {tmp_path}/e.wav", "attached: [recording e.wav 0:02], 100 tokens of 8192")
    me.sees("/audio none", "Nothing is attached.")
    me.sees("/read", "/read needs a path.")
    me.sees(f"/read {tmp_path}/missing.txt", "cannot be read")
    me.sees(f"/file {tmp_path}/b.txt", "attached:")
    me.sees("what is it?", "Hello there.")
    me.sees(f"/read {tmp_path}/a.txt", "attached:", "Hello there.")
    assert ["This is " in said for said, _ in me.saved] == [False, True, True]
    assert me.saved[1][0].endswith("This is b.txt.\n</file>\n\nwhat is it?")
    me.leave()


def test_an_export(start: Start, tmp_path: Path) -> None:
    me = start()
    me.do("hi")
    me.sees("/export pdf", '/export knows no "pdf".')
    me.sees(f"/export md {tmp_path}/said", "Written to", "said.md.")
    me.sees(f"/export json {tmp_path}/said.json", "Written to", "said.json.")
    me.sees(f"/export {tmp_path}/said.md", "Nothing was written.", answers=(CTRL_C,))
    me.sees(f"/export {tmp_path}/said.md", "Written to", "said-2.md.", answers=(ENTER,))
    me.sees(f"/export {tmp_path}/said.md", "Written to", "said.md.", answers=("y" + ENTER,))
    me.sees(f"/export md {tmp_path}/no/such", "cannot be written: No such file or directory.")
    assert "Hello there." in (tmp_path / "said.md").read_text()
    found = json.loads((tmp_path / "said.json").read_text())
    assert [turn["content"] for turn in found["turns"]] == ["hi", "Hello there."]
    me.leave()


def test_how_replies_are_written(start: Start) -> None:
    me = start()
    me.sees("/system", "There is no system prompt; /system TEXT sets one.")
    me.sees("/system Be kind.", "The system prompt is set; /system shows it.")
    me.sees("/system", "Be kind.")
    me.sees("/show system", "Be kind.")
    me.sees('/system ""', "The system prompt is gone.")
    me.sees("/think", "The model does not think before it answers.")
    me.sees("/think on", "The model thinks before it answers.")
    me.sees("/think maybe", 'That is on, off or a number of tokens, not "maybe".')
    me.sees("/think off", "The model does not think before it answers.")
    me.sees("/seed", "Each reply gets a seed of its own.")
    me.sees("/seed 5", "The seed is 5, and exact mode is on", "slows plain decoding down.")
    me.sees("/seed five", "seed")
    me.sees("/seed random", "Each reply gets a seed of its own.")
    me.sees("/draft", "The draft length is chosen while a reply is written.")
    me.sees("/draft off", "No drafts: plain decoding.")
    me.sees("/draft 1", "Each round drafts 1 token.")
    me.sees("/draft 3", "Each round drafts 3 tokens.")
    me.sees("/draft 99", "draft must be auto, off or a whole number between 0 and 16")
    me.sees("/show parameters", "draft", "3")
    me.sees("/draft auto", "The draft length is chosen while a reply is written.")
    me.sees("hi", "Hello there.")
    me.leave()


def test_settings(start: Start) -> None:
    me = start()
    expected = {
        "parameter temperature 0.5": "temperature is 0.5.",
        "system Be kind.": "The system prompt is set; /system shows it.",
        "think": "The model thinks before it answers.",
        "nothink": "The model does not think before it answers.",
        "verbose": "Figures are shown below each reply.",
        "quiet": "Replies come without figures; see /stats.",
        "markdown off": "markdown is off.",
        "highlight on": "highlight is on.",
        "thoughts fold": "Thoughts become one line that says how many tokens they took.",
        "nowordwrap": "Lines break where the screen ends.",
        "wordwrap": "Lines break between words.",
        "nohistory": "What is typed is kept for this chat only.",
        "history": "What is typed is kept for the chats to come.",
        "vi": "vi keys now.",
        "emacs": "Emacs keys now.",
        "figures on": "Figures are shown below each reply.",
        "save off": "From here on nothing is saved.",
        "keep_chats off": "What is read of this chat is not kept on the disk any more.",
        "keep_chats_gb 2": "keep_chats_gb is 2.",
        "mcp none": "The model has no tools.",
        "keep_alive 5m": "This model is loaded for this chat alone, and goes with it.",
        "overflow stop": "overflow is stop.",
        "format json": "Answers are JSON.",
        "noformat": "Answers are in no given format.",
    }
    assert {setting.split()[0] for setting in expected} == {*SETTINGS}
    for setting, said in expected.items():
        me.sees(f"/set {setting}", said)
    me.sees("/set parameter", "temperature", "0.5")
    me.sees("/show parameters", "temperature", "0.5")
    me.sees("/set", "parameter", "sampling", "overflow", "emacs")
    me.sees("/set nonsense", 'There is no setting "nonsense".')
    me.sees("/set parameter temperature hot", "temperature")
    me.sees("/set markdown maybe", 'That is on or off, not "maybe".')
    me.leave()


def test_tools(start: Start, tmp_path: Path) -> None:
    file = write_config(tmp_path)
    call = {"text": "", "calls": [["add", '{"a": 1, "b": 2}']]}
    me = start(replies=(call, "It is 3.", call, "It is 3.", call, "No."))
    me.sees("/tools", "There are no tools; --mcp FILE or /set mcp FILE starts servers")
    me.sees("/set mcp missing.json", "missing.json cannot be read: No such file or directory.")
    me.sees(f"/set mcp {file}", "The model may ask for 8 tools of calc; /tools lists them.")
    me.sees("/tools", "add", "on, asked for; calc: Add two numbers.", "shout", "Say it louder.")
    said = ("add(a: 1, b: 2)", "Run add (calc)?", "yes, always for this tool", "3", "It is 3.")
    me.sees("what is 1 + 2?", *said, FIGURES, answers=("2" + ENTER,))
    me.sees("/tools", "add", "on, unasked")
    me.sees("again?", "add(a: 1, b: 2)", "3", "It is 3.")
    me.sees("/tools ask add", "add: asked for before each call.")
    me.sees("again?", "Run add (calc)? no", "The user declined this call.", answers=("n" + ENTER,))
    me.sees("/tools on", "/tools on needs the NAME of a tool.")
    me.sees("/tools off adds", 'There is no tool "adds".', "Did you mean add?")
    me.sees("/tools off calc", "add, shout, paint", ": off.")
    me.sees("/tools", "add", "off; calc")
    me.sees("/tools on add", "add: on.")
    me.sees("/tools add", '/tools knows no "add".')
    me.sees("/set mcp none", "The model has no tools.")
    me.leave()


def test_drafted_words_are_tinted(start: Start) -> None:
    me = start("e2b", replies=("one two three four",))
    colours = []
    for switch in ("off", "on"):
        me.do(f"/set highlight {switch}")
        me.do("count")
        row = max(i for i, text in enumerate(me.terminal.lines) if text == "one two three four")
        cells = me.terminal.screen.buffer[row]
        colours.append([cells[column].fg for column in (0, 4, 8, 14)])
    plain, tinted = colours
    assert len(set(plain)) == 1
    assert tinted[0] == tinted[2] == plain[0]
    assert tinted[1] == tinted[3] != plain[0]
    me.leave()


def test_figures_can_be_left_out(start: Start) -> None:
    me = start()
    me.sees("hi", "Hello there.", FIGURES)
    me.do("/set quiet")
    assert me.do("hi") == "Hello there."
    me.do("/set verbose")
    me.sees("hi", "Hello there.", FIGURES)
    me.leave()


def test_vi_keys(start: Start) -> None:
    me = start()
    me.sees("/set vi", "vi keys now.")
    chat = me.terminal
    chat.prompt()
    chat.keys("xhello", ESCAPE)
    chat.until(lambda: chat.raw.count(b"\x1b[2 q") == 1)  # the cursor of commands
    chat.keys("0x", ENTER)
    chat.until("Hello there.")
    chat.prompt()
    assert me.saved == [("hello", "Hello there.")]
    me.sees("/set emacs", "Emacs keys now.")
    me.leave()


def test_saved_conversations(start: Start) -> None:
    me = start()
    me.sees("/chats", "Nothing is saved yet.")
    me.sees("/title", "This conversation has no message and no title yet.")
    me.do("rain?")
    me.sees("/title Weather", 'This conversation is called "Weather".')
    me.sees("/title", "Weather")
    me.sees("/save", "The conversation is saved by itself")
    me.sees("/save Rain", 'This conversation is called "Rain".')
    me.sees("/clear", "A new conversation. /resume finds the old one.")
    me.do("sun?")
    me.sees("/chats", "2", "sun?", "1", "Rain")
    me.sees("/chats rain", "1", "Rain")
    me.sees("/chats snow", 'No saved conversation holds "snow".')
    me.sees("/resume snow", 'No saved conversation holds "snow".')
    me.sees("/resume 1", "Rain", ">>> rain?", "Hello there.")
    me.sees("/resume sun", "sun?", "Hello there.")
    me.sees("/resume", "Rain", "Hello there.", answers=("rain" + ENTER,))
    me.sees("/resume", "Nothing was changed.", answers=(CTRL_C,))
    me.sees("/forget", "/forget needs the number of a conversation")
    me.sees("/forget 2", "Nothing was deleted.", answers=(ENTER,))
    me.sees("/forget 2", "is deleted.", answers=(DOWN + ENTER,))
    me.sees("/forget 2", "2")
    me.sees("/chats", "1", "Rain")
    assert me.saved == [("rain?", "Hello there.")]
    me.leave()


def test_the_last_message_in_the_editor(start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/rain/snow/ "$1"\n')
    editor.chmod(0o755)
    me = start(env={"EDITOR": str(editor), "VISUAL": ""})
    me.do("Is rain wet?")
    me.sees("/edit", ">>> Is snow wet?", "Hello there.")
    me.sees("/edit", "Nothing was changed.")
    assert me.saved == [("Is snow wet?", "Hello there.")]
    me.leave()


def test_an_error_of_the_engine_costs_nothing(start: Start) -> None:
    me = start(
        replies=("Fine.", {"error": "The drafter is broken."}, {"crash": "out of luck"}, "Again.")
    )
    me.do("one")
    me.terminal.say("two")
    helps = "A new conversation, with /clear, may fare better."
    me.waits(f"The drafter is broken. Try something else. {helps} The message is back on the line")
    me.terminal.until(lambda: me.terminal.row == ">>> two")
    me.terminal.keys(CTRL_C)
    assert me.saved == [("one", "Fine.")]
    me.sees("three", "The reply failed: out of luck", "/continue goes on, /regen tries again.")
    me.sees("/regen", "Again.")
    assert me.saved == [("one", "Fine."), ("three", "Again.")]
    me.leave()


WORDS = " ".join(["rain"] * 88)  # three of these fill a context of 256 tokens


def fill(me: Person) -> None:
    """Two exchanges, so that a third does not fit."""
    for number in ("one", "two"):
        me.do(f"{number} {WORDS}")


def test_a_full_context_is_asked_about(start: Start) -> None:
    me = start("--ctx", "256")
    fill(me)
    last = f"three {WORDS}"
    me.terminal.say(last)
    me.waits("can do without the oldest exchange")
    me.terminal.until("Enter takes it")
    me.terminal.keys(DOWN, ENTER)
    me.waits("/clear starts afresh; /set ctx 512 holds more.")
    me.waits("The message is back on the line")
    me.terminal.until(lambda: me.terminal.above[-1].endswith("rain"))
    me.terminal.keys(CTRL_C)
    assert len(me.saved) == 2
    me.terminal.say(last)
    me.terminal.until("Enter takes it")
    me.terminal.keys(ENTER)
    me.waits("It stays saved.")
    me.terminal.prompt()
    assert [said.split()[0] for said, _ in me.saved] == ["one", "two", "three"]
    me.leave()


def test_the_oldest_exchange_is_left_out_unasked(start: Start) -> None:
    me = start("--ctx", "256", "--overflow", "drop-oldest")
    fill(me)
    shown = squeezed(me.do(f"three {WORDS}"))
    assert squeezed("Left out of the prompt from here on: the oldest exchange") in shown
    assert squeezed("Hello there.") in shown
    assert "Leaveitout?" not in shown
    me.leave()


def test_a_full_context_is_the_end(start: Start) -> None:
    me = start("--ctx", "256", "--overflow", "stop")
    fill(me)
    me.terminal.say(f"three {WORDS}")
    me.waits("drop-oldest")
    me.waits("The message is back on the line")
    me.terminal.until(lambda: me.terminal.above[-1].endswith("rain"))
    me.terminal.keys(CTRL_C)
    assert len(me.saved) == 2
    me.sees("/clear", "A new conversation.")
    me.sees("hi", "Hello there.")
    me.leave()


def test_with_the_true_engine(open_terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    home = {"GEMMA_MTP_HOME": str(tmp_path), **NO_CLIPBOARD}
    words = ("chat", "tiny", "--threads", "1", "--seed", "3", "--draft", "3")
    chat = open_terminal(*words, real=True, **home)
    me = Person(chat, tmp_path)
    me.sees("What is 3 + 4?", "7", "tok/s")
    me.sees("/retry plain", "7", "The text is the same as before.")
    me.sees("/retry mtp", "7", "The text is the same as before.", "Too short to compare")
    me.sees("/race", "plain", "with drafts", "7", "equal")
    me.sees("/stats", "accepted", "KV cache")
    me.sees("/set parameter temperature 0", "temperature is 0")
    me.sees("/regen", "7")
    me.sees("/model", "tiny is loaded")
    me.sees("/show template", "<|turn>")
    me.leave("/bye", ENTER)


def test_there_is_a_test_for_every_verb() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    typed = set(re.findall(r'"/(\?|\w+)', source))
    assert {verb.names[0] for verb in listed()} <= typed
