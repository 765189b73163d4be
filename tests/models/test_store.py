"""Names, paths and nothing at all lead to the right pair, or to the command that helps."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import gguf_writer as writer

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, ExitStatus, ModelNotAvailable, UsageError
from gemma_mtp.models import gguf, last_used, store
from gemma_mtp.models.catalogue import Entry, load_catalogue
from gemma_mtp.models.pair_record import RECORD

CATALOGUE = load_catalogue()


pytestmark = pytest.mark.usefixtures("synthetic_pair")


@pytest.fixture
def shop() -> store.Store:
    return store.Store(CATALOGUE)


def entry(name: str) -> Entry:
    found = CATALOGUE.find(name)
    assert found is not None
    return found


def put(shop: store.Store, name: str) -> Path:
    """Small files in place of a pulled pair, marked as a pull marks them."""
    folder = shop.folder(entry(name))
    folder.mkdir(parents=True)
    files = []
    for remote, parts in ((entry(name).target, writer.target()),
                          (entry(name).drafter, writer.drafter())):  # fmt: skip
        path = writer.write(folder / remote.path, *parts)
        size = path.stat().st_size
        files.append({"path": remote.path, "bytes": size, "sha256": remote.sha256})
    (folder / RECORD).write_text(json.dumps({"files": files}))
    return folder


def configure(text: str) -> None:
    paths.config_dir().mkdir(parents=True)
    paths.config_file().write_text(text)


# --- names -----------------------------------------------------------------------------------


def test_a_pulled_pair_is_found_under_any_spelling(shop: store.Store, home: Path) -> None:
    folder = put(shop, "12b:q8_0")
    assert folder == home / "cache" / "models" / "12b-q8_0"
    files = shop.resolve("gemma4:12B:q8_0")
    assert files == PairFiles(
        "12b:q8_0", folder / "gemma-4-12b-it-Q8_0.gguf", folder / "mtp-gemma-4-12b-it.gguf"
    )
    assert [e.name for e in shop.ready()] == ["tiny", "12b:q8_0"]


def test_a_known_pair_that_is_not_here_names_the_pull(shop: store.Store) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        shop.resolve("gemma-4-12b")
    assert str(caught.value) == "12b is not on this machine."
    assert caught.value.hint == "gemma-mtp pull 12b"
    assert caught.value.status == ExitStatus.NO_MODEL


def test_half_a_pull_is_not_ready(shop: store.Store) -> None:
    folder = put(shop, "e2b")
    assert shop.is_ready(entry("e2b"))
    (folder / RECORD).unlink()
    assert not shop.is_ready(entry("e2b"))


def test_an_unknown_name_suggests_near_ones(shop: store.Store) -> None:
    with pytest.raises(ModelNotAvailable, match='no model called "tini"') as caught:
        shop.resolve("tini")
    assert caught.value.hint == "Did you mean tiny?"


def test_an_unknown_name_far_from_all_lists_the_sizes(shop: store.Store) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        shop.resolve("nothing-like-it")
    assert caught.value.hint == "Known models: tiny, e2b, e4b, 12b, 26b, 31b."


def test_an_empty_name_is_a_usage_error(shop: store.Store) -> None:
    with pytest.raises(UsageError):
        shop.resolve(" ")


def test_a_missing_built_in_pair_says_so(shop: store.Store) -> None:
    (store.BUILTIN_FOLDER / "tiny-drafter.gguf").unlink()
    with pytest.raises(ModelNotAvailable, match="missing from this installation"):
        shop.resolve("tiny")


# --- nothing ---------------------------------------------------------------------------------


def test_nothing_means_tiny_on_a_fresh_machine(shop: store.Store) -> None:
    assert shop.resolve(None).name == "tiny"


def test_nothing_means_the_last_used_pair_that_is_still_here(shop: store.Store) -> None:
    put(shop, "e2b")
    folder = put(shop, "12b")
    shop.remember_used("e2b")
    shop.remember_used("12b")
    assert shop.resolve(None).name == "12b"
    (folder / RECORD).unlink()
    assert shop.resolve(None).name == "e2b"


def test_what_programs_use_is_known_and_changes_nothing_of_that(shop: store.Store) -> None:
    put(shop, "e2b")
    put(shop, "12b")
    shop.remember_used("e2b")
    shop.note_use("12b")
    shop.note_use("12b")
    assert shop.resolve(None).name == "e2b"
    assert last_used.when("12b")
    assert [used.name for used in last_used.read()] == ["e2b", "12b"]


def test_the_configured_model_comes_first(shop: store.Store) -> None:
    put(shop, "e2b")
    put(shop, "12b")
    shop.remember_used("e2b")
    configure('model = "12b"\n')
    assert shop.resolve(None).name == "12b"
    assert shop.resolve("e2b").name == "e2b"


def test_a_configured_model_that_is_not_here_is_not_replaced(shop: store.Store) -> None:
    configure('model = "31b"')
    with pytest.raises(ModelNotAvailable, match="31b is not on this machine"):
        shop.resolve(None)


@pytest.mark.parametrize(
    ("text", "words"),
    [("model = ", "is not valid TOML"), ("model = 12", "must be text in quotes")],
)
def test_a_broken_config_file_is_named(shop: store.Store, text: str, words: str) -> None:
    configure(text)
    with pytest.raises(UsageError, match=words) as caught:
        shop.resolve(None)
    assert str(paths.config_file()) in str(caught.value)


def test_settings_without_a_model_change_nothing(shop: store.Store) -> None:
    configure("other = 1")
    assert shop.resolve(None).name == "tiny"


def test_a_state_folder_that_cannot_be_written_is_no_error(shop: store.Store, home: Path) -> None:
    (home / "state").write_text("a file in the way")
    shop.remember_used("12b")
    assert shop.resolve(None).name == "tiny"


def test_a_damaged_memory_is_forgotten(shop: store.Store, home: Path) -> None:
    shop.remember_used("12b")
    (home / "state" / "used.json").write_text('{"used": 3}')
    assert shop.resolve(None).name == "tiny"


# --- paths -----------------------------------------------------------------------------------


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    return writer.write(folder / "mine.gguf", *writer.target())


def test_a_path_alone_decodes_plainly(shop: store.Store, target: Path) -> None:
    assert shop.resolve(str(target)) == PairFiles(str(target), target, None)


def test_a_path_takes_the_drafter_next_to_it(shop: store.Store, target: Path) -> None:
    drafter = writer.write(target.with_name("mtp-mine.gguf"), *writer.drafter())
    writer.write(target.with_name("mtp-other.gguf"), *writer.drafter(target_width=64))
    target.with_name("mtp-broken.gguf").write_bytes(b"GGUF")
    assert shop.resolve(str(target)).drafter == drafter


def test_two_drafters_next_to_it_are_not_guessed_between(shop: store.Store, target: Path) -> None:
    for name in ("mtp-a.gguf", "mtp-b.gguf"):
        writer.write(target.with_name(name), *writer.drafter())
    assert shop.resolve(str(target)).drafter is None


def test_a_bare_file_name_is_a_path(
    shop: store.Store, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(target.parent)
    assert shop.resolve("mine.gguf").target == target


def test_a_used_path_is_remembered(
    shop: store.Store, target: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(target.parent)
    shop.remember_used("mine.gguf")
    monkeypatch.chdir(tmp_path)
    assert shop.resolve(None).target == target


def test_a_path_to_nothing(shop: store.Store, tmp_path: Path) -> None:
    with pytest.raises(ModelNotAvailable, match="There is no file"):
        shop.resolve(str(tmp_path / "gone.gguf"))


def test_the_folder_of_nobody(shop: store.Store, target: Path) -> None:
    for named in (("~nosuch/x.gguf", None), (str(target), Path("~nosuch/x.gguf"))):
        with pytest.raises(UsageError, match="no user of that name"):
            shop.resolve(*named)


def test_a_drafter_as_the_model(shop: store.Store, tmp_path: Path) -> None:
    path = writer.write(tmp_path / "mtp.gguf", *writer.drafter())
    with pytest.raises(BadPair, match="is an MTP drafter, not a target"):
        shop.resolve(str(path))


# --- a drafter named by the user -------------------------------------------------------------


@pytest.mark.parametrize("model", ["own", "tiny", None])
def test_a_named_drafter_is_used(
    shop: store.Store, target: Path, tmp_path: Path, model: str | None
) -> None:
    named = writer.write(tmp_path / "named.gguf", *writer.drafter())
    writer.write(target.with_name("mtp-mine.gguf"), *writer.drafter())
    files = shop.resolve(str(target) if model == "own" else model, named)
    assert files.drafter == named


def test_a_named_drafter_that_does_not_fit_is_an_error(
    shop: store.Store, target: Path, tmp_path: Path
) -> None:
    writer.write(target.with_name("mtp-mine.gguf"), *writer.drafter())
    named = writer.write(tmp_path / "named.gguf", *writer.drafter(target_width=64))
    with pytest.raises(BadPair, match="does not belong to"):
        shop.resolve(str(target), named)
    with pytest.raises(ModelNotAvailable, match="There is no file"):
        shop.resolve("tiny", tmp_path / "gone.gguf")


# --- folders ---------------------------------------------------------------------------------


def test_one_variable_moves_everything(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {paths.cache_dir(), paths.config_dir(), paths.state_dir()}
    assert places == {home / "cache", home / "config", home / "state"}
    monkeypatch.delenv(paths.HOME_VARIABLE)
    own = (paths.cache_dir(), paths.config_dir(), paths.state_dir())
    assert all("gemma-mtp" in str(place) and home not in place.parents for place in own)


# --- what is remembered ----------------------------------------------------------------------


def test_a_named_drafter_is_remembered_with_its_target(
    shop: store.Store, target: Path, tmp_path: Path
) -> None:
    named = writer.write(tmp_path / "named.gguf", *writer.drafter())
    shop.remember_used(shop.resolve(str(target), named).name)
    fresh = store.Store(CATALOGUE)
    assert fresh.resolve(None) == PairFiles(str(target), target, named)
    assert fresh.last_used_problem() == ""
    named.unlink()
    assert fresh.resolve(None).name == "tiny"
    assert f"There is no file {named}" in fresh.last_used_problem()


def test_a_damaged_file_of_ones_own_was_never_pulled(shop: store.Store, target: Path) -> None:
    target.write_bytes(target.read_bytes()[:200])
    with pytest.raises(BadPair) as caught:
        shop.resolve(str(target))
    assert "pull" not in caught.value.hint


def test_a_pulled_pair_is_checked_before_it_is_loaded(shop: store.Store) -> None:
    folder = put(shop, "e2b")
    shop.resolve("e2b")
    file = folder / entry("e2b").target.path
    file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(BadPair):
        shop.resolve("e2b")


@pytest.mark.parametrize("where", ["named", "beside", "nowhere", "pulled"])
def test_headers_are_read_once_and_again_after_a_change(
    shop: store.Store, target: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    model, drafter = str(target), target.with_name("mtp-mine.gguf")
    if where == "pulled":
        folder = put(shop, "e2b")
        model, drafter = "e2b", folder / entry("e2b").drafter.path
    elif where != "nowhere":
        writer.write(drafter, *writer.drafter())
    named = drafter if where == "named" else None
    found = shop.resolve(model, named)
    read: list[Path] = []
    real = gguf.read_header
    monkeypatch.setattr(gguf, "read_header", lambda path: read.append(path) or real(path))
    assert store.Store(CATALOGUE).resolve(model, named) == found
    assert read == []
    os.utime(found.target)
    assert store.Store(CATALOGUE).resolve(model, named) == found
    assert read


def test_another_file_of_the_same_size_and_time_is_checked(shop: store.Store, target: Path) -> None:
    shop.resolve(str(target))
    before = target.stat()
    other = target.with_name("other")
    other.write_bytes(bytes(before.st_size))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(target)
    with pytest.raises(BadPair):
        shop.resolve(str(target))


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": ["b"]}', "{"])
def test_a_damaged_memory_of_checks_is_no_obstacle(
    shop: store.Store, target: Path, content: str
) -> None:
    paths.cache_dir().mkdir(parents=True)
    (paths.cache_dir() / "checked.json").write_text(content)
    assert shop.resolve(str(target)).target == target
    shop.resolve(str(target))


def test_an_unknown_variant_names_the_known_ones(shop: store.Store) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        shop.resolve("tiny:q4_0")
    assert caught.value.hint == "tiny comes in one variant only, under that name."
