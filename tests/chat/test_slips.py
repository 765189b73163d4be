"""What people type who come from other programs, and what they are answered.

Each row is a line typed into a chat after one exchange, and the beginning of what is shown. Nothing
of it may reach the model, but for what is marked as sent.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.drawn import png
from support.talk import BACK, Talk

from gemma_mtp.chat import verbs
from gemma_mtp.chat.verbs.others import HINTS

REPLY = "Hello there.\n"
NEW = "A new conversation. /resume finds the old one.\n"
FIGURES = "Figures are shown below each reply.\n"
NO_FIGURES = "Replies come without figures; see /stats.\n"
SEEDS = (
    '"{}" is no seed: that is a whole number of up to 18 digits, such as 42.\n'
    "/seed random lets each reply have its own.\n"
)
STAYS = (
    "The context stays at 8192 tokens; it is made with 4096 when the model is loaded anew, as "
    "after gemma-mtp stop.\n"
)
OWN_SEED = "Each reply gets a seed of its own.\n"
HELP = "The conversation\n  /clear"
AS_MESSAGE = 'To send it as a message, put """ before and after it.\n'

ANSWERS = {
    # Other programs' names of what is here.
    "/new": NEW,
    "/reset": NEW,
    "/Clear": NEW,
    "/ls": " * tiny  ",
    "/models": " * tiny  ",
    "/switch": "tiny is loaded; /list names those on this machine.\n",
    "/load e2b": "e2b is loaded, context 8192.\n",
    "/rename Rain": 'This conversation is called "Rain".\n',
    "/attach nope.txt": "nope.txt cannot be read: No such file or directory.\n",
    "/save": "The conversation is saved by itself; a name is what /save gives it.\n",
    "/save Rain": 'This conversation is called "Rain".\n',
    "/info": "tiny: Tiny built-in pair",
    "/license": "Apache-2.0\n",
    "/parameters": "  temperature     1.0\n",
    "/show modelfile": "FROM tiny\n",
    "/modelfile": "FROM tiny\n",
    # Help in other words.
    "/h": HELP,
    "/?": HELP,
    "/Help": HELP,
    " /help": HELP,
    "/ help": "There is no command / help; did you mean /help?\n",
    "/HELP set": "/set NAME [VALUE]: change a setting",
    "/help new": "/clear (also /new, /reset): begin a new conversation\n",
    "/help redo": "There is no command /redo. /regen writes the last reply again",
    "/help temp": "/set temperature VALUE: Randomness",
    "/help nothink": "/set nothink: as /set think off\n",
    # Settings without /set, and Ollama's words for them.
    "/temp 0.5": "temperature is 0.5.\n",
    "/temperature 0.5": "temperature is 0.5.\n",
    "/top-k 5": "top_k is 5.\n",
    "/num_predict 20": "max_tokens is 20.\n",
    "/ctx 4096": STAYS,
    "/verbose": FIGURES,
    "/quiet": NO_FIGURES,
    "/no_think": "The model does not think before it answers.\n",
    "/set temperature 2": "temperature is 2.0.\n",
    "/set parameter num_ctx 4096": STAYS,
    "/set verbose off": NO_FIGURES,
    "/set verbose ON": FIGURES,
    "/set quiet off": FIGURES,
    "/set think off": "The model does not think before it answers.\n",
    "/set think on": "The model thinks before it answers.\n",
    "/set nothink off": "The model thinks before it answers.\n",
    "/set nothink": "The model does not think before it answers.\n",
    "/set think high": "The model thinks before it answers.\n",
    "/think 500": "The model thinks before it answers, up to 500 tokens; "
    "/set think_budget none takes that limit away.\n",
    "/think a bit": "/think takes one word after it.\n/think [on|off|N]\n",
    "/think hard": 'That is on, off or a number of tokens, not "hard".\n'
    "/think on, /think off, or /think 500\n",
    "/set history off": "What is typed is kept for this chat only.\n",
    "/set nohistory off": "What is typed is kept for the chats to come.\n",
    "/set wordwrap false": "Lines break where the screen ends.\n",
    "/set nowordwrap off": "Lines break between words.\n",
    "/set emacs off": "Lines are edited with vi keys now.\n",
    "/set vi off": "Lines are edited with Emacs keys now.\n",
    "/set markdown maybe": 'That is on or off, not "maybe".\n/set markdown on, or /set markdown',
    "/set quiet maybe": 'That is on or off, not "maybe".\n/set quiet, or /set quiet off\n',
    "/set thoughts": "Thoughts are shown, dim.\n",
    "/set format json": "Answers are JSON.\n",
    "/set format nope.json": "nope.json cannot be read: No such file or directory.\n",
    "/set noformat": "Answers are in no given format.\n",
    "/set system Be brief.": "The system prompt is set; /system shows it.\n",
    "/set tempreature 1": 'There is no setting "tempreature".\nDid you mean temperature?\n',
    # Seeds.
    "/seed abc": SEEDS.format("abc"),
    "/seed 3.5": SEEDS.format("3.5"),
    "/seed 99999999999999999999": SEEDS.format("9" * 20),
    "/seed -1": OWN_SEED,
    "/seed none": OWN_SEED,
    "/seed random": OWN_SEED,
    "/set seed random": "seed is not set: another for each reply.\n",
    # What has another name, or is done elsewhere.
    "/redo": "There is no command /redo. /regen writes the last reply again",
    "/retry": "/retry needs a word after it.\nKnown: /retry plain (without drafts), /retry mtp",
    "/history": "There is no command /history. /chats lists saved conversations",
    "/delete 1": "There is no command /delete. /forget N deletes a saved conversation",
    "/rm e2b": "There is no command /rm. /forget N deletes a saved conversation; gemma-mtp rm",
    "/pull e2b": "There is no command /pull. gemma-mtp pull NAME, typed in another terminal",
    "/run e2b": "There is no command /run. /model NAME switches to another model.\n>>> ",
    "/stop": "There is no command /stop. Ctrl-C stops a reply",
    "/format json": "Answers are JSON.\n",
    "/image pic.png": "attached: [picture pic.png 4x3], 100 tokens of 8192\n",
    "/video a.mp4": "There is no command /video. /image shows pictures to the model, /audio plays",
    # Slips of the fingers.
    "/claer": "There is no command /claer; did you mean /clear?\n",
    "/regne": "There is no command /regne; did you mean /regen?\n",
    "/foo": "There is no command /foo; /help lists the commands.\n",
    "/foo is what?": f"There is no command /foo; /help lists the commands.\n{AS_MESSAGE}",
    "/tmp": f"There is no command /tmp; /help lists the commands.\n{AS_MESSAGE}",
    "/clear all": "/clear takes nothing after it.\n/clear\n",
    "/undo 2": "/undo takes nothing after it.\n/undo\n",
    "/think on please": "/think takes one word after it.\n/think [on|off|N]\n",
    "/resume rain": 'No saved conversation holds "rain".\n/chats lists them.\n',
    "/forget all": "/forget needs the number of a conversation.\n/chats lists them.\n",
    "/read": "/read needs a path.\n/read notes.md\n",
    # Exports.
    "/export": "Written to hi.md.\n",
    "/export chat.json": "Written to chat.json.\n",
    "/export pdf": '/export knows no "pdf".\nKnown: /export md (Markdown, to read), /export json',
    "/export out.pdf": '/export knows no "out.pdf".\nKnown: /export md (Markdown, to read)',
}
SENT = {
    "/usr/bin/env is what?": REPLY,
    "/etc/passwd": REPLY,
    "//text": REPLY,
    "/tmp is what?": REPLY,
    '"""/clear means what?"""': REPLY,
    "help": f"/help lists the commands.\n{REPLY}",
    "Help": f"/help lists the commands.\n{REPLY}",
    "exit the loop": REPLY,
    "How do I convert ./pic.png to JPEG": (
        f"attached: [picture pic.png 4x3], 100 tokens of 8192\n{REPLY}"
    ),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pic.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)


def asked(line: str, *answers: int | None) -> tuple[Talk, str]:
    """A chat with an exchange in it, and what it showed for `line`."""
    talk = Talk()
    talk.run("hi")
    talk.console.answers = [*answers]
    return talk, f"{talk.run(line)}>>> ".removeprefix(f">>> {line}\n")


@pytest.mark.parametrize("line", ANSWERS)
def test_a_slip_is_answered_with_what_was_meant(line: str) -> None:
    talk, shown = asked(line)
    assert shown.startswith(ANSWERS[line])
    assert talk.chat.open
    assert len(talk.engine.requests) == 1


@pytest.mark.parametrize("line", SENT)
def test_what_only_looks_like_a_command_is_sent(line: str) -> None:
    talk, shown = asked(line)
    assert shown.startswith(SENT[line])
    assert talk.engine.requests[-1].messages[-1].content == line.strip('"')


@pytest.mark.parametrize("name", [name for verb in verbs.VERBS for name in verb.names[1:]])
def test_help_knows_the_names_of_other_programs(name: str) -> None:
    verb = next(verb for verb in verbs.VERBS if name in verb.names)
    assert asked(f"/help {name}")[1].startswith(f"{verb.usage} (also /")


def test_regenerate_is_regen() -> None:
    talk, shown = asked("/regenerate")
    assert shown.startswith(REPLY)
    assert len(talk.chat.conversation.turns) == 1


@pytest.mark.parametrize("line", ["/bye", "/exit", "/quit", "/q", "/QUIT"])
def test_ways_out(line: str) -> None:
    talk, _ = asked(line)
    assert not talk.chat.open


@pytest.mark.parametrize("line", ["exit", "Quit", "bye", "q", ":q", "exit()", r"\q", ".exit"])
def test_a_word_that_ends_other_programs_is_asked_about(line: str) -> None:
    talk, _ = asked(line, 0)
    assert not talk.chat.open
    assert talk.console.asked == [("Leave the chat?", ("yes, leave", "no, send it"))]
    assert len(talk.engine.requests) == 1
    talk, shown = asked(line, 1)
    assert shown.startswith(REPLY)
    assert talk.said[-2] == ("user", line)
    talk, shown = asked(line, None)
    assert shown == f"{BACK}>>> "
    assert len(talk.engine.requests) == 1


@pytest.mark.parametrize("hint", sorted(set(HINTS.values())))
def test_every_hint_leads_to_what_there_is(hint: str) -> None:
    for word in (word.strip(".,;") for word in hint.split() if word.startswith("/")):
        assert any(word == f"/{verb.names[0]}" for verb in verbs.VERBS), word


def test_other_programs_words_are_not_completed() -> None:
    talk = Talk()
    assert [text for _, text, _ in verbs.suggestions(talk.chat, "/ex")] == ["/export "]
    assert not [*verbs.suggestions(talk.chat, "/qu")]
