"""The command line `llm` calls Python functions, over a scripted engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fakes import Script
from support.serving import FakeEngines

from gemma_mtp.api import ToolResult

pytest.importorskip("llm")
MODELS = """
- model_id: tiny
  model_name: tiny
  api_base: {url}/v1
  supports_tools: true
"""
FUNCTIONS = """
def weather(place: str, days: list[int]) -> str:
    "The weather at a place."
    return f"Rain in {place} on {days}."
"""


@pytest.mark.parametrize("stream", [True, False])
def test_functions_are_called_until_the_answer(
    engines: FakeEngines, url: str, tmp_path: Path, stream: bool
) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(MODELS.format(url=url))
    asked = [("weather", json.dumps({"place": p, "days": [0, 1]})) for p in ('Øs"lo', "Bergen")]
    engines.say(Script("I look.", calls=asked), Script("Rain everywhere."))
    words = ["-m", "tiny", "--functions", FUNCTIONS, "Will it rain?"]
    done = subprocess.run(
        [sys.executable, "-m", "llm", *words, *([] if stream else ["--no-stream"])],
        env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Rain everywhere.\n")
    results = engines.asked.messages[-1].parts
    assert [part.text for part in results if isinstance(part, ToolResult)] == [
        'Rain in Øs"lo on [0, 1].',
        "Rain in Bergen on [0, 1].",
    ]
