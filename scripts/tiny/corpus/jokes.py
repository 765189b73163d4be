"""Jokes and haikus of the training text."""

from __future__ import annotations

from corpus.base import Exchange, Rng, choose, pick

_JOKES: list[tuple[str, str]] = [
    (
        "Why did the drafter bring a pencil?",
        "Because it never writes in pen until the target agrees.",
    ),
    ("Why was the token so tired?", "It had been sampled all day."),
    ("What did the cache say to the model?", "I remember you."),
    ("Why did the fox sit on the computer?", "It wanted to keep an eye on the mouse."),
    ("Why was the number ten happy?", "It had just met someone and felt like eleven."),
    ("What does a cat say to a slow program?", "Meow would be a good time."),
    ("Why did the robot go to bed early?", "Its battery told it to."),
    ("Why do clouds make bad friends?", "They drift away."),
    ("What do you call a bear without a plan?", "Bearly prepared."),
    ("Why did the loop go to the park?", "To run around and around."),
    ("Why did the pancake stay at home?", "It felt a little flat."),
    ("What did the wall say to the lamp?", "You light up my side."),
    ("Why did the spoon leave the kitchen?", "It was tired of the stir."),
    ("Why are snails so good at chess?", "They think about every move."),
    ("What does a tiny model eat?", "Just a few bytes."),
    ("Why did the duck join the team?", "It had a good bill of health."),
    ("What is a clock's favourite food?", "Seconds."),
    ("Why did the tree look at its phone?", "It wanted to log in."),
    ("Why did the apple stop at noon?", "It ran out of juice."),
    ("What did the big model say to the drafter?", "I could not have said it faster."),
    (
        "Why did the hen cross the kitchen?",
        "Someone said dinner was on the other side, and it wanted to warn her.",
    ),
    ("Why is the letter B so cold?", "It sits between A and C, and both are drafty."),
    ("What did one sock say to the other?", "See you on the other foot."),
    ("Why did the penguin buy a map?", "It was tired of going south by accident."),
]
_HAIKU_TOPICS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "the moon": (
        ["The moon climbs the hill", "A pale moon looks down"],
        ["silver light on sleeping roofs", "every pond holds one small moon"],
        ["the night holds its breath", "no one is awake"],
    ),
    "rain": (
        ["Soft rain on the roof", "Rain begins to fall"],
        ["the garden drinks every drop", "small rivers run down the street"],
        ["a frog starts to sing", "puddles hold the sky"],
    ),
    "snow": (
        ["Snow falls without sound", "White roofs, empty streets"],
        ["the whole town is wrapped in white", "one small cat leaves seven prints"],
        ["winter writes nothing", "the cold lamps glow on"],
    ),
    "the sea": (
        ["Waves roll to the shore", "The sea breathes all night"],
        ["gulls are calling in the wind", "a small boat rocks on the blue"],
        ["salt upon my lips", "sand forgets each step"],
    ),
    "autumn": (
        ["Red leaves leave the tree", "Autumn comes again"],
        ["the wind carries them away", "apples shine in golden grass"],
        ["the branch lets them go", "days are getting short"],
    ),
    "spring": (
        ["The first green has come", "Spring knocks at the door"],
        ["birds repair their nests with care", "buds are open in the sun"],
        ["the cold is over", "even stones look glad"],
    ),
    "summer": (
        ["The long day is hot", "Summer hums and glows"],
        ["bees are busy in the field", "children run along the stream"],
        ["night comes late and warm", "ice melts in the glass"],
    ),
    "winter": (
        ["Cold wind, empty trees", "Winter shuts the door"],
        ["smoke is rising from a house", "the old pond has turned to glass"],
        ["tea steams in my cup", "stars are sharp and near"],
    ),
    "a cat": (
        ["The cat shuts one eye", "A cat on the wall"],
        ["it has heard the mouse at night", "she pretends to be asleep"],
        ["the mouse holds quite still", "the sun warms her fur"],
    ),
    "a dog": (
        ["The dog at the gate", "An old dog lies down"],
        ["wags before the footsteps come", "he still dreams of running fast"],
        ["joy does not keep time", "his paws twitch in sleep"],
    ),
    "a tree": (
        ["The old tree stands still", "One tree on the hill"],
        ["birds move in and birds move out", "a hundred rings in its heart"],
        ["roots hold on to rain", "it counts only years"],
    ),
    "a computer": (
        ["A small fan is loud", "The screen glows at night"],
        ["words appear out of nothing", "one more token, then one more"],
        ["the cursor blinks on", "then silence again"],
    ),
    "a drafter": (
        ["A quick guess comes first", "Small model, big hopes"],
        ["the large one reads and nods once", "four words offered, three are kept"],
        ["the text stays the same", "time has been well saved"],
    ),
    "the stars": (
        ["Stars above the roof", "A clear, quiet night"],
        ["each one older than my name", "someone counts them and gives up"],
        ["light that took so long", "the dark is not dark"],
    ),
    "love": (
        ["Two cups on one shelf", "Your hand next to mine"],
        ["we have no need of more words", "rain falls on the roof all night"],
        ["the evening is ours", "we are warm inside"],
    ),
    "time": (
        ["The clock does not wait", "Sand runs in the glass"],
        ["morning turned to afternoon", "the child is taller than me"],
        ["I only looked once", "the next hour is new"],
    ),
}


def joke(rng: Rng) -> Exchange:
    """A joke, sometimes a second one."""
    first, second = rng.sample(_JOKES, 2)
    ask = choose(
        rng,
        """
        Tell me a joke. | tell me a joke | Tell me a joke! | joke | Do you know a joke? | Make me
        laugh. | a joke please | Can you tell me a joke? | say something funny | I want to hear a
        joke | got any jokes? | tell a joke | Give me a joke | Do you know any jokes? | tell me
        something funny | another joke please | be funny | Tell me a joke about {x}. | tell me a
        joke about {x} | joke about {x}
    """,
    )
    ask = ask.replace(
        "{x}",
        choose(
            rng,
            """
            cats | dogs | computers | a robot | school | animals | numbers | a fox | models | food |
            my boss | programmers | Monday | a horse | trees | a doctor | pizza | the sea | lawyers
            | my cat | physics
        """,
        ),
    )
    head = Exchange(ask, " ".join(first), "The user wants to laugh. I tell a short joke.")
    if rng.random() < 0.3:
        ask = choose(
            rng,
            """
            another one | Another one please! | one more | again | and another | Tell me another
            one. | more | one more joke
        """,
        )
        head.more.append(Exchange(ask, " ".join(second), "The user wants one more joke."))
    return head


def haiku(rng: Rng) -> Exchange:
    """A haiku on a known subject, or on a free one."""
    topic = rng.choice(list(_HAIKU_TOPICS))
    one, two, three = _HAIKU_TOPICS[topic]
    if rng.random() < 0.7:
        ask = choose(
            rng,
            """
            Write a haiku about {t}. | write a haiku about {t} | A haiku about {t}, please | haiku
            about {t} | Can you write a haiku about {t}? | Give me a haiku about {t} | make a haiku
            on {t}
        """,
        )
        noun = (
            topic.split(" ")[-1] + "s" if topic.startswith("a ") and rng.random() < 0.25 else topic
        )
        ask = ask.replace("{t}", noun)
    else:
        ask = choose(
            rng,
            """
            Write a haiku. | write a haiku | haiku | Can you write a haiku? | haiku please | Give me
            a haiku
        """,
        )
    answer = f"{pick(rng, one)},\n{pick(rng, two)},\n{pick(rng, three)}."
    return Exchange(ask, answer, f"A haiku has three short lines. I write about {topic}.")
