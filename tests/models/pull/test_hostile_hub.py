"""Hubs that lie, stall, send pages of others or never end: said after seconds, ended with status 7.

Run against the small hub of the other tests, with time-outs of fractions of a second.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.fakes import invoke
from support.hub_server import REVISION, Hub, Stored
from support.pulls import ENTRY, Events, failure, fetch, real_pair

from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.pull import hub, hub_responses, stalls
from gemma_mtp.models.pull.events import PullSilence, PullWait
from gemma_mtp.models.pull.pair import pull
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store


@pytest.fixture
def impatient(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is to succeed: what comes byte by byte is soon given up as a whole."""
    monkeypatch.setattr("gemma_mtp.models.pull.hub.longest_answer", lambda: 0.15)
    pace = partial(stalls.require_pace, seconds=0.05)
    monkeypatch.setattr("gemma_mtp.models.pull.hub.require_pace", lambda chunks, _: pace(chunks))
    monkeypatch.setattr(stalls, "FIRST_REPORT", 0.03)


def look_up() -> tuple[GemmaMtpError, Events]:
    """How the pull of a repository fails, and what was said before."""
    events = Events()
    with pytest.raises(GemmaMtpError) as caught:
        fulfil("hf:org/pair", PullRequest(), Store(load_catalogue()), events.append)
    error = caught.value
    assert error.status == 7
    assert error.hint
    assert len(str(error)) < 500
    assert str(error).isprintable()
    return error, events


def listing(**changes: Any) -> bytes:
    file = {"rfilename": "m-Q4_0.gguf", "size": 5, "lfs": {"sha256": "a" * 64}}
    file |= {key: value for key, value in changes.items() if key not in ("sha", "siblings")}
    whole = {"sha": REVISION, "siblings": [file], "id": "org/pair"}
    whole |= {key: value for key, value in changes.items() if key in ("sha", "siblings")}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"3", b"null", b"[]", b'"text"', b"{", b"\xff\xfe", b"[" * 100_000, b"9" * 5000,
        b"<!doctype html><title>Log in</title>",
        listing(rfilename=3), listing(rfilename=None), listing(rfilename=["m.gguf"]),
        listing(size="5"), listing(size=-5), listing(size=1e30), listing(size=True),
        listing(size=10**30), listing(size=[5]),
        listing(lfs=3), listing(lfs=["a"]), listing(lfs={"sha256": 5}),
        listing(lfs={"sha256": ["a" * 64]}),
        listing(sha=5), listing(sha=["a"]), listing(sha="a\nb"), listing(sha="a" * 5000),
        listing(siblings=3), listing(siblings={}), listing(siblings=[3]), listing(siblings=[None]),
        listing(siblings=[{}]), listing(siblings=[{"rfilename": "m"}] * 30_000),
    ],
)  # fmt: skip
def test_a_listing_of_another_shape(hub: Hub, body: bytes) -> None:
    hub.faults.listing = [body]
    error, events = look_up()
    host = hub.url.removeprefix("http://")
    assert f"/org/pair cannot be asked: {host} does not answer as a hub does (" in str(error)
    assert "4 times in a row" in str(error)
    assert len([event for event in events if isinstance(event, PullWait)]) == 3


def test_a_web_page_in_place_of_a_listing(hub: Hub) -> None:
    hub.faults.listing, hub.faults.listing_type = [b"<html>"], "Text/HTML; charset=utf-8"
    error, _ = look_up()
    assert "does not answer as a hub does (it sends a web page), 4 times in a row." in str(error)
    assert "login page" in error.hint


@pytest.mark.parametrize(
    "name",
    [
        "m\0.gguf",
        "m\n.gguf",
        "\ud800.gguf",
        "a/" * 1500 + "m.gguf",
        "../m.gguf",
        "/m.gguf",
        "",
        ".",
    ],
)
def test_names_that_cannot_be_files_are_passed_over(hub: Hub, tmp_path: Path, name: str) -> None:
    real = real_pair(tmp_path / "real")
    hub.files = {"m.gguf": Stored.of(real["target"]), "mtp-m.gguf": Stored.of(real["drafter"])}
    pair = [
        {"rfilename": file, "size": body.size, "lfs": {"sha256": body.sha256.upper()}}
        for file, body in hub.files.items()
    ]
    hub.faults.listing = [listing(siblings=[{"rfilename": name}, *pair])]
    store = Store(load_catalogue())
    pulled = fulfil("hf:org/pair", PullRequest(), store, Events().append)
    assert store.resolve(pulled).target.name == "m.gguf"


def test_a_listing_without_end(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_responses, "LONGEST_LISTING", 1 << 20)
    hub.faults.listing = itertools.repeat(b" " * 65536)
    error, _ = look_up()
    assert "sends a listing of more than 1 MB, which no repository has" in str(error)


@pytest.mark.parametrize("pause", [0.01, 30.0])
@pytest.mark.usefixtures("impatient")
def test_a_listing_that_comes_byte_by_byte_or_stalls(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    hub.faults.listing = itertools.repeat(b" ")
    hub.faults.drips, hub.faults.drip = "listing", pause
    reason = "no whole answer came within"
    if pause > 1:
        reason = "nothing came for a while"
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.1)
        monkeypatch.setattr("gemma_mtp.models.pull.hub.longest_answer", lambda: 60.0)
    error, events = look_up()
    assert f"{hub.url}/org/pair cannot be asked: {reason}" in str(error)
    assert "4 times in a row" in str(error)
    assert any(isinstance(event, PullSilence) and event.host in hub.url for event in events)


@pytest.mark.parametrize("drips", ["headers", "address", "body"])
@pytest.mark.usefixtures("impatient")
def test_files_that_come_byte_by_byte(hub: Hub, tmp_path: Path, drips: str) -> None:
    hub.faults.drips, hub.faults.drip = drips, 0.01
    events = Events()
    with pytest.raises(GemmaMtpError) as caught:
        pull(ENTRY, tmp_path, events.append)
    assert caught.value.status == 7
    reason = "bytes came in" if drips == "body" else "no whole answer came within"
    assert reason in str(caught.value)
    assert "times in a row" in str(caught.value)
    assert any(isinstance(event, PullSilence) for event in events)
    assert any(isinstance(event, PullWait) for event in events) or drips != "headers"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Linked-Size", "-5"), ("X-Linked-Size", "9" * 30), ("X-Repo-Commit", ""),
        ("X-Repo-Commit", "a b"),
        ("X-Repo-Commit", "a" * 5000), ("Location", "http://["), ("X-Linked-Etag", "a" * 5000),
    ],
)  # fmt: skip
def test_what_no_hub_states_about_a_file(hub: Hub, tmp_path: Path, header: str, value: str) -> None:
    hub.faults.stated = {header: value}
    error = failure(tmp_path)
    assert error.status == 7
    assert "does not answer as a hub does" in str(error)
    assert len(str(error)) < 500


def test_an_upper_case_sha256_is_a_sha256(hub: Hub, tmp_path: Path) -> None:
    for name, stored in hub.files.items():
        hub.files[name] = Stored(stored.sha256.upper(), stored.size, stored.data)
    assert fetch(tmp_path).notes == ""


@pytest.mark.parametrize("value", ["abc", "9" * 5000])
def test_a_size_that_is_no_number_is_not_stated(hub: Hub, tmp_path: Path, value: str) -> None:
    hub.faults.stated = {"X-Linked-Size": value}
    fetch(tmp_path)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"Content-Range": "bytes x-y/z"}, ""),
        ({"Content-Range": "bytes 0-1/" + "9" * 5000}, ""),
        ({"Content-Range": "bytes 0-1/" + "9" * 18}, "was changed on"),
        ({"Content-Length": "9" * 30}, "bad Content-Length, 8 times in a row"),
    ],
)
def test_lengths_that_cannot_be(hub: Hub, tmp_path: Path, sent: dict[str, str], words: str) -> None:
    hub.faults.sent = sent
    if not words:
        fetch(tmp_path)  # what was asked for came, whatever its header says
    else:
        error = failure(tmp_path)
        assert error.status == 7
        assert words in str(error)


def test_a_web_page_in_place_of_a_file_spoils_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.faults.cut_every, hub.faults.cdn = 64 << 10, [0] * 9 + [500] * 99
    failure(tmp_path)
    here = hub.sent.total()
    hub.faults = type(hub.faults)(page=True)
    error = failure(tmp_path)
    assert "does not answer as a hub does (it sends a web page), 8 times in a row" in str(error)
    hub.faults.page = False
    fetch(tmp_path)
    assert hub.sent.total() < sum(stored.size for stored in hub.files.values()) * 1.05
    assert here > 0


@pytest.mark.usefixtures("impatient")
def test_silence_is_told_to_people_and_to_scripts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.listing = itertools.repeat(b" ")
    hub.faults.drips, hub.faults.drip = "listing", 0.01
    outcome = invoke("pull", "hf:org/pair", env=Environment())
    host = hub.url.removeprefix("http://")
    assert (outcome.status, outcome.stdout) == (7, "")
    assert f"hardly anything has come from {host} for 0 s\n" in outcome.stderr
    assert "no whole answer came within 0 s; trying again now\n" in outcome.stderr
    outcome = invoke("pull", "hf:org/pair", "--json", env=Environment())
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    assert {event["event"] for event in events} == {"silence", "wait", "error"}
    assert events[0]["host"] == host
    assert invoke("pull", "hf:org/pair", "--quiet", env=Environment()).stderr.startswith(
        "gemma-mtp: "
    )


# --- proxies and tokens --------------------------------------------------------------------------


@pytest.fixture
def proxied(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    monkeypatch.delenv("NO_PROXY")

    def name(variable: str, address: str) -> None:
        monkeypatch.setenv(variable, address)

    return name


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY"])
def test_a_socks_proxy_needs_a_package(
    tmp_path: Path, proxied: Callable[[str, str], None], variable: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "socksio", None)
    proxied(variable, "socks5://user:secret@127.0.0.1:1")
    error = failure(tmp_path)
    assert error.status == 7
    assert str(error) == (f"{variable} is a SOCKS proxy, for which the package socksio is missing.")
    assert error.hint.startswith("pip install socksio")
    assert "SOCKS" in str(hub.unreachable())


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_dead_proxy_is_named_without_its_password(
    hub: Hub, tmp_path: Path, proxied: Callable[[str, str], None], scheme: str
) -> None:
    proxied("HTTP_PROXY", f"{scheme}user:secret@127.0.0.1:1/")
    error = failure(tmp_path)
    assert "HTTPS_PROXY" in error.hint
    assert str(error) == (
        f"{hub.url}/org/pair cannot be asked: the proxy 127.0.0.1:1 cannot be reached: connection "
        "refused, 4 times in a row."
    )


def test_a_proxy_whose_name_is_not_found(
    tmp_path: Path, proxied: Callable[[str, str], None]
) -> None:
    proxied("HTTP_PROXY", "http://no.such.host.invalid:3128")
    assert "the name no.such.host.invalid:3128 is not found" in str(failure(tmp_path))


def test_without_a_network_one_sentence_says_so(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    where = "http://no.such.host.invalid"
    monkeypatch.setattr(constants, "ENDPOINT", where)
    template = f"{where}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("gemma_mtp.models.pull.retry.FIRST_WAIT", 0.002)
    env = Environment()
    env.__dict__["machine"] = lambda: Machine(int(8e9), int(8e9), cores=4)
    outcome = invoke("pull", "e2b", env=env)
    assert (outcome.status, outcome.stdout) == (7, "")
    assert outcome.stderr == (
        f"gemma-mtp: {where}/unsloth/gemma-4-E2B-it-qat-GGUF cannot be asked: the name "
        "no.such.host.invalid is not found.\n"
        "  Check the network and try again; what is here without one: gemma-mtp list\n"
    )


def test_a_proxy_that_wants_a_password(
    hub: Hub, tmp_path: Path, proxied: Callable[[str, str], None]
) -> None:
    hub.faults.hub_always = 407
    proxied("HTTP_PROXY", hub.url)
    error = failure(tmp_path)
    assert str(error) == (
        f"The proxy {hub.url.removeprefix('http://')} wants a name and a password (HTTP 407)."
    )
    assert "HTTPS_PROXY" in error.hint


@pytest.mark.parametrize(
    ("variable", "value"),
    [("HTTP_PROXY", "ftp://x"), ("HTTP_PROXY", "http://x:port"), ("SSL_CERT_FILE", "/no/such")],
)
def test_settings_with_which_nothing_can_be_asked(
    tmp_path: Path, proxied: Callable[[str, str], None], variable: str, value: str
) -> None:
    proxied(variable, value)
    error = failure(tmp_path)
    assert error.status == 7
    assert str(error).startswith("No connection can be made with these settings: ")
    assert "Errno" not in str(error)


def test_what_the_hub_says_about_a_token_is_passed_on(hub: Hub, tmp_path: Path) -> None:
    hub.faults.hub_always = 401
    hub.faults.headers = {"X-Error-Message": 'User Access Token "mine" is expired'}
    error = failure(tmp_path)
    assert str(error).endswith('The hub says: User Access Token "mine" is expired.')
    assert "HF_TOKEN" in error.hint
    hub.faults.headers = {"X-Error-Message": "\x1b]0;title\x07" + "x" * 5000}
    assert len(str(failure(tmp_path))) < 400
    assert str(failure(tmp_path)).isprintable()


@pytest.mark.parametrize("token", ["hf_\u00e4b", "hf_a\udcffb", "hf_a\x7fb"])
def test_a_token_with_a_character_that_no_token_has(
    hub: Hub, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    error = failure(tmp_path)
    assert error.status == 7
    assert str(error).startswith("The access token (in HF_TOKEN or ")
    assert token not in str(error)
    assert look_up()[0].hint == error.hint
    assert not hub.requests


def test_what_the_system_says_comes_without_its_numbers(hub: Hub, tmp_path: Path) -> None:
    hub.close()
    error = str(failure(tmp_path))
    assert error == f"{hub.url}/org/pair cannot be asked: connection refused, 4 times in a row."


def test_a_variable_that_the_library_cannot_read() -> None:
    command = [sys.executable, "-m", "gemma_mtp", "pull", "hf:org/pair"]
    env = {**os.environ, "HF_HUB_ETAG_TIMEOUT": "soon"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True)
    assert ended.returncode == 7
    assert "begins with HF_ is no number: invalid literal for int() with base 10: 'soon'" in (
        ended.stderr
    )
