"""A target named by its file gets the drafter made for it, or is told which ones there are."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import gguf_writer as writer
from support.fakes import invoke

from gemma_mtp import paths
from gemma_mtp.api import LoadOptions, PairFiles
from gemma_mtp.cli.environment import Environment
from gemma_mtp.decoding.drafter_score import Score
from gemma_mtp.engine.loading import load
from gemma_mtp.models import gguf, store, tried
from gemma_mtp.models.catalogue import Catalogue, load_catalogue
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.text import byte_size

TARGET = "gemma-4-E2B-it-Q4_K_M.gguf"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "home"))
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def put(path: Path, parts: Any, **general: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    metadata, tensors = parts
    return writer.write(path, metadata | {f"general.{k}": v for k, v in general.items()}, tensors)


def resolve(target: Path, catalogue: Catalogue | None = None) -> PairFiles:
    return store.Store(catalogue or load_catalogue()).resolve(str(target))


def chosen(folder: Path, *drafters: str, target: str = TARGET) -> str:
    """Which of these drafters goes with the target; else why none does."""
    for name in drafters:
        put(folder / name, writer.drafter())
    files = resolve(put(folder / target, writer.target()))
    return str(files.drafter.relative_to(folder)) if files.drafter else files.no_drafter


@pytest.mark.parametrize(
    "name",
    [
        "mtp-gemma-4-E2B-it.gguf",
        "gemma-4-E2B-it-assistant-Q8_0.gguf",
        "MTP/mtp-gemma-4-E2B-it-BF16.gguf",
        "mtp/some-name.gguf",
        "whatever.GGUF",
    ],
)
def test_a_drafter_is_known_by_its_header(folder: Path, name: str) -> None:
    assert chosen(folder, name) == name


@pytest.mark.parametrize(
    ("drafters", "best"),
    [
        (("MTP/mtp-gemma-4-E2B-it-Q4_0.gguf", "mtp-gemma-4-E2B-it.gguf"),
         "mtp-gemma-4-E2B-it.gguf"),
        (("mtp-gemma-4-E2B-it.gguf", "mtp-other.gguf"), "mtp-gemma-4-E2B-it.gguf"),
        (("gemma-4-E2B-it-qat-assistant.gguf", "gemma-4-E2B-it-assistant.gguf"),
         "gemma-4-E2B-it-assistant.gguf"),
    ],
)  # fmt: skip
def test_of_several_the_one_that_belongs(
    folder: Path, drafters: tuple[str, ...], best: str
) -> None:
    assert chosen(folder, *drafters) == best


def test_a_target_trained_for_its_quantization_takes_such_a_drafter(folder: Path) -> None:
    drafters = ("gemma-4-E2B-it-qat-assistant.gguf", "gemma-4-E2B-it-assistant.gguf")
    assert chosen(folder, *drafters, target="gemma-4-E2B-it-qat-Q4_0.gguf") == drafters[0]


def test_the_header_may_say_how_it_was_trained(folder: Path) -> None:
    put(folder / "mtp-a.gguf", writer.drafter())
    qat = put(folder / "mtp-b.gguf", writer.drafter(), basename="gemma-4-E2B-it-qat-q4_0")
    target = put(folder / "t.gguf", writer.target(), name="Gemma 4 E2B QAT")
    assert resolve(target).drafter == qat


def test_the_catalogue_knows_how_a_file_of_this_size_was_trained(folder: Path) -> None:
    plain = put(folder / "mtp-a.gguf", writer.drafter())
    qat = put(folder / "mtp-b.gguf", writer.drafter(), license="apache-2.0")
    catalogue = load_catalogue()
    known = next(e for e in catalogue.entries if e.qat)
    published = replace(known.drafter, bytes=qat.stat().st_size)
    catalogue.entries = [replace(known, drafter=published)]
    assert resolve(put(folder / "x-qat.gguf", writer.target()), catalogue).drafter == qat
    assert resolve(put(folder / "x.gguf", writer.target()), catalogue).drafter == plain


def test_of_one_drafter_in_two_precisions_the_quicker(folder: Path) -> None:
    metadata, tensors = writer.drafter()
    half = {k: (shape, 1 if len(shape) > 1 else kind) for k, (shape, kind) in tensors.items()}
    small = put(folder / "mtp-gemma-4-E2B-it-F16.gguf", (metadata, half))
    put(folder / "mtp-gemma-4-E2B-it-F32.gguf", writer.drafter())
    assert resolve(put(folder / TARGET, writer.target())).drafter == small


def test_the_drafter_beside_the_target_comes_before_a_quicker_one_elsewhere(folder: Path) -> None:
    metadata, tensors = writer.drafter()
    half = {k: (shape, 1 if len(shape) > 1 else kind) for k, (shape, kind) in tensors.items()}
    put(folder / "MTP" / "mtp-gemma-4-E2B-it-F16.gguf", (metadata, half))
    assert chosen(folder, "mtp-gemma-4-E2B-it.gguf") == "mtp-gemma-4-E2B-it.gguf"


def test_drafters_that_only_the_user_can_choose_from_are_named(folder: Path) -> None:
    said = chosen(folder, "mtp-a.gguf", "mtp-b.gguf")
    assert said == "several drafters fit it: mtp-a.gguf, mtp-b.gguf; name one with --drafter"
    assert said in invoke_show(folder / TARGET)
    engine = load(resolve_builtin(folder), LoadOptions(context=512, threads=1))
    assert engine.info.plain_reason == said
    engine.close()


def resolve_builtin(folder: Path) -> PairFiles:
    return replace(resolve(folder / TARGET), target=store.BUILTIN_FOLDER / "tiny-target.gguf")


def invoke_show(path: Path) -> str:
    return invoke("show", str(path)).stdout


def test_why_the_only_drafter_is_none_of_this_target(folder: Path) -> None:
    put(folder / "mtp-b.gguf", writer.drafter(target_width=64))
    said = chosen(folder)
    assert said.startswith("there is no drafter for this model: mtp-b.gguf does not belong to")
    assert not said.endswith(".")


def test_a_drafter_of_another_program_that_cannot_be_converted_is_named(folder: Path) -> None:
    metadata, tensors = writer.drafter()
    metadata["general.architecture"] = "gemma4_assistant"
    del tensors["output_norm.weight"]
    put(folder / "mtp-b.gguf", (metadata, tensors))
    why = "mtp-b.gguf was written for another program than llama.cpp, and cannot be converted: it"
    assert f"{why} lacks the tensor output_norm.weight" in chosen(folder)


def test_a_split_target_in_a_folder_of_its_quantization(folder: Path) -> None:
    drafter = put(folder / "MTP" / "mtp-gemma-4-E2B-it.gguf", writer.drafter())
    (folder / "BF16").mkdir()
    parts = writer.write_split(folder / "BF16" / "gemma-4-E2B-it-BF16.gguf", *writer.target())
    for named in parts:
        assert resolve(named) == PairFiles(str(parts[0]), parts[0], drafter)
    drafter.unlink()
    split = writer.write_split(folder / "mtp-gemma-4-E2B-it.gguf", *writer.drafter(), parts=2)
    assert resolve(parts[1]).drafter == split[0]
    files = store.Store(load_catalogue()).resolve(str(parts[1]), split[1])
    assert files == PairFiles(str(parts[0]), parts[0], split[0])


def test_a_check_reads_every_part(folder: Path) -> None:
    parts = writer.write_split(folder / "m.gguf", *writer.target())
    text = invoke("show", str(parts[1]), "--check").stdout
    for part in parts:
        assert f"sha256 {hashlib.sha256(part.read_bytes()).hexdigest()}" in text
    assert "read; nothing to compare with" in text


def test_show_lists_the_parts_and_counts_them_as_one(folder: Path) -> None:
    whole = put(folder / "whole.gguf", writer.target())
    parts = writer.write_split(folder / "m.gguf", *writer.target())
    text = invoke_show(parts[2])
    assert all(f"target        {part}" in text for part in parts)
    memory = [line for line in text.splitlines() if line.strip().startswith("memory")]
    assert memory
    assert memory == [
        line for line in invoke_show(whole).splitlines() if line.strip().startswith("memory")
    ]


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_beside_the_target_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "mtp-a.gguf")
    assert chosen(folder) == ""


@pytest.mark.parametrize("place", ["first", "later"])
def test_the_architecture_is_read_without_the_rest(tmp_path: Path, place: str) -> None:
    metadata, tensors = writer.drafter()
    if place == "later":
        metadata = {"general.name": "x", **metadata}
        del metadata["general.architecture"]
        metadata["general.architecture"] = "gemma4-assistant"
    path = writer.write(tmp_path / "d.gguf", metadata, tensors)
    assert gguf.architecture(path) == "gemma4-assistant"
    path.write_bytes(b"GGUF")
    assert gguf.architecture(path) == ""
    assert gguf.architecture(tmp_path / "none.gguf") == ""


# --- none beside it ------------------------------------------------------------------------------


def pulled(name: str, *drafter: Any, source: str = "", title: str = "") -> None:
    """A pair as a pull leaves it; its drafter is from the repository `source`, if that is another
    one, and its target says that it is called `title`."""
    folder = paths.models_dir() / name.replace(":", "-").replace("/", "--")
    folder.mkdir(parents=True)
    put(folder / "mtp.gguf", drafter or writer.drafter())
    put(folder / "target.gguf", writer.target(), **({"name": title} if title else {}))
    files = [
        {
            "role": role,
            "path": path,
            "bytes": (folder / path).stat().st_size,
            "sha256": "0" * 64,
            "repo": source * (role == "drafter"),
        }
        for role, path in (("drafter", "mtp.gguf"), ("target", "target.gguf"))
    ]
    about = {
        "name": name,
        "repo": name.partition(":")[2] or "o/r",
        "revision": "0" * 40,
        "files": files,
    }
    (folder / "pair.json").write_text(json.dumps(about))


def test_the_drafter_of_a_pulled_pair_serves_a_file_of_the_same_shape(folder: Path) -> None:
    pulled("other", *writer.drafter(target_width=64))
    pulled("e2b")
    target = put(folder / "tuned.gguf", writer.target(), name="Tuned")
    files = resolve(target)
    assert files.drafter == paths.models_dir() / "e2b" / "mtp.gguf"
    assert (files.note, files.drafter_of) == ("Its drafter is that of e2b.", "e2b")
    assert files == resolve(target)  # remembered
    put(folder / "mtp-tuned.gguf", writer.drafter())
    assert resolve(target).drafter == folder / "mtp-tuned.gguf"
    assert (resolve(target).note, resolve(target).drafter_of) == ("", "")


def test_a_copy_of_a_pulled_target_has_its_own_drafter(folder: Path) -> None:
    pulled("e2b")
    files = resolve(put(folder / "copy.gguf", writer.target()))
    assert files.drafter == paths.models_dir() / "e2b" / "mtp.gguf"
    assert (files.note, files.drafter_of) == ("", "")


# --- QAT or not ----------------------------------------------------------------------------------


def of_both_kinds(folder: Path) -> tuple[Path, Path]:
    """Drafters for QAT weights and for others, in one folder."""
    plain, qat = folder / "mtp-gemma-4-E2B-it.gguf", folder / "mtp-gemma-4-E2B-it-qat.gguf"
    return put(plain, writer.drafter()), put(qat, writer.drafter())


def test_where_nothing_says_whether_it_is_qat_both_drafters_are_tried(folder: Path) -> None:
    plain, qat = of_both_kinds(folder)
    files = resolve(put(folder / TARGET, writer.target()))
    assert (files.drafter, files.rival) == (plain, qat)
    assert "what each guesses right in 100 tokens of a chat decides" in files.note
    tried.remember(files, Score(100, 20, 70))
    after = resolve(folder / TARGET)
    assert after.note == ""
    assert after.bare == files.bare  # so that an engine that has it loaded does not load it again
    words = "export-command", str(folder / TARGET), "--for", "ollama"
    exported = invoke(*words, env=Environment()).stdout
    assert str(qat) in exported
    assert str(plain) not in exported
    shown = " ".join(invoke("show", str(folder / TARGET), env=Environment()).stdout.split())
    assert f"guessed 20 of 100 tokens right and {qat.name} 70; {qat.name} is kept" in shown


@pytest.mark.parametrize("name", ["gemma-4-E2B-it-qat-Q4_0.gguf", "tuned-QAT.gguf"])
def test_where_the_target_says_so_nothing_is_tried(folder: Path, name: str) -> None:
    _, qat = of_both_kinds(folder)
    files = resolve(put(folder / name, writer.target()))
    assert (files.drafter, files.rival) == (qat, None)


def test_a_target_that_the_catalogue_knows_is_of_its_kind(folder: Path) -> None:
    plain, _ = of_both_kinds(folder)
    target = put(folder / TARGET, writer.target())
    catalogue = load_catalogue()
    entry = catalogue.entries[1]
    known = replace(entry.target, bytes=target.stat().st_size, rest=())
    catalogue.entries.append(replace(entry, qat=False, target=known))
    files = resolve(target, catalogue)
    assert (files.drafter, files.rival) == (plain, None)


def test_pulled_drafters_of_both_kinds_are_tried(folder: Path) -> None:
    pulled("e2b-plain")
    metadata, tensors = writer.drafter()
    pulled("e2b-qat", metadata | {"general.name": "Gemma 4 E2B qat"}, tensors)
    files = resolve(put(folder / "tuned.gguf", writer.target(), name="Tuned"))
    assert files.drafter == paths.models_dir() / "e2b-plain" / "mtp.gguf"
    assert files.rival == paths.models_dir() / "e2b-qat" / "mtp.gguf"
    assert (files.drafter_of, files.rival_of) == ("e2b-plain", "e2b-qat")
    put(folder / "mtp-tuned.gguf", writer.drafter())
    assert resolve(folder / "tuned.gguf").rival is None  # it has a drafter of its own


def test_where_no_drafter_is_here_the_pair_is_named_that_brings_one(folder: Path) -> None:
    target = put(folder / "tuned.gguf", writer.target())
    catalogue = load_catalogue()
    shaped = replace(catalogue.entries[1], name="2b", shape=shape_of(gguf.read_header(target)))
    catalogue.entries.append(shaped)
    size = byte_size(shaped.drafter.total or 0)
    why = f"there is no drafter for this model; that of 2b ({size}) fits: gemma-mtp pull {target}"
    assert resolve(target, catalogue).no_drafter == why


def rival_of_pulled(name: str, title: str) -> PairFiles:
    metadata, tensors = writer.drafter()
    pulled(name, source="o/official", title=title)
    pulled("e2b", metadata | {"general.name": "Gemma 4 E2B qat"}, tensors)
    return store.Store(load_catalogue()).resolve(name)


def test_a_pulled_model_with_a_borrowed_drafter_has_one_of_the_other_kind_tried() -> None:
    files = rival_of_pulled("hf:org/tuned", "Tuned")
    assert (files.drafter_of, files.rival_of) == ("o/official", "e2b")
    assert files.rival == paths.models_dir() / "e2b" / "mtp.gguf"


@pytest.mark.parametrize("how", ["repository", "header"])
def test_not_where_something_says_of_which_kind_it_is(how: str) -> None:
    names = {"repository": ("hf:org/tuned-QAT", "Tuned"), "header": ("hf:org/tuned", "Tuned QAT")}
    name, title = names[how]
    assert rival_of_pulled(name, title).rival is None


def test_nor_where_the_drafter_is_the_models_own() -> None:
    metadata, tensors = writer.drafter()
    pulled("hf:org/tuned", title="Tuned")
    pulled("e2b", metadata | {"general.name": "Gemma 4 E2B qat"}, tensors)
    assert store.Store(load_catalogue()).resolve("hf:org/tuned").rival is None
