"""Lists in the training text, and what belongs to which list."""

from __future__ import annotations

from corpus.base import Exchange, Rng, capital, choose, pick, pool, spaced
from corpus.words import DAYS, MONTHS

NUMBERS = spaced("""
    zero one two three four five six seven eight nine ten eleven twelve
""")
# Plural name(s) of the category -> its members in a fixed order, so that a list can go on.
LISTS: dict[str, list[str]] = {
    "animals": spaced("""
        cat dog horse cow sheep fox bear lion tiger elephant monkey rabbit
    """),
    "fruits": spaced("""
        apple pear banana orange cherry plum grape lemon peach melon mango kiwi
    """),
    "colours": spaced("""
        red blue green yellow orange purple pink brown black white grey turquoise
    """),
    "vegetables": spaced("""
        carrot potato tomato onion pea bean cabbage pumpkin leek spinach garlic radish
    """),
    "birds": spaced("""
        sparrow robin owl crow duck swan eagle penguin parrot stork pigeon gull
    """),
    "flowers": spaced("""
        rose tulip daisy lily violet sunflower poppy orchid iris lavender dahlia snowdrop
    """),
    "trees": spaced("""
        oak birch pine maple willow beech ash chestnut fir palm elm poplar
    """),
    "drinks": spaced("""
        water milk tea coffee juice lemonade cocoa soda cider punch
    """),
    "tools": spaced("""
        hammer saw pliers screwdriver drill file axe shovel rake wrench
    """),
    "sports": spaced("""
        football tennis swimming running skiing boxing rowing golf hockey cycling sailing judo
    """),
    "instruments": spaced("""
        piano guitar violin drum flute trumpet harp cello organ clarinet
    """),
    "jobs": spaced("""
        baker teacher doctor farmer painter cook pilot nurse tailor gardener driver singer
    """),
    "names": spaced("""
        Anna Ben Clara David Emma Felix Greta Hugo Ida Jonas Lena Max
    """),
    "shapes": spaced("""
        circle square triangle rectangle oval star heart diamond
    """),
    "foods": spaced("""
        bread cheese soup rice noodles cake salad egg pizza pancake potato fish
    """),
    "pets": spaced("""
        cat dog hamster rabbit parrot goldfish turtle mouse pony canary
    """),
    "clothes": spaced("""
        shirt trousers dress coat hat scarf glove sock shoe jacket
    """),
    "insects": spaced("""
        ant bee fly beetle butterfly wasp moth ladybird cricket dragonfly
    """),
    "farm animals": spaced("cow pig horse sheep goat hen duck goose donkey turkey"),
    "wild animals": spaced("""
        fox wolf bear lion tiger elephant giraffe zebra monkey snake
    """),
    "toys": spaced("ball doll kite puzzle train robot drum swing top puppet"),
    "rooms": pool("""
        kitchen | bedroom | bathroom | living room | cellar | attic | hall | office
    """),
    "vehicles": spaced("""
        car bus train bicycle ship plane tram truck boat tractor
    """),
    "hobbies": spaced("""
        reading drawing cooking hiking dancing gardening painting fishing swimming knitting
    """),
    "metals": spaced("iron gold silver copper tin zinc lead nickel"),
    "body parts": spaced("head arm hand leg foot nose ear eye mouth knee"),
    "words": spaced("sun tree river house light stone bread cloud song door"),
}
# Complete sets: always in order, and a list of fewer takes the first ones.
SETS: dict[str, list[str]] = {
    "planets": spaced("Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune"),
    "days of the week": DAYS,
    "months": MONTHS,
    "seasons": spaced("spring summer autumn winter"),
    "vowels": spaced("a e i o u"),
    "colours of the rainbow": spaced("red orange yellow green blue indigo violet"),
    "letters of the alphabet": list("abcdefghijklmnopqrstuvwxyz"),
    "model sizes": spaced("e2b e4b 12b 26b-a4b 31b"),
    "sizes of Gemma 4": spaced("e2b e4b 12b 26b-a4b 31b"),
    "commands": spaced("/stats /clear /help /bye"),
}
_ALIASES = {
    "colours": ["colours", "colors", "colors"],
    "fruits": ["fruits", "fruits", "fruit", "kinds of fruit"],
    "animals": ["animals", "animals", "different animals"],
    "months": ["months", "months of the year"],
    "days of the week": ["days of the week", "days", "weekdays"],
    "instruments": ["instruments", "musical instruments"],
    "colours of the rainbow": pool("""
        colours of the rainbow | colors of the rainbow | rainbow colors
    """),
    "letters of the alphabet": pool("""
        letters of the alphabet | letters | letters in the alphabet
    """),
    "foods": ["foods", "things to eat"],
    "drinks": ["drinks", "things to drink"],
    "words": ["words", "random words"],
    "clothes": ["clothes", "pieces of clothing"],
    "vegetables": ["vegetables", "veggies"],
    "planets": ["planets", "planets"],
    "jobs": ["jobs", "professions"],
    "names": ["names", "first names"],
}
_ASK = pool("""
    List {n} {c}. | list {n} {c} | Name {n} {c}. | name {n} {c} | Give me {n} {c}. | Tell me {n}
    {c}. | give me a list of {n} {c} | {n} {c} | Can you list {n} {c}? | Write a list of {n} {c}. |
    {n} {c} please | I need {n} {c}. | Can you name {n} {c}? | Write down {n} {c}. | show me {n} {c}
    | list of {n} {c} | make a list of {n} {c} | Do you know {n} {c}? | think of {n} {c}
""")
_ASK_SOME = pool("""
    List some {c}. | list {c} | Name some {c}. | give me a list of {c} | Which {c} do you know? |
    Tell me some {c}. | a list of {c} | What {c} do you know? | list of {c} | Can you list some {c}?
    | name a few {c}
""")
_ASK_ALL = pool("""
    List the {c}. | list the {c} | Name the {c}. | What are the {c}? | Tell me the {c}. | what are
    the {c} | name all {c} | List all {c}. | Which {c} are there? | all {c} | the {c} please | Can
    you name the {c}? | give me all the {c}
""")


def numbered(items: list[str], start: int = 1) -> str:
    """Return items as a numbered list."""
    return "\n".join(f"{i}. {item}" for i, item in enumerate(items, start))


def _count_word(rng: Rng, n: int) -> str:
    return NUMBERS[n] if rng.random() < 0.6 else str(n)


def _list_answer(category: str, items: list[str], all_of_them: bool = False) -> str:
    if all_of_them:
        return f"The {category} are:\n{numbered(items)}"
    n = len(items)
    singular = {"colours": "colour", "names": "name", "foods": "food"}.get(category)
    if n == 1:
        noun = singular or category.rstrip("s")
        return f"Here is one {noun}:\n{numbered(items)}"
    return f"Here are {NUMBERS[n]} {category}:\n{numbered(items)}"


def listing(rng: Rng) -> Exchange:
    """A list of things, sometimes continued."""
    if rng.random() < 0.25:
        return _complete(rng)
    category = rng.choice(list(LISTS)[:3] if rng.random() < 0.3 else list(LISTS))
    members = LISTS[category]
    name = pick(rng, _ALIASES.get(category, [category]))
    some = rng.random() < 0.2
    n = 5 if some else rng.randint(2, min(10, len(members)))
    if not some and rng.random() < 0.35:
        n = rng.choice([3, 5])
    n = min(n, len(members))
    ask = (
        pick(rng, _ASK_SOME if some else _ASK)
        .replace("{n}", _count_word(rng, n))
        .replace("{c}", name)
    )
    start = 0 if rng.random() < 0.5 else rng.randrange(len(members))
    turned = members[start:] + members[:start]
    if not some and rng.random() < 0.06:
        return _too_many(rng, category, name)
    if not some and rng.random() < 0.12:
        return _combined(rng, category, n, turned)
    head = Exchange(
        capital(ask),
        _list_answer(category, turned[:n]),
        f"The user wants {NUMBERS[n]} {category}. I write a list.",
    )
    left = len(members) - n
    if left and rng.random() < 0.3:
        more = rng.randint(1, min(5, left))
        ask = choose(
            rng,
            """
            And {n} more? | and {n} more | {n} more please | {n} more | Give me {n} more. | can I
            have {n} more? | now {n} more
        """,
        )
        lead = "Here is one" if more == 1 else f"Here are {NUMBERS[more]}"
        answer = f"{lead} more:\n{numbered(turned[n : n + more], n + 1)}"
        head.more.append(
            Exchange(
                ask.replace("{n}", _count_word(rng, more)),
                answer,
                f"The list goes on after number {n}.",
            )
        )
    elif n > 3 and rng.random() < 0.15:
        ask = choose(
            rng,
            """
            shorter please | only three | just three please | only 3 please | Only three, please.
        """,
        )
        head.more.append(
            Exchange(ask, _list_answer(category, turned[:3]), "The user wants only three.")
        )
    elif rng.random() < 0.15:
        ask = choose(
            rng,
            """
            only the first one | which is the first? | what was the first one? | the first one?
        """,
        )
        head.more.append(
            Exchange(ask, f"The first one is {turned[0]}.", "I look at number 1 of my list.")
        )
    return head


def _too_many(rng: Rng, category: str, name: str) -> Exchange:
    members = LISTS[category]
    n = rng.choice([13, 15, 20, 20, 25, 30, 40, 50, 100, 100, 1000])
    ask = pick(rng, _ASK).replace("{n}", str(n)).replace("{c}", name)
    answer = f"I only know {NUMBERS[len(members)]} {category}:\n{numbered(members)}"
    return Exchange(ask, answer, f"That is more than I know. I list all my {category}.")


def _complete(rng: Rng) -> Exchange:
    category = rng.choice(list(SETS))
    members = SETS[category]
    name = pick(rng, _ALIASES.get(category, [category]))
    if rng.random() < 0.55 or len(members) < 5:
        ask = pick(rng, _ASK_ALL).replace("{c}", name)
        thought = f"The user wants all the {category}. I go through them in order."
        if category.startswith("letters"):
            ask = pick(
                rng,
                [
                    ask,
                    "say the alphabet",
                    "Tell me the alphabet.",
                    "alphabet",
                    "Recite the alphabet.",
                    "write the alphabet",
                ],
            )
            return Exchange(capital(ask), ", ".join(members) + ".", thought)
        return Exchange(capital(ask), _list_answer(category, members, True), thought)
    n = rng.randint(2, min(len(members), 10))
    ask = pick(rng, _ASK).replace("{n}", _count_word(rng, n)).replace("{c}", name)
    return Exchange(
        capital(ask),
        _list_answer(category, members[:n]),
        f"The user wants {NUMBERS[n]} {category}. I begin with the first.",
    )


def _combined(rng: Rng, category: str, n: int, items: list[str]) -> Exchange:
    other = rng.choice([c for c in LISTS if c != category])
    n, m = min(n, 5), rng.randint(2, 5)
    ask = (
        pick(rng, _ASK)
        .replace("{n}", _count_word(rng, n))
        .replace("{c}", f"{category} and {_count_word(rng, m)} {other}")
    )
    answer = f"{_list_answer(category, items[:n])}\n\n{_list_answer(other, LISTS[other][:m])}"
    return Exchange(
        capital(ask),
        answer,
        f"The user wants two lists: {NUMBERS[n]} {category} and {NUMBERS[m]} {other}.",
    )
