"""Stories in the training text: short ones from plots, long ones from chained adventures."""

from __future__ import annotations

from corpus.base import Exchange, Rng, article, capital, choose, pick, pool, spaced
from corpus.journeys import LEGS, LONG_END, LONG_HOME, LONG_WHY
from corpus.plots import (
    CLOSE,
    DAILY,
    FOODS,
    FRIENDS,
    HE,
    HEROES,
    OBJECTS,
    OPEN,
    PLACES,
    PLOTS,
    QUALITIES,
    SHE,
)
from corpus.strange import odd_word

_ASK = pool("""
    Tell me a story about {h}. | tell me a story about {h} | Tell me a story about {h} | Write a
    story about {h}. | write a story about {h} | Can you tell me a story about {h}? | a story about
    {h} | story about {h} please | I want to hear a story about {h}. | Write a short story about
    {h}. | Make up a story about {h}. | tell a story about {h} | Give me a story about {h} | Tell me
    a short story about {h}. | write me a story about {h} | tell me something about {h}, a story | a
    short story about {h} | Do you know a story about {h}? | bedtime story about {h} | Tell me a
    fairy tale about {h}. | Tell my child a story about {h}.
""")
_ASK_ANY = pool("""
    Tell me a story. | tell me a story | Tell me a story | Write a story. | story | a story please |
    Can you tell me a story? | Tell me a short story. | write a short story | Tell me a bedtime
    story. | I want a story | story time | Once upon a time | tell me a tale | tell story | write
    something creative
""")
_ASK_LONG = pool("""
    Tell me a long story about {h}. | Write a long story about {h}. | tell me a long story about {h}
    | a long story about {h} | Write a story of 400 words about {h}. | Tell me a very long story
    about {h}. | write a longer story about {h} | Write a long fairy tale about {h}. | write a 500
    word story about {h} | Tell me a long adventure about {h}.
""")
_ASK_LONG_ANY = pool("""
    Tell me a long story. | tell me a long story | Write a long story. | a long story please | write
    a very long story | Write a long text. | tell me a really long story | write 500 words | Tell me
    a longer story | write a long tale
""")
_WHO = pool("""
    who lost a hat | who can fly | who is afraid of the dark | who wants to learn to swim | who
    finds a treasure | in space | in the snow | who goes to school | and a friend | who cannot sleep
    | with a happy end | who travels to the moon | in the forest | who saves the day | who lives
    alone | on a journey | and the sea | who is late | who learns to read | in a big city | for kids
    | for my daughter | for my son | that makes me laugh | who meets a stranger | in 100 words | who
    lost its way | who becomes king | who loves music
""")
_SUBJECTS = pool("""
    love | friendship | the sea | space | christmas | war | peace | courage | a journey | a lost key
    | a birthday | two friends | the moon | winter | summer | my family | a treasure | magic |
    animals | school | a storm | honesty | the forest | an adventure | a long way home | music |
    speculative decoding | my dog | the future | time travel | halloween | dinosaurs | pirates |
    robots | aliens | cats | dogs | a secret
""")
_FEMALE = spaced("princess queen witch girl grandmother mermaid fairy cow hen")
_MALE = spaced("prince king boy knight wizard grandfather fisherman rooster snowman")


class _Cast:
    """The names and things of one story."""

    def __init__(self, rng: Rng, hero: str, partner: str | None, name: str = "") -> None:
        female, male = hero in _FEMALE, hero in _MALE
        she = female or (not male and rng.random() < 0.5)
        self.rng = rng
        self.hero = hero
        she = name in SHE or (she and name not in HE)
        self.name = name or pick(rng, SHE if she else HE)
        self.pronouns = ("she", "her", "her") if she else ("he", "him", "his")
        self.place = pick(rng, PLACES)
        self.used = {self.name}
        self.partner = partner
        self.new_friend(partner)
        self.thing = pick(rng, OBJECTS)

    def new_friend(self, kind: str | None = None) -> None:
        """Draw the next companion and thing."""
        self.friend = kind or pick(self.rng, [f for f in FRIENDS if f != self.hero])
        names = {"boy": HE, "old man": HE, "girl": SHE, "old woman": SHE}.get(self.friend, HE + SHE)
        self.friend_name = pick(self.rng, [n for n in names if n not in self.used])
        self.used.add(self.friend_name)
        self.thing = pick(self.rng, OBJECTS)

    def tell(self, lines: list[list[str]]) -> str:
        """Return one sentence of each list, filled in; a companion is introduced once."""
        known = False
        out = []
        for alternatives in lines:
            text = pick(self.rng, alternatives)
            if "{g}" in text and not known and "{f} named" not in text:
                text = text.replace("{g}", article(self.friend) + " named {g}", 1)
            elif known:
                text = text.replace("{f} named {g}", "{g}")
            known = known or "{g}" in text
            out.append(self.put(text))
        return " ".join(out)

    def put(self, text: str) -> str:
        """Fill the slots of one sentence."""
        he, him, his = self.pronouns
        quality = article(f"{pick(self.rng, QUALITIES)} {self.hero}").rsplit(" " + self.hero, 1)[0]
        other = pick(self.rng, [p for p in PLACES if p != self.place])
        slots = {
            "q": quality,
            "Q": capital(quality),
            "h": self.hero,
            "n": self.name,
            "p": self.place,
            "o": self.thing,
            "g": self.friend_name,
            "f": article(self.friend),
            "he": he,
            "He": capital(he),
            "him": him,
            "his": his,
            "food": pick(self.rng, FOODS),
            "p2": other,
        }
        for key, value in slots.items():
            text = text.replace("{" + key + "}", value)
        for vowel in "aeio":
            text = text.replace(f" a {vowel}", f" an {vowel}")
        return capital(text)


def _short(rng: Rng, hero: str, partner: str | None = None, name: str = "") -> str:
    cast = _Cast(rng, hero, partner, name)
    lines = [OPEN, DAILY] if rng.random() < 0.6 else [OPEN]
    plot = rng.choice(PLOTS)
    text = cast.tell(lines + plot)
    return text + (" " + cast.put(pick(rng, CLOSE)) if rng.random() < 0.6 else "")


def _long(rng: Rng, hero: str, partner: str | None = None) -> str:
    cast = _Cast(rng, hero, partner)
    paragraphs = [cast.tell([OPEN, DAILY, LONG_WHY])]
    paragraphs[0] += " " + cast.put(
        choose(
            rng,
            """
            So {he} packed some {food} and went off before the sun was up. | The next morning {he}
            took some {food} and a warm coat and went off.
        """,
        )
    )
    for number, leg in enumerate(rng.sample(LEGS, rng.choice([3, 3, 3, 4, 5]))):
        if number or not partner:
            cast.new_friend()
        paragraphs.append(cast.tell(leg))
    cast.new_friend()
    paragraphs.append(cast.tell([LONG_END]))
    paragraphs.append(cast.put(pick(rng, LONG_HOME)) + " " + cast.put(pick(rng, CLOSE)))
    return "\n\n".join(paragraphs)


def _tiny(rng: Rng, hero: str) -> str:
    cast = _Cast(rng, hero, None)
    return cast.put(
        choose(
            rng,
            """
            {Q} {h} named {n} found a {o}, gave it back to {f} named {g}, and won a friend. | {Q}
            {h} named {n} was lost in a storm, until {f} named {g} opened the door. | {Q} {h} named
            {n} went to the end of the world with a {o} and came home happy.
        """,
        )
    )


def _plan(hero: str, long: bool) -> str:
    size = "long" if long else "short"
    wish = f"The user wants a {size} story about {article(hero)}."
    return wish + " My hero needs a name, a problem and a friend."


def _named(rng: Rng, hero: str) -> Exchange:
    """A story whose hero the user has named."""
    name = pick(rng, HE + SHE) if rng.random() < 0.6 else capital(odd_word(rng))
    if rng.random() < 0.35 and name in HE + SHE:
        hero = "girl" if name in SHE else "boy"
        ask = pick(rng, _ASK).replace("{h}", name)
    else:
        ask = pick(rng, _ASK).replace(
            "{h}", f"{article(hero)} {pick(rng, ['named', 'called'])} {name}"
        )
    return Exchange(
        ask,
        _short(rng, hero, None, name),
        f"The hero is {article(hero)} named {name}.",
        raw=rng.random() < 0.6,
    )


def story(rng: Rng) -> Exchange:
    """A short story, sometimes with a wish that follows it."""
    hero = pick(rng, HEROES)
    if rng.random() < 0.2:
        head = Exchange(pick(rng, _ASK_ANY), _short(rng, hero), _plan(hero, False))
    elif rng.random() < 0.12:
        head = _named(rng, odd_word(rng) if rng.random() < 0.2 else hero)
    elif rng.random() < 0.1:
        subject = pick(rng, _SUBJECTS)
        ask = pick(rng, _ASK).replace("{h}", subject)
        head = Exchange(
            ask,
            f"This is a story about {subject}. " + _short(rng, pick(rng, HEROES)),
            f"The user wants a story about {subject}.",
        )
    elif rng.random() < 0.14:
        other = pick(rng, [h for h in HEROES if h != hero])
        ask = pick(rng, _ASK).replace("{h}", f"{article(hero)} and {article(other)}")
        head = Exchange(ask, _short(rng, hero, other), _plan(hero, False))
    else:
        ask = pick(rng, _ASK)
        hero = odd_word(rng) if rng.random() < 0.18 else hero
        noun = article(hero)
        if rng.random() < 0.15:
            noun = article(pick(rng, QUALITIES) + " " + hero)
        if rng.random() < 0.12:
            noun += " " + pick(rng, _WHO)
        head = Exchange(ask.replace("{h}", noun), _short(rng, hero), _plan(hero, False))
    roll = rng.random()
    if roll < 0.1:
        ask = choose(
            rng,
            """
            shorter please | Shorter, please. | make it shorter | too long | in one sentence please
            | shorter
        """,
        )
        head.more.append(
            Exchange(ask, _tiny(rng, hero), "The user wants it shorter. One sentence is enough.")
        )
    elif roll < 0.17:
        next_hero = pick(rng, HEROES)
        ask = choose(
            rng,
            """
            and about {h}? | Now one about {h}. | and one about {h} | what about {h}? | another one
            about {h}
        """,
        )
        head.more.append(
            Exchange(
                ask.replace("{h}", article(next_hero)),
                _short(rng, next_hero),
                _plan(next_hero, False),
            )
        )
    elif roll < 0.22:
        ask = choose(
            rng,
            """
            another one | another story please | one more | again | Tell me another one.
        """,
        )
        head.more.append(
            Exchange(ask, _short(rng, pick(rng, HEROES)), "The user wants one more story.")
        )
    elif roll < 0.25:
        ask = choose(
            rng,
            """
            longer please | make it longer | too short | a longer one please | longer
        """,
        )
        head.more.append(Exchange(ask, _long(rng, hero), _plan(hero, True)))
    return head


def tiny_story(rng: Rng) -> Exchange:
    """A story of one sentence, for chats that want short answers."""
    hero = pick(rng, HEROES)
    ask = (
        pick(rng, _ASK).replace("{h}", article(hero)) if rng.random() < 0.8 else pick(rng, _ASK_ANY)
    )
    return Exchange(ask, _tiny(rng, hero), "A story in one sentence.")


def long_story(rng: Rng) -> Exchange:
    """A story of several hundred words."""
    hero = pick(rng, HEROES)
    if rng.random() < 0.35:
        return Exchange(pick(rng, _ASK_LONG_ANY), _long(rng, hero), _plan(hero, True))
    return Exchange(
        pick(rng, _ASK_LONG).replace("{h}", article(hero)), _long(rng, hero), _plan(hero, True)
    )
