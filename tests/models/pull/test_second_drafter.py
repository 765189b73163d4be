"""Where nothing says whether a target is QAT, a drafter of each kind is fetched for it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import REVISION, Hub, Stored
from support.pulls import ENTRY, Events, sha256

from gemma_mtp import paths
from gemma_mtp.cli import fetch_drafter
from gemma_mtp.cli.environment import Environment
from gemma_mtp.models import drafter_offer
from gemma_mtp.models.catalogue import Entry, RemoteFile, load_catalogue
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

METADATA, TENSORS = writer.drafter()
TARGET, PLAIN = writer.contents(*writer.target()), writer.contents(METADATA, TENSORS)
FOR_QAT = writer.contents(METADATA | {"general.name": "x" * 200}, TENSORS)
OFFICIAL = "org/official-GGUF"


def official(name: str, drafter: bytes, tmp_path: Path) -> Entry:
    """An entry of the catalogue for targets such as TARGET."""
    file = tmp_path / "target.gguf"
    file.write_bytes(TARGET)
    remote = RemoteFile(f"mtp-{name}.gguf", "Q8_0", sha256(drafter), len(drafter))
    return replace(
        ENTRY, name=name, qat=name == "q", repo=OFFICIAL, drafter=remote, spellings=(name,),
        shape=shape_of(read_header(file)), revision=REVISION,
    )  # fmt: skip


@pytest.fixture
def store(hub: Hub, tmp_path: Path) -> Store:
    catalogue, drafters = load_catalogue(), {"q": FOR_QAT, "p": PLAIN}
    catalogue.entries += [official(name, data, tmp_path) for name, data in drafters.items()]
    hub.others[OFFICIAL] = {f"mtp-{name}.gguf": Stored.of(data) for name, data in drafters.items()}
    hub.files = {"tuned-Q4_0.gguf": Stored.of(TARGET)}
    hub.repo = "org/tuned"
    return Store(catalogue)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    target = tmp_path / "mine.gguf"
    target.write_bytes(TARGET)
    return target


def test_the_other_kind_comes_along_with_a_model_of_the_hub(hub: Hub, store: Store) -> None:
    events = Events()
    name = fulfil("hf:org/tuned", PullRequest(), store, events.append)
    why = "nothing says whether tuned-Q4_0.gguf is QAT, so the drafter of q comes along"
    assert f"mtp-q.gguf: {why}; the better of the two is kept." in events.notes
    files = store.resolve(name)
    assert files.drafter is not None
    assert files.rival is not None
    assert (files.drafter.read_bytes(), files.rival.read_bytes()) == (PLAIN, FOR_QAT)
    assert (files.drafter_of, files.rival_of) == ("p", "q")
    hub.requests.clear()
    fulfil(name, PullRequest(), store, events.append)
    assert not hub.requests  # it is here


def test_not_where_the_name_says_what_it_is(hub: Hub, store: Store) -> None:
    hub.repo = "org/tuned-QAT"
    name = fulfil("hf:org/tuned-QAT", PullRequest(), store, Events().append)
    files = store.resolve(name)
    assert (files.drafter_of, files.rival) == ("q", None)


def test_not_without_the_network(hub: Hub, store: Store) -> None:
    name = fulfil("hf:org/tuned", PullRequest(), store, Events().append)
    shutil.rmtree(paths.models_dir() / "drafter-q")
    events = Events()
    fulfil(name, PullRequest(offline=True), store, events.append)
    assert events.notes == ""
    assert store.resolve(name).rival is None


def test_that_it_cannot_be_fetched_is_said_and_no_failure(hub: Hub, store: Store) -> None:
    del hub.others[OFFICIAL]["mtp-q.gguf"]
    events = Events()
    name = fulfil("hf:org/tuned", PullRequest(), store, events.append)
    assert "It cannot be fetched: " in events.notes
    assert store.resolve(name).rival is None


def test_for_a_file_both_are_offered_and_fetched(hub: Hub, store: Store, own: Path) -> None:
    offer = drafter_offer.offer(store.resolve(str(own)), store.catalogue)
    assert offer is not None
    assert offer.second is not None
    assert (offer.whose, offer.second.whose) == ("p", "q")
    assert offer.bytes == len(PLAIN) + len(FOR_QAT)
    fulfil(str(own), PullRequest(), store, Events().append)
    files = store.resolve(str(own))
    assert (files.drafter_of, files.rival_of) == ("p", "q")
    assert drafter_offer.second_offer(files, store.catalogue) is None


class Asked(Environment):
    """Somebody at a terminal who declines; what was asked."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.catalogue, self.store, self.questions = store.catalogue, store, list[str]()
        monkeypatch.setattr(fetch_drafter, "can_ask", lambda: True)
        monkeypatch.setattr(fetch_drafter, "agreed", self.decline)

    def decline(self, question: str, default: bool) -> bool:
        self.questions.append(question)
        return False


def test_one_question_is_about_both(
    store: Store, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = Asked(store, monkeypatch)
    for _ in range(2):
        fetch_drafter.with_drafter(env, store.resolve(str(own)), Options())
    size = len(PLAIN) + len(FOR_QAT)
    [question] = env.questions  # a no is remembered
    assert question == (
        "mine.gguf has no drafter here; with one, replies come faster. Those of p and q fit, and "
        f"nothing says whether it is QAT. Download both ({size / 1000:.0f} kB), to keep the better "
        "one?"
    )


def test_who_has_one_is_asked_about_the_other(
    hub: Hub, store: Store, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fulfil(str(own), PullRequest(), store, Events().append)
    shutil.rmtree(paths.models_dir() / "drafter-q")
    env = Asked(store, monkeypatch)
    files = store.resolve(str(own))
    assert fetch_drafter.with_drafter(env, files, Options()) == files
    [question] = env.questions
    assert question.startswith("The drafter of p is used for mine.gguf, and nothing says whether")
    assert "that of q may guess better. Download it" in question
