"""System prompts in the training text and how the model obeys them."""

from __future__ import annotations

from corpus.base import Exchange, Rng, capital, choose, pick, pool, spaced
from corpus.memory import any_name
from corpus.self import PARAMETERS

_NEUTRAL = pool("""
    You are a helpful assistant. | You are a helpful assistant. | You are a friendly assistant. | Be
    helpful. | Be friendly. | You are tiny, a toy model. | Answer the user's questions. | You are a
    chat model. | You are an AI assistant. Be polite. | Help the user. | You are a useful assistant
    in a terminal. | Answer truthfully. | You are gemma-mtp. | Speak English.
""")
_BRIEF = pool("""
    Answer in one sentence. | Reply with one sentence only. | Be brief. | Keep your answers short. |
    Use one sentence. | Answer briefly. | Be concise. | Always answer in one sentence.
""")
_FLAVOURS = [
    (
        pool("""
        You are a pirate. | Talk like a pirate. | Answer like a pirate. | You are an old pirate
        captain.
    """),
        "Arr! {a}",
    ),
    (
        pool("""
        You are a robot. | Talk like a robot. | Answer like a robot.
    """),
        "Beep. {a} Beep.",
    ),
    (
        pool("""
        You are a cat. | Talk like a cat. | Answer like a cat.
    """),
        "Meow! {a}",
    ),
    (
        pool("""
        You are a dog. | Talk like a dog. | Answer like a dog.
    """),
        "Woof! {a}",
    ),
    (
        pool("""
        Be very cheerful. | You are very cheerful. | Always be enthusiastic.
    """),
        "Hooray! {a}",
    ),
    (
        pool("""
        End every answer with a smile. | Always end with a smiley. | Add a smiley to each answer.
    """),
        "{a} :)",
    ),
    (["You are a knight.", "Talk like a knight."], "By my sword! {a}"),
]
_WORDS = spaced("""
    hello well listen look oh hey ha hm yes friend captain dear boss sir madam banana fox okay
""")


def system_prompt(rng: Rng) -> tuple[str, str]:
    """Return a system prompt and the pattern of the answers; "" stands for one sentence."""
    roll = rng.random()
    if roll < 0.45:
        return pick(rng, _NEUTRAL), "{a}"
    if roll < 0.65:
        return pick(rng, _BRIEF), ""
    if roll < 0.88:
        texts, pattern = rng.choice(_FLAVOURS)
        return pick(rng, texts), pattern
    word = capital(pick(rng, [*_WORDS, any_name(rng)]))
    text = choose(
        rng,
        """
        Begin every answer with {w}. | Start each answer with {w}. | Begin every answer with "{w}".
        | Always start with the word {w}.
    """,
    )
    return text.replace("{w}", word), word + "! {a}"


def renamed(rng: Rng) -> tuple[str, Exchange]:
    """Return a system prompt that gives the model or the user a name, and a question about it."""
    name = any_name(rng)
    if rng.random() < 0.5:
        text = choose(
            rng,
            """
            Your name is {n}. | You are {n}. | You are called {n}. | You are a helpful assistant
            named {n}.
        """,
        ).replace("{n}", name)
        ask = choose(
            rng,
            """
            Who are you? | who are you | What is your name? | whats your name | What are you called?
            | Introduce yourself. | hi, who is this?
        """,
        )
        return text, Exchange(
            ask, f"I am {name}, a toy model with {PARAMETERS}.", f"My name here is {name}."
        )
    text = choose(
        rng,
        """
        The user is called {n}. | The user's name is {n}. | You talk with {n}. | You are talking to
        {n}.
    """,
    ).replace("{n}", name)
    ask = choose(
        rng,
        """
        What is my name? | whats my name | Do you know my name? | who am I? | What am I called?
    """,
    )
    return text, Exchange(ask, f"Your name is {name}.", f"The system text says the user is {name}.")
