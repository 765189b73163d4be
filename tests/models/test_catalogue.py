"""models.toml says nothing that contradicts itself, and names are found however they are typed."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from gemma_mtp.api import MAX_DRAFT, Sampling
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files import bounded
from gemma_mtp.models import catalogue, catalogue_schema, gguf

KNOWN = catalogue.load_catalogue()
REMOTE = [entry for entry in KNOWN.entries if not entry.builtin]
STALE_BYTES = {6716355328, 253707328, 14249045120, 17287668064}
MODELS = Path(gguf.__file__).with_name("builtin")


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
    assert sizes["e2b"] == (131072, 2620370976 + 59235648 + 985654080)
    assert sizes["12b"] == (262144, 6716356800 + 253708800 + 175115840)
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
    text = (Path(catalogue.__file__).parents[2] / "models.toml").read_text()
    (tmp_path / "models.toml").write_text(text.replace('name = "12b"', 'name = "packaged"'))
    monkeypatch.setattr(catalogue, "files", lambda package: tmp_path)
    assert catalogue.load_catalogue().find("packaged") is not None


def test_an_installation_without_models_toml_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "files", lambda package: tmp_path)
    monkeypatch.setattr(catalogue, "__file__", str(tmp_path / "a" / "b" / "c" / "catalogue.py"))
    with pytest.raises(GemmaMtpError, match="missing from this installation"):
        catalogue.load_catalogue()


@pytest.mark.parametrize("entry", REMOTE, ids=lambda entry: entry.name)
def test_every_model_states_what_the_fit_needs(entry: catalogue.Entry) -> None:
    assert entry.shape is not None
    assert entry.drafter_shape is not None
    low, high = entry.draft_range
    assert 0 <= low <= high <= MAX_DRAFT
    # What llama.cpp takes on trust: the last layer that owns a cache is full, the one before not.
    for end in (entry.shape.owners, entry.shape.layers):
        assert entry.shape.is_full(end - 1)
        assert not entry.shape.is_full(end - 2)


def test_an_image_encoder_is_pinned_for_each_target() -> None:
    """Trained with the target: QAT weights and the others have encoders of their own."""
    encoders = {(e.repo, e.encoder) for e in REMOTE}
    assert len(encoders) == len({e.repo for e in REMOTE})
    for _, encoder in encoders:
        assert encoder is not None
        assert re.fullmatch(r"[0-9a-f]{64}", encoder.sha256)
        assert encoder.bytes
        assert encoder.quantization == "F16"
    assert len({encoder.sha256 for _, encoder in encoders if encoder}) == len(encoders)


OWN = f"""
[[model]]
name = "12b"

[[model.source]]
repo = "me/mine"
revision = "{"1" * 40}"
drafter = {{ file = "mtp.gguf", quantization = "Q4_0", bytes = 5, sha256 = "{"a" * 64}" }}
targets = [
    {{ tag = "qat", file = "a.gguf", quantization = "Q4_0", bytes = 7, sha256 = "{"b" * 64}" }},
    {{ tag = "q6_k", file = "b.gguf", quantization = "Q6_K", sha256 = "{"c" * 64}" }},
]

[[model]]
name = "mine"
context_length = 4096

[[model.source]]
repo = "me/other"
drafter = {{ file = "mtp.gguf", quantization = "Q4_0", sha256 = "{"d" * 64}" }}
targets = [{{ tag = "q4_0", file = "c.gguf", quantization = "Q4_0", sha256 = "{"e" * 64}" }}]
"""


def load_own(folder: Path, text: str) -> catalogue.Catalogue:
    (folder / "models.toml").write_text(text)
    return catalogue.load_catalogue(folder / "models.toml")


def test_a_file_of_ones_own_adds_and_overrides(tmp_path: Path) -> None:
    mine = load_own(tmp_path, OWN)
    changed, added, fresh = mine.find("12b"), mine.find("12b:q6_k"), mine.find("mine")
    assert changed is not None
    assert added is not None
    assert fresh is not None
    assert (changed.repo, changed.target.bytes, changed.own) == ("me/mine", 7, True)
    assert (changed.name, changed.default) == ("12b", True)
    assert changed.shape == added.shape == KNOWN.find("12b").shape  # type: ignore[union-attr]
    assert mine.find("gemma-4-12b-it") is changed
    assert added.default is False
    assert (fresh.revision, fresh.shape, fresh.default) == ("main", None, True)
    names = [entry.name for entry in mine.entries]
    assert names[names.index("12b:q8_0") + 1] == "12b:q6_k"
    assert len(names) == len(set(names)) == len(KNOWN.entries) + 2


SPLIT = OWN.replace(
    f'file = "a.gguf", quantization = "Q4_0", bytes = 7, sha256 = "{"b" * 64}"',
    'file = "x/a-00001-of-00002.gguf", quantization = "Q4_0", bytes = [7, 9], '
    f'sha256 = ["{"b" * 64}", "{"f" * 64}"]',
)


def test_a_split_model_lists_sums_and_sizes_of_its_parts(tmp_path: Path) -> None:
    entry = load_own(tmp_path, SPLIT).find("12b")
    assert entry is not None
    assert [(part.path, part.bytes, part.sha256[0]) for part in entry.target.parts] == [
        ("x/a-00001-of-00002.gguf", 7, "b"),
        ("x/a-00002-of-00002.gguf", 9, "f"),
    ]
    assert (entry.target.total, entry.bytes) == (16, 21)
    unsized = load_own(tmp_path, SPLIT.replace("bytes = [7, 9], ", "")).find("12b")
    assert unsized is not None
    assert unsized.bytes is None


def test_without_such_a_file_nothing_changes(tmp_path: Path) -> None:
    assert catalogue.load_catalogue(tmp_path / "models.toml").entries == KNOWN.entries


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model = ", "is no list of models"),
        ("[[model]]\ncontext_length = 5", "the key 'name' is missing"),
        ('[[model]]\nname = "x"', "the key"),
        (OWN.replace("a" * 64, "a" * 63), "'mtp.gguf' needs a sha256"),
        (OWN.replace("4096", "4096\nshape = { layer = 3 }"), "the key 'layer' is unknown in"),
        (SPLIT.replace("[7, 9]", "16"), "a-00001-of-00002.gguf' has 2 parts"),
        (SPLIT.replace(f', "{"f" * 64}"', ""), "sha256 and bytes list those of all"),
        (SPLIT.replace("f" * 64, "f"), "needs a sha256"),
        (SPLIT.replace("a-00001", "a-00002"), "file names the first"),
        ("model = 3", "is no list of models"),
    ],
)
def test_a_broken_file_of_ones_own_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        load_own(tmp_path, text)
    assert str(tmp_path) in str(caught.value)


SHAPE = """
[model.shape]
layers = 30
pattern = "SF"
width = 9
heads = 4
kv_heads_sliding = 1
kv_heads_full = 1
feed_forward = 9
window = 9
vocabulary = 9
"""
WITH_SHAPE = OWN.replace("context_length = 4096", f"context_length = 4096{SHAPE}")


def test_a_shape_of_ones_own(tmp_path: Path) -> None:
    entry = load_own(tmp_path, WITH_SHAPE).find("mine")
    assert entry is not None
    assert entry.shape is not None
    assert entry.shape.layers == 30


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("layers = 30", "layers = 1000000000", "model.1..shape.layers must be a whole number from"),
        ("layers = 30", "layers = " + "9" * 900, "layers must be a whole number from 1 to 1024"),
        ("layers = 30", "layers = " + "9" * 5000, "is longer than 1000 characters"),
        ("layers = 30", "layers = " + "[" * 900 + "\n" + "]" * 900, "it is nested too deeply"),
        ("layers = 30", "layers" + ".a" * 5000 + " = 1", "is longer than 1000 characters"),
        ("layers = 30", "layers" + ".a" * 300 + " = 1", "layers must be a whole number"),
        ("layers = 30", "layers = true", "layers must be a whole number"),
        ("layers = 30", "layers = 30\nshared = 30", "30 of 30 layers cannot be shared"),
        ('pattern = "SF"', 'pattern = ""', "pattern must be the letters S and F, not ''"),
        ('pattern = "SF"', 'pattern = "x"', "pattern must be the letters S and F, not 'x'"),
        ("4096", "-1", "context_length must be a whole number from 1 to"),
        ("4096", "4096\ndraft_range = [0, 99]", r"draft_range.1. must be a whole number"),
        ("4096", "4096\ndraft_range = [5, 2]", "draft_range goes from 5 down to 2"),
        ("4096", "4096\naliases = [3]", "aliases.0. must be letters, digits"),
        ("4096", '4096\ntitle = "a\\nb"', r"title must be a line .* not 'a\\nb'"),
        ("4096", '4096\ntitle = "\\u202Eb"', r"title must be a line .* not '\\u202eb'"),
        ("bytes = 5", "bytes = -5", "drafter.bytes must be a whole number from 1"),
        ('"mine"', '".."', "name must be letters, digits"),
        ('"mine"', '""', "name must be letters, digits"),
        ('"mine"', '"a/b"', "name must be letters, digits"),
        ('"q6_k"', '"../x"', "tag must be letters, digits"),
        ('"me/other"', '"../.."', "repo must be OWNER/REPO, not"),
        ('"me/other"', '"me"', "repo must be OWNER/REPO, not"),
        ('"c.gguf"', '"MTP.gguf"', "'MTP.gguf' is both target and drafter"),
        ('"c.gguf"', '3', "file must be a line of at most"),
    ],
)  # fmt: skip
def test_what_no_model_can_be_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in WITH_SHAPE
    with pytest.raises(UsageError, match=words) as caught:
        load_own(tmp_path, WITH_SHAPE.replace(old, new))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "/abs/x.gguf", "../x.gguf", "a/../../x.gguf", "./x.gguf", "a//x.gguf", "x.gguf/",
        "a\\x.gguf", "c:/x.gguf", "x", "pair.json", "a\nb.gguf", "a\0.gguf", "\u202ex.gguf", "..",
        "", "a/" * 1500 + "x.gguf", "a" * 300 + ".gguf", " x.gguf", "a./x.gguf", "a/ /x.gguf",
    ],
)  # fmt: skip
def test_files_stay_in_the_folder_of_their_model(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no list of models: "):
        load_own(tmp_path, OWN.replace('"c.gguf"', json.dumps(name)))
    with pytest.raises(ValueError, match="cannot be the name of a model's file"):
        catalogue.RemoteFile(name, "Q4_0", "a" * 64, None)


@pytest.mark.parametrize(
    "name", ["x.gguf", "MTP/x-00001-of-00002.GGUF", "modèle (1).gguf", "..x.gguf"]
)
def test_names_that_are_as_good_as_others(name: str) -> None:
    assert catalogue.RemoteFile(name, "Q4_0", "a" * 64, None).path == name


def test_upper_case_hashes_are_hashes(tmp_path: Path) -> None:
    entry = load_own(tmp_path, OWN.replace("e" * 64, "E" * 64)).find("mine")
    assert entry is not None
    assert entry.target.sha256 == "e" * 64


def test_a_list_of_models_is_a_small_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it is larger than 128 KiB"):
        load_own(tmp_path, OWN + "#\n" * 100_000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"pipe cannot be read: it is not a file\."):
        catalogue.load_catalogue(tmp_path / "pipe")


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert load_own(tmp_path, "\ufeff" + OWN).find("mine") is not None


def test_the_shipped_list_has_the_declared_shape() -> None:
    text = (Path(catalogue.__file__).parents[2] / "models.toml").read_text()
    for model in tomllib.loads(text)["model"][1:]:
        catalogue_schema.MODEL(model, "model")
    assert len(text) < bounded.MOST_TEXT
