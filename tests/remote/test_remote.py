"""Replies of servers elsewhere: what they are asked, what becomes of what they say."""

from __future__ import annotations

import json
import threading
import time

import pytest
from support.openai_server import OpenAIServer, piece, running

from gemma_mtp.api import (
    Drafted,
    Grammar,
    Message,
    Request,
    Sampling,
    Stats,
    TextDelta,
    to_json,
)
from gemma_mtp.errors import (
    DoesNotFit,
    ExitStatus,
    GemmaMtpError,
    ModelNotAvailable,
    NotCounted,
    UsageError,
)
from gemma_mtp.remote import stream
from gemma_mtp.remote.client import RemotePair
from gemma_mtp.remote.server import Server

CHOICES = Grammar("choices", '["yes", "a \\"b\\""]')
ASKED = (Message.text("system", "Be brief."), Message.text("user", "Hello"))


def pair(server: OpenAIServer, key: str | None = None) -> RemotePair:
    found = Server(server.address, key)
    return RemotePair(found, found.models()[0])


def reply(server: OpenAIServer, request: Request | None = None, key: str | None = None):
    return [*pair(server, key).reply(request or Request(ASKED), threading.Event())]


def test_a_reply_of_any_server() -> None:
    server = OpenAIServer("somebody", ["m"])
    server.stream = [
        piece(role="assistant"),
        ": a comment\n\n",
        piece("Hel"),
        piece("lo"),
        piece(finish="stop"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}},
    ]
    with running(server):
        *_, end = events = reply(server)
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Hel", "lo"]
    assert (end.reason, end.message.content) == ("stop", "Hello")
    assert (end.stats.prompt_tokens, end.stats.completion_tokens) == (9, 2)
    assert end.stats.context_used == 11
    assert end.stats.acceptance_rate is None
    assert server.last["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert server.last["stream"] is True
    assert "top_k" not in server.last  # OpenAI's own service would refuse it
    assert "temperature" not in server.last  # this is no Gemma; the server knows what suits it


def test_thoughts_are_told_from_the_answer() -> None:
    for field in ("reasoning_content", "reasoning"):
        server = OpenAIServer()
        server.stream = [piece(**{field: "hm"}), piece("yes"), piece(finish="length")]
        with running(server):
            *_, end = reply(server, Request(ASKED, think=True))
        assert (end.thought, end.message.content, end.reason) == ("hm", "yes", "length")
        assert server.last["chat_template_kwargs"] == {"enable_thinking": True}


def test_another_gemma_mtp_tells_everything() -> None:
    stats = Stats(
        prompt_tokens=7, completion_tokens=5, rounds=2, decoded=4, drafted=4, accepted=2,
        sources=(Drafted("mtp", 4, 2),), decode_seconds=0.5, context_used=12, context_size=8192,
        drafts="used",
    )  # fmt: skip
    server = OpenAIServer("gemma-mtp", ["e2b"])
    ours = {"seed": 77, "warning": "The drafter failed.", "counters": to_json(stats)}
    server.stream = [piece("x"), {**piece(finish="stop"), "gemma_mtp": ours}]
    request = Request(ASKED, Sampling(top_k=3), draft=3, exact=True, seed=5, stop=("!",))
    with running(server):
        found = pair(server)
        *_, end = found.reply(request, threading.Event())
    assert end.stats.sources == stats.sources
    assert end.stats.acceptance_rate == 0.5
    assert (end.seed, end.warning) == (77, "The drafter failed.")
    assert found.info.context_size == 8192
    sent = server.last
    assert (sent["draft"], sent["exact"], sent["seed"], sent["stop"]) == (3, True, 5, ["!"])
    assert (sent["top_k"], sent["temperature"], sent["reasoning_effort"]) == (3, 1.0, "none")


BUDGET = {"think_budget": 300, "max_tokens": 50, "limit_answer": True}


@pytest.mark.parametrize(
    ("owner", "asked", "sent", "warned"),
    [
        ("gemma-mtp", BUDGET, {"think_budget": 300, "max_tokens": 50, "limit_answer": True}, False),
        ("gemma-mtp", {"think": True}, {"reasoning_effort": "high"}, False),
        ("gemma-mtp", {"think_budget": 0}, {"think_budget": 0}, False),
        ("llamacpp", BUDGET, {"thinking_budget_tokens": 300, "max_tokens": 350}, False),
        ("vllm", BUDGET, {"thinking_token_budget": 300, "max_tokens": 350}, False),
        ("sglang", BUDGET, {"max_tokens": 350}, True),
        ("library", BUDGET, {"reasoning_effort": "low"}, True),
        ("somebody", {"think_budget": 900}, {"reasoning_effort": "medium"}, True),
        ("somebody", {"think_budget": 9000}, {"reasoning_effort": "high"}, True),
        ("somebody", {"think_budget": 0}, {}, False),
    ],
)
def test_a_budget_for_thoughts_is_sent_in_the_servers_words(owner, asked, sent, warned) -> None:
    server = OpenAIServer(owner, ["gemma-4"])
    usage = {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 5}}
    cut = {"gemma_mtp": {"thought_cut": True}}
    server.stream = [piece("x"), {**piece(finish="stop"), "usage": usage, **cut}]
    with running(server):
        *_, end = reply(server, Request(ASKED, **asked))
    assert {**server.last, **sent} == server.last
    thinks = Request(ASKED, **asked).thinks
    if owner in ("llamacpp", "vllm", "sglang"):
        assert server.last["chat_template_kwargs"] == {"enable_thinking": thinks}
    words = f"cannot be told how long to think: {asked.get('think_budget')} tokens are not held."
    assert end.warning == (f"This server {words}" if warned else "")
    assert (end.thought_tokens, end.thought_cut) == (5, True)


def test_llama_server_tells_timings() -> None:
    server = OpenAIServer("llamacpp", ["gemma-4-e2b"], meta={"n_ctx": 4096})
    timings = {
        "cache_n": 4, "prompt_n": 6, "prompt_ms": 30.0, "predicted_n": 20, "predicted_ms": 400.0,
        "draft_n": 10, "draft_n_accepted": 8,
    }  # fmt: skip
    server.stream = [piece("x"), {**piece(finish="stop"), "timings": timings}]
    with running(server):
        found = pair(server)
        *_, end = found.reply(Request(ASKED, Sampling(repeat_penalty=1.2)), threading.Event())
    assert found.info.context_size == 4096
    assert (end.stats.prompt_tokens, end.stats.cached_tokens) == (10, 4)
    assert end.stats.tokens_per_second == pytest.approx(50)
    assert end.stats.acceptance_rate == 0.8
    assert server.last["repeat_penalty"] == 1.2


def test_acceptance_of_vllm_is_read_from_its_metrics() -> None:
    server = OpenAIServer("vllm", ["gemma-4"])
    server.stream = [piece("x"), piece(finish="stop")]

    def metrics(drafted: int, accepted: int, running: int) -> str:
        return (
            f'# HELP x y\nvllm:num_requests_running{{model_name="g"}} {running}.0\n'
            f'vllm:spec_decode_num_draft_tokens_total{{model_name="g 4"}} {drafted}.0\n'
            f'vllm:spec_decode_num_accepted_tokens_total{{model_name="g 4"}} {accepted}.0\n'
        )

    class Growing(dict):
        def get(self, path, default=None):
            if path == "/metrics":
                return (200, readings.pop(0))
            return super().get(path, default)

    server.pages = Growing(server.pages)
    with running(server):
        readings = [metrics(100, 50, 0), metrics(120, 65, 0)]
        *_, end = reply(server)
        assert (end.stats.drafted, end.stats.accepted) == (20, 15)
        readings = [metrics(100, 50, 1), metrics(120, 65, 0)]  # somebody else was served
        *_, end = reply(server)
        assert end.stats.acceptance_rate is None


def test_the_key_is_shown_and_stays_secret() -> None:
    server = OpenAIServer()
    server.refusal = (401, {"error": {"message": "no"}}, {})
    with running(server), pytest.raises(GemmaMtpError) as error:
        reply(server, key="s3cret")
    assert server.asked[-1][1]["Authorization"] == "Bearer s3cret"
    assert error.value.status == ExitStatus.HUB
    assert "s3cret" not in f"{error.value} {error.value.hint}"
    assert "--api-key" in error.value.hint


def test_a_key_of_other_letters_is_sent_as_utf_8() -> None:
    server = OpenAIServer()
    server.stream = [piece("x"), piece(finish="stop")]
    with running(server):
        reply(server, key="voilà")
    assert server.asked[-1][1]["Authorization"].encode("latin-1") == "Bearer voilà".encode()


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (307, "", GemmaMtpError, "sends elsewhere"),
        (404, {"error": {"message": "model x not found"}}, ModelNotAvailable, "no such model"),
        (404, "<html>", GemmaMtpError, "does not speak OpenAI's dialect"),
        (400, {"error": {"message": "n must be 1"}}, UsageError, "n must be 1"),
        (400, {"message": "bad", "object": "error"}, UsageError, "bad"),  # vLLM's
        (422, {"detail": "top_k"}, UsageError, "top_k"),
        (429, {"error": {"message": "slow down"}}, GemmaMtpError, "is busy"),
        (500, "oops", GemmaMtpError, "failed with status 500"),
    ],
)
def test_refusals(status, said, kind, words) -> None:
    server = OpenAIServer()
    server.refusal = (status, said, {"Retry-After": "7"})
    with running(server), pytest.raises(kind, match=words) as error:
        reply(server)
    if status == 429:
        assert "in 7 seconds" in error.value.hint


def test_a_prompt_that_is_too_long() -> None:
    ours = {"message": "The prompt has 900 tokens, and the context holds 512.",
            "code": "context_length_exceeded"}  # fmt: skip
    llama = {"message": "too long", "type": "exceed_context_size_error",
             "n_prompt_tokens": 900, "n_ctx": 512}  # fmt: skip
    for said in (ours, llama):
        server = OpenAIServer()
        server.refusal = (400, {"error": said}, {})
        with running(server):
            found = pair(server)
            with pytest.raises(DoesNotFit) as error:
                list(found.reply(Request(ASKED), threading.Event()))
        assert (error.value.tokens, error.value.size) == (900, 512)
        assert found.info.context_size == 512


def test_no_server_and_no_server_of_models() -> None:
    with pytest.raises(GemmaMtpError, match="cannot be reached") as error:
        Server("127.0.0.1:1").models()
    assert error.value.status == ExitStatus.HUB
    server = OpenAIServer()
    server.pages["/v1/models"] = "<html>It works!</html>"
    with running(server), pytest.raises(GemmaMtpError, match="no server of models"):
        Server(server.address).models()


def test_a_stream_that_breaks_off_keeps_the_words_so_far() -> None:
    server = OpenAIServer()
    server.stream, server.cut = [piece("so "), piece("far")], True
    texts = []

    def read() -> None:
        for event in pair(server).reply(Request(ASKED), threading.Event()):
            texts.extend([event.text] if isinstance(event, TextDelta) else [])

    with running(server), pytest.raises(GemmaMtpError, match="broke off") as error:
        read()
    assert texts == ["so ", "far"]
    assert error.value.status == ExitStatus.HUB


def test_a_stream_of_another_kind_is_no_server_of_models() -> None:
    for line in ("data: nonsense\n\n", "data: 7\n\n", "data: " + "[" * 100_000 + "\n\n"):
        server = OpenAIServer()
        server.stream = [line]
        with running(server), pytest.raises(GemmaMtpError, match="no server of models"):
            reply(server)


def test_a_line_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST_LINE", 1 << 20)
    server = OpenAIServer()
    server.stream = [piece("so "), "data: ", *["x" * (1 << 16)] * 4000]
    with running(server), pytest.raises(GemmaMtpError, match="no server of models"):
        reply(server)
    assert server.left.wait(60)


def test_a_line_ends_where_json_does() -> None:
    """Also one with characters that end a line of text, and one that ends as on Windows."""
    said = "one\u2028two\x85three"
    data = json.dumps(piece(said), ensure_ascii=False)
    server = OpenAIServer()
    server.stream = [f"data: {data}\r\n\r\n", piece(finish="stop")]
    with running(server):
        *_, end = reply(server)
    assert end.message.content == said


def test_an_error_in_the_middle_of_a_stream() -> None:
    server = OpenAIServer()
    server.stream = [piece("so"), {"error": {"message": "out of memory"}}]
    with running(server), pytest.raises(GemmaMtpError, match="out of memory"):
        reply(server)


def test_stopping_leaves_the_server_at_once() -> None:
    server = OpenAIServer()
    server.stream, server.pause = [piece("word ")] * 2000, 0.01
    cancel = threading.Event()
    with running(server):
        events = pair(server).reply(Request(ASKED), cancel)
        for event in events:
            if isinstance(event, TextDelta):
                cancel.set()
                break
        *_, end = events
        assert end.reason == "cancelled"
        assert end.message.content.startswith("word ")
        assert server.left.wait(60)


def test_a_client_that_loses_interest_leaves_the_server() -> None:
    server = OpenAIServer()
    server.stream, server.pause = [piece("word ")] * 2000, 0.01
    with running(server):
        events = pair(server).reply(Request(ASKED), threading.Event())
        next(events)
        events.close()
        assert server.left.wait(60)


def test_counting() -> None:
    ours = OpenAIServer("gemma-mtp", ["e2b"])
    ours.pages["/v1/chat/completions/input_tokens"] = {"input_tokens": 42}
    with running(ours):
        assert pair(ours).count(Request(ASKED, draft=0)) == 42
    assert ours.asked[-1][2]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    llama = OpenAIServer("llamacpp")
    llama.pages |= {"/apply-template": {"prompt": "p"}, "/tokenize": {"tokens": [1, 2, 3]}}
    with running(llama):
        assert pair(llama).count(Request(ASKED)) == 3
    other = OpenAIServer("somebody")
    with running(other), pytest.raises(NotCounted):
        pair(other).count(Request(ASKED))


@pytest.mark.parametrize(
    ("owner", "request_", "named"),
    [
        ("vllm", Request(ASKED, draft=0), "what is drafted"),
        ("somebody", Request(ASKED, Sampling(min_p=0.2)), "min_p"),
        ("vllm", Request(prompt="raw"), "without a template"),
        ("somebody", Request(ASKED, grammar=Grammar("choices", '["a"]')), "JSON alone"),
        ("library", Request(ASKED, grammar=Grammar("gbnf", "root ::= x")), "JSON alone"),
        ("llamacpp", Request(ASKED, grammar=Grammar("lark", "start: x")), "written in Lark"),
    ],
)
def test_what_a_server_cannot_be_asked_for(owner, request_, named) -> None:
    server = OpenAIServer(owner)
    with running(server), pytest.raises(UsageError, match=named):
        reply(server, request_)


def test_the_context_is_the_servers() -> None:
    server = OpenAIServer()
    with running(server), pytest.raises(UsageError, match="server decides"):
        pair(server).enlarge(9000)


def test_the_time_to_the_first_word_is_measured_here() -> None:
    server = OpenAIServer()
    server.stream, server.pause = [piece("a"), piece("b"), piece(finish="stop")], 0.05
    started = time.perf_counter()
    with running(server):
        *_, end = reply(server)
    assert 0 < end.stats.ttft_seconds <= time.perf_counter() - started
    assert end.stats.decode_seconds > 0


@pytest.mark.parametrize(
    ("owner", "grammar", "sent"),
    [
        ("vllm", Grammar("json"), {"response_format": {"type": "json_object"}}),
        (
            "gemma-mtp",
            Grammar("json_schema", '{"type": "object"}'),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ("llamacpp", Grammar("gbnf", "root ::= x"), {"grammar": "root ::= x"}),
        ("llamacpp", CHOICES, {"grammar": 'root ::= "yes" | "a \\"b\\""'}),
        ("sglang", CHOICES, {"ebnf": 'root ::= "yes" | "a \\"b\\""'}),
        ("gemma-mtp", CHOICES, {"grammar": 'root ::= "yes" | "a \\"b\\""'}),
        ("gemma-mtp", Grammar("lark", "start: x"), {"grammar": "start: x"}),
        (
            "vllm",
            CHOICES,
            {
                "structured_outputs": {"choice": ["yes", 'a "b"']},
                "guided_choice": ["yes", 'a "b"'],
            },
        ),
        (
            "vllm",
            Grammar("lark", "start: x"),
            {"structured_outputs": {"grammar": "start: x"}, "guided_grammar": "start: x"},
        ),
    ],
)
def test_the_form_of_the_answer_is_asked_for(owner: str, grammar: Grammar, sent: object) -> None:
    server = OpenAIServer(owner)
    server.stream = [piece("x", finish="stop")]
    with running(server):
        reply(server, Request(ASKED, grammar=grammar))
    known = (
        *("response_format", "grammar", "ebnf", "structured_outputs"),
        *("guided_choice", "guided_grammar"),
    )
    assert {name: value for name, value in server.last.items() if name in known} == sent
