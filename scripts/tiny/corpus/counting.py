"""Counting in the training text, and the neighbours, parity and size of numbers."""

from __future__ import annotations

from corpus.base import Exchange, Rng, capital, choose, pick, pool
from corpus.sums import WORDS


def _sequence(start: int, end: int, step: int) -> str:
    stop = end + (1 if step > 0 else -1)
    return ", ".join(str(n) for n in range(start, stop, step)) + "."


def counting(rng: Rng) -> Exchange:
    """Count up, down or in steps."""
    roll = rng.random()
    length = rng.randint(3, 16) if rng.random() < 0.6 else rng.randint(8, 40)
    if roll < 0.3:
        start, end, step = 1, rng.choice([length, 5, 10, 10, 20, 15, 12, 25, 30, 40]), 1
        ask = pool("""
            Count to {e}. | Count from 1 to {e}. | count to {e} | count up to {e} | Can you count to
            {e}? | Please count to {e}. | Count to {w}.
        """)
    elif roll < 0.36:
        start, end, step = 1, rng.choice([50, 100, 100]), 1
        ask = pool("""
            Count to {e}. | Count from 1 to {e}. | count to {e} | Can you count to {e}?
        """)
    elif roll < 0.7:
        start = rng.randint(0, 60 if rng.random() < 0.3 else 25)
        end, step = start + length - 1, 1
        ask = pool("""
            Count from {s} to {e}. | count from {s} to {e} | Count up from {s} to {e} | {s} to {e},
            count | Count {s} to {e}. | Give me the numbers from {s} to {e}. | List the numbers from
            {s} to {e} | Start at {s} and count to {e}.
        """)
    elif roll < 0.86:
        down_to = 1 if rng.random() < 0.6 else rng.choice([0, 5, 10])
        start, end, step = down_to + length - 1, down_to, -1
        if down_to == 1:
            start = rng.choice([length, 10, 10, 5, 20])
            ask = pool("""
                Count down from {s}. | count down from {s} | Count backwards from {s}. | countdown
                from {s} | Count from {s} down to 1. | Count down from {s} to 1. | count backwards
                from {s} to 1
            """)
        else:
            ask = pool("""
                Count down from {s} to {e}. | Count from {s} to {e}. | count backwards from {s} to
                {e} | Count from {s} down to {e}.
            """)
    else:
        step = rng.choice([2, 2, 5, 10, 3])
        start = step if step > 3 or rng.random() < 0.6 else rng.randint(0, 9)
        end = start + step * rng.randint(3, 14 if step < 10 else 9)
        name = {
            2: ["twos", "2s", "2"],
            3: ["threes", "3s", "3"],
            5: ["fives", "5s", "5"],
            10: ["tens", "10s", "10"],
        }[step]
        by = pick(rng, name)
        ask = [
            f"Count by {by} from {{s}} to {{e}}.",
            f"count from {{s}} to {{e}} by {by}",
            f"Count in {by} from {{s}} to {{e}}.",
            f"Count from {{s}} to {{e}} in steps of {step}.",
        ]
    text = pick(rng, ask)
    if "{w}" in text:
        text = text.replace("{w}", WORDS[end] if end <= 20 else str(end))
    text = text.format(s=start, e=end)
    way = "down" if step < 0 else "up"
    size = f" in steps of {step}" if step > 1 else ""
    head = Exchange(
        text, _sequence(start, end, step), f"I count {way} from {start} to {end}{size}."
    )
    if rng.random() < 0.22 and end >= 3 and step == 1 and end - start < 40:
        head.more.append(
            Exchange(
                choose(
                    rng,
                    """
                    Now backwards. | and backwards? | now count down | and back again? | Backwards
                    please
                """,
                ),
                _sequence(end, start, -1),
                f"I count down from {end} to {start}.",
            )
        )
    elif rng.random() < 0.1 and step > 0:
        head.more.append(
            Exchange(
                choose(
                    rng,
                    """
                    And 5 more? | five more please | keep going | go on | more | continue
                """,
                ),
                _sequence(end + step, end + 5 * step, step),
                f"I go on after {end}.",
            )
        )
    return head


def too_far(rng: Rng) -> Exchange:
    """A wish to count further than the model can."""
    end = rng.choice([150, 200, 250, 300, 500, 999, 1000, 1000, 2000, 5000, 10000, 1000000])
    name = rng.choice([str(end), str(end), "a million", "infinity", "a thousand"])
    ask = choose(
        rng,
        """
        Count to {e}. | count to {e} | Count from 1 to {e}. | Can you count to {e}? | count up to
        {e}
    """,
    ).replace("{e}", name)
    return Exchange(
        ask, "That is too far for me. I can count to 100.", "That is too far. I should say so."
    )


def around(rng: Rng) -> Exchange:
    """Neighbours, parity, size, doubles and halves of a number."""
    n = rng.randint(0, 100) if rng.random() < 0.5 else rng.randint(0, 25)
    kind = rng.randrange(6)
    if kind == 0:
        user = choose(
            rng,
            """
            What comes after {n}? | what number comes after {n} | Which number follows {n}? | what
            is the next number after {n}? | what is after {n}
        """,
        )
        answer = f"After {n} comes {n + 1}."
    elif kind == 1:
        n = max(1, n)
        user = choose(
            rng,
            """
            What comes before {n}? | what number comes before {n} | Which number is just before {n}?
        """,
        )
        answer = f"Before {n} comes {n - 1}."
    elif kind == 2:
        user = choose(
            rng,
            """
            Is {n} even? | Is {n} odd or even? | is {n} an even number? | is {n} odd | {n}: even or
            odd?
        """,
        )
        answer = f"{n} is {'odd' if n % 2 else 'even'}."
    elif kind == 3:
        m = rng.randint(0, 100 if n > 25 else 25)
        m = m + 1 if m == n else m
        small = rng.random() < 0.3
        user = choose(
            rng,
            """
            Which is {w}, {n} or {m}? | what is {w}, {n} or {m} | Is {n} or {m} {w}? | {n} or {m},
            which one is {w}?
        """,
        )
        user = user.replace("{m}", str(m)).replace(
            "{w}",
            pick(rng, ["smaller", "less"] if small else ["bigger", "larger", "more", "greater"]),
        )
        low, high = min(n, m), max(n, m)
        answer = f"{low} is smaller than {high}." if small else f"{high} is bigger than {low}."
    elif kind == 4:
        n = rng.randint(0, 20)
        user = choose(
            rng,
            """
            What is double {n}? | double {n} | What is twice {n}? | Double the number {n}.
        """,
        )
        answer = f"Double {n} is {2 * n}."
    else:
        n = 2 * rng.randint(0, 20)
        user = choose(rng, "What is half of {n}? | half of {n} | How much is half of {n}?")
        answer = f"Half of {n} is {n // 2}."
    return Exchange(
        capital(user.replace("{n}", str(n))), answer, f"This is about numbers. {answer}"
    )
