"""Building blocks of the training text: conversations, questions with answers, and user noise."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache


@dataclass
class Turn:
    """One turn of a chat; `thought` is what a model turn thinks before it answers."""

    role: str
    text: str
    thought: str | None = None


@dataclass
class Conversation:
    """A chat; with `thinking` its last model turn shows its thought."""

    turns: list[Turn]
    thinking: bool = False


@dataclass
class Exchange:
    """One question with its answer, and what a thinking model would think in between.

    `raw` keeps the user text free of noise. `more` holds follow-up exchanges that belong to it.
    """

    user: str
    answer: str
    thought: str = ""
    raw: bool = False
    more: list[Exchange] = field(default_factory=list)


Rng = random.Random
Family = Callable[[Rng], Exchange]


@cache
def pool(text: str) -> list[str]:
    """Return the parts of a text between bars, each with its spaces and line breaks tidied."""
    return [" ".join(part.split()) for part in text.split("|")]


@cache
def spaced(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


@dataclass(frozen=True)
class Topic:
    """Ways to ask for one thing, its answers, and what a thinking model would think."""

    thought: str
    asks: list[str]
    answers: list[str]


def sheet(text: str) -> list[Topic]:
    """Read topics: a thought, which may be missing, a part after "? " and a part after "! "."""
    out = []
    for block in text.strip().split("\n\n"):
        thought, _, asks, _, answers = re.split(r"^\s*([?!]) ", block, flags=re.MULTILINE)
        out.append(Topic(" ".join(thought.split()), pool(asks), pool(answers)))
    return out


def steps(text: str) -> list[list[str]]:
    """Read the steps of a plot, each after "- " and with alternatives between bars."""
    return [pool(part) for part in re.split(r"^\s*- ", text, flags=re.MULTILINE)[1:]]


def choose(rng: Rng, text: str) -> str:
    """Return one of the parts of a text between bars."""
    return pick(rng, pool(text))


def pick(rng: Rng, items: Sequence[str]) -> str:
    """Return one of the items."""
    return items[int(rng.random() * len(items))]


def capital(text: str) -> str:
    """Return text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """Return the noun with "a" or "an" before it."""
    return ("an " if noun[:1].lower() in "aeiou" else "a ") + noun


def first_sentence(text: str) -> str:
    """Return the first sentence of a text that has no list in it."""
    for i, char in enumerate(text):
        if char in ".!?" and text[i + 1 : i + 2] in ("", " ", "\n"):
            return text[: i + 1]
    return text


_BEFORE = [
    *("please ", "can you ", "could you ", "hey, ", "hi, ", "ok, ", "so, ", "hello, ", "now "),
    *("would you please ", "um, ", "well, ", "quick question: ", "tell me, ", "hey there, "),
]
_AFTER = [
    *(" please", ", please", " thanks", " :)", " pls", " thank you", "!", "!!", " for me", "..."),
]
_SHORT = {
    "what is": "whats",
    "What is": "Whats",
    "you": "u",
    "please": "pls",
    "are": "r",
    "What's": "whats",
    "do not": "dont",
    "because": "cuz",
    "tell me": "gimme",
    "I am": "im",
    "and": "&",
}
_IMPERATIVE = spaced("""
    tell write give list name count make show explain define say describe add subtract multiply
    calculate compute spell help sing summarize translate sort solve
""")


def noisy(rng: Rng, text: str) -> str:
    """Write text as hurried strangers do: lower case, no full stop, small words, typos."""
    if rng.random() < 0.16:
        text = _polite(rng, text)
    roll = rng.random()
    if roll < 0.42:
        text = text.lower()
    elif roll < 0.46:
        text = text.upper()
    if rng.random() < 0.42:
        text = text.rstrip("?.!")
    if rng.random() < 0.12:
        text = text.replace("'", "").replace(",", "")
    if rng.random() < 0.06:
        long, short = pick_pair(rng)
        text = " ".join(short if word == long else word for word in text.split(" "))
        text = text.replace(long + " ", short + " ") if " " in long else text
    if rng.random() < 0.1:
        text = _typo(rng, text)
    if rng.random() < 0.03:
        text = text + " "
    return text.strip() if rng.random() < 0.98 else text + "??"


def pick_pair(rng: Rng) -> tuple[str, str]:
    """Return a long spelling and its short one."""
    return rng.choice(list(_SHORT.items()))


def _polite(rng: Rng, text: str) -> str:
    """Put a polite word before or after the question."""
    if "\n" in text or len(text) < 9:
        return text
    if rng.random() < 0.6:
        before = pick(rng, _BEFORE)
        imperative = text.split(" ")[0].lower() in _IMPERATIVE
        if (
            before.strip(", ") in {"can you", "could you", "please", "would you please"}
            and not imperative
        ):
            before = pick(rng, ["hey, ", "hi, ", "ok, ", "so, ", "tell me, "])
        return capital(before) + text[:1].lower() + text[1:]
    stem, end = (text[:-1], text[-1]) if text[-1:] in "?.!" else (text, "")
    after = pick(rng, _AFTER)
    return stem + after if after[0] in "!." else stem + after + end


def _typo(rng: Rng, text: str) -> str:
    """Spoil one longer word: swap, drop or double a letter."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if not places:
        return text
    place = rng.choice(places)
    word = words[place]
    i = rng.randrange(1, len(word) - 1)
    kind = rng.random()
    if kind < 0.4:
        word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    elif kind < 0.75:
        word = word[:i] + word[i + 1 :]
    else:
        word = word[:i] + word[i] + word[i:]
    words[place] = word
    return " ".join(words)
