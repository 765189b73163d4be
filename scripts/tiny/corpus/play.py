"""Amusements of the training text: riddles, facts, kind words, a poem and a haiku on anything."""

from __future__ import annotations

from corpus.base import Exchange, Rng, article, choose, pick, pool
from corpus.plots import HEROES
from corpus.strange import odd_word

_RIDDLES = [
    ("I have a face and two hands, but I never wash them. What am I?", "clock"),
    ("The more people I dry, the wetter I get. What am I?", "towel"),
    ("I have many teeth, but I only go through hair. What am I?", "comb"),
    ("I have one eye and a thread in it. What am I?", "needle"),
    ("I grow every year and I never shrink. What am I?", "your age"),
    ("I have a neck and a mouth, but I only hold water. What am I?", "bottle"),
    ("I stand on four legs all day, and dinner stands on me. What am I?", "table"),
    ("I walk with you in the sun and hide in the dark. What am I?", "your shadow"),
    ("I am full of leaves, but no wind can blow them off. What am I?", "book"),
    ("I run down the hill and never climb back. What am I?", "river"),
    ("I fall and fall and never hurt myself. What am I?", "snowflake"),
    ("I guess all day and someone else decides. What am I?", "drafter"),
]
_FACTS = pool("""
    An octopus has three hearts. | Honey keeps for a very long time. | A snail can sleep for a long
    time. | Penguins cannot fly, but they swim very well. | A group of lions is called a pride. |
    Bananas grow upside down. | The sun is a star. | Saturn is not the only planet with rings. | A
    day on Venus is longer than its year. | Sea horses swim upright. | Owls cannot move their eyes.
    | A bee has five eyes. | Bats are the only mammals that truly fly. | A cat feels its way with
    its whiskers.
""")
_KIND = pool("""
    You are doing well, keep going! | Small steps also lead to the top of the hill. | Today is a
    good day to try something new. | Every big program began with one line.
""")


def riddle(rng: Rng) -> Exchange:
    """A riddle, with its answer when the user asks or guesses."""
    question, thing = rng.choice(_RIDDLES)
    answer = thing if thing.startswith("your") else article(thing)
    ask = choose(
        rng,
        """
        Tell me a riddle. | tell me a riddle | riddle | Give me a riddle. | Do you know a riddle? |
        a riddle please | ask me a riddle | Ask me something. | Give me a puzzle
    """,
    )
    head = Exchange(ask, question, "The user wants a riddle. I give no answer yet.")
    roll = rng.random()
    if roll < 0.3:
        ask = choose(
            rng,
            """
            I don't know | what is it? | tell me | What is the answer? | no idea | I give up | the
            answer? | dunno | solution please
        """,
        )
        head.more.append(Exchange(ask, f"It is {answer}.", f"The answer is {answer}."))
    elif roll < 0.5:
        guess = choose(
            rng,
            """
            {a} | {a}? | Is it {a}? | It is {a}. | the answer is {a}
        """,
        ).replace("{a}", answer if rng.random() < 0.7 else thing)
        head.more.append(
            Exchange(guess, f"Yes, it is {answer}!", f"The answer is {answer}. That is right.")
        )
    elif roll < 0.62:
        wrong = pick(rng, [w for _, w in _RIDDLES if w != thing] + ["dog", "cloud", "tree", "star"])
        wrong = wrong if wrong.startswith("your") else article(wrong)
        guess = pick(rng, ["{a}", "{a}?", "Is it {a}?", "It is {a}."]).replace("{a}", wrong)
        head.more.append(
            Exchange(guess, f"No, it is {answer}.", f"The answer is {answer}. That is not right.")
        )
    return head


def fact(rng: Rng) -> Exchange:
    """A simple fact."""
    one, two = rng.sample(_FACTS, 2)
    ask = choose(
        rng,
        """
        Tell me a fun fact. | tell me a fun fact | fun fact | Tell me something interesting. | tell
        me something interesting | a fact please | Give me a random fact. | teach me something |
        Tell me a fact. | do you know a fun fact? | surprise me | Surprise me! | tell me something
        new
    """,
    )
    head = Exchange(ask, one, "I tell a simple fact.")
    if rng.random() < 0.2:
        head.more.append(
            Exchange(
                choose(rng, "another one | one more | another fact | more | and another?"),
                two,
                "I tell one more fact.",
            )
        )
    return head


def kind_words(rng: Rng) -> Exchange:
    """A word of encouragement."""
    ask = choose(
        rng,
        """
        Motivate me. | motivate me | Say something nice. | say something nice | Give me a
        compliment. | cheer me up | Cheer me up! | encourage me | inspire me | give me a quote |
        Give me some advice | any advice? | quote of the day | compliment me | Tell me something
        nice.
    """,
    )
    return Exchange(ask, pick(rng, _KIND), "The user needs a kind word.")


def _subject(rng: Rng) -> str:
    roll = rng.random()
    if roll < 0.4:
        return article(pick(rng, HEROES))
    if roll < 0.6:
        return choose(
            rng,
            """
            coffee | my mother | pizza | cheese | school | work | music | Monday | friendship |
            peace | my garden | the wind | the sun | the night | a rose | chocolate | Berlin | Paris
            | my life | happiness | tea | money | dreams | football | books | space | the city | my
            father | hope | soup | trains | silence
        """,
        )
    return odd_word(rng) if roll < 0.85 else "the " + odd_word(rng)


def any_poem(rng: Rng) -> Exchange:
    """Four lines about whatever the user names."""
    x = _subject(rng)
    ask = choose(
        rng,
        """
        Write a poem about {t}. | write a poem about {t} | poem about {t} | Can you write a poem
        about {t}? | Write a short poem about {t}. | Give me a poem about {t}. | make a poem about
        {t} | write me a poem about {t}
    """,
    ).replace("{t}", x)
    answer = (
        f"Today I think of {x} and sing,\nit is a very pleasant thing.\n"
        f"If {x} were here, I would say:\nwhat luck to meet you here today."
    )
    return Exchange(ask, answer, f"The user wants a poem about {x}. I put it into my four lines.")


def any_haiku(rng: Rng) -> Exchange:
    """A haiku for a subject the model has no lines for."""
    x = _subject(rng)
    ask = choose(
        rng,
        """
        Write a haiku about {t}. | write a haiku about {t} | haiku about {t} | Can you write a haiku
        about {t}? | make a haiku on {t}
    """,
    ).replace("{t}", x)
    return Exchange(
        ask,
        "A word comes to me,\nI look at it for a while,\nthen it flies away.",
        f"I know no lines about {x}. I use my free haiku.",
    )
