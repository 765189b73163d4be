"""Requests to Ollama's routes in the form in which programs of others send them.

What each sends was read in its source: VS Code's Copilot (ollamaProvider.ts), Zed (ollama.rs), Home
Assistant (components/ollama), Continue (Ollama.ts), Open WebUI (routers/ollama.py). What they do
with the answer is done here as well.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import httpx

SAID = [{"role": "user", "content": "Name three fruits."}]


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.split("\n") if line.strip()]


def test_visual_studio_code(http: httpx.Client) -> None:
    version = http.get("/api/version").json()["version"].split(".")
    assert [int(part) for part in version] >= [0, 6, 4]
    models = [model["model"] for model in http.get("/api/tags").json()["models"]]
    agent = {"user-agent": "GitHubCopilotChat/0.31.0"}
    shown = http.post("/api/show", json={"model": models[0]}, headers=agent).json()
    info = shown["model_info"]
    assert info[f"{info['general.architecture']}.context_length"] == 8192
    assert info["general.basename"] == "tiny"
    assert "tools" not in shown["capabilities"]
    body = {"model": models[0], "messages": SAID, "stream": True, "max_tokens": 4, "n": 1,
            "temperature": 0.1, "top_p": 1, "stream_options": {"include_usage": True}}  # fmt: skip
    found = http.post("/v1/chat/completions", json=body)
    assert found.text.rstrip().endswith("data: [DONE]")


def test_zed(http: httpx.Client) -> None:
    for model in http.get("/api/tags").json()["models"]:
        texts = [model[key] for key in ("name", "modified_at", "digest")]
        details = model["details"]
        texts += [details[key] for key in ("format", "family", "parameter_size")]
        assert all(isinstance(text, str) for text in (*texts, details["quantization_level"]))
        assert isinstance(model["size"], int)
    assert http.post("/api/show", json={"model": "tiny:latest"}).json()["capabilities"]
    history = [
        {"role": "system", "content": "Be brief."},
        *SAID,
        {"role": "assistant", "content": "Apple.", "tool_calls": None, "thinking": "Hm."},
        {"role": "user", "content": "More."},
    ]
    body = {"model": "tiny:latest", "messages": history, "stream": True, "keep_alive": -1,
            "options": {"num_ctx": 4096, "num_predict": 6, "stop": None, "temperature": 1.0,
                        "top_p": None}, "tools": [], "think": False}  # fmt: skip
    found = lines(http.post("/api/chat", json=body))
    assert all(line["message"]["role"] == "assistant" for line in found)
    assert found[-1]["prompt_eval_count"] > found[-1]["eval_count"] > 0


def test_home_assistant(http: httpx.Client) -> None:
    body = {"model": "tiny:latest", "messages": [{"role": "system", "content": "You are a house."},
            *SAID], "tools": [], "stream": True, "keep_alive": "300s",
            "options": {"num_ctx": 8192}, "think": False}  # fmt: skip
    found = lines(http.post("/api/chat", json=body))
    assert "".join(line["message"]["content"] for line in found)
    lights = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"],
              "additionalProperties": False}  # fmt: skip
    body |= {"keep_alive": -1, "format": lights, "stream": False}
    found = json.loads(http.post("/api/chat", json=body).json()["message"]["content"])
    assert [*found] == ["on"]


def test_continue(http: httpx.Client) -> None:
    shown = http.post("/api/show", json={"name": "tiny"}).json()
    pattern = re.compile(r'^(\S+)\s+((?:".*")|\S+)$', re.ASCII)
    found = [pattern.match(line) for line in shown["parameters"].split("\n")]
    parameters = {match[1]: match[2] for match in found if match}
    assert len(parameters) == len(found)
    assert parameters["num_ctx"] == "8192"
    assert ".Suffix" not in shown["template"]  # else it asks for what stands between two texts
    options = {"temperature": 0.1, "num_predict": 5, "num_ctx": 8192, "stop": ["\n\n"]}
    body = {"model": "tiny", "messages": SAID, "options": options, "keep_alive": 1800,
            "stream": True}  # fmt: skip
    assert lines(http.post("/api/chat", json=body))[-1]["done"]
    body = {"model": "tiny", "prompt": "Hello", "options": options, "keep_alive": 1800,
            "stream": True}  # fmt: skip
    assert "".join(line["response"] for line in lines(http.post("/api/generate", json=body)))
    middle = http.post("/api/generate", json={**body, "suffix": "}"})
    assert middle.json() == {"error": "suffix is not supported."}


def test_open_webui(http: httpx.Client) -> None:
    assert http.get("/api/version").json()["version"]
    names = {model["model"]: model["name"] for model in http.get("/api/tags").json()["models"]}
    assert names == {"tiny:latest": "tiny:latest"}
    body = {"model": "tiny:latest", "messages": [{**SAID[0], "images": []}],
            "options": {"temperature": 0.8, "num_predict": 5, "repeat_penalty": 1.1},
            "stream": True, "keep_alive": "5m"}  # fmt: skip
    last = lines(http.post("/api/chat", content=json.dumps(body)))[-1]
    per_second = last["eval_count"] / (last["eval_duration"] / 1_000_000_000)
    assert per_second > 0
    loaded = {m["name"]: m["expires_at"] for m in http.get("/api/ps").json()["models"]}
    assert datetime.fromisoformat(loaded["tiny:latest"]).tzinfo is not None
    unload = {"model": "tiny:latest", "prompt": "", "keep_alive": 0}
    assert http.post("/api/generate", json=unload).json()["done_reason"] == "unload"
    assert http.get("/api/ps").json() == {"models": []}
    pull = {"model": "tiny", "name": "tiny", "insecure": True}
    assert lines(http.post("/api/pull", json=pull))[-1] == {"status": "success"}
