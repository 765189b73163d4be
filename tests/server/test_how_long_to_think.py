"""How long a model thinks, as each API says it: asked for by their own Python clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from ollama import Client
from openai import BadRequestError, OpenAI
from support.serving import FakeEngines, serving

from gemma_mtp.options import Options
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.server.openai.chat import ChatBody
from gemma_mtp.server.thoughts import thoughts
from gemma_mtp.settings import EFFORTS

STORY = "Tell me a story about a robot."
SAID: list[Any] = [{"role": "user", "content": STORY}]


@pytest.fixture
def openai(served: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{served}/v1", api_key="any", max_retries=0) as client:
        yield client


def chat(url: str, **more: Any) -> httpx.Response:
    asked = {"model": "tiny", "messages": SAID, **more}
    return httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=60)


# --- what the words mean -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ([], {}),
        ([("a", None)], {}),
        ([("a", True)], {"think": True}),
        ([("a", False), ("b", 500)], {"think": False}),
        ([("a", 500), ("b", "low")], {"think": True, "think_budget": 500}),
        ([("a", None), ("b", "low")], {"think": True, "think_budget": EFFORTS["low"]}),
        ([("a", "high")], {"think": True, "think_budget": None}),
        ([("a", "none")], {"think": False, "think_budget": 0}),
        ([("a", True), ("b", "none")], {"think": False, "think_budget": 0}),
        ([("a", 0)], {"think": False, "think_budget": 0}),
        ([("a", -1)], {"think": True, "think_budget": None}),
    ],
)
def test_off_is_off_and_the_most_exact_word_counts(said: Any, meant: dict[str, Any]) -> None:
    assert dict(thoughts(*said).values) == meant
    Options().with_values(**dict(thoughts(*said).values))  # nothing in it contradicts itself


def test_an_effort_that_nobody_knows_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"must be one of none, minimal, low.* not much"):
        thoughts(("reasoning_effort", "much"))
    with pytest.raises(Unsupported, match=r"reasoning.effort must be one of"):
        thoughts(("reasoning.effort", ["low"]))


@pytest.mark.parametrize(
    ("sent", "budget"),
    [
        ({"thinking_budget": 300}, 300),
        ({"thinking_budget_tokens": 300}, 300),
        ({"thinking_token_budget": 300}, 300),
        ({"reasoning_budget": -1}, None),
        ({"think_budget": 300}, 300),
        ({"reasoning": {"max_tokens": 300}}, 300),
        ({"reasoning": {"effort": "low"}}, EFFORTS["low"]),
        ({"reasoning": {"enabled": True}}, None),
        ({"chat_template_kwargs": {"enable_thinking": True}}, None),
        ({"chat_template_kwargs": {"enable_thinking": True, "thinking_budget": 300}}, 300),
        ({"reasoning_effort": "medium"}, EFFORTS["medium"]),
        ({"reasoning_effort": "medium", "thinking_budget": 300}, 300),
    ],
)
def test_fields_of_other_servers(
    engines: FakeEngines, url: str, sent: dict[str, Any], budget: int | None
) -> None:
    assert chat(url, **sent).status_code == 200
    asked = engines.asked
    assert (asked.thinks, asked.think_budget, asked.limit_answer) == (True, budget, False)
    assert ChatBody(messages=SAID, **sent).asked().ignored == ()


@pytest.mark.parametrize(
    "sent",
    [
        {"reasoning_effort": "none"},
        {"thinking_budget": 0},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning": {"enabled": False}, "reasoning_effort": "high"},
    ],
)
def test_words_for_no_thought(engines: FakeEngines, url: str, sent: dict[str, Any]) -> None:
    assert chat(url, **sent).status_code == 200
    assert not engines.asked.thinks


def test_what_is_wrong_is_said_in_the_clients_words(engines: FakeEngines, url: str) -> None:
    refused = {
        "reasoning_effort must be one of none, minimal": {"reasoning_effort": "lots"},
        "contradict each other": {"reasoning_effort": "none", "think_budget": 9},
    }
    for words, sent in refused.items():
        found = chat(url, **sent)
        assert found.status_code == 400
        assert words in found.json()["error"]["message"]


def test_words_for_a_template_that_gemmas_do_not_know_are_named() -> None:
    words = {"enable_thinking": True, "preserve_thinking": True}
    asked = ChatBody(messages=SAID, chat_template_kwargs=words).asked()
    assert asked.ignored == ("chat_template_kwargs.preserve_thinking",)


def test_a_client_that_says_nothing_has_the_servers_budget() -> None:
    engines = FakeEngines(Options().with_values(think_budget=77))
    with serving(engines) as url:
        chat(url)
        assert (engines.asked.thinks, engines.asked.think_budget) == (True, 77)
        chat(url, chat_template_kwargs={"enable_thinking": True})
        assert (engines.asked.thinks, engines.asked.think_budget) == (True, 77)
        chat(url, reasoning_effort="high")
        assert (engines.asked.thinks, engines.asked.think_budget) == (True, None)
        chat(url, reasoning_effort="none")
        assert not engines.asked.thinks
        httpx.post(f"{url}/api/chat", json={"model": "tiny", "messages": SAID, "think": False})
        assert not engines.asked.thinks


# --- with the built-in pair --------------------------------------------------------------------


@pytest.mark.parametrize("budget", [1, 8, 50])
def test_completions_hold_it(openai: OpenAI, budget: int) -> None:
    ask = openai.chat.completions.create
    extra = {"thinking_budget": budget}
    reply = ask(model="tiny", messages=SAID, seed=1, max_tokens=300, extra_body=extra)
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == {1: 0, 8: 8, 50: 27}[budget]
    assert reply.choices[0].message.content
    ours: Any = reply.to_dict()["gemma_mtp"]
    assert ours["thought_cut"] is (budget == 8)
    parts = ask(model="tiny", messages=SAID, seed=1, max_tokens=300, extra_body=extra, stream=True)
    texts = [part.choices[0].delta.content or "" for part in parts if part.choices]
    assert "".join(texts) == reply.choices[0].message.content


def test_the_limit_of_tokens_counts_thoughts(openai: OpenAI) -> None:
    extra = {"thinking_budget": 8}
    ask = openai.chat.completions.create
    reply = ask(model="tiny", messages=SAID, seed=1, max_tokens=10, extra_body=extra)
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 10
    apart = {**extra, "limit_answer": True}
    reply = ask(model="tiny", messages=SAID, seed=1, max_tokens=10, extra_body=apart)
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 18


def test_responses_hold_an_effort(openai: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EFFORTS, "low", 8)
    ask = openai.responses.create
    low = ask(model="tiny", input=STORY, reasoning={"effort": "low"}, extra_body={"seed": 1})
    high = ask(model="tiny", input=STORY, reasoning={"effort": "high"}, extra_body={"seed": 1})
    assert low.usage is not None
    assert high.usage is not None
    assert low.usage.output_tokens_details.reasoning_tokens == 8
    assert high.usage.output_tokens_details.reasoning_tokens == 27
    assert low.output_text
    with pytest.raises(BadRequestError, match=r"reasoning.effort must be one of"):
        ask(model="tiny", input=STORY, reasoning={"effort": "huge"})  # type: ignore[typeddict-item]


def test_messages_hold_a_budget(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EFFORTS, "low", 6)
    seed = {"seed": 1}
    with Anthropic(base_url=served, api_key="any", max_retries=0) as client:

        def thought(**more: Any) -> int:
            said: Any = SAID
            reply = client.messages.create(
                model="tiny", max_tokens=300, messages=said, extra_body=seed, **more
            )
            assert reply.content[-1].type == "text"
            details: Any = reply.to_dict()["usage"]["output_tokens_details"]  # type: ignore[typeddict-item]
            return int(details["thinking_tokens"])

        assert thought(thinking={"type": "enabled", "budget_tokens": 9}) == 9
        assert thought(thinking={"type": "enabled", "budget_tokens": 1024}) == 27
        assert thought(thinking={"type": "adaptive"}) == 27
        low: Any = {"effort": "low"}
        assert thought(thinking={"type": "adaptive"}, output_config=low) == 6
        assert thought(thinking={"type": "disabled"}, output_config=low) == 0


def test_ollamas_levels_hold(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EFFORTS, "low", 8)
    client = Client(served)

    def thought(think: Any, **more: Any) -> str:
        options = {"seed": 1, "num_predict": 300, **more}
        message = client.chat("tiny", SAID, think=think, options=options).message
        assert message.content
        return message.thinking or ""

    whole = thought(True)
    assert thought("high") == whole
    assert whole.startswith(thought("low"))
    assert len(thought("low")) < len(whole)
    assert thought(True, think_budget=8) == thought("low")
    assert thought(False) == ""
