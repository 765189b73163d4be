"""Verbs for how replies are written from now on. Knows the chat."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.arguments import clean
from gemma_mtp.chat import parameters
from gemma_mtp.chat.attachments import split_words
from gemma_mtp.chat.verbs.registry import GROUPS, choose, verb
from gemma_mtp.errors import UsageError

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

GROUP = GROUPS[4]
SWITCH = {"on": True, "off": False}


def one_of(word: str, known: dict[str, bool], usage: str) -> bool:
    if word.lower() not in known:
        raise UsageError(f'That is {" or ".join(known)}, not "{word}".', usage)
    return known[word.lower()]


def set_parameter(chat: Chat, rest: str) -> None:
    name, *words = split_words(rest) or [""]
    if not name:
        for field, value in parameters.shown(chat.options):
            chat.say(f"  {field:15} {value}")
        return
    known = parameters.find(name)
    if known.field == "draft":
        draft(chat, " ".join(words))
        return
    chat.options = parameters.changed(chat.options, name, words)
    value = dict(parameters.shown(chat.options))[known.field]
    later = f" once a model is loaded: /model {chat.model}" if known.reload else ""
    chat.note(f"{known.field} is {value}{later}.")


@verb("system", group=GROUP, argument="[TEXT]", words=None, summary="set or show the system prompt")
def system(chat: Chat, rest: str) -> None:
    """Sets the system prompt for this conversation from here on; /system "" takes it away. Without
    a text it shows the one that is set."""
    quoted = len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'"
    text = clean(rest[1:-1] if quoted else rest)
    if not rest:
        chat.say(chat.conversation.system or "There is no system prompt; /system TEXT sets one.")
        return
    chat.conversation = replace(chat.conversation, system=text.strip())
    if chat.conversation.turns:
        chat.record.save(chat.conversation, chat.model)
    chat.note("The system prompt is set." if text.strip() else "The system prompt is gone.")


@verb(
    "think",
    group=GROUP,
    argument="[on|off]",
    words=1,
    choices=choose([("on", "think first"), ("off", "answer at once")]),
    summary="let the model think before it answers",
)
def think(chat: Chat, rest: str) -> None:
    """Switches thinking on or off for the replies to come, or says whether it is on. /set thoughts
    show|fold|hide says what becomes of the thoughts on the screen."""
    if rest:
        on = one_of(rest, SWITCH, "/think on, or /think off")
        chat.options = replace(chat.options, think=on)
    chat.note(
        f"The model {'thinks' if chat.options.think else 'does not think'} before it answers."
    )


@verb(
    "seed",
    group=GROUP,
    argument="[N|random]",
    words=1,
    choices=choose([("random", "a new seed for each reply")]),
    summary="fix the seed, or let each reply have its own",
)
def seed(chat: Chat, rest: str) -> None:
    """With a fixed seed a reply is in exact mode: same model, prompt, settings and seed give the
    same text, at any draft length. Without a word it says what is set."""
    if rest:
        word = "none" if rest.lower() == "random" else rest
        chat.options = parameters.changed(chat.options, "seed", [word])
    seed = chat.options.seed
    chat.note("Each reply gets a seed of its own." if seed is None else f"The seed is {seed}.")


@verb(
    "draft",
    group=GROUP,
    argument="[auto|off|N]",
    words=1,
    choices=choose([("auto", "chosen while a reply is written"), ("off", "plain decoding")]),
    summary="draft length: chosen while running, none, or fixed",
)
def draft(chat: Chat, rest: str) -> None:
    """Sets how many tokens the drafter proposes in each round: auto measures what pays, off is
    plain decoding, a number is fixed. Without a word it says what is set."""
    if rest:
        chat.options = parameters.changed(chat.options, "draft", [rest])
    setting = chat.options.draft_setting()
    if setting == "auto":
        chat.note("The draft length is chosen while a reply is written.")
    elif setting == 0:
        chat.note("No drafts: plain decoding.")
    else:
        chat.note(f"Each round drafts {setting} {'token' if setting == 1 else 'tokens'}.")
