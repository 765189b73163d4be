"""What the server says of itself and of its models."""

from __future__ import annotations

import re

import httpx
import openai
import pytest
from support.serving import FakeEngines, chat

from gemma_mtp.api import Stats, from_json


def test_the_models_that_are_here_are_listed(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed] == ["tiny", "e2b"]
    assert all(model.created > 1_600_000_000 for model in listed)


@pytest.mark.parametrize("name", ["tiny", "tiny:latest"])
def test_one_model_has_several_names(client: openai.OpenAI, name: str) -> None:
    assert client.models.retrieve(name).id == "tiny"


def test_the_model_that_no_name_means_is_told(client: openai.OpenAI) -> None:
    told = {each.id: (each.model_extra or {})["default"] for each in client.models.list()}
    assert told["tiny"] is True
    assert [*told.values()].count(True) == 1


def test_a_model_that_is_not_here(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="pull 31b"):
        client.models.retrieve("31b")


@pytest.mark.parametrize("path", ["/", "/health", "/v1/models", "/v1/models/tiny"])
def test_head_has_the_status_of_get(url: str, path: str) -> None:
    assert httpx.head(f"{url}{path}").status_code == 200
    assert httpx.get(f"{url}{path}").status_code == 200


def test_health(engines: FakeEngines, url: str) -> None:
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    engines.stopping = True
    try:
        assert httpx.get(f"{url}/health").status_code == 503
        refused = chat(url)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
    finally:
        engines.stopping = False


def values(url: str) -> dict[str, float]:
    text = httpx.get(f"{url}/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_metrics_count_what_replies_brought(engines: FakeEngines, url: str) -> None:
    answer = httpx.get(f"{url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    before = values(url)
    engines.say(" ".join(["word"] * 100))
    for _ in range(2):
        assert chat(url).is_success
    assert chat(url, n=2).status_code == 400
    httpx.get(f"{url}/nowhere/at/all")
    engines.record()
    found = values(url)

    def more(name: str) -> float:
        return found[name] - before.get(name, 0)

    assert more("llamacpp:tokens_predicted_total") == 200
    assert more("llamacpp:prompt_tokens_total") == 10
    assert more('gemma_mtp_drafted_tokens_total{model="tiny"}') == 300
    assert more('gemma_mtp_accepted_tokens_total{model="tiny"}') == 100
    path = "/v1/chat/completions"
    assert more(f'gemma_mtp_requests_total{{path="{path}",status="200"}}') == 2
    assert more(f'gemma_mtp_requests_total{{path="{path}",status="400"}}') == 1
    assert more('gemma_mtp_requests_total{path="other",status="404"}') == 1
    assert found['gemma_mtp_speedup_ratio{model="tiny"}'] == pytest.approx(1.42)
    assert found["llamacpp:requests_processing"] == 0


def test_metrics_have_the_form_that_prometheus_reads(engines: FakeEngines, url: str) -> None:
    chat(url)
    text = httpx.get(f"{url}/metrics").text
    name = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
    labels = r'\{\w+="[^"]*"(,\w+="[^"]*")*\}'
    for line in text.splitlines():
        assert re.fullmatch(rf"# (HELP|TYPE) {name} .+|{name}({labels})? [\d.e+-]+", line), line
    named = re.findall(rf"^# TYPE ({name}) ", text, re.MULTILINE)
    assert len(named) == len(set(named))


def test_all_counters_can_be_had_back(engines: FakeEngines, url: str) -> None:
    engines.say(" ".join(["word"] * 100))
    reply = chat(url).json()
    stats = from_json(Stats, reply["gemma_mtp"]["counters"])
    assert stats == engines.record().end.stats  # type: ignore[union-attr]
    assert stats.speedup == pytest.approx(1.42)


def test_the_page_of_all_routes_needs_nothing_from_elsewhere(url: str) -> None:
    page = httpx.get(f"{url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "POST /v1/chat/completions" in page.text
    assert "<td>messages" in re.sub("</?code>", "", page.text)
    assert not re.search(r"<script|src=|https?://", page.text)
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    assert "/v1/chat/completions" in paths
    for path in paths:
        assert path in page.text
