"""A repository without a drafter gets the one that the catalogue has for that size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import REVISION, Hub, Stored
from support.pulls import ENTRY, Events, sha256

from gemma_mtp import paths
from gemma_mtp.errors import BadPair
from gemma_mtp.models import hub_names
from gemma_mtp.models.catalogue import Entry, RemoteFile, load_catalogue
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.gguf_parser import first_values
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store

TARGET, DRAFTER = writer.contents(*writer.target()), writer.contents(*writer.drafter())
OFFICIAL = "org/official-GGUF"


def official(name: str, qat: bool, tmp_path: Path) -> Entry:
    """An entry of the catalogue for targets such as TARGET."""
    file = tmp_path / "target.gguf"
    file.write_bytes(TARGET)
    drafter = RemoteFile(f"mtp-{name}.gguf", "Q8_0", sha256(DRAFTER), len(DRAFTER))
    return replace(ENTRY, name=name, qat=qat, repo=OFFICIAL, drafter=drafter, spellings=(name,),
                   shape=shape_of(read_header(file)), revision=REVISION)  # fmt: skip


@pytest.fixture
def store(hub: Hub, tmp_path: Path) -> Store:
    catalogue = load_catalogue()
    catalogue.entries += [official("q", True, tmp_path), official("p", False, tmp_path)]
    hub.others[OFFICIAL] = {f"mtp-{name}.gguf": Stored.of(DRAFTER) for name in "qp"}
    hub.files = {"tuned-Q4_0.gguf": Stored.of(TARGET)}
    return Store(catalogue)


@pytest.mark.parametrize(
    ("repo", "drafter"), [("org/tuned", "mtp-p.gguf"), ("org/tuned-QAT", "mtp-q.gguf")]
)
def test_the_drafter_of_the_same_size_and_training_is_taken(
    hub: Hub, store: Store, repo: str, drafter: str
) -> None:
    hub.repo, events = repo, Events()
    name = fulfil(f"hf:{repo}", PullRequest(), store, events.append)
    found = f"the drafter of {drafter[4]}, which has the same shape."
    assert f"{drafter}: {repo} holds no mtp-*.gguf or *-assistant*.gguf; {found}" in events.notes
    files = store.resolve(name)
    assert files.drafter is not None
    assert (files.target.name, files.drafter.name) == ("tuned-Q4_0.gguf", drafter)
    assert files.drafter_of == drafter[4]
    assert files.drafter.read_bytes() == DRAFTER


def test_a_drafter_for_other_weights_is_said_to_be_one(hub: Hub, store: Store) -> None:
    del store.catalogue.entries[-1]
    events = Events()
    fulfil(f"hf:{hub.repo}", PullRequest(), store, events.append)
    assert "it was made for QAT weights, so fewer of its guesses may be accepted" in events.notes


def test_where_the_drafter_came_from_is_kept_with_the_pair(
    hub: Hub, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = fulfil(f"hf:{hub.repo}", PullRequest(), store, Events().append)
    entry = hub_names.find_pulled(name, paths.models_dir())
    assert entry is not None
    assert (entry.drafter.repo, entry.drafter.revision) == (OFFICIAL, REVISION)
    assert entry.target.repo == ""

    damaged = store.folder(entry) / entry.drafter.path
    damaged.write_bytes(b"x")
    hub.requests.clear()
    fulfil(name, PullRequest(), store, Events().append)
    assert damaged.read_bytes() == DRAFTER
    assert hub.requests["CDN mtp-p.gguf"] == 1

    stick = tmp_path / "stick"
    fulfil(name, PullRequest(to=stick), store, Events().append)
    hub.close()
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "other machine"))
    assert fulfil(None, PullRequest(source=stick), store, Events().append) == name


def test_a_pinned_drafter_that_was_changed_is_refused(hub: Hub, store: Store) -> None:
    hub.others[OFFICIAL]["mtp-p.gguf"] = Stored.of(DRAFTER + b"x")
    with pytest.raises(Exception, match="is not the pinned file"):
        fulfil(f"hf:{hub.repo}", PullRequest(), store, Events().append)


def test_only_the_beginning_of_a_target_is_read_before_it_is_chosen(hub: Hub, store: Store) -> None:
    hub.files["tuned-Q4_0.gguf"] = Stored.of(TARGET + bytes(8 << 20))
    store.catalogue.entries[:] = []
    with pytest.raises(BadPair, match="its shape is that of no model in the catalogue"):
        fulfil(f"hf:{hub.repo}", PullRequest(), store, Events().append)
    assert hub.sent["tuned-Q4_0.gguf"] <= 1 << 20


def test_values_before_the_end_of_a_cut_header() -> None:
    whole = first_values(TARGET, "t")
    cut = first_values(TARGET[: len(TARGET) // 3], "t")
    assert cut
    assert cut.items() <= whole.items()
    assert whole["general.architecture"] == "gemma4"
    with pytest.raises(BadPair, match="t is not a GGUF file"):
        first_values(b"<html>", "t")
    assert first_values(b"GGUF" + bytes(4), "t") == {}
