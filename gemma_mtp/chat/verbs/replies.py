"""What can be done with the last reply: again, otherwise, further, compared, copied.

The registry calls them; `chat.reply` writes the reply.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from gemma_mtp.api import DraftSetting, Turn
from gemma_mtp.chat.comparison import compared
from gemma_mtp.chat.reply import write_turn
from gemma_mtp.chat.verbs.registry import Group, choose, unknown_word, verb
from gemma_mtp.errors import UsageError
from gemma_mtp.terminal import clipboard

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

# "mtp" means all drafters of the pair and the text, as the controller chooses among them.
MODES: dict[str, DraftSetting] = {"plain": 0, "mtp": "auto"}
RETRIES = (("plain", "without drafts"), ("mtp", "with drafts"))


def last_turn(chat: Chat) -> Turn:
    """The last exchange, or an error that there is none."""
    turn = chat.conversation.last
    if turn is None:
        raise UsageError("Nothing was said yet.", "Write a message first.")
    return turn


def _up_to_reply(turn: Turn) -> Turn:
    """An exchange without its last reply, but with the tools that were called for it: they are not
    called again."""
    before = turn.replies if turn.reply is None else turn.replies[:-1]
    return Turn(turn.user, before)


def need_drafter(chat: Chat) -> None:
    """An error where there can be no drafts, and so nothing to compare."""
    reason = chat.engine.info.plain_reason
    if reason:
        raise UsageError(f"There is nothing to compare: {reason}.")


@verb(
    *("regen", "regenerate"),
    group=Group.REPLY,
    summary="write the last reply again, with another seed",
)
def regen(chat: Chat, rest: str) -> None:
    """Writes another reply to the last message, with a new seed, in place of the last one; it may
    call tools anew. If it is stopped before its first word, the last one stays."""
    turn = last_turn(chat)
    draft = chat.conversation.with_last(Turn(turn.user))
    write_turn(chat, draft, chat.options.seeded(secrets.randbits(32)))


@verb(
    "retry",
    group=Group.REPLY,
    argument="plain|mtp",
    words=1,
    choices=choose(RETRIES),
    summary="compare the reply's text without and with drafts",
    example="/retry plain",
)
def retry(chat: Chat, rest: str) -> None:
    """Writes the last reply again with the same seed in exact mode, plain (every token by the
    model alone) or mtp (with drafts), and says whether the text is the same, and how
    fast both were if the one before was exact, too. Exact mode slows plain decoding down; /race
    compares the speeds. A first reply that was not written in exact mode can
    differ by a near-tie between two words; a second /retry compares two exact ones."""
    draft = MODES.get(rest.lower())
    if draft is None:
        raise unknown_word("retry", rest, RETRIES, "/regen writes another reply.")
    turn = last_turn(chat)
    if draft != 0:
        need_drafter(chat)
    if turn.seed is None:
        raise UsageError("The seed of the last reply is not known.", "/regen writes another one.")
    if draft != 0 and chat.options.draft != 0:
        draft = chat.options.draft
    options = replace(chat.options, seed=turn.seed, exact=True, draft=draft)
    if write_turn(chat, chat.conversation.with_last(_up_to_reply(turn)), options):
        for line in compared(turn, last_turn(chat)):
            chat.say(line)


@verb("continue", group=Group.REPLY, summary="go on with a reply that was stopped")
def go_on(chat: Chat, rest: str) -> None:
    """Goes on with a reply that was stopped by Ctrl-C, by the token limit, by a full context, or
    by an error, at the very place where it broke off and with the same seed."""
    turn = last_turn(chat)
    if not turn.replies:
        raise UsageError("There is no reply yet.", "/regen writes one.")
    if turn.reason == "stop" and turn.reply is not None:
        raise UsageError("The last reply ended by itself.", "/regen writes another one.")
    options = chat.options if turn.seed is None else chat.options.seeded(turn.seed)
    write_turn(chat, chat.conversation, replace(options, exact=turn.exact or options.is_exact))


@verb(
    "copy",
    group=Group.REPLY,
    argument="[code]",
    words=1,
    choices=choose([("code", "only the last code block")]),
    summary="the last reply, or its last code block, to the clipboard",
    example="/copy code",
)
def copy(chat: Chat, rest: str) -> None:
    """Copies the last reply, or with `code` its last code block, by the clipboard program of this
    desktop; without one, or on a remote machine, through the terminal (OSC 52), which not all
    terminals take."""
    turn = last_turn(chat)
    text = turn.answer
    if rest and rest.lower() != "code":
        raise UsageError(
            f'/copy knows no "{rest}".', "/copy takes the reply, /copy code its last code block."
        )
    if rest:
        code = clipboard.last_code(text)
        if code is None:
            raise UsageError("There is no code block in the last reply.", "/copy takes all of it.")
        text = code
    screen = chat.printer.screen
    chat.note(clipboard.copy(text, screen.notes if screen.live else None))


@verb(
    "race", group=Group.REPLY, summary="the last message once plain, once with drafts, side by side"
)
def race(chat: Chat, rest: str) -> None:
    """Writes the reply to the last message twice with one seed, first plain and then with drafts,
    and shows both side by side at the speed at which they were written, in slow motion if that was
    less than 3 s; equal text is marked. It ends with what drafts did to the speed, unless the reply
    has fewer than 64 tokens or the machine was busy. Neither is written in exact mode, which slows
    plain decoding down, so a near-tie may part them. The conversation stays as it is."""
    from gemma_mtp.chat import race

    need_drafter(chat)
    turn = last_turn(chat)
    draft = chat.conversation.with_last(_up_to_reply(turn))
    race.race(chat, draft, turn.seed if turn.seed is not None else secrets.randbits(32))
