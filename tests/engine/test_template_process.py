"""Templates that take too much: each is refused in a sentence, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gemma_mtp.api import Message
from gemma_mtp.engine import template_process
from gemma_mtp.engine.chat_template import ChatTemplate
from gemma_mtp.engine.prompt_tokens import encode_prompt
from gemma_mtp.engine.template_process import RendererProcess
from gemma_mtp.errors import BadPair, Cancelled, ExitStatus

LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
# All of these ask for more than any machine has, or end only after years.
ENDLESS = {
    "loops": LOOPS,
    "a power": "{{ messages | length ** (messages | length ** 99) }}",
    "a power while compiling": "{{ 9 ** (9 ** 9) }}",
    "a list that holds itself twice": (
        "{% set ns = namespace(a=[1]) %}"
        "{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}"
    ),
    "rounding": "{{ messages | length | round(10 ** 9, 'ceil') }}",
}
TOO_MUCH = {
    "a string": ("{{ 'x' * 10 ** 10 }}", "takes too much memory"),
    "a wide format": ("{{ '%10000000000d' % 1 }}", "takes too much memory"),
    "text": ("{{ bos_token * 1000000 }}", "writes more than"),
    "text a little at a time": ("{% for i in range(99999) %}{{ bos_token }}{% endfor %}", "writes"),
    "a message again and again": (
        "{% for i in range(99) %}{{ messages[1].content }}{% endfor %}",
        "writes more than",
    ),
    "parentheses": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested"),
    "blocks": ("{% if 1 %}" * 2000 + "{% endif %}" * 2000, "nested"),
    "a macro that calls itself": (
        "{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        "nested",
    ),
    "tuples within tuples": (
        "{% set ns = namespace(a=()) %}"
        "{% for i in range(99999) %}{% set ns.a = (ns.a,) %}{% endfor %}{{ {ns.a: 1} }}",
        "made the process end|nested too deeply",
    ),
    "a break outside a loop": ("{% break %}", "'break' outside loop"),
    "its own length": ("x" * (1 << 20) + "x", "more than 1048576 characters"),
    "a long complaint": ("{{ raise_exception('x' * 99999) }}", "failed: x{300}[.]$"),
}
TURNS = [
    Message.text("user", "Hello there. " * 99),
    Message.text("assistant", "a"),
    Message.text("user", "b"),
]


def text_of(template, messages, think):
    """The prompt as text, up to where the model's next turn begins."""
    return "".join(piece.text for piece in template.pieces(messages, think))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """All processes that were started; in the end, none of them may run."""
    found: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def record(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        found.append(popen(*arguments, **settings))
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", record)
    yield found
    assert [process.poll() for process in found if process.poll() is None] == []


def render(source: str) -> str:
    template = ChatTemplate(source, "<bos>", "<eos>")
    try:
        return text_of(template, [Message.text("system", "Be brief."), *TURNS], think=False)
    finally:
        template.close()


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
def test_a_template_without_end_is_ended(
    source: str, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    monkeypatch.setattr(template_process, "SECONDS", 0.7)
    with pytest.raises(BadPair, match=r"^The chat template .* takes too (long|much memory)[.]$"):
        render(source)
    assert len(started) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded by Linux")
@pytest.mark.parametrize(("source", "reason"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_template_that_takes_too_much_is_refused(
    source: str, reason: str, started: list[subprocess.Popen[bytes]]
) -> None:
    with pytest.raises(BadPair, match=reason) as caught:
        render(source)
    assert str(caught.value).startswith("The chat template of this model ")
    assert caught.value.status == ExitStatus.BAD_PAIR
    assert caught.value.hint
    assert len(started) <= 1


def test_many_control_tokens_in_a_row_are_never_tokenized() -> None:
    def tokenize(text: str, special: bool) -> list[int]:
        pytest.fail(f"{len(text)} characters came this far")

    source = "{{ messages[0].content }}{{ bos_token * 14000 }}"
    template = ChatTemplate(source, "<bos>", "<eos>")
    with pytest.raises(BadPair, match="characters in a row"):
        encode_prompt(template.pieces(TURNS * 9, think=False), tokenize, 2)
    template.close()


def test_after_it_was_ended_a_template_runs_again(
    monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    source = "{% if messages | length > 1 %}" + LOOPS + "{% endif %}[{{ messages[0].content }}]"
    template = ChatTemplate(source, "", "")
    assert text_of(template, TURNS[:1], think=False) == f"[{TURNS[0].content}]"
    monkeypatch.setattr(template_process, "SECONDS", 0.7)
    with pytest.raises(BadPair, match="takes too long"):
        text_of(template, TURNS, think=False)
    monkeypatch.setattr(template_process, "SECONDS", 60.0)
    with pytest.raises(BadPair, match="takes too long"):
        text_of(template, TURNS, think=False)  # at once, or this test would take a minute
    assert text_of(template, TURNS[:1], think=False) == f"[{TURNS[0].content}]"
    template.close()
    assert len(started) == 2


def test_it_stops_when_asked_to(started: list[subprocess.Popen[bytes]]) -> None:
    asked = iter([False, False, False, True])
    template = ChatTemplate(LOOPS, "", "")
    with pytest.raises(Cancelled):
        template.pieces(TURNS, False, lambda: next(asked))
    assert started[0].poll() is not None
    with pytest.raises(Cancelled):
        ChatTemplate("{{ 9 ** (9 ** 9) }}", "", "", cancelled=lambda: True)
    assert started[1].poll() is not None


def test_a_second_ctrl_c_leaves_no_answer_for_the_next_question(
    started: list[subprocess.Popen[bytes]],
) -> None:
    template = ChatTemplate("{{ messages | length }}", "", "")

    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        template.pieces(TURNS, False, interrupted)
    assert text_of(template, TURNS[:1], think=False) == "1"
    template.close()


def test_a_process_that_ended_by_itself_is_said(started: list[subprocess.Popen[bytes]]) -> None:
    template = ChatTemplate("{{ messages | length }}", "", "")
    started[0].kill()
    with pytest.raises(BadPair, match="made the process end in which it ran"):
        text_of(template, TURNS, think=False)
    assert text_of(template, TURNS, think=False) == "3"
    template.close()


def test_any_text_goes_there_and_back() -> None:
    source = "é\ud800{% for m in messages %}{{ m.content | list | join }}{% endfor %}"
    text = "语\u2028\x00\x1b \ud83d" + "x" * 200_000
    template = ChatTemplate(source, "", "")
    assert text_of(template, [Message.text("user", text)], think=False) == f"é\ud800{text}"
    template.close()


def test_harmless_templates_need_no_process(started: list[subprocess.Popen[bytes]]) -> None:
    renderer = RendererProcess()
    renderer.start()
    ChatTemplate("", "", "", renderer)  # which has no use for it
    assert started[0].poll() is not None
    assert len(started) == 1


@pytest.mark.skipif(os.name != "posix", reason="sessions of POSIX")
def test_ctrl_c_on_the_terminal_is_not_for_the_template(
    started: list[subprocess.Popen[bytes]],
) -> None:
    template = ChatTemplate("{{ messages | length }}", "", "")
    assert os.getsid(started[0].pid) != os.getsid(0)
    template.close()
