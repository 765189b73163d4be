"""What kind of thing a word of the lists is."""

from __future__ import annotations

from corpus.base import Exchange, Rng, capital, choose
from corpus.definitions import DEFINITIONS
from corpus.lists import LISTS

# Words with a definition, or with several meanings.
_DEFINED = set(DEFINITIONS) | {
    "orange",
    "violet",
    "rose",
    "iris",
    "top",
    "file",
    "drill",
    "swing",
    "organ",
}
_KINDS = {
    "fruits": "a fruit",
    "colours": "a colour",
    "vegetables": "a vegetable",
    "birds": "a bird",
    "trees": "a tree",
    "instruments": "an instrument",
    "flowers": "a flower",
    "tools": "a tool",
    "insects": "an insect",
    "metals": "a metal",
}
_MORE_KINDS = {
    "animals": "an animal",
    "wild animals": "an animal",
    "farm animals": "an animal",
    "pets": "an animal",
    "sports": "a sport",
    "toys": "a toy",
    "vehicles": "a vehicle",
    "drinks": "a drink",
    "clothes": "a piece of clothing",
    "hobbies": "a hobby",
}
_BARE = {"colours", "metals", "sports", "drinks", "hobbies"}


def member(rng: Rng) -> Exchange:
    """What a thing from one of the lists is, where there is no longer definition of it."""
    kinds = _KINDS | _MORE_KINDS
    things = [(name, thing) for name in kinds for thing in LISTS[name] if thing not in _DEFINED]
    category, thing = rng.choice(things)
    bare = category in _BARE or thing in {"spinach", "garlic", "lavender", "trousers"}
    subject = thing if bare else ("an " if thing[0] in "aeio" else "a ") + thing
    ask = choose(
        rng,
        """
        What is {s}? | What is {s}? | what is {s} | what's {s}? | Define {w}. | define {w} | Tell me
        about {s}. | What does {w} mean? | Explain {w}. | {w}? | explain what {s} is
    """,
    )
    is_are = "are" if thing == "trousers" else "is"
    answer = f"{capital(subject)} {is_are} {kinds[category]}."
    return Exchange(
        capital(ask.replace("{s}", subject).replace("{w}", thing)),
        answer,
        f"The user asks about the word {thing}. I know it.",
    )


def yes_no(rng: Rng) -> Exchange:
    """Whether a thing belongs to a category."""
    singular = _KINDS
    category = rng.choice(list(singular))
    is_so = rng.random() < 0.5
    source = category if is_so else rng.choice([c for c in singular if c != category])
    thing = rng.choice(LISTS[source])
    if not is_so and (
        thing in LISTS[category]
        or thing in {"orange", "violet", "rose", "lavender", "tomato", "pumpkin", "plum", "cherry"}
    ):
        return yes_no(rng)
    bare = source == "colours" or source == "metals" or thing in {"spinach", "garlic"}
    subject = thing if bare else ("an " if thing[0] in "aeio" else "a ") + thing
    ask = (
        choose(rng, "Is {s} {c}? | is {s} {c} | Is {s} {c}? | {s} is {c}, right?")
        .replace("{s}", subject)
        .replace("{c}", singular[category])
    )
    if is_so:
        answer = f"Yes, {subject} is {singular[category]}."
    else:
        answer = f"No, {subject} is {singular[source]}."
    return Exchange(capital(ask), answer, f"{capital(subject)} is {singular[source]}.")
