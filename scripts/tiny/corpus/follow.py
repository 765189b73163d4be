"""Turns that react to the last answer: what was asked, again, shorter, why, another one."""

from __future__ import annotations

from corpus.base import Exchange, Rng, choose, first_sentence
from corpus.jokes import joke
from corpus.stories import story


def asked_before(rng: Rng, questions: list[str]) -> Exchange:
    """The user wants to know what was asked."""
    if len(questions) > 1 and rng.random() < 0.3:
        ask = choose(
            rng,
            """
            What did I ask first? | what was my first question? | what was the first thing I said?
        """,
        )
        return Exchange(ask, f'First you wrote: "{questions[0]}"', "I look at the first message.")
    ask = choose(
        rng,
        """
        What did I just ask? | what did I just ask | What was my question? | what did I say? | what
        did I just say? | What was my last question? | repeat my question | Can you repeat my
        question? | what did i ask you? | what was my last message?
    """,
    )
    return Exchange(ask, f'You wrote: "{questions[-1]}"', "I look at the message before this one.")


def react(rng: Rng, last: Exchange) -> Exchange | None:
    """A short reaction to any answer, or None where none fits."""
    short = len(last.answer) < 200
    roll = rng.random()
    if roll < 0.25 and short:
        ask = choose(
            rng,
            """
            again | Again! | say that again | Can you repeat that? | repeat that please | repeat |
            Repeat your answer. | what? | sorry? | pardon? | once more | What did you say?
        """,
        )
        return Exchange(ask, last.answer, "The user wants to hear it again.")
    if (
        roll < 0.5
        and short
        and " " in last.answer
        and "\n" not in last.answer
        and "=" not in last.answer
    ):
        brief = first_sentence(last.answer)
        if brief != last.answer:
            ask = choose(
                rng,
                """
                shorter please | Shorter, please. | make it shorter | in one sentence please | too
                long | shorter | briefly? | Can you say that in one sentence?
            """,
            )
            return Exchange(ask, brief, "The user wants it shorter. One sentence is enough.")
    if roll < 0.66:
        ask = choose(
            rng,
            """
            tell me more | Tell me more. | more | and? | more details please | go on | Can you
            explain more? | explain that | continue | I want to know more | what else?
        """,
        )
        return Exchange(ask, "That is all I know about it.", "I know nothing more about it.")
    if roll < 0.8 and "=" not in last.answer:
        ask = choose(
            rng,
            """
            Are you sure? | are you sure | Really? | really? | is that true? | Is that right? |
            sure? | is that correct
        """,
        )
        return Exchange(
            ask, "I think so, but I am tiny and may be wrong.", "I may be wrong, so I say that."
        )
    if roll < 0.93:
        ask = choose(
            rng,
            """
            Why? | why? | why | how? | How do you know that? | why is that? | what do you mean? | I
            don't understand | I do not understand. | huh? | explain
        """,
        )
        return Exchange(
            ask, "I cannot explain more, I am only a toy model.", "I have no more to say on this."
        )
    return None


def offered(rng: Rng, answer: str) -> list[Exchange]:
    """The user takes or leaves what the model offered at the end of its answer."""
    if not answer.endswith(("Would you like a story or a joke?", "Would you like another one?")):
        return []
    roll = rng.random()
    if roll < 0.2:
        ask = choose(
            rng,
            """
            no | No, thanks. | no thank you | not now | no thanks | neither | nope | maybe later
        """,
        )
        return [
            Exchange(ask, "All right. What would you like to try?", "The user does not want it.")
        ]
    if answer.endswith("another one?"):
        told = story(rng)
        told.user = choose(
            rng,
            """
            yes | Yes, please. | yes please | sure | ok | of course | yeah | please do | another one
            please
        """,
        )
        return [Exchange(told.user, told.answer, "The user wants one more story.")]
    if roll < 0.7:
        told = joke(rng)
        told.user = choose(
            rng,
            """
            a joke | A joke, please. | joke | a joke please | yes | yes please | yes, a joke | the
            joke | sure | ok | joke please
        """,
        )
        return [Exchange(told.user, told.answer, "The user wants a joke.")]
    told = story(rng)
    told.user = choose(
        rng,
        """
        a story | A story, please. | story | a story please | yes, a story | the story | story
        please
    """,
    )
    return [Exchange(told.user, told.answer, "The user wants a story.")]


def why_not(rng: Rng) -> Exchange:
    """A complaint after an honest refusal."""
    ask = choose(
        rng,
        """
        Why not? | why not? | why not | please try | try anyway | Try it! | come on | just try |
        please! | but why? | You must know that. | can you try? | that is a pity | sad | what can
        you do then? | What do you know then? | that's easy | really? | you are no help
    """,
    )
    return Exchange(
        ask,
        "I am too small for that. I can tell stories, write lists, count, do small sums, "
        "and explain speculative decoding.",
        "I cannot do it. I say what I can do.",
    )


def story_question(rng: Rng, tale: str) -> Exchange | None:
    """A question about the hero of the story just told."""
    for word in ("named ", "called "):
        if word in tale:
            before, after = tale.split(word, 1)
            name = after.split(" ")[0].strip(".,")
            hero = before.split(" ")[-2] if before.endswith(" ") else ""
            break
    else:
        return None
    if rng.random() < 0.35 or not hero.isalpha():
        ask = choose(
            rng,
            """
            What happened next? | and then? | what happens then? | And then what happened? | go on |
            continue the story
        """,
        )
        return Exchange(
            ask, "That was the end of the story. Would you like another one?", "The story is over."
        )
    ask = choose(
        rng,
        """
        What was the {h} called? | What was the name of the {h}? | what is the name of the hero? |
        who was the story about? | Who is the {h}? | what was the hero called
    """,
    )
    return Exchange(
        ask.replace("{h}", hero),
        f"It was a {hero} named {name}."
        if hero[0] not in "aeiou"
        else f"It was an {hero} named {name}.",
        f"The story is about {name}.",
    )
