"""The pages about the server against what it does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gemma_mtp.cli.serve import KEY, PORT
from gemma_mtp.server import engines, guard, metrics, reply, run, streams
from gemma_mtp.server.bodies import OURS, Body
from gemma_mtp.server.openai.chat import ChatBody
from gemma_mtp.server.openai.completions import CompletionBody

DOCS = Path(__file__).parents[2] / "docs"
SERVER, DIALECTS = ((DOCS / f"{name}.md").read_text() for name in ("server", "dialects"))


def named(text: str) -> set[str]:
    """What stands in backquotes, up to a dot or a colon."""
    return {re.split(r"[.:]", span)[0] for span in re.findall(r"`([^`\n]+)`", text)}


@pytest.mark.parametrize("body", [ChatBody, CompletionBody])
def test_every_field_of_a_completion_is_described(body: type[Body]) -> None:
    _, _, rest = DIALECTS.partition("## OpenAI: chat completions")
    text, _, _ = rest.partition("\n## ")
    fields = {*body.SETTINGS, *body.NEUTRAL, *body.IGNORED, *body.model_fields}
    usual = {"model", "messages", "stream"}
    assert fields - named(text) <= usual
    described = body.model_json_schema()["properties"]
    assert fields | {*OURS} <= described.keys()


def test_settings_that_any_request_may_have_are_named() -> None:
    assert {*OURS} <= named(DIALECTS)


def test_limits_are_those_that_hold() -> None:
    for limit in (
        f"| {guard.MOST_BYTES >> 20} MB of a body | status 413 |",
        f"| {guard.BODY_SECONDS:.0f} seconds for a body to arrive | status 408 |",
        f"| {engines.MOST_WAITING} requests that wait",
        f"get {run.GRACE:.0f} seconds",
        f"begins after {streams.PATIENCE:.0f} seconds",
        f"after {streams.PING:.0f} seconds of silence",
    ):
        assert limit in SERVER
    assert reply.LONGEST_REPLY == 3600
    assert "| one hour for a reply" in SERVER


def test_addresses_keys_and_schemes_are_those_of_the_program() -> None:
    assert f"http://127.0.0.1:{PORT}" in SERVER
    assert f"`{KEY}`" in SERVER
    for each in (*guard.APPS, *guard.PUBLIC):
        assert f"`{each}`" in SERVER


def test_every_figure_of_ours_is_named() -> None:
    assert {f"gemma_mtp_{name}" for name in metrics.OURS} <= named(SERVER)
