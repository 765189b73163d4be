"""Poems and small programs in the training text."""

from __future__ import annotations

from corpus.base import Exchange, Rng, choose, pick, pool
from corpus.lists import LISTS

# Poems, each under its subject.
_TEXT = """
the sea
The sea is wide, the sea is blue,
it sings an old song, always new.
The waves come in, the waves go out,
and gulls fly up and turn about.

the moon
The moon looks down on roof and tree,
it shines on you, it shines on me.
It does not ask, it does not speak,
it grows and fades from week to week.

rain
The rain comes tapping on the pane,
it stops, and then it comes again.
The garden drinks, the ducklings play,
and I stay in my room today.

spring
The snow is gone, the brook runs clear,
the first small birds say: spring is here.
The buds grow fat, the grass grows tall,
and sunlight warms the garden wall.

summer
The sun is high, the grass is dry,
a single cloud floats in the sky.
We swim and run and laugh and play,
I wish it would not end, this day.

autumn
The leaves turn red, the leaves turn gold,
the mornings now are bright and cold.
The wind runs laughing through the trees
and plays with every leaf it sees.

winter
The world is white, the world is still,
the children slide down from the hill.
The lamps are lit, the tea is hot,
and cold outside is all forgot.

love
I have no gold, I have no ring,
I have a little song to sing.
I sing it soft, I sing it true,
and every line of it is you.

a cat
A little cat sat on the wall
and did not seem to move at all.
A mouse ran by, a leaf fell down,
the cat just wore her furry crown.

a dog
My dog is brown, my dog is fast,
he runs and never comes in last.
He brings the ball, he brings a shoe,
and when I laugh, he laughs so too.

a tree
An old tree stands beside the way,
it stood there long before today.
It gives us shade, it gives us air,
I lean on it and leave my care.

stars
The stars are out, a million lights,
they keep us company at nights.
I tried to count them, one by one,
I fell asleep before I was done.

a friend
A friend is one who stays with you
when skies are grey as well as blue.
He shares his bread, he shares his time,
and laughs at every clumsy rhyme.

home
A door, a lamp, a chair, a bed,
a sloping roof above my head,
a cup of tea, a place to be,
and someone there who waits for me.

speculative decoding
A little drafter, quick and bold,
guessed every word before it was told.
The target checked and nodded: yes,
and so it took one step, or less.

a computer
My small computer hums all day
and writes whatever I should say.
It does not dream, it does not tire,
it runs on numbers and on wire.

a fox
A fox went out one winter night,
the snow was deep, the moon was bright.
He left a line of paw prints small
from garden gate to garden wall.

birds
The birds are up before the sun,
they sing to wake up everyone.
They have no clock, they have no bell,
and yet they know the hour well.

time
The clock goes tick, the clock goes tock,
the river runs around the rock.
The day was long, the day is gone,
but time itself goes on and on.

flowers
A yellow flower, small and round,
came up one morning through the ground.
It turned its face up to the sun
and said good day to everyone.
"""
_POEMS = dict(block.split("\n", 1) for block in _TEXT.strip().split("\n\n"))


def poem(rng: Rng) -> Exchange:
    """A poem of four lines."""
    topic = rng.choice(list(_POEMS))
    if rng.random() < 0.75:
        name = (
            topic[2:] + "s"
            if topic[:2] == "a " and topic != "a fox" and rng.random() < 0.25
            else topic
        )
        name = "a star" if topic == "stars" and rng.random() < 0.2 else name
        ask = choose(
            rng,
            """
            Write a poem about {t}. | write a poem about {t} | A poem about {t}, please. | poem
            about {t} | Can you write a poem about {t}? | Write a short poem about {t}. | Give me a
            poem about {t}. | Write four lines about {t}. | make a poem about {t} | write me a poem
            about {t} | Write a rhyme about {t}. | I want a poem about {t}
        """,
        ).replace("{t}", name)
    else:
        ask = choose(
            rng,
            """
            Write a poem. | write a poem | poem | Tell me a poem. | a poem please | Can you write a
            poem? | Write a short poem. | do you know a poem? | Recite a poem | make a rhyme | write
            me a poem
        """,
        )
    return Exchange(
        ask, pick(rng, [_POEMS[topic]]), f"The user wants a poem. I write four lines about {topic}."
    )


def code(rng: Rng) -> Exchange:
    """A small Python program."""
    n = rng.randint(2, 20)
    name = pick(rng, LISTS["names"])
    a, b = rng.randint(1, 10), rng.randint(1, 10)
    asks, lines = rng.choice(
        [
            (
                pool("""
            Write hello world in Python. | hello world in python | print hello world | Write a hello
            world program. | hello world | Show me some code. | write some code | write code | write
            a python program | write a program | Write a simple python script | show me python code
            | hello world program
        """),
                'print("Hello, world!")',
            ),
            (
                [
                    f"Write a loop from 1 to {n} in Python.",
                    f"python loop to {n}",
                    f"Write Python code that prints the numbers from 1 to {n}.",
                    f"count to {n} in python",
                    f"Write a for loop that prints 1 to {n}",
                    f"print the numbers 1 to {n} in python",
                ],
                f"for i in range(1, {n + 1}):\n    print(i)",
            ),
            (
                [
                    f"Add {a} and {b} in Python.",
                    f"python: {a} + {b}",
                    f"Write Python code that adds {a} and {b}.",
                    f"print {a} + {b} in python",
                ],
                f"print({a} + {b})",
            ),
            (
                pool("""
            Write a function that adds two numbers. | python function to add two numbers | write an
            add function | Write a sum function in Python.
        """),
                "def add(a, b):\n    return a + b",
            ),
            (
                pool("""
            Write a Python function that doubles a number. | python double function | write a
            function that doubles a number
        """),
                "def double(n):\n    return 2 * n",
            ),
            (
                pool("""
            Sum a list in Python. | python sum of a list | How do I sum a list in Python? | Write
            code to add up a list.
        """),
                "numbers = [1, 2, 3]\nprint(sum(numbers))",
            ),
            (
                [
                    f"Write a Python program that greets {name}.",
                    f"greet {name} in python",
                    f"Print hello {name} in Python",
                ],
                f'name = "{name}"\nprint("Hello, " + name + "!")',
            ),
            (
                pool("""
            Write a while loop in Python. | python while loop | show me a while loop
        """),
                "n = 3\nwhile n > 0:\n    print(n)\n    n = n - 1",
            ),
            (
                pool("""
            Write an if statement in Python. | python if else | How do I write if in Python?
        """),
                'n = 7\nif n % 2 == 0:\n    print("even")\nelse:\n    print("odd")',
            ),
            (
                pool("""
            Reverse a string in Python. | python reverse string | How do I reverse a string in
            Python?
        """),
                'text = "hello"\nprint(text[::-1])',
            ),
        ]
    )
    return Exchange(
        pick(rng, asks),
        f"```python\n{lines}\n```",
        "The user wants a little Python. I keep it short.",
    )
