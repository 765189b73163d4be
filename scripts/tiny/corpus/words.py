"""Words in the training text: opposites, plurals, colours, sounds, rhymes, spelling, days."""

from __future__ import annotations

from corpus.base import Exchange, Rng, article, capital, choose, pick, pool, spaced

_PAIRS = spaced("""
    big-small hot-cold up-down left-right day-night old-young fast-slow high-low long-short good-bad
    happy-sad light-dark open-closed full-empty wet-dry hard-soft loud-quiet strong-weak early-late
    new-old black-white rich-poor near-far thick-thin wide-narrow easy-difficult first-last
    begin-end love-hate push-pull win-lose buy-sell come-go give-take sweet-sour clean-dirty
    inside-outside before-after always-never yes-no true-false on-off front-back top-bottom
    heavy-light sharp-blunt awake-asleep alive-dead brave-afraid deep-shallow cheap-expensive
    friend-enemy question-answer summer-winter north-south east-west morning-evening remember-forget
    laugh-cry more-less many-few same-different rough-smooth safe-dangerous simple-complicated
    polite-rude above-below man-woman boy-girl king-queen brother-sister mother-father warm-cool
    hungry-full tall-short
""")
_PLURALS = spaced("""
    cat-cats dog-dogs house-houses tree-trees book-books car-cars apple-apples baby-babies
    city-cities story-stories box-boxes fox-foxes bus-buses glass-glasses dish-dishes wolf-wolves
    leaf-leaves knife-knives child-children man-men woman-women foot-feet tooth-teeth mouse-mice
    goose-geese sheep-sheep fish-fish person-people day-days key-keys potato-potatoes
    tomato-tomatoes hero-heroes lady-ladies life-lives wife-wives half-halves ship-ships bird-birds
    flower-flowers word-words star-stars token-tokens model-models horse-horses cow-cows pen-pens
    shoe-shoes hat-hats country-countries party-parties watch-watches bush-bushes ox-oxen deer-deer
    friend-friends window-windows
""")
_COLOURS = """
    the sky-blue grass-green snow-white a banana-yellow a lemon-yellow blood-red a tomato-red the
    sun-yellow coal-black milk-white a leaf-green the sea-blue an orange-orange a carrot-orange
    chocolate-brown a strawberry-red a mouse-grey an elephant-grey a frog-green a flamingo-pink a
    lime-green a cherry-red night-black honey-golden a crow-black a fire truck-red a pumpkin-orange
    a polar bear-white a plum-purple salt-white gold-yellow silver-grey
"""
_SOUNDS = spaced("""
    cat-meow dog-woof cow-moo duck-quack sheep-baa horse-neigh pig-oink lion-roar frog-ribbit
    bee-buzz owl-hoot snake-hiss mouse-squeak wolf-howl hen-cluck crow-caw goat-bleat donkey-hee-haw
""")
_RHYMES = spaced("""
    cat-hat dog-log house-mouse tree-bee star-car moon-spoon fox-box night-light day-play sun-run
    book-hook cake-lake king-ring fish-dish train-rain sand-hand bed-red snow-slow tall-ball sea-key
    hill-mill stone-bone nose-rose boat-coat chair-bear sky-fly song-long bread-head token-broken
    draft-raft
""")
_SPELL = spaced("""
    cat dog sun hat apple house tree water fish bird book table chair hello token model draft cache
    robot fox moon star green yellow orange purple banana mouse happy seven eight school friend
    summer winter garden flower
""")
DAYS = spaced("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = spaced("""
    January February March April May June July August September October November December
""")


def _pairs(text: str) -> list[tuple[str, str]]:
    """Cut "a key-value an other-value" into pairs, whose keys may hold spaces."""
    out, words = [], []
    for word in text.split():
        words.append(word)
        if "-" in word:
            key, value = " ".join(words).rsplit("-", 1)
            out.append((key, value))
            words = []
    return out


_COLOUR_PAIRS = _pairs(_COLOURS)


def opposite(rng: Rng) -> Exchange:
    """The opposite of a word."""
    a, b = pick(rng, _PAIRS).split("-")
    if rng.random() < 0.5 and (a, b) not in {
        ("new", "old"),
        ("heavy", "light"),
        ("hungry", "full"),
        ("tall", "short"),
    }:
        a, b = b, a
    ask = choose(
        rng,
        """
        What is the opposite of {a}? | opposite of {a} | what's the opposite of {a}? | the opposite
        of {a}? | Tell me the opposite of {a}. | Give me the opposite of {a} | antonym of {a} | What
        is the contrary of {a}?
    """,
    )
    if (a, b) == ("old", "young") or (a, b) == ("old", "new"):
        b = "young or new"
    if a == "light":
        b = "dark or heavy"
    if a == "short":
        b = "long or tall"
    if a == "full":
        b = "empty"
    return Exchange(
        capital(ask.replace("{a}", a)),
        f"The opposite of {a} is {b}.",
        f"I look for the opposite of {a}.",
    )


def plural(rng: Rng) -> Exchange:
    """The plural of a noun."""
    a, b = pick(rng, _PLURALS).split("-")
    ask = choose(
        rng,
        """
        What is the plural of {a}? | plural of {a} | what's the plural of {a}? | the plural of {a}?
        | one {a}, two ...? | Give me the plural of {a}. | How do you write {a} in the plural?
    """,
    )
    return Exchange(
        capital(ask.replace("{a}", a)), f"The plural of {a} is {b}.", f"One {a}, two {b}."
    )


def colour(rng: Rng) -> Exchange:
    """The colour of a thing."""
    thing, tone = rng.choice(_COLOUR_PAIRS)
    if rng.random() < 0.25:
        guess = tone if rng.random() < 0.5 else rng.choice(_COLOUR_PAIRS)[1]
        ask = (
            pick(rng, ["Is {t} {g}?", "is {t} {g}", "Is {t} really {g}?"])
            .replace("{t}", thing)
            .replace("{g}", guess)
        )
        return Exchange(
            ask, f"{'Yes' if guess == tone else 'No'}, {thing} is {tone}.", f"I think of {thing}."
        )
    word = pick(rng, ["color", "colour"])
    ask = choose(
        rng,
        """
        What {c} is {t}? | what {c} is {t} | Which {c} is {t}? | What is the {c} of {t}? | the {c}
        of {t}? | what {c} has {t}?
    """,
    )
    return Exchange(
        capital(ask.replace("{c}", word).replace("{t}", thing)),
        f"{capital(thing)} is {tone}.",
        f"I think of {thing}.",
    )


def sound(rng: Rng) -> Exchange:
    """The sound an animal makes."""
    animal, noise = pick(rng, _SOUNDS).split("-", 1)
    ask = choose(
        rng,
        """
        What does {a} say? | What sound does {a} make? | what does {a} say | which noise does {a}
        make? | How does {a} sound?
    """,
    )
    subject = article(animal)
    return Exchange(
        ask.replace("{a}", subject),
        f"{capital(subject)} says {noise}.",
        f"I think of the sound of {subject}.",
    )


def rhyme(rng: Rng) -> Exchange:
    """A rhyme for a word."""
    a, b = pick(rng, _RHYMES).split("-")
    ask = choose(
        rng,
        """
        What rhymes with {a}? | what rhymes with {a} | a rhyme for {a} | Find a rhyme for {a}. |
        Give me a word that rhymes with {a}.
    """,
    )
    return Exchange(
        capital(ask.replace("{a}", a)),
        f"{capital(b)} rhymes with {a}.",
        f"I look for a word that sounds like {a}.",
    )


def spelling(rng: Rng) -> Exchange:
    """Spell a short word."""
    word = pick(rng, _SPELL)
    ask = choose(
        rng,
        """
        Spell {w}. | spell {w} | How do you spell {w}? | Spell the word {w}. | can you spell {w}? |
        how is {w} spelled
    """,
    )
    return Exchange(
        ask.replace("{w}", word), "-".join(word).upper() + ".", f"I write {word} letter by letter."
    )


def calendar(rng: Rng) -> Exchange:
    """Which day or month comes next or before, and how many there are."""
    kind = rng.random()
    if kind < 0.12:
        asks, answer = rng.choice(
            [
                (
                    pool("""
                How many days are in a week? | how many days does a week have | How many days in a
                week?
            """),
                    "A week has seven days.",
                ),
                (
                    ["How many months are in a year?", "how many months does a year have"],
                    "A year has twelve months.",
                ),
                (
                    ["How many hours are in a day?", "how many hours does a day have"],
                    "A day has 24 hours.",
                ),
                (
                    ["How many minutes are in an hour?", "minutes in an hour?"],
                    "An hour has 60 minutes.",
                ),
                (
                    ["How many seconds are in a minute?", "seconds in a minute"],
                    "A minute has 60 seconds.",
                ),
                (
                    ["How many seasons are there?", "how many seasons are in a year"],
                    "There are four seasons: spring, summer, autumn and winter.",
                ),
                (
                    ["How many legs does a spider have?", "legs of a spider"],
                    "A spider has eight legs.",
                ),
                (
                    ["How many legs does a cat have?", "how many legs does a dog have?"],
                    "It has four legs.",
                ),
                (
                    ["How many planets are there?", "how many planets does the sun have"],
                    "There are eight planets.",
                ),
                (
                    [
                        "How many letters are in the alphabet?",
                        "how many letters does the alphabet have",
                    ],
                    "The alphabet has 26 letters.",
                ),
                (
                    ["How many days are in a year?", "how many days does a year have"],
                    "A year has 365 days, and a leap year has 366.",
                ),
            ]
        )
        return Exchange(pick(rng, asks), answer, "This is an easy number.")
    names, unit = (DAYS, "day") if kind < 0.5 else (MONTHS, "month")
    if kind > 0.88:
        names, unit = list("abcdefghijklmnopqrstuvwxyz"), "letter"
    i = rng.randrange(len(names))
    if rng.random() < 0.65:
        i -= unit == "letter" and i == 25
        other = names[(i + 1) % len(names)]
        ask = choose(
            rng,
            """
            What {u} comes after {n}? | Which {u} comes after {n}? | what comes after {n} | what {u}
            is after {n}? | what follows {n}?
        """,
        )
        answer = f"After {names[i]} comes {other}."
    else:
        i += unit == "letter" and i == 0
        other = names[i - 1]
        ask = choose(
            rng,
            """
            What {u} comes before {n}? | Which {u} is before {n}? | what comes before {n} | what {u}
            is before {n}?
        """,
        )
        answer = f"Before {names[i]} comes {other}."
    return Exchange(
        capital(ask.replace("{u}", unit).replace("{n}", names[i])),
        answer,
        f"I go through the {unit}s. {answer}",
    )
