"""A repository without a drafter gets the one that the catalogue has for that size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.hub_server import REVISION, Hub, Stored
from support.pulls import ENTRY, Events, sha256

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.cli import fetch_drafter
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import BadPair, GemmaMtpError, UsageError
from gemma_mtp.models import hub_names, inventory, leftovers
from gemma_mtp.models.catalogue import DrafterRepo, Entry, RemoteFile, load_catalogue
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.gguf_parser import first_values
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

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
    without(store, "q")
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


# --- where that cannot be had, or does not fit --------------------------------------------------


WIDER = writer.contents(*writer.drafter(target_width=64))


def known(hub: Hub, store: Store, **bodies: bytes) -> None:
    """Repositories that are known for a drafter of the size p, each with one file."""
    for name, body in bodies.items():
        repo = f"org/known-{name}-GGUF"
        hub.others[repo] = {f"{name}-assistant-Q8_0.gguf": Stored.of(body)}
        store.catalogue.drafters.append(DrafterRepo("p", repo))


def without(store: Store, name: str) -> None:
    store.catalogue.entries[:] = [e for e in store.catalogue.entries if e.name != name]


@pytest.mark.parametrize("fault", ["gone", "other"])
def test_a_known_repository_is_the_last_resort(hub: Hub, store: Store, fault: str) -> None:
    without(store, "q")
    if fault == "gone":
        del hub.others[OFFICIAL]["mtp-p.gguf"]
    else:
        wrong = replace(store.catalogue.entries[-1].drafter, sha256=sha256(WIDER), bytes=len(WIDER))
        store.catalogue.entries[-1] = replace(store.catalogue.entries[-1], drafter=wrong)
        hub.others[OFFICIAL]["mtp-p.gguf"] = Stored.of(WIDER)
    known(hub, store, a=WIDER, b=DRAFTER)
    store.catalogue.drafters.insert(-2, DrafterRepo("p", "org/deleted"))
    events = Events()
    name = fulfil(f"hf:{hub.repo}", PullRequest(), store, events.append)
    files = store.resolve(name)
    assert files.drafter is not None
    assert files.drafter.name == "b-assistant-Q8_0.gguf"
    assert "b-assistant-Q8_0.gguf instead: a drafter for p, from org/known-b-GGUF." in events.notes
    entry = hub_names.find_pulled(name, paths.models_dir())
    assert entry is not None
    assert entry.drafter.repo == "org/known-b-GGUF"


def test_a_drafter_in_the_repository_that_does_not_fit_is_passed_over(
    hub: Hub, store: Store
) -> None:
    hub.files["mtp-tuned.gguf"] = Stored.of(WIDER)
    events = Events()
    name = fulfil(f"hf:{hub.repo}", PullRequest(), store, events.append)
    files = store.resolve(name)
    assert files.drafter is not None
    assert files.drafter.name == "mtp-p.gguf"
    assert "made for width 64, the target has 32. mtp-p.gguf instead" in events.notes


def test_where_none_can_be_had_the_first_reason_is_the_error(hub: Hub, store: Store) -> None:
    hub.others[OFFICIAL].clear()
    known(hub, store, a=WIDER)
    with pytest.raises(GemmaMtpError, match=r"has no mtp-p\.gguf"):
        fulfil(f"hf:{hub.repo}", PullRequest(), store, Events().append)
    assert not store.ready()[1:]


def test_how_it_was_trained_counts_more_than_where_it_is_from(hub: Hub, store: Store) -> None:
    del hub.others[OFFICIAL]["mtp-p.gguf"]  # that for QAT weights is still there
    known(hub, store, b=DRAFTER)
    files = store.resolve(fulfil(f"hf:{hub.repo}", PullRequest(), store, Events().append))
    assert files.drafter is not None
    assert files.drafter.name == "b-assistant-Q8_0.gguf"


# --- for a file of the user's -------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "my models"
    folder.mkdir()
    target = folder / "tuned-Q4_0.gguf"
    target.write_bytes(TARGET)
    return target


def test_only_the_drafter_is_fetched_for_a_file(hub: Hub, store: Store, own: Path) -> None:
    assert store.resolve(str(own)).no_drafter.endswith(f"gemma-mtp pull '{own}'")
    assert fulfil(str(own), PullRequest(), store, Events().append) == str(own)
    assert dict(hub.sent) == {"mtp-p.gguf": len(DRAFTER)}
    assert [path.name for path in own.parent.iterdir()] == [own.name]
    hub.close()
    files = Store(store.catalogue).resolve(str(own))  # as a second start
    assert files.drafter == paths.models_dir() / "drafter-p" / "mtp-p.gguf"
    assert files.note == "Its drafter is that of p."
    events = Events()
    fulfil(str(own), PullRequest(), store, events.append)
    assert "There is a drafter for it already" in events.notes


def test_a_drafter_alone_is_listed_and_removed_as_such(hub: Hub, store: Store, own: Path) -> None:
    fulfil(str(own), PullRequest(), store, Events().append)
    (item,) = inventory.items(store)[1:]
    assert (item.name, item.variant, item.ready) == ("drafter-p", "drafter alone", True)
    assert not leftovers.leftovers(store)
    assert [entry.name for entry in store.ready()] == ["tiny"]
    inventory.remove(inventory.find(store, "drafter-p"))
    assert store.resolve(str(own)).drafter is None


def test_a_drafter_alone_that_was_damaged_is_fetched_again(
    hub: Hub, store: Store, own: Path
) -> None:
    fulfil(str(own), PullRequest(), store, Events().append)
    (paths.models_dir() / "drafter-p" / "mtp-p.gguf").write_bytes(DRAFTER[:50])
    assert store.resolve(str(own)).drafter is None
    fulfil(str(own), PullRequest(), store, Events().append)
    assert store.resolve(str(own)).drafter is not None


def test_a_known_repository_serves_a_file_too(hub: Hub, store: Store, own: Path) -> None:
    hub.others[OFFICIAL].clear()
    known(hub, store, b=DRAFTER)
    fulfil(str(own), PullRequest(), store, Events().append)
    files = store.resolve(str(own))
    assert files.drafter is not None
    assert files.drafter.name == "b-assistant-Q8_0.gguf"


@pytest.mark.parametrize("request_", [PullRequest(revision="main"), PullRequest(to=Path("stick"))])
def test_a_file_is_not_carried_and_has_no_revision(
    store: Store, own: Path, request_: PullRequest
) -> None:
    with pytest.raises(UsageError, match="only its drafter is pulled"):
        fulfil(str(own), request_, store, Events().append)


def test_a_file_whose_size_is_not_known(store: Store, own: Path) -> None:
    store.catalogue.entries[:] = []
    with pytest.raises(BadPair, match="No drafter is known for"):
        fulfil(str(own), PullRequest(), store, Events().append)


# --- asked before it is fetched -----------------------------------------------------------------


class There(Environment):
    """The command line with this store."""

    def __init__(self, store: Store) -> None:
        self.catalogue, self.store = store.catalogue, store

    def remember_used(self, name: str) -> None:
        """Nothing here asks for it."""


def started(store: Store, own: Path, options: Options) -> PairFiles:
    """What a command loads."""
    return There(store).resolve_or_offer(str(own), options)


@pytest.mark.parametrize(
    ("options", "fetched"),
    [
        (Options(), False),
        (Options(yes=True), True),
        (Options(fetch_drafter="yes"), True),
        (Options(fetch_drafter="no"), False),
        (Options(fetch_drafter="no", yes=True), True),
        (Options(yes=True, draft=0), False),
    ],
)
def test_who_answers_where_nobody_can_be_asked(
    hub: Hub, store: Store, own: Path, options: Options, fetched: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    files = started(store, own, options)
    assert (files.drafter is not None) == fetched
    assert bool(hub.requests) == fetched
    assert fetched or files.no_drafter.endswith(f"gemma-mtp pull '{own}'")
    said = capsys.readouterr().err
    assert (f"{own} is ready.\n" in said) == fetched
    assert "gemma-mtp chat" not in said  # what is fetched on the way is used by itself


@pytest.mark.parametrize("answer", [True, False])
def test_what_somebody_at_a_terminal_says_counts(
    store: Store, own: Path, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked: list[str] = []

    def agreed(question: str, default: bool) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(fetch_drafter, "can_ask", lambda: True)
    monkeypatch.setattr(fetch_drafter, "agreed", agreed)
    for _ in range(2):  # a no is not asked for again
        files = started(store, own, Options())
        assert (files.drafter is not None) == answer
    (question,) = asked
    assert "That of p fits. Download it (" in question
    own.write_bytes(TARGET + bytes(32))  # another file: neither the answer nor the drafter is lost
    assert (started(store, own, Options()).drafter is not None) == answer
    assert len(asked) == (1 if answer else 2)


def test_what_cannot_be_fetched_is_no_reason_not_to_answer(
    hub: Hub, store: Store, own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.others[OFFICIAL].clear()
    files = started(store, own, Options(yes=True))
    assert files.drafter is None
    said = capsys.readouterr().err
    assert "has no mtp-p.gguf" in said
    assert "So it runs without drafts for now." in said
