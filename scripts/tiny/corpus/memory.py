"""Turns in which the model has to remember or to repeat what the user said."""

from __future__ import annotations

from corpus.base import Exchange, Rng, article, capital, choose, pick, pool, spaced
from corpus.lists import LISTS
from corpus.plots import HE, SHE
from corpus.strange import PLACES, odd_word

_MORE_NAMES = spaced("""
    Alex Chris Kim Robin Sascha Maria Laura Julia Sarah Lisa Sofia Eva Marta Elena Paula Amelia
    Charlotte Isabel Katja Nina Tanja Ursula Vera Yara John James Robert Michael William Richard
    Thomas Daniel Matthew Mark Paul Steven Andrew George Kevin Brian Edward Martin Stefan Andreas
    Michel Pierre Jean Luca Marco Giovanni Carlos Diego Pablo Juan Ahmed Omar Ali Fatima Aisha Leila
    Yuki Hiro Kenji Mei Li Wei Chen Priya Raj Arjun Anil Olga Ivan Dmitri Katya Sven Lars Ingrid
    Astrid Bjorn Freya Kwame Amina Zuri Moses Aaron Adam Eve Grace Hope Joy Victor Walter Xavier
    Zoltan Bob Alice
""")
NAMES = sorted(set(HE + SHE + _MORE_NAMES))


def any_name(rng: Rng) -> str:
    """Return a first name, sometimes an invented one."""
    return pick(rng, NAMES) if rng.random() < 0.85 else capital(odd_word(rng))


def my_name(rng: Rng) -> list[Exchange]:
    """The user tells a name; a later question asks for it."""
    name = any_name(rng)
    told = name.lower() if rng.random() < 0.3 else name
    tell = choose(
        rng,
        """
        My name is {n}. | my name is {n} | I am {n}. | Hi, I'm {n}. | Hello, my name is {n}. | call
        me {n} | Please call me {n}. | i'm {n} | I am called {n}. | hi my name is {n} | Hello! I am
        {n}. | Hi, this is {n}.
    """,
    ).replace("{n}", told)
    greet = Exchange(
        tell,
        f"Nice to meet you, {name}!",
        f"The user is called {name}. I should remember it.",
        raw=True,
    )
    ask = choose(
        rng,
        """
        What is my name? | what is my name? | whats my name | Do you know my name? | What's my name?
        | who am I? | Do you remember my name? | and what is my name | tell me my name | What am I
        called? | Who am I?
    """,
    )
    return [greet, Exchange(ask, f"Your name is {name}.", f"The user said the name is {name}.")]


def no_name(rng: Rng) -> list[Exchange]:
    """The user asks for a name that was never told."""
    ask = choose(
        rng,
        """
        What is my name? | whats my name | who am i | Do you know my name? | What's my name? | do
        you know who I am? | Who am I?
    """,
    )
    return [
        Exchange(
            ask,
            "You have not told me your name yet.",
            "I look for a name, but there is none in this chat.",
        )
    ]


def favourite(rng: Rng) -> list[Exchange]:
    """The user tells a taste or a pet; a later question asks for it."""
    if rng.random() < 0.35:
        pet, name = pick(rng, LISTS["pets"]), any_name(rng)
        tell = choose(
            rng,
            """
            I have {p} named {n}. | my {b} is called {n} | I have {p}. Its name is {n}.
        """,
        )
        tell = tell.replace("{p}", article(pet)).replace("{b}", pet).replace("{n}", name)
        ask = choose(
            rng,
            """
            What is my {b} called? | what is the name of my {b} | What is my {b}'s name? | Do you
            remember the name of my {b}?
        """,
        ).replace("{b}", pet)
        return [
            Exchange(
                tell,
                f"{name} is a nice name for {article(pet)}.",
                "I should remember the name.",
                raw=True,
            ),
            Exchange(
                ask,
                f"Your {pet} is called {name}.",
                f"The user said that the {pet} is called {name}.",
            ),
        ]
    if rng.random() < 0.4:
        return _about_me(rng)
    kind, source = rng.choice(
        [
            ("colour", "colours"),
            ("color", "colours"),
            ("animal", "animals"),
            ("fruit", "fruits"),
            ("drink", "drinks"),
            ("sport", "sports"),
        ]
    )
    thing = pick(rng, LISTS[source])
    word = pick(rng, ["favourite", "favorite"])
    tell = f"My {word} {kind} is {thing}."
    ask = choose(
        rng,
        """
        What is my {w} {k}? | what is my {w} {k} | whats my {w} {k}? | Do you remember my {w} {k}? |
        which {k} do I like best?
    """,
    )
    return [
        Exchange(tell, f"{capital(thing)} is a good choice.", "I should remember that."),
        Exchange(
            ask.replace("{w}", word).replace("{k}", kind),
            f"Your {word} {kind} is {thing}.",
            f"The user said it is {thing}.",
        ),
    ]


def _about_me(rng: Rng) -> list[Exchange]:
    """The user tells a home, an age or a job."""
    kind = rng.random()
    if kind < 0.4:
        place = pick(rng, PLACES)
        tell = pick(rng, ["I live in {x}.", "i live in {x}", "I am from {x}."]).replace(
            "{x}", place
        )
        verb, do = ("live in", "do I live") if "live" in tell else ("are from", "am I from")
        ask = pick(
            rng,
            [
                "Where {d}?",
                "where {d}",
                "Do you remember where I live?" if "live" in do else "Where am I from?",
            ],
        ).replace("{d}", do)
        return [
            Exchange(tell, f"{place} sounds nice.", "I should remember that.", raw=True),
            Exchange(ask, f"You {verb} {place}.", f"The user said {place}."),
        ]
    if kind < 0.7:
        age = rng.randint(5, 90)
        tell = choose(
            rng,
            """
            I am {x} years old. | i am {x} years old | I'm {x}. | I am {x}.
        """,
        ).replace("{x}", str(age))
        ask = choose(
            rng,
            """
            How old am I? | how old am i | What is my age? | do you remember my age?
        """,
        )
        return [
            Exchange(tell, f"{age} is a good age.", "I should remember that.", raw=True),
            Exchange(ask, f"You are {age} years old.", f"The user said {age}."),
        ]
    job = pick(rng, LISTS["jobs"])
    tell = pick(rng, ["I am {x}.", "I work as {x}.", "I'm {x}"]).replace("{x}", article(job))
    ask = choose(
        rng,
        """
        What is my job? | what do I do for a living? | what's my job | Do you remember my job?
    """,
    )
    return [
        Exchange(tell, f"{capital(job)} is a good job.", "I should remember that."),
        Exchange(ask, f"You are {article(job)}.", f"The user said {article(job)}."),
    ]


_SAYINGS = pool("""
    hello | hello world | good morning | I am a fox | the sun is shining | one two three | yes | no
    | cheese | banana | tokens are fun | I like tea | the cat is here | we are friends | thank you |
    goodbye | abc | meow | happy birthday | once more | the drafter guesses | the target checks |
    nothing | I love you | hi | help
""")


def say(rng: Rng) -> list[Exchange]:
    """The user gives words to repeat."""
    roll = rng.random()
    if roll < 0.12:
        name = any_name(rng)
        ask = choose(
            rng,
            """
            Say hello to {n}. | say hi to {n} | say hello to {n} | Greet {n}. | greet my friend {n}
            | Say hi to my friend {n}.
        """,
        )
        return [Exchange(ask.replace("{n}", name), f"Hello, {name}!", f"I greet {name}.", raw=True)]
    if roll < 0.4:
        words = pick(rng, _SAYINGS)
    elif roll < 0.75:
        things = (
            LISTS["animals"] + LISTS["fruits"] + LISTS["colours"] + LISTS["words"] + LISTS["foods"]
        )
        words = " ".join(pick(rng, things) for _ in range(rng.randint(1, 5)))
    else:
        words = " ".join(odd_word(rng) for _ in range(rng.randint(1, 3)))
    ask = choose(
        rng,
        """
        Say {x} | say {x} | Repeat after me: {x} | repeat after me: {x} | Say: {x} | Say "{x}" | say
        "{x}" | Repeat: {x} | repeat {x} | Write {x} | please say {x} | can you say {x}? | Echo {x}
        | just say {x} | Repeat the words {x}
    """,
    )
    end = "." if rng.random() < 0.2 and ask[-1] == "}" else ""
    return [
        Exchange(
            ask.replace("{x}", words) + end, capital(words) + ".", f"I repeat: {words}.", raw=True
        )
    ]
