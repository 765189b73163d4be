"""What was published anew is found, fetched, and kept until it is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fakes import invoke
from support.hub_server import Hub, Stored
from support.pulls import real_pair, sha256

from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import ExitStatus
from gemma_mtp.models.pull import ollama_registry

HUB, OLLAMA = "hf:org/pair", "ollama:gemma4:e2b"


def manifest(target: bytes, drafter: bytes) -> bytes:
    layers = [
        {"mediaType": f"{ollama_registry.KINDS}{kind}", "digest": f"sha256:{sha256(body)}",
         "size": len(body)}
        for kind, body in (("model", target), ("draft", drafter))
    ]  # fmt: skip
    return json.dumps({"layers": layers}).encode()


@pytest.fixture
def env(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv(ollama_registry.VARIABLE, hub.url)
    publish(hub, tmp_path, b"")
    env = Environment()
    for name in (HUB, OLLAMA):
        assert invoke("pull", name, env=env).status == 0
    return env


def publish(hub: Hub, folder: Path, more: bytes) -> bytes:
    """A pair, in both places, with `more` behind the target's weights."""
    pair = real_pair(folder / "real")
    target = pair["target"] + more
    hub.files = {
        "pair-Q4_0.gguf": Stored.of(target), "mtp-pair.gguf": Stored.of(pair["drafter"]),
    }  # fmt: skip
    hub.manifests["library/gemma4/e2b"] = manifest(target, pair["drafter"])
    return target


def test_nothing_newer(env: Environment) -> None:
    outcome = invoke("list", "--check", env=env)
    assert outcome.stdout.endswith("Nothing newer was published.\n")
    rows = json.loads(invoke("list", "--check", "--json", env=env).stdout)
    assert [row["newer"] for row in rows] == [[]] * len(rows)


@pytest.mark.parametrize("name", [HUB, OLLAMA])
def test_a_target_that_was_published_anew(
    hub: Hub, env: Environment, tmp_path: Path, name: str
) -> None:
    before = env.resolve(name, None).target.read_bytes()
    target = publish(hub, tmp_path, bytes(4096))
    called = env.resolve(name, None).name
    hint = f"{called}: its target changed since; gemma-mtp pull {called} --update"
    assert hint in invoke("list", "--check", env=env).stderr
    assert invoke("pull", name, env=env).status == 0
    assert env.resolve(name, None).target.read_bytes() == before
    hub.sent.clear()
    assert invoke("pull", called, "--update", env=env).status == 0
    assert env.resolve(name, None).target.read_bytes() == target
    drafter = hub.files["mtp-pair.gguf"].size
    assert hub.sent["mtp-pair.gguf"] <= drafter  # it is the same: its header was looked at
    assert called not in invoke("list", "--check", env=env).stderr


def test_what_was_there_stays_until_it_is_replaced(
    hub: Hub, env: Environment, tmp_path: Path
) -> None:
    publish(hub, tmp_path, bytes(4096))
    before = env.resolve(HUB, None).target.read_bytes()
    hub.faults.cdn_always = 404
    assert invoke("pull", HUB, "--update", env=env).status != 0
    assert env.resolve(HUB, None).target.read_bytes() == before


def test_a_place_that_does_not_answer_is_named(hub: Hub, env: Environment) -> None:
    hub.files, hub.repo = {}, "org/gone"
    outcome = invoke("list", "--check", env=env)
    assert outcome.status == ExitStatus.OK
    assert "/org/pair is not there" in outcome.stderr


def test_a_pinned_pair_says_that_it_is_pinned(hub: Hub, env: Environment) -> None:
    outcome = invoke("pull", "tiny", "--update", env=env)
    assert "tiny is pinned; a newer gemma-mtp may bring newer files." in outcome.stderr
