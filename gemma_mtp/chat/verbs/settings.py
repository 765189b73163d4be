"""Verbs for how replies are written from now on; the registry and `/set` call them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gemma_mtp.chat import parameters
from gemma_mtp.chat.attachments import split_words
from gemma_mtp.chat.loading import INEXACT
from gemma_mtp.chat.verbs.registry import Group, choose, verb
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.options import PARAMETERS, SETTINGS, Options, find
from gemma_mtp.setting import SWITCH
from gemma_mtp.settings import EFFORTS
from gemma_mtp.terminal.prompt.quotes import unquoted
from gemma_mtp.text import clean, counted

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

ON_OFF = ("on", "off")


def is_on(word: str, usage: str) -> bool:
    """Whether a switch is to be on; UsageError with the `usage` for another word."""
    if word.lower() not in SWITCH:
        raise UsageError(f'That is on or off, not "{word}".', usage)
    return SWITCH[word.lower()]


def in_use(chat: Chat) -> parameters.InUse | None:
    """What the loaded pair came to have, where that is not known before."""
    if chat.loaded is None:
        return None
    info = chat.loaded.info
    values = {"context": info.context_size, "threads": info.threads, "gpu_layers": info.gpu_layers}
    return parameters.InUse(chat.loaded_with, values)


def list_parameters(chat: Chat) -> None:
    chat.list(parameters.shown(chat.options, in_use(chat)))


def change(chat: Chat, name: str, words: list[str]) -> None:
    """Change a setting of the chat; raises UsageError and changes nothing for a wrong value."""
    before = chat.options
    chat.options = parameters.changed(chat.options, SETTINGS[name], words, chat.files)
    try:
        chat.heed_taste()
    except GemmaMtpError:
        chat.options = before
        raise


def set_parameter(chat: Chat, rest: str) -> None:
    name, *words = split_words(rest) or [""]
    if not name:
        list_parameters(chat)
        return
    known = find(name)
    if not words:
        values = dict(parameters.shown(chat.options, in_use(chat)))
        chat.note(f"{known.name} is {values[known.name]}.")
        return
    if known.name == "draft":
        draft(chat, " ".join(words))
        return
    if known.at_load and chat.loaded is not None and chat.loaded.info.server:
        raise UsageError(f"{known.name} is for this machine; the server has its own.")
    before = chat.options
    change(chat, known.name, words)
    if known.name == "ctx" and chat.loaded is not None:
        size = chat.options.context or 0
        if size > chat.loaded.info.context_size:
            chat.options = before
            chat.enlarge(size)
        else:
            chat.note(_stays(chat, chat.loaded.info.context_size))
        return
    later = f" from the next load on (/model {chat.model or 'NAME'})" if known.at_load else ""
    chat.note(parameters.told(chat.options, known, later))
    if known.name in ("exact", "seed") and chat.options.is_exact:
        chat.note(f"Exact mode is on. {_cost_of_exact_mode(chat)}")


def _stays(chat: Chat, size: int) -> str:
    """What is said where no longer context was asked for."""
    wanted = chat.options.context
    if wanted == size:
        return f"The context holds {size} tokens."
    later = "its size is chosen for this machine" if wanted is None else f"it is made with {wanted}"
    return (
        f"The context stays at {size} tokens; {later} when the model is loaded anew, as after "
        "gemma-mtp stop."
    )


def keep_alive(chat: Chat, rest: str) -> None:
    """How long the engine keeps the pair of this chat; said to it at once."""
    known = SETTINGS["keep_alive"]
    if chat.loaded is not None and chat.loaded.info.server:
        raise UsageError("keep_alive is for this machine; the server has its own.")
    if rest:
        change(chat, known.name, [rest])
        if chat.loaded is not None and not chat.env.stay(chat.loaded, chat.options):
            chat.note("This model is loaded for this chat alone, and goes with it.")
            return
    value = chat.options.keep_alive
    said = parameters.told(chat.options, known)
    chat.note(said if value is None or not rest else f"{said[:-1]} from the next reply on.")


@verb(
    "system",
    group=Group.SETTINGS,
    argument="[TEXT]",
    words=None,
    summary="set or show the system prompt",
    example="/system Answer in one sentence.",
)
def system(chat: Chat, rest: str) -> None:
    """Sets the system prompt for this conversation from here on; several lines stand between
    triple quotes. /system none takes it away. Without a text it shows the one that is set."""
    if not rest:
        chat.say(chat.conversation.system or "There is no system prompt; /system TEXT sets one.")
        return
    text = "" if rest.lower() == "none" else clean(unquoted(rest)).strip()
    chat.conversation = replace(chat.conversation, system=text)
    if chat.conversation.turns:
        chat.record.save(chat.conversation, chat.model)
    chat.note(
        "The system prompt is set; /system shows it." if text else "The system prompt is gone."
    )


@verb(
    "think",
    group=Group.SETTINGS,
    argument="[on|off|N]",
    words=1,
    choices=choose(
        [("on", "think first"), ("off", "answer at once"), ("500", "think up to 500 tokens")]
    ),
    summary="let the model think before it answers",
    example="/think on",
)
def think(chat: Chat, rest: str) -> None:
    """Switches thinking on or off for the replies to come, or says whether it is on. A number lets
    the model think up to so many tokens, after which its answer begins; low, medium and high are
    512, 2048 and no limit. /set thoughts show|fold|hide says what becomes of the thoughts on the
    screen."""
    if rest:
        chat.options = chat.options.with_values(**_thinking(rest))
    chat.note(think_now(chat.options))


def _thinking(word: str) -> dict[str, Any]:
    """The settings that a word says, or a number of tokens. Raises UsageError."""
    known = word.lower()
    if known in SWITCH:
        return {"think": SWITCH[known]}
    if known in EFFORTS:
        return {"think": EFFORTS[known] != 0, "think_budget": EFFORTS[known]}
    if not known.isdecimal():
        what = f'That is on, off or a number of tokens, not "{word}".'
        raise UsageError(what, "/think on, /think off, or /think 500")
    return {"think_budget": PARAMETERS["think_budget"].parse(known)}


def think_now(options: Options) -> str:
    """Whether the model thinks, and how long, as a sentence."""
    if not options.thinks:
        return "The model does not think before it answers."
    if options.think_budget is None:
        return "The model thinks before it answers."
    upto = f"The model thinks before it answers, up to {counted(options.think_budget, 'token')}"
    return f"{upto}; /set think_budget none takes that limit away."


@verb(
    "seed",
    group=Group.SETTINGS,
    argument="[N|random]",
    words=1,
    choices=choose([("random", "a new seed for each reply")]),
    summary="fix the seed, or let each reply have its own",
    example="/seed 42",
)
def seed(chat: Chat, rest: str) -> None:
    """With a fixed seed a reply is in exact mode: same model, prompt, settings and seed give the
    same text, at any draft length. Without a word it says what is set."""
    try:
        if rest:
            change(chat, "seed", [rest])
    except UsageError as error:
        raise UsageError(
            f'"{rest}" is no seed: that is a whole number of up to 18 digits, such as 42.',
            "/seed random lets each reply have its own.",
        ) from error
    chat.note(_seed(chat))


def _seed(chat: Chat) -> str:
    """What is set, and that exact mode comes with it and what that costs."""
    options = chat.options
    if options.seed is None:
        stays = " Exact mode stays on." if options.is_exact else ""
        return f"Each reply gets a seed of its own.{stays}"
    if not options.is_exact:
        return f"The seed is {options.seed}."
    return f"The seed is {options.seed}, and exact mode is on. {_cost_of_exact_mode(chat)}"


def _cost_of_exact_mode(chat: Chat) -> str:
    """What it gives, where it holds, and what it costs."""
    info = chat.loaded.info if chat.loaded else None
    slowdown = info.exact_slowdown if info else None
    first = INEXACT if info and not info.exact_holds else "The same seed gives the same text."
    if slowdown is None:
        return f"{first} It slows plain decoding down."
    if slowdown < 1.05:  # two timings of the same thing may differ by as much
        return f"{first} It costs no time here."
    return f"{first} Without drafts a token takes {slowdown:.1f} times as long in it here."


@verb(
    "draft",
    group=Group.SETTINGS,
    argument="[auto|off|N]",
    words=1,
    choices=choose([("auto", "chosen while a reply is written"), ("off", "plain decoding")]),
    summary="draft length: chosen while running, none, or fixed",
    example="/draft 4",
)
def draft(chat: Chat, rest: str) -> None:
    """Sets how many tokens the drafter proposes in each round: auto measures what pays, off is
    plain decoding, a number is fixed. Without a word it says what is set. A model without a
    drafter decodes plainly, whatever is set."""
    if rest:
        change(chat, "draft", [rest])
    setting = chat.options.draft
    reason = chat.loaded.info.plain_reason if chat.loaded else ""
    if reason and setting != 0:
        chat.note(f"This model has no drafts: {reason}. The setting is kept for other models.")
    elif setting == "auto":
        chat.note("The draft length is chosen while a reply is written.")
    elif setting == 0:
        chat.note("No drafts: plain decoding.")
    else:
        chat.note(f"Each round drafts {counted(setting, 'token')}.")
