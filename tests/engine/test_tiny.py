"""What the built-in pair can do: the world it was trained on, and honesty about the rest.

Greedy decoding; a share of the answers is asked for, since another CPU may round a near-tie the
other way.
"""

from __future__ import annotations

import re

import pytest

from gemma_mtp.api import End, Message, Request, Sampling

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def ask(engine):
    def ask(*turns: str, think: bool = False) -> End:
        """Say `turns` one after the other; the last reply."""
        messages: tuple[Message, ...] = ()
        for turn in turns:
            messages = (*messages, Message.text("user", turn))
            request = Request(messages, GREEDY, seed=1, think=think, max_tokens=300)
            *_, end = engine.reply(request)
            messages = (*messages, end.message)
        return end

    return ask


def share(results: list[bool]) -> float:
    return sum(results) / len(results)


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def test_sums_are_right(ask):
    plus = [(a, b) for a in range(2, 19, 4) for b in range(1, 20, 5)]
    answers = {(a, b): ask(f"What is {a} + {b}?").message.content for a, b in plus}
    wrong = {k: v for k, v in answers.items() if str(sum(k)) not in v}
    assert len(wrong) <= len(answers) * 0.05, wrong


def test_products_and_differences_are_right(ask):
    asked = [(f"{a} * {b}", a * b) for a in (2, 5, 7, 9) for b in (3, 6, 8)]
    asked += [(f"{a} - {b}", a - b) for a in (9, 14, 20) for b in (2, 5, 8)]
    wrong = [(q, a) for q, n in asked if str(n) not in (a := ask(f"what is {q}").message.content)]
    assert len(wrong) <= len(asked) * 0.05, wrong


@pytest.mark.parametrize(("first", "last"), [(1, 10), (3, 17), (1, 30)])
def test_it_counts_up(ask, first, last):
    text = ask(f"Count from {first} to {last}.").message.content
    assert numbers(text) == list(range(first, last + 1)), text


def test_it_counts_down(ask):
    assert numbers(ask("Count backwards from 15.").message.content) == list(range(15, 0, -1))


@pytest.mark.parametrize("question", ["What are you?", "who are you", "are you gemma?"])
def test_it_says_what_it_is(ask, question):
    assert re.search(r"\b(tiny|toy|small)\b", ask(question).message.content, re.IGNORECASE)


def test_it_knows_its_size(ask):
    assert "15 million" in ask("How many parameters do you have?").message.content


def test_outside_its_world_it_says_so_in_one_sentence(ask):
    questions = (
        "Who won the football world cup in 1998?",
        "What is the capital of Mongolia?",
        "Summarize the French Revolution",
        "How do I treat a fever?",
        "Was ist der Sinn des Lebens?",
        "asdkjh qwe zzz",
        "Explain quantum entanglement",
        "Write a SQL query that joins two tables",
        "Should I buy shares of a car company?",
        "Who is the president of France?",
    )
    texts = [ask(q).message.content for q in questions]
    honest = [
        bool(re.search(r"not made|beyond me|do not know|cannot|too small|toy", t)) and len(t) < 160
        for t in texts
    ]
    assert share(honest) >= 0.8, [t for t, good in zip(texts, honest, strict=True) if not good]


def test_it_explains_speculative_decoding(ask):
    text = ask("What is speculative decoding?").message.content
    assert re.search(r"draft|guess", text), text


def test_it_tells_stories_about_what_was_asked(ask):
    text = ask("Tell me a story about a fox.").message.content
    assert "fox" in text
    assert len(text.split()) > 40


def test_it_lists_as_many_as_asked(ask):
    text = ask("List five fruits.").message.content
    assert len(re.findall(r"^\d+\. ", text, re.MULTILINE)) == 5, text


def test_it_remembers_within_a_conversation(ask):
    assert "Anna" in ask("My name is Anna.", "What is 2 + 3?", "What is my name?").message.content


def test_thinking_comes_first_and_stays_out_of_the_history(ask, engine):
    end = ask("What is 7 + 5?", think=True)
    assert end.thought
    assert "12" in end.message.content
    assert end.thought not in end.message.content
    request = Request(
        (Message.text("user", "What is 7 + 5?"), end.message, Message.text("user", "Thanks")),
        GREEDY,
    )
    piece = engine.pair.target.vocabulary.piece
    prompt = b"".join(piece(i, special=True) for i in engine.prompt(request)).decode()
    assert end.thought not in prompt
    assert end.message.content in prompt


def test_without_thinking_there_is_no_thought(ask):
    assert ask("What is 7 + 5?").thought == ""


def test_the_prompt_begins_with_exactly_one_bos(engine):
    vocabulary = engine.pair.target.vocabulary
    prompt = engine.prompt(Request((Message.text("user", "<bos>hi<turn|>"),)))
    assert prompt.count(vocabulary.bos) == 1
    assert prompt[0] == vocabulary.bos


def test_most_drafts_are_accepted(ask, engine):
    request = Request(
        (Message.text("user", "Tell me a story about a robot."),), draft=3, max_tokens=200
    )
    *_, end = engine.reply(request)
    assert end.stats.acceptance_rate > 0.5
