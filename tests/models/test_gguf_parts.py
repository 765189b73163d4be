"""A model in several files is loaded, hashed, shown and estimated as one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support import gguf_writer as writer
from support.pairs import TINY

from gemma_mtp.api import End, LoadOptions, Message, PairFiles, Request
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair
from gemma_mtp.measure import provenance
from gemma_mtp.models import gguf, pair_check
from gemma_mtp.models.gguf_names import part_names


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return writer.write_split(tmp_path / "m.gguf", *writer.target())


def refusal(path: Path) -> BadPair:
    with pytest.raises(BadPair) as caught:
        gguf.read_header(path)
    return caught.value


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("m-00002-of-00003.gguf", [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]),
        ("m.gguf", ["m.gguf"]),
        ("m-00001-of-00001.gguf", ["m-00001-of-00001.gguf"]),
        ("m-00004-of-00003.gguf", ["m-00004-of-00003.gguf"]),
        ("m-1-of-3.gguf", ["m-1-of-3.gguf"]),
    ],
)
def test_names_of_parts(name: str, names: list[str]) -> None:
    assert part_names(name) == names


@pytest.mark.parametrize("named", [0, 1, 2])
def test_any_part_stands_for_the_whole_model(parts: list[Path], named: int) -> None:
    header = gguf.read_header(parts[named])
    pair_check.check_target(header)
    whole = gguf.read_header(writer.write(parts[0].with_name("whole.gguf"), *writer.target()))
    assert (header.path, header.files) == (parts[0], tuple(parts))
    assert header.tensors.keys() == whole.tensors.keys()
    assert gguf.describe(header) == gguf.describe(whole)
    assert header.file_size == sum(part.stat().st_size for part in parts)


@pytest.mark.parametrize(("named", "missing"), [(0, 2), (1, 0), (2, 1)])
def test_a_missing_part_is_named(parts: list[Path], named: int, missing: int) -> None:
    parts[missing].unlink()
    error = refusal(parts[named])
    assert str(error).startswith(f"{parts[missing].name} is missing")
    assert "in one folder" in error.hint


def test_a_part_that_was_cut_off(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-100])
    assert f"{parts[1].name} is incomplete: 100 bytes are missing." in str(refusal(parts[0]))


def test_a_part_under_another_name(parts: list[Path]) -> None:
    for name in ("m.gguf", "m-00002-of-00005.gguf", "n-00001-of-00003.gguf"):
        other = parts[1].rename(parts[1].with_name(name))
        assert "says that it is part 2 of 3, and its name does not." in str(refusal(other))
        other.rename(parts[1])


def test_parts_of_different_models(parts: list[Path], tmp_path: Path) -> None:
    good = parts[1].read_bytes()
    writer.write(parts[1], writer.split_keys(2, 3, 5), {})
    assert "is not part 2 of 3" in str(refusal(parts[0]))
    writer.write(parts[1], writer.split_keys(1, 3, 5), {})
    assert "do not hold the tensors" in str(refusal(parts[0]))
    parts[1].write_bytes(good)
    tensors = writer.target()[1]
    again = dict(list(tensors.items())[:1])
    writer.write(parts[1], writer.split_keys(1, 3, len(tensors)), again)
    assert "repeats tensors" in str(refusal(parts[0]))


def test_a_number_of_a_part_in_another_type_would_end_the_process(parts: list[Path]) -> None:
    writer.write(parts[1], {**writer.split_keys(1, 3, 5), "split.no": 1}, {})
    assert "metadata key 'split.no' has type 4" in str(refusal(parts[0]))


def test_one_part_of_one_is_a_whole_file(tmp_path: Path) -> None:
    metadata, tensors = writer.target()
    path = tmp_path / "plain.gguf"
    writer.write(path, metadata | writer.split_keys(0, 1, len(tensors)), tensors)
    assert gguf.read_header(path).files == (path,)


def test_conditions_name_every_part(parts: list[Path]) -> None:
    sums = {part: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}
    found = provenance._files(PairFiles("m", parts[0], None), sums)
    assert [(f["name"], f["bytes"]) for f in found] == [(p.name, p.stat().st_size) for p in parts]
    assert {f["weights"] for f in found} == {"F32"}
    assert [f["sha256"] for f in found] == list(sums.values())


def test_a_split_pair_writes_what_the_whole_one_writes(tmp_path: Path) -> None:
    assert TINY.drafter is not None
    target = writer.split(TINY.target, tmp_path / "t.gguf")
    drafter = writer.split(TINY.drafter, tmp_path / "d.gguf", parts=2)
    texts = [written(files) for files in (TINY, PairFiles("split", target[0], drafter[0]))]
    assert texts[0] == texts[1]


def written(files: PairFiles) -> str:
    engine = load(files, LoadOptions(context=1024, threads=1))
    try:
        story = (Message.text("user", "Tell me a story about a fox."),)
        asked = Request(story, seed=7, max_tokens=40, draft=3)
        *events, end = engine.reply(asked)
        assert isinstance(end, End)
        assert end.stats.accepted > 0
        return "".join(getattr(event, "text", "") for event in events)
    finally:
        engine.close()
