"""models.toml says nothing that contradicts itself, and names are found however they are typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gemma_mtp import catalogue, gguf
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import Sampling

KNOWN = catalogue.load_catalogue()
REMOTE = [entry for entry in KNOWN.entries if not entry.builtin]
STALE_BYTES = {6716355328, 253707328, 14249045120, 17287668064}
MODELS = Path(gguf.__file__).with_name("models")


def test_all_sizes_have_a_qat_default_and_a_full_precision_drafter_source() -> None:
    defaults = [entry for entry in REMOTE if entry.default]
    assert [entry.name for entry in defaults] == ["e2b", "e4b", "12b", "26b", "31b"]
    assert all(entry.qat and entry.target.quantization == "Q4_0" for entry in defaults)
    assert all(":" in entry.name and not entry.qat for entry in REMOTE if not entry.default)


def test_names_and_spellings_are_unique() -> None:
    spellings = [word for entry in KNOWN.entries for word in entry.spellings]
    assert len(spellings) == len(set(spellings))


@pytest.mark.parametrize("entry", REMOTE, ids=lambda entry: entry.name)
def test_every_file_is_pinned(entry: catalogue.Entry) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", entry.revision)
    assert re.fullmatch(r"unsloth/gemma-4-\S+-GGUF", entry.repo)
    for file in (entry.target, entry.drafter):
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.path.endswith(".gguf")
        assert file.bytes not in STALE_BYTES
    assert entry.drafter.path.startswith("mtp-")
    assert entry.drafter.bytes
    assert ("-qat-" in entry.repo) == entry.qat == ("-qat-" in entry.target.path)


def test_a_file_has_one_hash_and_a_hash_one_file() -> None:
    files = {
        (entry.repo, file.path, file.sha256)
        for entry in REMOTE
        for file in (entry.target, entry.drafter)
    }
    assert len({(repo, path) for repo, path, _ in files}) == len(files)
    assert len({digest for _, _, digest in files}) == len(files)


def test_qat_and_original_drafters_share_a_name_but_not_their_weights() -> None:
    qat, plain = KNOWN.find("31b"), KNOWN.find("31b:q8_0")
    assert qat is not None
    assert plain is not None
    assert qat.drafter.path == plain.drafter.path
    assert qat.drafter.sha256 != plain.drafter.sha256


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("12b", "12b"),
        (" 12B ", "12b"),
        ("gemma4:12b", "12b"),
        ("gemma-4-12b", "12b"),
        ("gemma-4-12b-it", "12b"),
        ("gemma-4-12B-it-qat", "12b"),
        ("12b:qat", "12b"),
        ("12b:latest", "12b"),
        ("gemma4:12b:q8_0", "12b:q8_0"),
        ("12b:Q8_0", "12b:q8_0"),
        ("12b:ud-q4_k_xl", "12b:ud-q4_k_xl"),
        ("gemma-4-12b-it-q8_0", "12b:q8_0"),
        ("26b", "26b"),
        ("gemma-4-26B-A4B-it", "26b"),
        ("26b-a4b:q8_0", "26b:q8_0"),
        ("tiny", "tiny"),
    ],
)
def test_names_are_found_however_they_are_typed(typed: str, name: str) -> None:
    entry = KNOWN.find(typed)
    assert entry is not None
    assert entry.name == name


@pytest.mark.parametrize("typed", ["", "13b", "12b:q9", "gemma4", "12b:", "/home/12b.gguf"])
def test_unknown_names_are_not_guessed(typed: str) -> None:
    assert KNOWN.find(typed) is None


def test_nearest_names_come_best_first() -> None:
    assert KNOWN.nearest("tini")[0] == "tiny"
    assert KNOWN.nearest("gemma4:e2")[:1] == ["e2b"]
    assert KNOWN.nearest("12b:q8_1")[0] == "12b:q8_0"
    assert KNOWN.nearest("qwen3") == []


def test_recommended_sampling_is_the_programs_default() -> None:
    assert KNOWN.sampling == Sampling()


def test_context_and_download_sizes() -> None:
    sizes = {entry.name: (entry.context_length, entry.bytes) for entry in KNOWN.entries}
    assert sizes["e2b"] == (131072, 2620370976 + 59235648)
    assert sizes["12b"] == (262144, 6716356800 + 253708800)
    assert sizes["12b:q8_0"] == (262144, None)


@pytest.mark.skipif(not (MODELS / "tiny-target.gguf").exists(), reason="no built-in pair yet")
def test_the_built_in_entry_describes_its_files() -> None:
    entry = KNOWN.find("tiny")
    assert entry is not None
    assert entry.builtin
    target = gguf.describe(gguf.read_header(MODELS / entry.target.path))
    drafter = gguf.describe(gguf.read_header(MODELS / entry.drafter.path))
    assert entry.context_length == target.context_length
    assert entry.target.quantization == target.quantization
    assert entry.drafter.quantization == drafter.quantization
    assert entry.parameters == f"{target.parameters / 1e6:.0f}M"


def test_a_wheel_brings_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(catalogue.__file__).parents[1] / "models.toml").read_text()
    (tmp_path / "models.toml").write_text(text.replace('name = "12b"', 'name = "packaged"'))
    monkeypatch.setattr(catalogue, "files", lambda package: tmp_path)
    assert catalogue.load_catalogue().find("packaged") is not None


def test_an_installation_without_models_toml_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "files", lambda package: tmp_path)
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "a" / "b" / "catalogue.py"))
    with pytest.raises(GemmaMtpError, match="missing from this installation"):
        catalogue.load_catalogue()
