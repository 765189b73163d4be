"""Models of Kaggle, asked for by its own library: what a variation becomes, and how it comes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.fakes import invoke
from support.hub_server import KAGGLE, Hub, Stored
from support.kaggle import cached, listen
from support.pulls import Events, sha256, store_with_official_drafter

from gemma_mtp import paths
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import (
    BadPair,
    ExitStatus,
    GemmaMtpError,
    HubError,
    ModelNotAvailable,
    UsageError,
)
from gemma_mtp.models import kaggle_names
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.pull import kaggle_library
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.models.typed_names import nearest_of_ours

NAME = f"kaggle:{KAGGLE}"
TARGET, DRAFTER = writer.contents(*writer.target()), writer.contents(*writer.drafter())


@pytest.fixture
def store(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    listen(hub, monkeypatch)
    hub.files = {
        "model.gguf": Stored.of(TARGET), "guess.bin": Stored.of(DRAFTER),
        "README.md": Stored.of(b"# Gemma"), "notes": Stored.of(b"no GGUF"),
    }  # fmt: skip
    hub.versions = [["README.md", "notes", "model.gguf", "guess.bin"]]
    return store_with_official_drafter(hub, tmp_path)


def test_files_are_told_by_their_headers_and_pulled_as_a_pair(hub: Hub, store: Store) -> None:
    events = Events()
    assert fulfil(NAME, PullRequest(), store, events.append) == NAME
    assert "model.gguf: the target, the only one there." in events.notes
    assert "guess.bin.gguf: its drafter, from the same repository" in events.notes
    assert "No sha256 is stated for model.gguf; its MD5 was checked." in events.notes
    for spelling in (NAME, NAME.upper().replace("KAGGLE", "kaggle"), kaggle_names.read(NAME).page):
        if spelling.islower():
            files = store.resolve(spelling)
            assert files.drafter is not None
            assert (files.target.read_bytes(), files.drafter.read_bytes()) == (TARGET, DRAFTER)
    record = read_record(files.target.parent)
    assert record is not None
    assert (record.repo, record.revision) == (NAME, "1")
    assert {file.sha256 for file in record.files} == {sha256(TARGET), sha256(DRAFTER)}
    hub.requests.clear()
    assert fulfil(NAME, PullRequest(), store, events.append) == NAME
    assert not hub.requests


def test_without_a_drafter_the_catalogues_is_taken(hub: Hub, store: Store) -> None:
    hub.versions = [["model.gguf"]]
    events = Events()
    files = store.resolve(fulfil(NAME, PullRequest(), store, events.append))
    assert files.drafter is not None
    assert files.drafter.name == "mtp-official.gguf"
    assert f"{NAME} holds no" in events.notes
    assert "the drafter of 2b, which has the same shape" in events.notes


def test_without_the_library_one_sentence_says_what_brings_it(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    outcome = invoke("pull", NAME, env=Environment())
    assert outcome.stderr == (
        "gemma-mtp: Models of Kaggle need the Python library kagglehub, which is not installed.\n"
        "  pip install 'gemma-mtp[kaggle]' brings it.\n"
    )
    assert outcome.status == ExitStatus.ERROR
    assert not hub.requests


@pytest.mark.parametrize("offline", [False, True])
def test_what_kagglehub_has_fetched_is_linked_without_it_and_without_asking(
    hub: Hub, store: Store, machine: Path, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = cached(machine, {"model.gguf": TARGET, "guess.bin": DRAFTER, "x.json": b"{}"}, 3)
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    events = Events()
    fulfil(NAME, PullRequest(offline=offline), store, events.append)
    files = store.resolve(NAME)
    assert f"{NAME}: version 3 is in Kaggle's cache on this machine." in events.notes
    assert "linked from Kaggle's cache, nothing to download." in events.notes
    assert files.drafter is not None
    assert files.target.samefile(theirs / "model.gguf")
    assert files.drafter.samefile(theirs / "guess.bin")
    assert before == {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    assert not hub.requests
    shown = json.loads(invoke("show", NAME, "--json", env=Environment()).stdout)
    assert {file["origin"] for file in shown["files"]} == {"Kaggle's cache"}


def test_a_single_file_that_kagglehub_has_fetched_is_linked(
    hub: Hub, store: Store, machine: Path
) -> None:
    theirs = cached(machine, {"model.gguf": TARGET}, whole=False)
    fulfil(NAME, PullRequest(), store, Events().append)
    assert store.resolve(NAME).target.samefile(theirs / "model.gguf")
    assert hub.sent["model.gguf"] == 0


@pytest.mark.parametrize("name", [NAME, f"{NAME}/7"])
def test_what_is_not_here_is_not_asked_for_offline(hub: Hub, store: Store, name: str) -> None:
    with pytest.raises(HubError, match="is not on this machine, and --offline was given"):
        fulfil(name, PullRequest(offline=True), store, Events().append)
    assert not hub.requests


def test_newer_versions_are_found_and_pulled_when_that_is_asked_for(
    hub: Hub, store: Store, tmp_path: Path
) -> None:
    env = Environment()
    assert invoke("pull", NAME, env=env).status == 0
    assert invoke("pull", f"{NAME}/1", env=env).status == 0
    assert "Nothing newer was published." in invoke("list", "--check", env=env).stdout
    newer = TARGET + bytes(64)
    hub.files["model-2.gguf"] = Stored.of(newer)
    hub.versions.append(["model-2.gguf", "guess.bin"])
    outcome = invoke("list", "--check", env=env)
    hint = f"{NAME}: its target and drafter changed since; gemma-mtp pull {NAME} --update"
    assert hint in outcome.stderr
    assert f"{NAME}/1: its" not in outcome.stderr  # a version that was named stays
    assert env.resolve(NAME, None).target.read_bytes() == TARGET
    assert invoke("pull", NAME, "--update", env=env).status == 0
    assert env.resolve(NAME, None).target.read_bytes() == newer
    assert env.resolve(f"{NAME}/1", None).target.read_bytes() == TARGET
    assert "Nothing newer was published." in invoke("list", "--check", env=env).stdout


def test_a_version_may_be_named_as_a_revision(hub: Hub, store: Store) -> None:
    assert fulfil(NAME, PullRequest(revision="1"), store, Events().append) == f"{NAME}/1"
    with pytest.raises(UsageError, match="A version of Kaggle's is a number, not 'main'"):
        fulfil(NAME, PullRequest(revision="main"), store, Events().append)


@pytest.mark.parametrize(
    ("files", "words", "hint"),
    [
        (["m.safetensors", "config.json"], "holds safetensors; only GGUF", "gemma-mtp convert"),
        (["m.weights.h5"], "holds Keras weights, which cannot be converted", "gemma-mtp pull e2b"),
        (
            ["a.task", "b.ckpt"],
            "holds a PyTorch checkpoint and weights of LiteRT",
            "gemma-mtp pull e2b",
        ),
        (["README.md"], "holds no GGUF file of Gemma 4", "gemma-mtp pull e2b"),
        (["notes"], "holds no GGUF file of Gemma 4", "gemma-mtp pull e2b"),
        (["guess.bin"], "holds no GGUF file of Gemma 4", "gemma-mtp pull e2b"),
    ],
)
def test_what_is_not_gguf_is_named_before_it_comes(
    hub: Hub, store: Store, files: list[str], words: str, hint: str
) -> None:
    hub.files |= {name: Stored.of(b"x" * 99) for name in files if name not in hub.files}
    hub.versions = [files]
    with pytest.raises(BadPair, match=words) as caught:
        fulfil(NAME, PullRequest(), store, Events().append)
    assert hint in caught.value.hint


def test_one_of_several_quantizations(hub: Hub, store: Store) -> None:
    hub.files |= {f"m-{q}.gguf": Stored.of(TARGET + q.encode()) for q in ("Q4_0", "Q8_0", "Q3_K")}
    hub.versions = [["m-Q8_0.gguf", "m-Q4_0.gguf"]]
    files = store.resolve(fulfil(NAME, PullRequest(), store, Events().append))
    assert files.target.name == "m-Q4_0.gguf"
    name = fulfil(f"{NAME}:Q8_0", PullRequest(), store, Events().append)
    assert store.resolve(name).target.name == "m-Q8_0.gguf"
    hub.versions.append(["m-Q3_K.gguf", "model.gguf"])
    with pytest.raises(GemmaMtpError) as caught:
        fulfil(f"{NAME}/2", PullRequest(), store, Events().append)
    assert caught.value.hint == f"gemma-mtp pull {NAME}/2:QUANT"


def test_the_token_is_for_kaggle_alone(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fulfil(NAME, PullRequest(), store, Events().append)
    assert hub.tokens_at_kaggle == {"Bearer secret"}
    assert not hub.tokens_at_cdn


@pytest.mark.parametrize("token", ["t\u00e4", "a b", "a\x7f"])
def test_a_token_that_cannot_be_one_is_not_shown(
    hub: Hub, store: Store, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with pytest.raises(HubError, match="hold a character that none has") as caught:
        fulfil(NAME, PullRequest(), store, Events().append)
    assert token not in str(caught.value) + caught.value.hint
    assert not hub.requests


def test_settings_of_kaggle_that_cannot_be_used(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "NOWHERE")
    with pytest.raises(HubError, match="credentials or settings cannot be used: unrecognized"):
        fulfil(NAME, PullRequest(), store, Events().append)


@pytest.mark.parametrize(
    ("status", "words", "hint"),
    [
        (403, "refuses access", "accept the model's terms on its page and set KAGGLE_API_TOKEN"),
        (401, "refuses access", "KAGGLE_API_TOKEN"),
        (404, "has no variation of that name", "Check the name"),
        (429, "cannot be asked: HTTP 429, 4 times in a row", "Check the network"),
        (500, "cannot be asked: HTTP 500, 4 times in a row", "Check the network"),
    ],
)
def test_refusals(hub: Hub, store: Store, status: int, words: str, hint: str) -> None:
    hub.faults.hub_always = status
    with pytest.raises(HubError, match=words) as caught:
        fulfil(NAME, PullRequest(), store, Events().append)
    assert hint in caught.value.hint
    assert caught.value.status == ExitStatus.HUB


def test_a_variation_that_is_not_there(store: Store) -> None:
    with pytest.raises(HubError, match=r"/x has no variation of that name"):
        fulfil("kaggle:org/gemma-4/gguf/x", PullRequest(), store, Events().append)
    with pytest.raises(HubError, match="has no version 9"):
        fulfil(f"{NAME}/9", PullRequest(), store, Events().append)
    with pytest.raises(UsageError, match="Kaggle has no framework word"):
        fulfil("kaggle:org/gemma-4/word/x", PullRequest(), store, Events().append)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("kaggle:google/gemma-4/gguf/e2b-it", "kaggle:google/gemma-4/gguf/e2b-it"),
        ("Kaggle:google/gemma-4/gguf/e2b-it/3", "kaggle:google/gemma-4/gguf/e2b-it/3"),
        ("kaggle:google/gemma-4/gguf/e2b-it/3:Q8_0", "kaggle:google/gemma-4/gguf/e2b-it/3:Q8_0"),
        ("https://www.kaggle.com/models/google/gemma-4/gguf/e2b/2?select=a#b",
         "kaggle:google/gemma-4/gguf/e2b/2"),
        ("kaggle.com/models/google/gemma-4/gguf/e2b/", "kaggle:google/gemma-4/gguf/e2b"),
        ("kaggle:", ""), ("kaggle:google/gemma-4", ""), ("kaggle:google/gemma-4/gguf", ""),
        ("kaggle:a/b/c/d/0", ""), ("kaggle:a/b/c/d/x", ""), ("kaggle:../b/c/d", ""),
        ("kaggle:a/b/c/d/1/2", ""), ("kaggle:a/b/c/d\x1b[2J", ""),
        ("kaggle:a/b/c/d/99999999999", ""),
    ],
)  # fmt: skip
def test_names(typed: str, name: str) -> None:
    if name:
        assert kaggle_names.read(typed).name == name
        return
    with pytest.raises(UsageError, match="is not of the form kaggle:OWNER/MODEL/") as caught:
        kaggle_names.read(typed)
    assert str(caught.value).isprintable()


LIST, GET = "ListModelInstanceVersionFiles", "GetModelInstance"


@pytest.mark.parametrize(
    ("question", "body"),
    [
        (GET, b""), (GET, b"3"), (GET, b"[]"), (GET, b"null"), (GET, b"[" * 100_000),
        (GET, b'{"versionNumber": "1"}'), (GET, b'{"versionNumber": -1}'), (GET, b"9" * 5000),
        (GET, b'{"versionNumber": 1e30}'), (GET, b'{"versionNumber": true}'), (GET, b"{}"),
        (LIST, b"\xff"), (LIST, b'{"files": 3}'), (LIST, b'{"files": [3]}'),
        (LIST, b'{"files": [{"name": 3}]}'), (LIST, b'{"files": [{"name": "m", "size": -1}]}'),
        (LIST, b'{"files": [{"name": "m", "size": "x"}]}'),
        (LIST, b'{"files": [{"name": "m"}], "nextPageToken": 5}'),
        (LIST, b'{"files": [{"name": "m"}], "nextPageToken": "again"}'),
        (LIST, b'{"nextPageToken": "x"}'), (LIST, b"<html>log in</html>"),
        (LIST, b'{"code": "x"}'),
    ],
)  # fmt: skip
def test_answers_that_kaggle_does_not_give(
    hub: Hub, store: Store, question: str, body: bytes
) -> None:
    hub.kaggle_answers[question] = body
    with pytest.raises(HubError, match="does not answer as Kaggle does") as caught:
        fulfil(NAME, PullRequest(), store, Events().append)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    assert not paths.models_dir().exists() or not list(paths.models_dir().iterdir())


@pytest.mark.parametrize(
    "name", ["../../m.gguf", "/m.gguf", "m\0.gguf", "m\x1b[2J.gguf", "m\u202e.gguf", "a/" * 900]
)
def test_names_that_cannot_be_files_are_passed_over(hub: Hub, store: Store, name: str) -> None:
    files = [{"name": each, "size": 9} for each in (name, "model.gguf", "guess.bin")]
    files[1]["size"], files[2]["size"] = len(TARGET), len(DRAFTER)
    hub.kaggle_answers[LIST] = json.dumps({"files": files}).encode()
    events = Events()
    files_here = store.resolve(fulfil(NAME, PullRequest(), store, events.append))
    assert files_here.target.name == "model.gguf"
    assert all(line.isprintable() for line in events.notes.splitlines())


def test_an_answer_without_end_and_one_that_is_packed(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle_library, "LONGEST_LISTING", 1 << 20)
    hub.kaggle_answers[LIST] = b" " * (2 << 20)
    with pytest.raises(HubError, match="it sends more than 1 MB"):
        fulfil(NAME, PullRequest(), store, Events().append)
    hub.kaggle_answers[LIST], hub.faults.stated = b"x", {"Content-Encoding": "gzip"}
    with pytest.raises(HubError, match="an encoding that was not asked for"):
        fulfil(NAME, PullRequest(), store, Events().append)


def test_an_address_that_is_none_of_the_web(hub: Hub, store: Store) -> None:
    hub.redirect = "file:///etc/passwd"
    with pytest.raises(HubError) as caught:
        fulfil(NAME, PullRequest(), store, Events().append)
    assert str(caught.value).isprintable()
    assert "root:" not in str(caught.value)


def test_contents_that_are_not_those_of_the_stated_sum(hub: Hub, store: Store) -> None:
    hub.faults.claim["model.gguf"] = Stored.of(TARGET[:-1] + b"?")
    with pytest.raises(HubError, match="arrived with other contents"):
        fulfil(NAME, PullRequest(), store, Events().append)
    assert not any(entry.name == NAME for entry in store.ready())


def test_a_check_goes_on_where_the_library_is_missing(
    hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fulfil(NAME, PullRequest(), store, Events().append)
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    outcome = invoke("list", "--check", env=Environment())
    assert outcome.status == ExitStatus.HUB  # there was nobody else to ask
    assert "pip install 'gemma-mtp[kaggle]' brings it." in outcome.stderr
    assert f"{NAME}: Models of Kaggle need the Python library kagglehub" in outcome.stderr


@pytest.mark.parametrize("revision", ["main", "", "-1", "1e3", "\u0661"])
def test_a_record_with_a_version_that_is_none_is_no_pair(store: Store, revision: str) -> None:
    fulfil(NAME, PullRequest(), store, Events().append)
    file = store.resolve(NAME).target.parent / "pair.json"
    file.write_text(file.read_text().replace('"revision": "1"', f'"revision": "{revision}"'))
    assert NAME not in {entry.name for entry in store.ready()}


def test_another_family_is_refused_by_name_and_the_nearest_of_ours_is_named(
    hub: Hub, store: Store
) -> None:
    with pytest.raises(ModelNotAvailable, match="gemma-mtp runs Gemma 4 only"):
        fulfil("kaggle:meta/llama-3/gguf/8b", PullRequest(), store, Events().append)
    assert not hub.requests
    near = nearest_of_ours("kaggle:google/gemma-4/gguf/gemma-4-12b-it", store.catalogue)
    assert near is not None
    assert near.name == "12b"
