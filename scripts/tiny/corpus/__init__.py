"""Writes the training text of the built-in tiny model: seeded chats in a small, honest world.

`conversations` gives the training chats, `held_out` chats that can never be among them, and
`render` the text of one chat exactly as the chat template has it.
"""

from __future__ import annotations

import random
import zlib

from corpus import counting as counting
from corpus import definitions as definitions
from corpus import follow as follow
from corpus import jokes as jokes
from corpus import kinds as kinds
from corpus import lists as lists
from corpus import memory as memory
from corpus import offtopic as offtopic
from corpus import play as play
from corpus import poems as poems
from corpus import smalltalk as talk
from corpus import stories as stories
from corpus import sums as sums
from corpus import system as prompts
from corpus import terms as terms
from corpus import usage as usage
from corpus import words as words
from corpus.base import Conversation, Exchange, Family, Rng, Turn, first_sentence, noisy, spaced

__all__ = ["Conversation", "Turn", "conversations", "held_out", "render"]

# Each family with its share of the conversations it opens.
FAMILIES: dict[str, tuple[Family, float]] = {
    "sums": (sums.sums, 24),
    "long_sum": (sums.long_sum, 1.6),
    "too_big": (sums.too_big, 3),
    "counting": (counting.counting, 4.5),
    "around": (counting.around, 4.5),
    "claim": (sums.claim, 0.8),
    "small_talk": (talk.small_talk, 12),
    "joke": (jokes.joke, 2.2),
    "haiku": (jokes.haiku, 1.6),
    "concept": (terms.concept, 5),
    "usage": (usage.usage, 5),
    "definition": (definitions.definition, 6.5),
    "opposite": (words.opposite, 2.4),
    "plural": (words.plural, 1.4),
    "colour": (words.colour, 1.2),
    "sound": (words.sound, 0.8),
    "rhyme": (words.rhyme, 0.7),
    "spelling": (words.spelling, 0.7),
    "calendar": (words.calendar, 2),
    "listing": (lists.listing, 6),
    "yes_no": (kinds.yes_no, 1),
    "member": (kinds.member, 1.8),
    "poem": (poems.poem, 2),
    "any_poem": (play.any_poem, 0.8),
    "any_haiku": (play.any_haiku, 0.5),
    "riddle": (play.riddle, 0.9),
    "fact": (play.fact, 0.9),
    "kind_words": (play.kind_words, 0.6),
    "too_far": (counting.too_far, 0.4),
    "code": (poems.code, 1.4),
    "story": (stories.story, 8.5),
    "long_story": (stories.long_story, 1.2),
    "off_topic": (offtopic.off_topic, 16),
}
_BRIEF = ["small_talk", "concept", "usage", "definition", "off_topic", "opposite", "tiny_story"]
# Families whose answers may carry a flavour, and those a user may react to.
_PATTERNED = spaced("""
    sums small_talk concept usage definition off_topic opposite colour joke story around calendar
""")
_REACT = spaced("""
    small_talk concept usage definition opposite colour plural joke around calendar fact haiku
    sound rhyme
""")
_NAMES = list(FAMILIES)
_SHARES = [share for _, share in FAMILIES.values()]
_THINKING = 0.13
_HELD_OUT_PART = 32


def conversations(seed: int, count: int) -> list[Conversation]:
    """Return `count` training chats."""
    return _draw(seed, count, held=False)


def held_out(seed: int, count: int) -> list[Conversation]:
    """Return `count` chats, none of which any call of conversations() can return."""
    return _draw(seed, count, held=True)


def render(conversation: Conversation) -> str:
    """Return the chat as text, from <bos> to the last <turn|> and its newline."""
    turns = conversation.turns
    out = ["<bos>"]
    if conversation.thinking and (not turns or turns[0].role != "system"):
        out.append("<|turn>system\n<|think|>\n<turn|>\n")
    last = max((i for i, turn in enumerate(turns) if turn.role == "model"), default=-1)
    for i, turn in enumerate(turns):
        text = turn.text.strip()
        if conversation.thinking and i == 0 and turn.role == "system":
            text = "<|think|>\n" + text
        if conversation.thinking and i == last and turn.thought:
            text = f"<|channel>thought\n{turn.thought.strip()}\n<channel|>{text}"
        out.append(f"<|turn>{turn.role}\n{text}<turn|>\n")
    return "".join(out)


def _is_held(conversation: Conversation) -> bool:
    return zlib.crc32(render(conversation).encode()) % _HELD_OUT_PART == 0


def _draw(seed: int, count: int, held: bool) -> list[Conversation]:
    rng = random.Random(seed)
    out: list[Conversation] = []
    while len(out) < count:
        for chat in _chats(rng):
            if _is_held(chat) == held:
                out.append(chat)
    return out[:count]


def _chats(rng: Rng) -> list[Conversation]:
    """Return one chat; a thinking chat of several turns comes with all its beginnings."""
    thinking = rng.random() < _THINKING
    system, exchanges = _exchanges(rng, thinking)
    chats = []
    first = 1 if thinking else len(exchanges)
    for length in range(first, len(exchanges) + 1):
        turns = [Turn("system", system)] if system else []
        for part in exchanges[:length]:
            turns.append(Turn("user", part.user))
            turns.append(Turn("model", part.answer, part.thought if thinking else None))
        chats.append(Conversation(turns, thinking))
    return chats


def _exchanges(rng: Rng, thinking: bool) -> tuple[str, list[Exchange]]:
    """Return a system prompt, or "", and one to four exchanges, now and then up to nine."""
    roll = rng.random()
    if roll < 0.1:
        return _with_system(rng)
    if roll < 0.19:
        return _system_maybe(rng), _written(rng, _memory(rng))
    name, parts = _family(rng)
    if rng.random() < (0.85 if thinking else 0.58):
        return "", parts if len(parts) < 2 or not thinking else parts[:1]
    if rng.random() < 0.12:
        parts = _written(rng, [talk.greeting(rng)]) + parts
    parts = _continued(rng, name, parts)
    limit, share = (rng.randint(5, 9), 1.0) if not thinking and rng.random() < 0.12 else (4, 0.45)
    while len(parts) < limit and rng.random() < share:
        name, more = _family(rng)
        parts = _continued(rng, name, parts + more)
    if len(parts) < limit and rng.random() < 0.15:
        last = talk.thanks(rng) if rng.random() < 0.65 else talk.goodbye(rng)
        parts += _written(rng, [last])
    return "", parts[:limit]


def _family(rng: Rng) -> tuple[str, list[Exchange]]:
    """Return a family and one of its exchanges with what belongs to it."""
    name = rng.choices(_NAMES, _SHARES)[0]
    head = FAMILIES[name][0](rng)
    return name, _written(rng, [head, *head.more])


def _written(rng: Rng, parts: list[Exchange]) -> list[Exchange]:
    """Put the noise of hurried typing on the user's side."""
    for part in parts:
        if not part.raw:
            part.user = noisy(rng, part.user)
            part.raw = True
    return parts


def _continued(rng: Rng, name: str, parts: list[Exchange]) -> list[Exchange]:
    """Perhaps add a reaction to the last answer."""
    extra: Exchange | None = None
    if rng.random() < 0.6:
        accepted = follow.offered(rng, parts[-1].answer)
        if accepted:
            return parts + _written(rng, accepted)
    roll = rng.random()
    if roll < 0.12:
        if "\n" not in parts[-1].user:
            extra = follow.asked_before(rng, [part.user for part in parts])
    elif roll < 0.4 and name == "off_topic":
        extra = follow.why_not(rng)
    elif roll < 0.5 and name in _REACT:
        extra = follow.react(rng, parts[-1])
    elif roll < 0.4 and name == "story":
        extra = follow.story_question(rng, parts[-1].answer)
        if extra and rng.random() < 0.5:
            return parts + _written(rng, [extra, *follow.offered(rng, extra.answer)])
    return parts + _written(rng, [extra]) if extra else parts


def _memory(rng: Rng) -> list[Exchange]:
    """Return exchanges that use what was said before, with something else in between at times."""
    roll = rng.random()
    if roll < 0.1:
        return memory.no_name(rng)
    if roll < 0.38:
        return memory.say(rng)
    told, asked = memory.my_name(rng) if roll < 0.8 else memory.favourite(rng)
    if rng.random() < 0.12:
        return [told]
    between: list[Exchange] = []
    while rng.random() < 0.5 and len(between) < 2:
        name = rng.choice(
            ["sums", "small_talk", "definition", "joke", "opposite", "around", "concept", "listing"]
        )
        between.append(FAMILIES[name][0](rng))
    return [told, *between, asked]


def _system_maybe(rng: Rng) -> str:
    return "You are a helpful assistant." if rng.random() < 0.08 else ""


def _with_system(rng: Rng) -> tuple[str, list[Exchange]]:
    """Return a system prompt and exchanges that obey it."""
    if rng.random() < 0.12:
        system, part = prompts.renamed(rng)
        return system, _written(rng, [part])
    system, pattern = prompts.system_prompt(rng)
    if pattern == "{a}":
        return system, _family(rng)[1][:2]
    parts = []
    for _ in range(1 if rng.random() < 0.75 else 2):
        name = rng.choice(_PATTERNED if pattern else _BRIEF)
        part = stories.tiny_story(rng) if name == "tiny_story" else FAMILIES[name][0](rng)
        while not pattern and "\n" in part.answer:
            part = FAMILIES[name][0](rng)
        if pattern:
            part.answer = pattern.replace("{a}", part.answer)
        else:
            part.answer = first_sentence(part.answer)
        parts.append(part)
    return system, _written(rng, parts)
