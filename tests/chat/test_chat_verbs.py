"""Every verb of a chat: what is typed, what is shown, what becomes of the conversation."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fakes import Script, TerminalText
from support.talk import BACK, LINE, Talk

from gemma_mtp.api import Grammar, LoadOptions, Message, PairFiles, Stats
from gemma_mtp.chat import verbs
from gemma_mtp.chat.race import pace
from gemma_mtp.conversations.database import Database
from gemma_mtp.errors import DoesNotFit, ModelNotAvailable, UsageError
from gemma_mtp.terminal.prompt.quotes import is_open
from gemma_mtp.terminal.stats_report import report

README = Path(__file__).parents[2] / "README.md"


EXPORTS = (
    "/export {}.\nKnown: /export md (Markdown, to read), /export json (everything, for programs). "
    "A PATH may follow."
)
RETRIES = (
    "/retry {}.\nKnown: /retry plain (without drafts), /retry mtp (with drafts). "
    "/regen writes another reply."
)


def after(shown: str, line: str) -> str:
    """What was shown in answer to `line`."""
    return shown.split(f">>> {line}\n")[-1]


# The registry


def test_help_lists_every_verb() -> None:
    shown = Talk().run("/help")
    for entry in verbs.VERBS:
        assert f"  {entry.usage} " in shown
        assert entry.summary in shown
        assert entry.details.endswith(".")
    for typed in ("/?", "/", "?"):
        assert after(Talk().run(typed), typed) == after(shown, "/help")


def test_help_for_one_verb() -> None:
    assert "/bye (also /exit, /quit, /q): leave\nLeaves the chat." in Talk().run("/help exit")
    assert after(Talk().run("/help /stats"), "/help /stats").startswith("/stats: speed")
    assert "did you mean /clear?" in Talk().run("/help claer")


@pytest.mark.parametrize("name", [v.names[0] for v in verbs.VERBS if v.argument])
def test_help_gives_an_example_of_what_may_follow(name: str) -> None:
    example = after(Talk().run(f"/help {name}"), f"/help {name}").splitlines()[-1]
    assert example.startswith(f"Example: /{name} ")
    assert "knows no" not in Talk().run("hi", example.removeprefix("Example: "))


def test_help_explains_the_figures() -> None:
    shown = after(Talk().run("/help stats"), "/help stats")
    for figure in (
        "1.42x plain",
        "33 % of drafts",
        "2.6 tokens",
        "plain: drafts",
        "ctx ",
        "copied",
    ):
        assert f"\n  {figure}" in shown


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("/claer", "There is no command /claer; did you mean /clear?"),
        ("/stat", "There is no command /stat; did you mean /stats?"),
        ("/exti", "There is no command /exti; did you mean /exit?"),
        ("/frobnicate it", "There is no command /frobnicate; /help lists the commands."),
        ("/ help", "There is no command / help; did you mean /help?"),
        ("/  Exit now", "There is no command /  exit; did you mean /exit?"),
        ("/retry fast", RETRIES.format('knows no "fast"')),
        ("/retry", RETRIES.format("needs a word after it")),
        ("/export pdf", EXPORTS.format('knows no "pdf"')),
        ("/bye now", "/bye takes nothing after it.\n/bye"),
        ("/retry plain please", "/retry takes one word after it.\n/retry plain|mtp"),
    ],
)
def test_mistakes_do_nothing(typed: str, answer: str) -> None:
    talk = Talk()
    assert talk.run(typed) == f">>> {typed}\n{answer}\n"
    assert talk.chat.open
    assert not talk.engine.requests


def test_a_folder_is_no_verb() -> None:
    talk = Talk()
    talk.run("/tmp what is this?", "/ what is this?", "? what")
    assert [text for role, text in talk.said if role == "user"] == [
        "/tmp what is this?",
        "/ what is this?",
        "? what",
    ]


def test_a_verb_that_breaks_does_not_end_the_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    monkeypatch.setattr(talk.engine, "count", lambda request: 1 / 0)
    talk.run("hi")
    assert "/file failed: division by zero" in talk.run("/file " + str(README), "hi")
    assert len(talk.engine.requests) == 2


def completed(talk: Talk, typed: str) -> list[str]:
    return [text.rstrip() for _, text, _ in verbs.suggestions(talk.chat, typed)]


def test_completion() -> None:
    talk = Talk()
    assert completed(talk, "/") == [f"/{v.names[0]}" for v in verbs.listed()]
    assert completed(talk, "/cl") == ["/clear"]
    assert completed(talk, "/ex") == ["/export"]
    assert completed(talk, "cl") == completed(talk, "/x") == []
    assert completed(talk, "/set th") == ["think", "thoughts"]
    assert completed(talk, "/set parameter te") == ["temperature"]
    assert completed(talk, "/set thoughts ") == ["show", "fold", "hide"]
    assert completed(talk, "/model t") == ["tiny"]
    assert completed(talk, "/draft a") == ["auto"]
    assert completed(talk, "/help regen") == ["regen"]
    assert all(d for *_, d in verbs.suggestions(talk.chat, "/set parameter "))
    assert verbs.path_in("/file a.md my\\ no") == "my\\ no"
    assert verbs.path_in("/file") is verbs.path_in("/set x") is verbs.path_in("file x") is None


# The reply


def test_regen_replaces_the_reply_and_takes_a_new_seed() -> None:
    talk = Talk(Script("First."), Script("Second."), seed=3)
    assert after(talk.run("hi", "/regen"), "/regen").startswith("Second.\n")
    assert talk.said == [("user", "hi"), ("assistant", "Second.")]
    assert talk.saved_texts == [("hi", "Second.")]
    first, second = talk.engine.requests
    assert first.messages == second.messages
    assert first.seed == 3 != second.seed


def test_regen_that_fails_keeps_the_old_reply() -> None:
    talk = Talk(Script("First."), Script(error="The engine is on fire."))
    assert "on fire" in talk.run("hi", "/regen")
    assert talk.said == [("user", "hi"), ("assistant", "First.")]
    assert talk.saved_texts == [("hi", "First.")]
    assert talk.offered[-1] == ""


@pytest.mark.parametrize("verb", ["/regen", "/retry mtp", "/undo", "/edit", "/continue", "/copy"])
def test_without_a_reply_there_is_nothing_to_do(verb: str) -> None:
    talk = Talk()
    assert after(talk.run(verb), verb) == "Nothing was said yet.\nWrite a message first.\n"
    assert not talk.engine.requests


def test_retry_compares_text_and_time() -> None:
    talk = Talk(Script(" ".join(map(str, range(140)))))
    talk.run("/seed 5")
    shown = after(talk.run("hi", "/retry plain"), "/retry plain")
    assert "The text is the same as before.\n" in shown
    assert "before  with drafts      400 tok/s\nnow " in shown
    _, again = talk.engine.requests
    assert (again.seed, again.exact, again.draft) == (5, True, 0)
    talk.run("/retry mtp")
    assert talk.engine.requests[-1].draft == "auto"
    assert len(talk.saved_texts) == 1


def test_retry_of_a_reply_that_was_not_exact() -> None:
    talk = Talk(Script("one two three"), Script("one two four"))
    shown = talk.run("hi", "/retry plain")
    assert "The text differs after 8 characters.\n" in shown
    assert "The reply before was not in exact mode; another /retry" in shown
    assert talk.said[-1] == ("assistant", "one two four")
    assert talk.engine.requests[-1].seed == 7  # the one the engine chose
    assert talk.engine.requests[-1].exact


@pytest.mark.parametrize("verb", ["/race", "/retry mtp"])
def test_without_a_drafter_there_is_nothing_to_compare(verb: str) -> None:
    talk = Talk()
    talk.engine.plain_reason = "there is no drafter for this model"
    shown = talk.run("hi", verb)
    assert after(shown, verb) == (
        "There is nothing to compare: there is no drafter for this model.\n"
    )
    assert len(talk.engine.requests) == 1


def test_continue_goes_on_with_the_same_seed() -> None:
    talk = Talk(Script("one two three four"), max_tokens=2)
    shown = talk.run("count", "/continue")
    assert shown.startswith(">>> count\none two\n")
    assert after(shown, "/continue").startswith(" three four\n")
    first, second = talk.engine.requests
    assert second.messages == (*first.messages, Message.text("assistant", "one two", (0, 1)))
    assert second.seed == 7
    assert talk.saved_texts == [("count", "one two three four")]
    assert talk.saved.turns[0].stats is not None
    assert talk.saved.turns[0].stats.completion_tokens == 4
    assert "token limit" in shown


def test_continue_has_nothing_to_add_to_a_whole_reply() -> None:
    talk = Talk()
    assert "ended by itself" in talk.run("hi", "/continue")
    assert len(talk.engine.requests) == 1


CODE = "Look:\n```python\nprint(1)\n```\nand\n~~~\nx = 2\n~~~\nDone."


@pytest.mark.parametrize(("verb", "text"), [("/copy", CODE), ("/copy code", "x = 2")])
def test_copy_through_the_terminal(verb: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSH_TTY", "/dev/pts/0")
    talk = Talk(Script(CODE))
    talk.show_on(TerminalText())
    shown = talk.run("hi", verb)
    assert f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x1b\\" in shown
    assert "may or may not" in shown


def test_copy_by_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "xclip"
    program.write_text(f'#!/bin/sh\ncat > "{tmp_path}/copied"\n')
    program.chmod(0o755)
    for name in ("SSH_TTY", "SSH_CONNECTION", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    shown = Talk(Script("Rain 雨.")).run("hi", "/copy", "/copy code", "/copy all")
    assert "Copied with xclip.\n" in shown
    assert (tmp_path / "copied").read_text(encoding="utf-8") == "Rain 雨."
    assert "There is no code block in the last reply." in shown
    assert 'knows no "all"' in shown


# The conversation


def test_clear_keeps_the_system_prompt_and_the_saved_conversation() -> None:
    talk = Talk(system="Be brief.")
    talk.run("hi", "/clear", "again")
    assert [m.content for m in talk.engine.requests[1].messages] == ["Be brief.", "again"]
    assert talk.chat.replies == 2
    assert [one.turns for one in talk.env.archive().list()] == [1, 1]


def test_undo_takes_back_message_and_reply() -> None:
    talk = Talk()
    shown = talk.run("one", "two", "/undo")
    assert 'Taken back: "two" and its reply.' in shown
    assert talk.said == [("user", "one"), ("assistant", "Hello there.")]
    assert talk.saved_texts == [("one", "Hello there.")]


@pytest.mark.parametrize("verb", ["/resume 1", "/forget 1"])
def test_an_emptied_conversation_is_not_offered(verb: str, tmp_path: Path) -> None:
    talk = Talk(home=tmp_path)
    shown = talk.run("A secret plan", "/undo", "/chats")
    assert "The conversation is empty now, and /chats does not list it.\n" in shown
    assert after(shown, "/chats") == "Nothing is saved yet.\n"
    assert "There is no conversation 1.\n" in Talk(home=tmp_path).run(verb)
    assert talk.env.archive().read(1).title == ""  # not even the words of what was taken back
    talk.run("again")
    assert talk.saved_texts == [("again", "Hello there.")]


def test_edit_sends_the_message_again() -> None:
    talk = Talk(Script("First."), Script("Second."))
    talk.console.edited = "what now?"
    shown = talk.run("what then?", "/edit")
    assert ">>> /edit\n>>> what now?\nSecond.\n" in shown
    assert talk.said == [("user", "what now?"), ("assistant", "Second.")]
    talk.console.edited = None
    assert "Nothing was changed." in talk.run("/edit")
    assert len(talk.engine.requests) == 2


def test_an_edited_message_that_fails_is_handed_back() -> None:
    talk = Talk(Script("First."), Script(error="The engine is on fire."))
    talk.console.edited = "what now?"
    assert BACK in talk.run("what then?", "/edit")
    assert talk.offered[-1] == "what now?"
    assert talk.said == [("user", "what then?"), ("assistant", "First.")]


def test_titles() -> None:
    talk = Talk()
    shown = talk.run("/title Before  all", "hi", "/title", "/save A poem", "/title")
    assert "Before all\n" in after(shown.partition(">>> /save")[0], "/title")
    assert after(shown, "/title") == "A poem\n"
    assert talk.saved.title == "A poem"
    assert "Ollama" in talk.run("/help save")


def test_chats_and_resume(tmp_path: Path) -> None:
    first = Talk(Script("About rain."), home=tmp_path, system="Be brief.")
    first.run("rain", "and snow?", "/clear", "sun")
    talk = Talk(home=tmp_path)
    shown = talk.run("/chats", "/chats snow", "/chats hail")
    assert shown.index(" sun") < shown.index(" rain")
    assert "sun" not in after(shown.partition(">>> /chats hail")[0], "/chats snow")
    assert 'No saved conversation holds "hail".' in shown
    shown = talk.run("/resume snow", "go on")
    assert "About rain." in shown
    assert [m.content for m in talk.engine.requests[-1].messages][:3] == [
        "Be brief.",
        "rain",
        "About rain.",
    ]
    assert len(talk.saved.turns) == 3
    assert len(talk.env.archive().list()) == 2


def test_resume_picks_from_a_list(tmp_path: Path) -> None:
    Talk(home=tmp_path).run("rain", "/clear", "sun")
    talk = Talk(home=tmp_path)
    talk.console.answers = [1, None]
    assert "rain" in talk.run("/resume")
    assert talk.said[0] == ("user", "rain")
    ((_, choices),) = talk.console.asked
    assert [choice.split()[-1] for choice in choices] == ["sun", "rain"]
    assert talk.console.numbers == [2, 1]  # those of /chats
    assert "Nothing was changed." in talk.run("/resume")
    assert "No saved conversation holds" in talk.run("/resume hail")


def test_the_list_marks_this_conversation_and_fits_any_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = Talk(home=tmp_path)
    long = "How does rain form in clouds over the sea?"
    talk.run(long, "/clear", "sun")
    for columns in (80, 60, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        talk.show_on(TerminalText())
        shown = re.sub(r"\x1b\[\w+", "", talk.run("/chats"))
        _, heads, this, *others = shown.splitlines()
        assert heads.split()[0] == "number"
        assert this.split()[:2] == ["*", "2"]
        assert long.split() == [word for word in " ".join(others).split() if word in long][-9:]
        assert all(len(line) < columns for line in shown.splitlines())


@pytest.mark.parametrize("verb", ["/resume", "/forget"])
def test_numbers_of_no_conversation(verb: str) -> None:
    for number in ("9", "9" * 30):
        shown = Talk().run(f"{verb} {number}")
        assert f"There is no conversation {number}.\n/chats lists them.\n" in shown


def test_resume_loads_the_model_of_the_conversation(tmp_path: Path) -> None:
    Talk(home=tmp_path).run("/model e2b", "rain")
    talk = Talk(home=tmp_path)
    talk.run("/resume rain")
    assert talk.chat.model == "e2b"
    assert talk.env.used == ["tiny"]


def test_resume_goes_on_without_the_model_of_the_conversation(tmp_path: Path) -> None:
    first = Talk(home=tmp_path)
    first.env.pulled.append("31b")
    first.run("/model 31b", "rain")
    talk = Talk(home=tmp_path)
    shown = talk.run("/resume rain", "and snow?")
    assert "31b is not on this machine. tiny goes on with the conversation.\n" in shown
    assert talk.said[:2] == [("user", "rain"), ("assistant", "Hello there.")]
    assert (talk.saved.model, len(talk.saved.turns)) == ("tiny", 2)


PARTED = (
    "Another chat went on with this conversation, or deleted it; "
    "yours is saved as one of its own, number 2 in /chats.\n"
)


def test_two_chats_with_one_conversation_keep_both_and_say_so(tmp_path: Path) -> None:
    mine, other = Talk(home=tmp_path), Talk(home=tmp_path)
    mine.run("one")
    other.run("/resume one", "from the other")
    assert "This is that conversation." in mine.run("/resume 1")
    shown = mine.run("from me", "more")
    assert f">>> from me\n{PARTED}Hello there.\n" in shown
    assert shown.count("Another chat") == 1
    archive = mine.env.archive()
    texts = [[turn.user.content for turn in archive.read(id).turns] for id in (1, 2)]
    assert texts == [["one", "from the other"], ["one", "from me", "more"]]
    assert "Another chat" not in other.run("on")


def test_a_message_without_a_reply_comes_back_on_resume(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    talk = Talk(home=tmp_path)
    talk.run("rain")

    def die(event: object) -> None:
        raise Killed

    talk.chat.printer.show = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        talk.run("and snow?")
    again = Talk(home=tmp_path)
    again.run("/resume rain")
    assert again.said == [("user", "rain"), ("assistant", "Hello there.")]
    assert again.offered[-1] == "and snow?"


def test_forget_asks_first(tmp_path: Path) -> None:
    talk = Talk(home=tmp_path)
    talk.run("rain")
    talk.console.answers = [0, 1]
    assert "Nothing was deleted." in talk.run("/forget 1")
    assert len(talk.env.archive().list()) == 1
    shown = talk.run("/forget 1")
    assert '"rain" is deleted.\nA new conversation.\n' in shown
    assert talk.env.archive().list() == []
    assert talk.said == []


def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    talk = Talk(Script("It is **wet**."))
    shown = talk.run("How is rain?", "/export", "/export json out.json")
    assert "Written to how-is-rain.md.\n" in shown
    assert "It is **wet**." in (tmp_path / "how-is-rain.md").read_text(encoding="utf-8")
    assert "wet" in json.dumps(json.loads((tmp_path / "out.json").read_text(encoding="utf-8")))
    assert "cannot be written" in talk.run("/export md nowhere/x.md")
    assert "There is no user of that name: ~nosuch/x." in talk.run("/export md ~nosuch/x")


@pytest.mark.parametrize(
    ("typed", "name", "kind"),
    [
        ("/export", "how-is-rain.md", "md"),
        ("/export json", "how-is-rain.json", "json"),
        ("/export out.json", "out.json", "json"),
        ("/export OUT.MD", "OUT.MD", "md"),
        ("/export ./out", "out.md", "md"),
        ("/export json out", "out.json", "json"),
        ("/export JSON 'my out'", "my out.json", "json"),
        ("/export my notes.md", "my notes.md", "md"),
    ],
)
def test_format_and_path_say_each_other(
    typed: str, name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert f"Written to {name}.\n" in Talk().run("How is rain?", typed)
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert text.startswith({"md": "# How is rain?", "json": "{"}[kind])


def test_an_export_asks_before_it_replaces_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "rain.md"
    there.write_text("mine")
    (tmp_path / "rain-2.md").write_text("mine, too")
    talk = Talk()
    talk.run("hi")
    talk.console.answers = [None, 0, 1]
    assert "Nothing was written.\n" in talk.run("/export rain.md")
    assert talk.console.asked[0] == (
        "rain.md is there already. Replace it?",
        ("no, write rain-3.md", "yes, replace it"),
    )
    assert "Written to rain-3.md.\n" in talk.run("/export rain.md")
    assert there.read_text() == "mine"
    assert "Written to rain.md.\n" in talk.run("/export rain.md")
    assert there.read_text(encoding="utf-8").startswith("# hi\n")


def test_export_needs_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chats.sqlite").mkdir()
    talk = Talk(Script("It is wet."), home=tmp_path, system="Be brief.")
    assert "Written to how-is-rain.md.\n" in talk.run("How is rain?", "/export md", "/export json")
    assert "It is wet." in (tmp_path / "how-is-rain.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "how-is-rain.json").read_text(encoding="utf-8"))
    assert (found["title"], found["model"], found["system"]) == (
        "How is rain?",
        "tiny",
        "Be brief.",
    )
    assert [one["content"] for one in found["turns"]] == ["How is rain?", "It is wet."]


def test_export_has_what_could_no_longer_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    talk = Talk()
    talk.run("/title Weather", "rain")

    def full(self: Database, work: object) -> None:
        self.problem = "The disk is full."

    monkeypatch.setattr(Database, "write", full)
    assert "The disk is full." in talk.run("snow", "/export md")
    text = (tmp_path / "weather.md").read_text(encoding="utf-8")
    assert "# Weather\n" in text
    assert "> snow\n" in text


# Files


def test_a_file_goes_along_with_the_next_message(tmp_path: Path) -> None:
    path = tmp_path / "my notes.md"
    path.write_text("# Rain\n\nfalls\n", encoding="utf-8")
    talk = Talk()
    shown = talk.run(f'/file "{path}"', "/file", "Sum it up.", "And now?", "/file")
    assert f"attached: {path}, 3 tokens of 8192" in shown
    sent = f'<file name="{path}">\n# Rain\n\nfalls\n</file>\n\nSum it up.'
    assert talk.said[0] == ("user", sent)
    assert talk.said[2] == ("user", "And now?")
    assert after(shown, "/file") == "Nothing is attached.\n"


def test_a_message_that_fails_keeps_its_files(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    talk = Talk(Script(error="The engine is on fire."), Script("Better."))
    talk.run(f"/file {path}", "what?", "what?")
    assert talk.offered[2] == "what?"
    assert talk.said[0][1].endswith("</file>\n\nwhat?")


def test_a_file_is_only_named_where_a_message_is_shown_again(tmp_path: Path) -> None:
    path = tmp_path / "sp ace.txt"
    path.write_text("Rain falls.\n")
    talk = Talk()
    shown = talk.run(f'/file "{path}"', "Sum it up.", "/clear", "/resume sum")
    assert f"[{path}, 1 line]\n" in shown
    assert after(shown, "/resume sum").startswith("Sum it up. (")


def test_read_sends_files_at_once(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name)
    talk = Talk()
    talk.run(f"/read {tmp_path}/*.txt")
    ((_, sent), _) = talk.said
    assert sent.index("a.txt") < sent.index("b.txt")
    assert "c.md" not in sent


def test_a_read_that_fails_attaches_nothing(tmp_path: Path) -> None:
    kept, long = tmp_path / "kept.txt", tmp_path / "long.txt"
    kept.write_text("short")
    long.write_text("word " * 400)
    talk = Talk(context=300)
    shown = talk.run(f"/file {kept}", f"/read {long}", "/file", "what?")
    assert "The message itself is too long, by " in shown
    assert "Nothing of it stays attached; /read tries again.\n" in shown
    assert talk.said[0][1] == f'<file name="{kept}">\nshort\n</file>\n\nwhat?'


def test_clear_leaves_out_what_was_attached(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    talk = Talk()
    assert "What was attached is left out.\n" in talk.run(f"/file {path}", "/clear", "hi")
    assert talk.said[0] == ("user", "hi")
    assert "attached" not in talk.run("/clear")


def test_what_never_ends_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gemma_mtp.files.reading.LARGEST", 1 << 20)
    assert "/dev/zero is a device, not a file" in Talk().run("/file /dev/zero")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: _write_to(pipe))
    writer.start()
    assert "pipe is larger than 1 MiB." in Talk().run(f"/file {pipe}")
    writer.join()


def _write_to(pipe: Path) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.write_bytes(b"x" * (2 << 20))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("x.bin", b"a\0b", "is not text: it holds zero bytes."),
        ("x.png", b"PNG", "is no picture that can be read here."),
        ("missing.txt", None, "cannot be read: No such file or directory."),
        ("*.txt", None, "No file matches"),
        ("x" * 300, None, "cannot be read: File name too long."),
        ("", None, "is a folder."),
    ],
)
def test_files_that_are_refused(name: str, data: bytes | None, said: str, tmp_path: Path) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    talk = Talk()
    shown = talk.run(f"/file {tmp_path / name}", "hi")
    assert said in shown
    assert talk.said[0] == ("user", "hi")


def test_the_folder_of_nobody_is_no_file() -> None:
    assert "~nosuch/x cannot be read: there is no user of that name." in Talk().run(
        "/file ~nosuch/x"
    )


# The model


def test_model_switches_and_keeps_the_conversation() -> None:
    talk = Talk(Script("First."), Script("Second."))
    shown = talk.run("hi", "/model e2b", "and now?")
    assert "e2b is loaded, context 8192." in shown
    assert talk.env.used == ["tiny", "e2b"]
    assert talk.engine.requests[-1].messages == (
        Message.text("user", "hi"),
        Message.text("assistant", "First."),  # without the tokens of the other model
        Message.text("user", "and now?"),
    )
    assert talk.saved.model == "e2b"


@pytest.mark.parametrize("name", ["nosuch", "31b", "e4b"])
def test_a_model_that_does_not_load_leaves_the_old_one(name: str) -> None:
    talk = Talk()
    talk.env.broken = {"e4b": "The file is damaged."}
    shown = talk.run("hi", f"/load {name}", "still there?")
    assert any(why in shown for why in ("no model called", "is not on this machine", "damaged"))
    assert talk.chat.model == "tiny"
    assert len(talk.said) == 4
    assert not talk.engine.closed


def test_options_that_cannot_be_met_leave_the_old_model(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk()
    real = talk.env.load

    def load(files: PairFiles, options: LoadOptions, progress: Callable[[float], bool]) -> Any:
        if options.gpu_layers:
            raise UsageError("There is no GPU here.", "Leave it out.")
        return real(files, options, progress)

    monkeypatch.setattr(talk.env, "load", load)
    shown = talk.run("hi", "/set parameter gpu_layers 9", "/model e2b", "still there?")
    assert "There is no GPU here." in shown
    assert talk.chat.model == "tiny"
    assert len(talk.said) == 4


def test_a_chat_without_a_model_goes_on() -> None:
    talk = Talk()
    talk.run("hi")
    talk.env.broken = {"tiny": "It is gone.", "e2b": "It is damaged."}
    shown = talk.run("/model e2b", "hello?", "/stats")
    assert "No model is loaded.\n/model NAME loads one.\n" in shown
    assert talk.offered[-2:] == ["hello?", ""]
    talk.env.broken = {}
    talk.run("/model tiny", "hello?")
    assert len(talk.said) == 4


def test_a_model_that_can_be_pulled() -> None:
    talk = Talk()
    assert (
        "31b is not on this machine: gemma-mtp pull 31b in another terminal fetches it, then "
        "/model 31b loads it.\n"
    ) in talk.run("/model 31b")
    assert ("31b", "not here: gemma-mtp pull 31b") in [
        (text, what) for _, text, what in verbs.suggestions(talk.chat, "/model 3")
    ]


def test_load_of_a_conversation_leads_to_resume() -> None:
    talk = Talk()
    talk.run("Hello", "/save rain")

    def resolve(model: str | None, drafter: Path | None = None) -> PairFiles:
        raise ModelNotAvailable(f'There is no model called "{model}".', "Known models: tiny.")

    talk.env.resolve = resolve  # type: ignore[method-assign]
    assert "A conversation is called that: /resume rain\n" in talk.run("/load rain")
    assert "Known models: tiny." in talk.run("/load snow")


def test_list_marks_the_loaded_model() -> None:
    assert " * tiny  " in Talk().run("/list")


def test_show() -> None:
    talk = Talk(system="Be brief.")
    shown = talk.run("/show", "/show parameters", "/show system", "/show template", "/show license")
    assert "architecture" in shown
    assert " characters (/show template has it)\n" in shown
    assert "temperature     1.0" in shown
    assert ">>> /show system\nBe brief.\n" in shown
    assert "<|turn>" in shown or "no template" in shown
    assert after(shown, "/show license").strip()
    assert 'knows no "weather".\nKnown: /show info' in talk.run("/show weather")


# Settings


def test_set_parameter() -> None:
    talk = Talk()
    talk.run(
        *("/set parameter temperature 0.3", "/set parameter num_predict 2"),
        *('/set parameter stop END "the end"', "/set parameter seed 4", "/set parameter draft 3"),
        "hi",
    )
    (request,) = talk.engine.requests
    assert request.sampling.temperature == 0.3
    assert (request.max_tokens, request.stop) == (2, ("END", "the end"))
    assert (request.seed, request.exact, request.draft) == (4, True, 3)
    talk.run("/set parameter max_tokens none", "/seed random", "hi")
    assert (talk.engine.requests[-1].max_tokens, talk.engine.requests[-1].seed) == (None, None)
    assert "it is made with 512 when the model is loaded anew" in talk.run(
        "/set parameter num_ctx 512"
    )
    assert "  ctx             8192; from the next load on: 512\n" in talk.run("/show parameters")
    talk.run("/model tiny")
    assert "  ctx             512\n" in talk.run("/show parameters")
    assert talk.env.loaded[-1][1].context == 512


def test_a_longer_context_is_there_at_once() -> None:
    talk = Talk()
    talk.engine.limit = 32768
    assert "The context holds 16384 tokens now.\n" in talk.run("/set ctx 16384")
    assert not talk.engine.closed
    assert "  ctx             16384\n" in talk.run("/show parameters")
    shown = talk.run("/set parameter num_ctx 65536", "/set ctx")
    assert "A context of 65536 tokens is more than this model's 32768." in shown
    assert "ctx is 16384.\n" in shown
    talk.run("/model tiny")
    assert talk.env.loaded[-1][1].context == 16384


def test_a_parameter_needs_no_word_before_it() -> None:
    talk = Talk()
    assert "temperature is 0.5." in talk.run("/set temperature 0.5")
    assert "temperature is 0.5." in talk.run("/set temperature")
    assert "temperature is 0.5." in talk.run("/set parameter temperature")
    talk.run("/set num-ctx 512")
    assert (talk.chat.options.temperature, talk.chat.options.context) == (0.5, 512)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("parameter temperature hot", 'temperature must be a number between 0 and 100, not "hot".'),
        ("parameter temperature 200", "temperature must be a number between 0 and 100, not 200.0."),
        ("top_k 1 2", "top_k takes one value, not 2."),
        ("temprature 1", 'There is no setting "temprature".\nDid you mean temperature?'),
        ("parameter top_k 1 2", "top_k takes one value, not 2."),
        ("parameter max_tokens 0", "\nmax_tokens must be a whole number of at least 1, not 0."),
        ("parameter warmth 1", 'There is no parameter "warmth".\nKnown: temperature,'),
        ("parameter topk 1", 'There is no parameter "topk".\nDid you mean top_k?'),
        ("colour red", 'There is no setting "colour".\nKnown: parameter,'),
        ("paramter seed 1", 'There is no setting "paramter".\nDid you mean parameter?'),
        ("markdown maybe", 'That is on or off, not "maybe".'),
        ("thoughts loud", "thoughts must be one of show, fold, hide"),
        ("verbose please", 'That is on or off, not "please".'),
    ],
)
def test_settings_that_make_no_sense_change_nothing(typed: str, said: str) -> None:
    talk = Talk()
    before = talk.chat.options
    assert said in talk.run(f"/set {typed}")
    assert talk.chat.options == before


def test_how_long_the_model_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    talk, told = Talk(), []
    alone = "This model is loaded for this chat alone, and goes with it."
    assert alone in talk.run("/set keep_alive 1h30m")
    talk.env.stay = lambda pair, options: told.append(options.keep_alive) or True  # type: ignore
    shown = talk.run("/set keepalive 1h30m", "/set keep-alive forever", "/set keep_alive")
    assert "keep_alive is 1h30m from the next reply on." in shown
    assert "keep_alive is forever from the next reply on." in shown
    assert shown.rstrip().endswith("keep_alive is forever.")
    assert told == [5400, -1]
    assert "keep_alive TIME" in talk.run("/set")
    assert "must be off, forever or a time" in talk.run("/set keep_alive soon")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("server http://x", "gemma-mtp chat --server URL"),
        ("api-key secret", "the variable GEMMA_MTP_API_KEY"),
        ("drafter x.gguf", "gemma-mtp chat MODEL --drafter FILE"),
        ("model e2b", "/model NAME switches to another model."),
    ],
)
def test_what_is_no_setting_of_a_chat_is_said_to_be_elsewhere(typed: str, said: str) -> None:
    shown = Talk().run(f"/set {typed}")
    assert said in shown
    assert "no setting" not in shown


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("A smaller context may do: --ctx N.", "A smaller context may do: /set ctx N."),
        (
            "Less may do: a smaller --ctx N, or --kv-type q8_0.",
            "Less may do: a smaller /set ctx N, or /set kv_type q8_0.",
        ),
        ("gemma-mtp chat e2b --ctx 512 does.", "gemma-mtp chat e2b --ctx 512 does."),
        ("llama.cpp's whole log comes with --verbose.",) * 2,
        ("--ctx-size is none", "--ctx-size is none"),
    ],
)
def test_hints_of_the_engine_are_in_the_words_of_the_chat(hint: str, shown: str) -> None:
    talk = Talk()
    talk.chat.failed(DoesNotFit("Too large.", hint), "Loading")
    assert shown in talk.out.getvalue()


def test_system_think_and_draft() -> None:
    talk = Talk()
    shown = talk.run(
        *("/system", "/system Be kind.", "/think on", "/draft off", "hi", "/system", "/draft"),
        *('/set system "Be wise."', "/set nothink", "/draft 1", "hi", '/system ""', "hi"),
    )
    one, two, three = talk.engine.requests
    assert (one.messages[0].content, one.think, one.draft) == ("Be kind.", True, 0)
    assert (two.messages[0].content, two.think, two.draft) == ("Be wise.", False, 1)
    assert three.messages[0].role == "user"
    assert "There is no system prompt" in shown
    assert ">>> /system\nBe kind.\n>>> /draft\nNo drafts: plain decoding.\n" in shown
    assert talk.saved.system == ""


def test_what_is_not_set_reads_well() -> None:
    shown = Talk().run(*(f"/set parameter {name} none" for name in ("stop", "max_tokens", "seed")))
    assert "stop is not set: no text ends a reply.\n" in shown
    assert "max_tokens is not set: no limit.\n" in shown
    assert "seed is not set: another for each reply.\n" in shown
    assert "  ctx             8192, chosen for this machine\n" in Talk().run("/show parameters")


@pytest.mark.parametrize("verb", ["/system", "/set system", "/SET  system"])
def test_a_system_prompt_of_several_lines(verb: str) -> None:
    typed = f'{verb} """one\n\n  "two"\n"""'
    assert not is_open(typed)
    assert is_open(typed.removesuffix('"""'))
    talk = Talk()
    talk.run(typed)
    assert talk.said == [("system", 'one\n\n  "two"')]
    talk.show_on(TerminalText())
    assert '>>> /system\none\n\n  "two"\n' in re.sub(r"\x1b\[\w+", "", talk.run("/system"))
    assert "The system prompt is gone." in talk.run(f"{verb} none")
    talk.run(f'{verb} "none"')
    assert talk.said == [("system", "none")]


def test_a_draft_length_without_a_drafter() -> None:
    talk = Talk()
    talk.engine.plain_reason = "there is no drafter for this model"
    for verb in ("/draft 4", "/draft", "/set parameter draft auto"):
        assert "This model has no drafts: there is no drafter for" in after(talk.run(verb), verb)
    assert "No drafts: plain decoding." in talk.run("/draft off")


def test_settings_of_the_screen_and_the_keyboard() -> None:
    talk = Talk()
    talk.run(
        *("/set markdown off", "/set highlight on", "/set thoughts fold", "/set nowordwrap"),
        *("/set nohistory", "/set vi"),
    )
    view = talk.chat.printer.view
    assert (view.markdown, view.highlight, view.thoughts, view.wrap) == (False, True, "fold", False)
    assert (talk.console.history_on, talk.console.vi) == (False, True)
    talk.run("/set wordwrap", "/set history", "/set emacs")
    view = talk.chat.printer.view
    assert (view.wrap, talk.console.history_on, talk.console.vi) == (True, True, False)


def test_quiet_and_verbose() -> None:
    talk = Talk()
    assert after(talk.run("/set quiet", "hi"), "hi") == "Hello there.\n"
    assert LINE in after(talk.run("/set verbose", "hi"), "hi")


def test_set_lists_the_settings() -> None:
    shown = Talk().run("/set", "/set parameter")
    assert "  thoughts show|fold|hide        show thoughts, put one line in their place, " in shown
    assert "Other words for some of these: noformat, nothink, verbose, quiet, nowordwrap," in shown
    assert f"  {'vi on|off':29}  keys of vi, instead of those of Emacs (now off)\n" in shown
    assert "gemma-mtp config NAME VALUE is for all" in shown
    assert f"  {'format json|FILE|none':29}  JSON, or what a JSON Schema says" in shown
    assert 'the system prompt (now "Be brief.")\n' in Talk(system="Be brief.").run("/set")
    assert "  min_p           0.0" in after(shown, "/set parameter")


@pytest.mark.parametrize(
    ("slowdown", "cost"),
    [
        (None, "It slows plain decoding down."),
        (1.02, "It costs no time here."),
        (1.94, "Without drafts a token takes 1.9 times as long in it here."),
    ],
)
def test_a_seed_says_that_exact_mode_is_on_and_what_it_costs(
    slowdown: float | None, cost: str
) -> None:
    talk = Talk()
    talk.engine.slowdown = slowdown
    said = f"The seed is 7, and exact mode is on. The same seed gives the same text. {cost}\n"
    assert after(talk.run("/seed 7"), "/seed 7") == said
    assert after(talk.run("/seed"), "/seed") == said
    own = "Each reply gets a seed of its own."
    assert after(talk.run("/seed random"), "/seed random") == f"{own}\n"
    assert f"Exact mode is on. The same seed gives the same text. {cost}\n" in talk.run(
        "/set parameter exact true"
    )
    assert after(talk.run("/seed random"), "/seed random") == f"{own} Exact mode stays on.\n"
    assert f"Exact mode is on. The same seed gives the same text. {cost}\n" in talk.run(
        "/set parameter seed 4"
    )
    talk.run("/set parameter exact false")
    assert after(talk.run("/seed 7"), "/seed 7") == "The seed is 7.\n"


# The chat


def test_stats() -> None:
    talk = Talk(Script("a b c d"))
    assert "Nothing was said yet." in talk.run("/stats")
    shown = after(talk.run("hi", "again", "/stats"), "/stats")
    found = report(talk.chat.last, talk.chat.total, 2, talk.engine.info, 80)
    assert shown.splitlines() == found
    assert "400 tok/s" in shown


def test_bye_and_its_other_names() -> None:
    for verb in ("/bye", "/exit", "/quit", " /BYE "):
        talk = Talk()
        talk.run(verb, "never read")
        assert talk.offered == [""]


def test_race_shows_both_and_changes_nothing() -> None:
    talk = Talk(Script("one two three"))
    shown = after(talk.run("count", "/race"), "/race")
    assert "The texts are equal: 3 tokens." in shown
    plain, drafted = talk.engine.requests[1:]
    assert (plain.draft, drafted.draft) == (0, "auto")
    assert plain.seed == drafted.seed == 7
    assert not plain.exact
    assert not drafted.exact
    assert talk.said == [("user", "count"), ("assistant", "one two three")]
    assert talk.chat.replies == 1


def test_a_race_says_that_it_is_not_in_the_exact_mode_of_the_chat() -> None:
    note = "Neither was in exact mode, unlike this chat; it slows plain decoding down."
    assert note not in Talk(Script("one two three")).run("count", "/race")
    talk = Talk(Script("one two three"))
    assert note in talk.run("/seed 5", "count", "/race")
    assert not any(request.exact for request in talk.engine.requests[-2:])


def test_after_retry_plain_stats_do_not_say_that_drafts_are_off() -> None:
    talk = Talk(Script("one two three"))
    talk.run("count")
    talk.chat.last = Stats(drafts="off")  # as after /retry plain
    assert "The last reply was written without drafts." in talk.run("/stats")
    talk.chat.options = talk.chat.options.with_values(draft=0)
    assert "Drafts are off; /draft auto uses them where they pay." in talk.run("/stats")


def test_a_race_has_drafts_also_where_auto_would_use_none() -> None:
    note = "By itself auto used no drafts in that reply; for the race there were 3 a round."
    talk = Talk(Script("one two three"))
    talk.run("count")
    talk.chat.last = Stats(drafts="unprofitable")
    assert note in talk.run("/race")
    assert [request.draft for request in talk.engine.requests[1:]] == [0, 3]
    talk.chat.options = talk.chat.options.with_values(draft=5)
    assert note not in talk.run("/race")[-300:]
    assert talk.engine.requests[-1].draft == 5


@pytest.mark.parametrize(("seconds", "factor"), [(60, 1), (3, 1), (2, 0.5), (0.1, 0.02), (0, 0.01)])
def test_a_race_that_was_over_at_once_is_shown_slowly(seconds: float, factor: float) -> None:
    assert pace(seconds) == factor


def test_answers_are_held_to_a_format_until_it_is_taken_away(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "integer"}')
    talk = Talk()
    talk.run("/set format json", "hi")
    assert talk.engine.requests[-1].grammar == Grammar("json")
    talk.run(f"/set format {schema}", "hi")
    assert talk.engine.requests[-1].grammar == Grammar("json_schema", '{"type": "integer"}')
    talk.run("/set noformat", "hi")
    assert talk.engine.requests[-1].grammar is None


def test_auto_is_told_by_its_own_word() -> None:
    shown = Talk().run("/set parameter gpu_layers auto")
    assert "gpu_layers is auto from the next load on" in shown
