"""What was published anew is found, fetched, and kept until it is replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.fakes import invoke
from support.hub_server import Hub, Stored
from support.pulls import real_pair, sha256

from gemma_mtp.cli import newer
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import ExitStatus, HubError
from gemma_mtp.models.pull import ollama_registry, retry
from gemma_mtp.models.pull.hub_errors import TransientError

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


def test_of_a_mixed_answer_each_part_is_said(hub: Hub, env: Environment) -> None:
    hub.files, hub.repo = {}, "org/gone"
    outcome = invoke("list", "--check", env=env)
    assert outcome.status == ExitStatus.OK
    assert "/org/pair is not there" in outcome.stderr
    assert outcome.stdout.endswith("Nothing newer was published of the others.\n")
    rows = json.loads(invoke("list", "--check", "--json", env=env).stdout)
    said = {row["name"]: row["newer"] for row in rows}
    assert said == {"tiny": [], f"{HUB}:Q4_0": None, OLLAMA: []}
    assert [row["name"] for row in rows if "is not there" in row.get("not_checked", "")] == [
        f"{HUB}:Q4_0"
    ]


def test_where_nobody_answers_nothing_is_claimed(hub: Hub, env: Environment) -> None:
    hub.faults.hub_always = 500
    outcome = invoke("list", "--check", env=env)
    assert outcome.status == ExitStatus.HUB
    assert "Nothing newer" not in outcome.stdout
    assert outcome.stderr.count("cannot be asked: HTTP 500") == 2


def test_a_place_that_cannot_be_reached_is_asked_once(
    hub: Hub, env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for quantization in ("Q8_0", "Q6_K"):
        hub.files[f"pair-{quantization}.gguf"] = hub.files["pair-Q4_0.gguf"]
        assert invoke("pull", f"{HUB}:{quantization}", env=env).status == 0
    asked: list[str] = []

    def unreachable(where: str, *rest: object) -> None:
        asked.append(where)
        error = TransientError("connection refused")
        raise HubError(f"{where} cannot be asked: {error}.") from error

    monkeypatch.setattr(retry, "ask", unreachable)
    outcome = invoke("list", "--check", env=env)
    assert outcome.status == ExitStatus.HUB
    assert len(asked) == 2  # the hub and the registry
    said = " ".join(outcome.stderr.split())
    assert f"{HUB}:Q4_0, {HUB}:Q6_K, {HUB}:Q8_0: {asked[0]} cannot be asked" in said


def test_where_nothing_was_pulled_nothing_is_asked(
    hub: Hub, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = invoke("list", "--check", env=Environment())
    assert outcome.status == ExitStatus.OK
    assert outcome.stdout.endswith(f"{newer.NOTHING_TO_ASK}\n")
    assert not hub.requests


def test_what_was_converted_here_is_not_asked_about(hub: Hub, env: Environment) -> None:
    folder = env.resolve(HUB, None).target.parent
    record = json.loads((folder / "pair.json").read_text())
    mine = folder.with_name("local-mine")
    folder.rename(mine)
    (mine / "pair.json").write_text(json.dumps(record | {"name": "local:mine", "repo": "/my/own"}))
    hub.requests.clear()
    outcome = invoke("list", "--check", env=env)
    assert "local:mine" in outcome.stdout
    assert "/my/own" not in outcome.stderr
    assert list(hub.requests) == ["registry e2b"]


def test_quietly_only_names_of_what_is_newer(hub: Hub, env: Environment, tmp_path: Path) -> None:
    assert invoke("list", "--check", "--quiet", env=env).stdout == ""
    publish(hub, tmp_path, bytes(4096))
    assert invoke("list", "--check", "--quiet", env=env).stdout == f"{HUB}:Q4_0\n{OLLAMA}\n"


@pytest.mark.parametrize("option", [["--offline"], ["--from", "."]])
def test_an_update_without_asking_is_refused(env: Environment, option: list[str]) -> None:
    outcome = invoke("pull", HUB, "--update", *option, env=env)
    assert outcome.status == ExitStatus.USAGE
    assert f"which {option[0]} does not allow" in outcome.stderr


def test_an_update_that_fails_leaves_the_pair_in_use(
    hub: Hub, env: Environment, tmp_path: Path
) -> None:
    before = env.resolve(OLLAMA, None)
    publish(hub, tmp_path, bytes(4096))
    for status in (500, 404):
        hub.faults.hub_always = status
        assert invoke("pull", OLLAMA, "--update", env=env).status == ExitStatus.HUB
        assert env.resolve(OLLAMA, None) == before


def test_a_pinned_pair_says_that_it_is_pinned(hub: Hub, env: Environment) -> None:
    outcome = invoke("pull", "tiny", "--update", env=env)
    assert "tiny is pinned; a newer gemma-mtp may bring newer files." in outcome.stderr
