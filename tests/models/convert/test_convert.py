"""`convert` with a converter that only pretends: what it takes, leaves, asks and refuses."""

from __future__ import annotations

import hashlib
import io
import json
import re
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from support import loadable_pair
from support.fakes import Outcome, invoke
from support.hub_server import REVISION, Hub, Stored

from gemma_mtp import paths
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.positionals import Words, read_words
from gemma_mtp.models.convert import converter, originals, pair
from gemma_mtp.models.convert.quantize import Kind
from gemma_mtp.models.gguf import describe, read_header
from gemma_mtp.models.pair_record import read_record
from gemma_mtp.models.pull import originals as fetched

F32 = 0
FAKE = """
# Stands for llama.cpp's converter: it knows Gemma4AssistantForCausalLM.
import pathlib, shutil, sys
folder, words = pathlib.Path(sys.argv[1]), sys.argv[2:]
out = words[words.index("--outfile") + 1]
if (folder / "broken").exists():
    print("INFO: a long story", file=sys.stderr)
    raise SystemExit("ValueError: Can not map tensor 'model.layers.0.new'")
with open(folder.parent / "calls", "a") as calls:
    print(folder.name, *words[2:], file=calls)
shutil.copyfile(folder / "made.gguf", out)
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setattr(converter, "NEEDED", ())


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of llama.cpp that a variable names."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    (folder / converter.SCRIPT).write_text(FAKE)
    monkeypatch.setenv(converter.VARIABLE, str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Originals of a target, and beside them those of its assistant."""
    with patch.object(loadable_pair, "Q4_0", F32):
        files = loadable_pair.written(tmp_path, *loadable_pair.pair())
    assert files.drafter is not None
    folder = tmp_path / "gemma-4-nano-it"
    for place, kind, made in (
        (folder, originals.TARGETS[0], files.target),
        (folder.with_name(f"{folder.name}-assistant"), originals.ASSISTANTS[0], files.drafter),
    ):
        write_originals(place, kind)
        made.replace(place / "made.gguf")
    return folder


def write_originals(folder: Path, kind: str, **config: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"architectures": [kind], **config}))
    (folder / "tokenizer.json").write_text("{}")
    weights = {"model.embed_tokens.weight": (64, 300), "model.vision_tower.x": (9, 9)}
    safetensors(folder / "model.safetensors", weights)


def safetensors(file: Path, shapes: dict[str, tuple[int, ...]], dtype: str = "F32") -> None:
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))


def run(*words: object) -> Outcome:
    return invoke("convert", *map(str, words), env=Environment())


def calls(model: Path) -> list[str]:
    file = model.parent / "calls"
    return file.read_text().splitlines() if file.is_file() else []


def made(name: str) -> Path:
    return paths.models_dir() / f"local-{name}"


def test_a_model_and_its_assistant_become_a_pair_with_a_name(model: Path) -> None:
    found = run(model, "--type", "Q8_0", "--name", "mine")
    assert found.status == 0, found.stderr
    assert "mine is ready" in found.stderr + found.stdout
    files = Environment().store.resolve("mine", None)
    assert files.name == "local:mine"
    assert files.drafter is not None
    assert [describe(read_header(f)).quantization for f in (files.target, files.drafter)] == [
        "Q8_0"
    ] * 2
    record = read_record(made("mine"))
    assert record is not None
    assert {file.role for file in record.files} == {"target", "drafter"}
    left = {path.name for path in made("mine").iterdir()}
    assert left == {".lock", "pair.json", "SHA256SUMS", files.target.name, files.drafter.name}
    assert calls(model)[0].startswith("gemma-4-nano-it --outtype f32 --model-name gemma-4-nano-it")


def test_the_pair_is_listed_shown_and_removed_like_any_other(model: Path) -> None:
    assert run(model, "--type", "F32", "--name", "mine").status == 0
    env = Environment()
    assert read_words(["mine", "hi"], env.catalogue) == Words("mine", "hi")
    listed = json.loads(invoke("list", "--json", env=env).stdout)
    assert [item["name"] for item in listed if item["name"] != "tiny"] == ["local:mine"]
    assert json.loads(invoke("show", "mine", "--json", env=env).stdout)["name"] == "local:mine"
    assert invoke("rm", "local:mine", env=env).status == 0
    gone = invoke("run", "local:mine", "hello", env=env)
    assert (gone.status, "gemma-mtp convert" in gone.stderr) == (4, True)
    refused = invoke("pull", "local:mine", env=env)
    assert (refused.status, "not pulled" in refused.stderr) == (2, True)


def test_what_is_done_is_not_done_again(model: Path) -> None:
    """First the assistant fails, then all is well, then there is nothing to do."""
    broken = model.with_name(f"{model.name}-assistant") / "broken"
    broken.touch()
    failed = run(model, "--type", "F32", "--name", "mine")
    assert (failed.status, "Can not map tensor" in failed.stderr) == (1, True)
    assert "a long story" in (paths.state_dir() / "convert.log").read_text()
    assert Environment().store.find("local:mine") is None or not made("mine/pair.json").exists()
    broken.unlink()
    assert run(model, "--type", "F32", "--name", "mine").status == 0
    assert run(model, "--type", "F32", "--name", "mine").status == 0
    assert [line.split()[0] for line in calls(model)] == [model.name, f"{model.name}-assistant"]


def test_what_was_half_done_of_other_weights_is_done_anew(model: Path) -> None:
    broken = model.with_name(f"{model.name}-assistant") / "broken"
    broken.touch()
    assert run(model, "--type", "F32", "--name", "mine").status == 1
    broken.unlink()
    safetensors(model / "model.safetensors", {"model.embed_tokens.weight": (64, 301)})
    assert run(model, "--type", "F32", "--name", "mine").status == 0
    assert [line.split()[0] for line in calls(model)].count(model.name) == 2


def test_a_name_that_is_taken_is_refused(model: Path) -> None:
    assert run(model, "--type", "F32", "--name", "mine").status == 0
    other = run(model, "--type", "Q8_0", "--name", "mine")
    assert (other.status, "here already" in other.stderr) == (2, True)
    known = run(model, "--type", "Q4_0", "--name", "e2b")
    assert (known.status, "a known model" in known.stderr) == (2, True)


def test_qat_weights_become_q4_0_by_themselves(model: Path) -> None:
    qat = model.with_name("gemma-4-nano-it-qat")
    model.rename(qat)
    model.with_name(f"{model.name}-assistant").rename(qat.with_name(f"{qat.name}-assistant"))
    (qat / "broken").touch()  # the name says enough
    assert "local:gemma-4-nano-it-qat-Q4_0" in run(qat).stderr
    assert "local:gemma-4-nano-it-qat-Q8_0" in run(qat, "--type", "Q8_0").stderr


@pytest.mark.parametrize(
    ("spoil", "status", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), 6, "no config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), 6, "no tokenizer.json"),
        (lambda folder: write_originals(folder, "LlamaForCausalLM"), 6, "not a Gemma 4"),
        (lambda folder: write_originals(folder, originals.ASSISTANTS[0]), 6, "is an assistant"),
        (
            lambda folder: write_originals(
                folder, originals.TARGETS[0], quantization_config={"quant_method": "fp8"}
            ),
            6,
            "quantized already",
        ),
        (
            lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 20),
            6,
            "is damaged",
        ),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model-00002-of-00002.safetensors"}}'
            ),
            6,
            "lacks model-00002-of-00002.safetensors",
        ),
    ],
)
def test_folders_that_cannot_be_converted(model: Path, spoil: Any, status: int, says: str) -> None:
    spoil(model)
    found = run(model, "--type", "F32")
    assert (found.status, says in found.stderr) == (status, True), found.stderr
    assert calls(model) == []


def test_without_an_assistant_it_says_what_to_name(model: Path) -> None:
    model.with_name(f"{model.name}-assistant").rename(model.with_name("other"))
    found = run(model)
    assert (found.status, "--assistant" in found.stderr) == (2, True)
    found = run(model, "--assistant", model.with_name("other"), "--type", "F32")
    assert found.status == 0, found.stderr


def test_a_converter_that_is_too_old_is_refused(model: Path, checkout: Path) -> None:
    (checkout / converter.SCRIPT).write_text("print('Gemma 3')")
    found = run(model)
    assert (found.status, "too old" in found.stderr) == (2, True)
    found = run(model, "--llama-cpp", model)
    assert (found.status, f"has no {converter.SCRIPT}" in found.stderr) == (2, True)


def pretend_pip(monkeypatch: pytest.MonkeyPatch, status: int = 0) -> str:
    """A pip that brings sources of llama-cpp-python; returns their sha256."""
    script, data = FAKE.encode(), io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name in (converter.SCRIPT, "conversion/gemma.py", "src/llama.cpp", "../../evil.py"):
            member = tarfile.TarInfo(f"llama_cpp_python-1.2.3/vendor/llama.cpp/{name}")
            member.size = len(script)
            tar.addfile(member, io.BytesIO(script))

    def pip(words: list[str], **how: object) -> subprocess.CompletedProcess[bytes]:
        if not status:
            folder = Path(words[words.index("--dest") + 1])
            (folder / "llama_cpp_python-1.2.3.tar.gz").write_bytes(data.getvalue())
        said = b"ERROR: No matching distribution found for llama-cpp-python"
        return subprocess.CompletedProcess(words, status, b"", said)

    monkeypatch.setattr(converter.subprocess, "run", pip)
    return hashlib.sha256(data.getvalue()).hexdigest()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without llama.cpp."""
    monkeypatch.delenv(converter.VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "llama.cpp").rename(tmp_path / "elsewhere")


@pytest.mark.usefixtures("nowhere")
def test_the_converter_of_this_version_is_fetched_once_and_only_when_allowed(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "SOURCE_SHA256", pretend_pip(monkeypatch))
    asked = run(model, "--type", "F32", "--name", "mine")
    assert (asked.status, "llama.cpp's converter" in asked.stderr) == (2, True)
    assert run(model, "--type", "F32", "--name", "mine", "--yes").status == 0
    script = converter.find(None)
    assert script is not None
    kept = {path.name for path in script.parent.rglob("*") if path.is_file()}
    assert kept == {converter.SCRIPT, "gemma.py"}
    pretend_pip(monkeypatch, status=1)
    assert run(model, "--type", "F32", "--name", "again").status == 0


@pytest.mark.usefixtures("nowhere")
def test_sources_that_are_not_those_that_were_published_are_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_pip(monkeypatch)
    found = run(model, "--type", "F32", "--yes")
    assert (found.status, "its sha256 differs" in found.stderr) == (7, True), found.stderr
    assert converter.find(None) is None
    pretend_pip(monkeypatch, status=1)
    found = run(model, "--type", "F32", "--yes")
    assert (found.status, "No matching distribution" in found.stderr) == (7, True)
    assert "--llama-cpp" in found.stderr


def test_missing_packages_are_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "NEEDED", ("json", "no_such_torch"))
    found = run(model)
    assert (found.status, "needs no_such_torch" in found.stderr) == (1, True)
    assert "[convert]" in found.stderr


def test_originals_of_a_repository_are_fetched_and_go_when_the_pair_is_made(
    model: Path, hub: Hub
) -> None:
    hub.files = {path.name: Stored.of(path.read_bytes()) for path in model.iterdir()}
    hub.faults.cut_every, hub.faults.cuts = 2000, 3
    beside = model.with_name(f"{model.name}-assistant")
    words = (hub.repo, "--assistant", beside, "--type", "F32", "--name", "mine")
    asked = run(*words)
    assert (asked.status, "--yes allows it" in asked.stderr) == (2, True)
    assert not hub.sent
    # The file that the pretended converter copies is no part of a repository otherwise.
    with patch.object(fetched, "_WANTED", re.compile(".*")):
        found = run(*words, "--yes")
    assert found.status == 0, found.stderr
    assert not (made("mine") / pair.ORIGINALS).exists()
    record = read_record(made("mine"))
    assert record is not None
    assert (record.repo, record.revision) == (hub.repo, REVISION)


def test_only_what_the_converter_reads_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.files = {
        name: Stored.of(name.encode())
        for name in ("model.safetensors", "config.json", "README.md", "a/b.json", "x.gguf")
    }
    found = fetched.look_up(hub.repo, None, lambda event: None)
    fetched.fetch(found, tmp_path / "here", lambda event: None)
    assert {path.name for path in (tmp_path / "here").iterdir()} == {
        "model.safetensors",
        "config.json",
    }
    assert fetched.missing_bytes(found, tmp_path / "here") == 0


def test_a_repository_without_its_assistant_says_what_to_name(model: Path, hub: Hub) -> None:
    hub.files = {"model.safetensors": Stored.of(b"weights")}
    found = run(hub.repo)
    assert (found.status, "--assistant google/" in found.stderr) == (7, True), found.stderr


def test_a_repository_of_gguf_files_is_to_be_pulled(hub: Hub) -> None:
    found = run(hub.repo)
    assert (found.status, f"gemma-mtp pull hf:{hub.repo}" in found.stderr) == (6, True)


def test_what_it_takes_is_reckoned_from_the_shapes(model: Path) -> None:
    found = originals.read(model)
    assert (found.elements, found.largest, found.gguf_type) == (19200, 19200, "F32")
    assert pair.needs((found, found), Kind("F32")).disk == 2 * found.gguf_bytes
    assert pair.needs((found, found), Kind("Q4_K_M")).disk > found.gguf_bytes
    with pytest.raises(Exception, match="has less"):
        pair.require_memory(10**10, 10**9, 10**9)
    assert "close other programs" in pair.require_memory(10**10, 10**9, 10**11)


def test_what_is_no_model_is_said_before_any_package_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converter, "NEEDED", ("no_such_package",))
    empty = tmp_path / "empty"
    empty.mkdir()
    file = tmp_path / "own.gguf"
    file.touch()
    for typed, said in (
        (str(empty), "has no config.json"),
        (str(file), "is a file, not a folder"),
        ("nosuch", "is neither a folder nor OWNER/REPO"),
    ):
        outcome = invoke("convert", typed)
        assert outcome.status in (2, 6), outcome.stderr
        assert said in outcome.stderr
    missing = invoke("convert")
    assert missing.stderr == (
        "gemma-mtp: FOLDER_OR_REPO is missing.\n  As in: gemma-mtp convert google/gemma-4-E2B-it\n"
    )
