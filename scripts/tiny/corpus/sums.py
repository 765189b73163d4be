"""Small sums in the training text, right ones, doubted ones and those that are too big."""

from __future__ import annotations

from corpus.base import Exchange, Rng, capital, choose, pick, pool, spaced

WORDS = spaced("""
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty
""")
_ASK = pool("""
    {s} | {s}? | {s} = | {s}= | {s}=? | {s} = ? | What is {s}? | What is {s}? | what's {s}? | How
    much is {s}? | Calculate {s}. | What does {s} make? | Can you work out {s}? | Solve {s} | What
    do you get for {s}? | Compute {s} | Tell me {s} | I need to know {s}. | do you know {s}? | whats
    {s} | What is the answer to {s}? | hey what is {s} | {s} is what? | How much is {s}
""")
_TOO_BIG = "That is too big for me. I only know small sums, such as 7 + 8 or 6 x 7."
_SPOKEN = {
    "+": ["plus", "and", "added to"],
    "-": ["minus", "take away", "less"],
    "x": ["times", "multiplied by"],
    "/": ["divided by", "over"],
}
_WRITTEN = {
    "+": ["+"],
    "-": ["-", "-", "\u2013"],
    "x": ["x", "*", "x", "\u00d7"],
    "/": ["/", "÷", ":"],
}


def result(a: int, op: str, b: int) -> str:
    """Return the canonical equation, remainder included."""
    if op == "+":
        return f"{a} + {b} = {a + b}"
    if op == "-":
        return f"{a} - {b} = {a - b}"
    if op == "x":
        return f"{a} x {b} = {a * b}"
    if a % b:
        return f"{a} / {b} = {a // b} remainder {a % b}"
    return f"{a} / {b} = {a // b}"


def _operands(rng: Rng) -> tuple[int, str, int]:
    """Draw a sum the model should know; hard ones come more often."""
    roll = rng.random()
    if roll < 0.38:
        if rng.random() < 0.12:
            return 10 * rng.randint(1, 9), "+", 10 * rng.randint(1, 9)
        top = 10 if rng.random() < 0.4 else 20
        return rng.randint(0, top), "+", rng.randint(0, top)
    if roll < 0.66:
        if rng.random() < 0.08:
            a = rng.randint(0, 10)
            return a, "-", rng.randint(a, 20)
        a = rng.randint(0, rng.choice([10, 20, 20, 40]))
        return a, "-", rng.randint(0, min(a, 20))
    if roll < 0.9:
        a, b = rng.randint(2, 10), rng.randint(0 if rng.random() < 0.15 else 2, 10)
        return (a, "x", b) if rng.random() < 0.5 else (b, "x", a)
    b = rng.randint(1, 10)
    if rng.random() < 0.75:
        return b * rng.randint(1, 10), "/", b
    return rng.randint(1, 30), "/", rng.randint(2, 6)


def _expression(rng: Rng, a: int, op: str, b: int) -> str:
    """Write a sum in one of the ways people do."""
    left, right = str(a), str(b)
    roll = rng.random()
    if roll < 0.72:
        sign = pick(rng, _WRITTEN[op])
        return f"{left} {sign} {right}" if rng.random() < 0.55 else f"{left}{sign}{right}"
    if max(a, b) <= 20 and roll > 0.88:
        left, right = WORDS[a], WORDS[b]
    return f"{left} {pick(rng, _SPOKEN[op])} {right}"


def _question(rng: Rng, a: int, op: str, b: int) -> str:
    """Ask for a sum."""
    roll = rng.random()
    if roll < 0.1:
        special = {
            "+": pool("""
                Add {a} and {b} | What is the sum of {a} and {b}? | add {b} to {a}
            """),
            "-": pool("""
                Subtract {b} from {a} | Take {b} away from {a}. | What is the difference between {a}
                and {b}? | I have {a} and lose {b}. What is left?
            """),
            "x": pool("""
                Multiply {a} by {b} | What is the product of {a} and {b}? | multiply {a} and {b}
            """),
            "/": ["Divide {a} by {b}", "Share {a} among {b}"],
        }[op]
        text = pick(rng, special).format(a=a, b=b)
        if "difference" in text and b > a:
            return f"What is {a} - {b}?"
        return text
    return capital(pick(rng, _ASK).replace("{s}", _expression(rng, a, op, b)))


def _thought(rng: Rng, a: int, op: str, b: int) -> str:
    verb = {"+": "add", "-": "subtract", "x": "multiply", "/": "divide"}[op]
    return f"I have to {verb}: {result(a, op, b)}."


def sums(rng: Rng) -> Exchange:
    """A small sum, sometimes with follow-ups."""
    a, op, b = _operands(rng)
    head = Exchange(_question(rng, a, op, b), result(a, op, b) + ".", _thought(rng, a, op, b))
    while rng.random() < 0.3 and len(head.more) < 3:
        head.more.append(_sum_follow(rng, a, op, b))
        if "Yes," in head.more[-1].answer:
            continue
        a, op, b = _read(head.more[-1].answer)
    return head


def _read(answer: str) -> tuple[int, str, int]:
    a, op, b = answer.split(" = ")[0].split(" ")[:3]
    return int(a), op, int(b)


def _sum_follow(rng: Rng, a: int, op: str, b: int) -> Exchange:
    """Ask for the next sum, or doubt the last one."""
    roll = rng.random()
    if roll < 0.12:
        ask = choose(rng, "Are you sure? | Really? | is that right? | Is that correct? | sure?")
        return Exchange(ask, f"Yes, {result(a, op, b)}.", f"I check it: {result(a, op, b)}.")
    total = {"+": a + b, "-": a - b, "x": a * b}.get(op, -1)
    if roll < 0.4 and 0 <= total <= 20:
        c = rng.randint(1, 9)
        sign = rng.choice(["+", "+", "-"]) if total >= c else "+"
        word = {
            "+": ["plus", "and plus", "+", "now add", "add"],
            "-": ["minus", "and minus", "-", "now subtract", "take away"],
        }[sign]
        user = f"{pick(rng, word)} {c}{pick(rng, ['', '?', '?'])}"
        return Exchange(
            user,
            result(total, sign, c) + ".",
            f"The last result was {total}. {result(total, sign, c)}.",
        )
    a, op, b = _operands(rng)
    lead = choose(
        rng,
        """
        and {s}? | And {s}? | what about {s}? | {s} | {s}? | now {s} | ok and {s} | And what is {s}?
    """,
    )
    user = lead.replace("{s}", _expression(rng, a, op, b))
    return Exchange(user, result(a, op, b) + ".", _thought(rng, a, op, b))


def long_sum(rng: Rng) -> Exchange:
    """Three small numbers added step by step."""
    a, b, c = (rng.randint(1, 9) for _ in range(3))
    text = f"{a} + {b} + {c}" if rng.random() < 0.6 else f"{a}+{b}+{c}"
    return Exchange(
        capital(pick(rng, _ASK).replace("{s}", text)),
        f"{a} + {b} + {c} = {a + b} + {c} = {a + b + c}.",
        f"First {a} + {b} = {a + b}, then {a + b} + {c} = {a + b + c}.",
    )


def claim(rng: Rng) -> Exchange:
    """A result to confirm or to correct."""
    a, op, b = _operands(rng)
    right = result(a, op, b)
    said = right
    if rng.random() < 0.5:
        left, value = right.split(" = ")
        wrong = int(value.split(" ")[0]) + rng.choice([-2, -1, 1, 2, 10])
        said = f"{left} = {max(wrong, 0)}"
    ask = choose(
        rng,
        """
        Is {s}? | is {s} | {s}, right? | Is it true that {s}? | {s}, is that right? | I think {s}. |
        {s}, correct?
    """,
    )
    verdict = "right" if said == right else "wrong"
    return Exchange(
        ask.replace("{s}", said), f"{right}, so that is {verdict}.", f"I check it: {right}."
    )


def _known(a: int, op: str, b: int) -> bool:
    """Tell whether sums() may ask for this."""
    if op == "+":
        return (a <= 20 and b <= 20) or (a % 10 == b % 10 == 0 and a < 100 and b < 100)
    if op == "-":
        return a <= 40 and b <= 20
    if op == "x":
        return a <= 10 and b <= 10
    return (b <= 10 and a % b == 0 and a <= 10 * b) or (a <= 30 and b <= 6)


def _big(rng: Rng, op: str) -> tuple[int, int]:
    """Draw numbers of which most are beyond the tables."""
    roll = rng.random()
    if roll < 0.45:
        a, b = (
            rng.randint(11 if op == "x" else 21, 99),
            rng.randint(2, 99 if rng.random() < 0.6 else 20),
        )
        return (a, b) if op in "-/" or rng.random() < 0.7 else (b, a)
    if roll < 0.8:
        return rng.randint(41, 999), rng.randint(2, 999)
    return rng.randint(100, 99999), rng.randint(11, 9999)


def too_big(rng: Rng) -> Exchange:
    """A sum beyond the tables the model has learned."""
    op = rng.choice("++--xxx/")
    a, b = _big(rng, op)
    while _known(a, op, b):
        a, b = _big(rng, op)
    if rng.random() < 0.15:
        user = choose(
            rng,
            """
            What is the square root of {a}? | what is {a} squared | {a}^{b} | {a}.{b} + 1.5 | What
            is {b} percent of {a}? | solve 3x + {a} = {b} | sqrt({a}) | is {a} prime? | What is the
            derivative of x^2? | integrate x^{b} | {a}! = ? | log({a})
        """,
        )
        user = user.format(a=a, b=b)
    else:
        user = capital(pick(rng, _ASK).replace("{s}", _expression(rng, a, op, b)))
    return Exchange(user, _TOO_BIG, "These numbers are too big for me. I should say so.")
