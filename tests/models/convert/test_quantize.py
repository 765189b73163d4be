"""`quantize` on a small pair whose weights are whole, by the real llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from support import loadable_pair
from support.fakes import invoke

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import UsageError
from gemma_mtp.files import disk
from gemma_mtp.models.convert import quantize
from gemma_mtp.models.convert.quantize import Kind, read_kind
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.pair_check import check_pair

F32 = 0


@pytest.fixture
def pair(tmp_path: Path) -> PairFiles:
    with patch.object(loadable_pair, "Q4_0", F32):
        return loadable_pair.written(tmp_path, *loadable_pair.pair())


def run(*words: object) -> tuple[int, str, str]:
    found = invoke(*map(str, words))
    return found.status, found.stdout, found.stderr


def matrices(path: Path) -> set[str]:
    tensors = read_header(path).tensors.items()
    kept = ("ffn_gate_inp", "per_layer_model_proj")  # llama.cpp leaves these as they are
    return {t.type for name, t in tensors if len(t.shape) > 1 and not any(k in name for k in kept)}


def test_both_files_of_a_pair_are_quantized_and_fit_each_other(pair: PairFiles) -> None:
    assert pair.drafter is not None
    for file in (pair.target, pair.drafter):
        assert run("quantize", file, "q8_0")[0] == 0
    made = [file.with_name(f"{file.stem}-Q8_0.gguf") for file in (pair.target, pair.drafter)]
    assert [matrices(path) for path in made] == [{"Q8_0"}, {"Q8_0"}]
    check_pair(*map(read_header, made))


def test_like_qat_has_all_matrices_in_q4_0(pair: PairFiles, tmp_path: Path) -> None:
    """llama.cpp by itself gives the table of tokens more bits."""
    assert run("quantize", pair.target, "--like", "qat", "-o", tmp_path / "qat.gguf")[0] == 0
    assert matrices(tmp_path / "qat.gguf") == {"Q4_0"}
    assert run("quantize", pair.target, "Q4_0", "-o", tmp_path / "plain.gguf")[0] == 0
    assert matrices(tmp_path / "plain.gguf") > {"Q4_0"}


def test_events_are_json(pair: PairFiles) -> None:
    status, out, _ = run("quantize", pair.target, "Q4_0", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [event["event"] for event in (events[0], events[-1])] == ["note", "ready"]
    size = events[-1]["bytes"]
    assert size == Path(events[-1]["file"]).stat().st_size
    assert events[0]["bytes"] == pytest.approx(size, rel=0.05)
    assert events[0]["memory"] < 300_000_000  # of a small file; a large one is said to take 2.5 GB
    assert events[-2]["done"] == events[-2]["total"]


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ([], 2, "TYPE is missing"),
        (["Q4"], 2, 'There is no type "Q4"'),
        (["IQ2_XXS"], 2, "importance matrix"),
        (["F32"], 2, "is in F32 already"),
        (["Q8_0", "--like", "qat"], 2, "given twice"),
        (["--like", "fp8"], 2, "--like takes QAT"),
        (["Q8_0", "-o", "model.bin"], 2, "does not end in .gguf"),
        (["Q8_0", "-o", "/nowhere/model.gguf"], 2, "There is no folder"),
    ],
)
def test_what_makes_no_sense(pair: PairFiles, words: list[str], status: int, says: str) -> None:
    found = run("quantize", pair.target, *words)
    assert (found[0], says in found[2]) == (status, True), found


def test_what_is_quantized_is_not_quantized_again(pair: PairFiles, tmp_path: Path) -> None:
    made = tmp_path / "small.gguf"
    assert run("quantize", pair.target, "Q8_0", "-o", made)[0] == 0
    status, _, said = run("quantize", made, "Q4_0")
    assert (status, "quantized already, in Q8_0" in said) == (2, True)


def test_a_file_is_replaced_only_by_force(pair: PairFiles, tmp_path: Path) -> None:
    made = tmp_path / "other.gguf"
    made.write_text("precious")
    assert run("quantize", pair.target, "Q8_0", "-o", made)[0] == 2
    assert made.read_text() == "precious"
    assert run("quantize", pair.target, "Q8_0", "-o", made, "--force")[0] == 0
    assert matrices(made) == {"Q8_0"}
    assert run("quantize", pair.target, "Q8_0", "-o", pair.target, "--force")[0] == 2


def test_a_disk_without_room_is_found_out_before(
    pair: PairFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("gemma_mtp.files.disk.shutil.disk_usage", lambda folder: usage)
    before = sorted(tmp_path.iterdir())
    status, _, said = run("quantize", pair.target, "Q8_0")
    assert (status, "are free on the disk" in said) == (1, True)
    assert sorted(tmp_path.iterdir()) == before


def test_every_type_is_one_of_llama_cpp() -> None:
    from gemma_mtp.llama.quantize import number_of

    assert len({number_of(kind) for kind in quantize.TYPES}) == len(quantize.TYPES)
    assert read_kind("Q4-k-m") == Kind("Q4_K_M")
    assert read_kind("qat") == Kind("Q4_0", pure=True)
    with pytest.raises(UsageError):
        read_kind("MOSTLY_Q8_0")


def test_where_the_file_cannot_be_written_another_place_is_advised(
    pair: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "SPARE", 1 << 60)
    status, _, said = run("quantize", pair.target, "q8_0")
    assert status == 1
    assert "name a file elsewhere with -o" in said
    assert "GEMMA_MTP_HOME" not in said


def test_a_file_that_another_command_finishes_meanwhile_stays(
    pair: PairFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, expected_bytes = tmp_path / "made.gguf", quantize.expected_bytes

    def slow(*asked: object) -> int:
        made.write_text("by another command")
        return expected_bytes(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(quantize, "expected_bytes", slow)
    status, _, said = run("quantize", pair.target, "Q8_0", "-o", made)
    assert (status, f"{made} exists already." in said) == (2, True)
    assert made.read_text() == "by another command"
    assert not list(tmp_path.glob("*.unfinished"))
    assert run("quantize", pair.target, "Q8_0", "-o", made, "--force")[0] == 0
    assert matrices(made) == {"Q8_0"}
