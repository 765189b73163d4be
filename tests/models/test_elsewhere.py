"""What serves a pair in other programs: the settings under their names, and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemma_mtp.api import PairFiles
from gemma_mtp.errors import UsageError
from gemma_mtp.models import elsewhere
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.options import Options

PAIR = PairFiles("12b", Path("/m/my target.gguf"), Path("/m/my drafter.gguf"))
PLAIN = PairFiles("mine", Path("/m/mine.gguf"), None)


def flags(command: tuple[str, ...]) -> dict[str, str]:
    """The values of flags that have one, by flag."""
    return {word: command[at + 1] for at, word in enumerate(command[:-1]) if word[0] == "-"}


def llama(options: Options, draft: int = 3, files: PairFiles = PAIR) -> elsewhere.Exported:
    return elsewhere.for_llama_server(files, options, draft, "127.0.0.1", 8080)


def vllm(**values: Any) -> elsewhere.Exported:
    entry = load_catalogue().find("e2b")
    assert entry is not None
    assert entry.original is not None
    options = Options().with_values(**values)
    return elsewhere.for_vllm("e2b", entry.original, options, "::1", 9000)


def ollama(draft: int = 3, files: PairFiles = PAIR, **values: Any) -> list[str]:
    options = Options().with_values(**values)
    return elsewhere.for_ollama(files, options, draft).modelfile.splitlines()


def test_llama_server_gets_both_files_and_drafts_as_a_pair() -> None:
    found = flags(llama(Options()).command)
    assert (found["-m"], found["-md"]) == ("/m/my target.gguf", "/m/my drafter.gguf")
    assert (found["--spec-type"], found["--spec-draft-n-max"]) == ("draft-mtp", "3")
    assert (found["-c"], found["--alias"]) == ("8192", "12b")
    assert (found["--host"], found["--port"]) == ("127.0.0.1", "8080")
    assert "-ngl" not in found
    assert "-t" not in found


def test_the_image_encoder_goes_along() -> None:
    seeing = replace(PAIR, encoder=Path("/m/mmproj.gguf"))
    assert flags(llama(Options(), files=seeing).command)["--mmproj"] == "/m/mmproj.gguf"
    assert "--mmproj" not in llama(Options()).command
    assert ollama(files=seeing)[:2] == ["FROM /m/my target.gguf", "FROM /m/mmproj.gguf"]


def test_llama_server_samples_in_the_same_order_and_thinks_only_if_told_to() -> None:
    options = Options().with_values(temperature=0.7, top_k=0, min_p=0.05, think=True)
    found = flags(llama(options).command)
    assert found["--samplers"].index("temperature") < found["--samplers"].index("top_p")
    assert (found["--temp"], found["--top-k"], found["--min-p"]) == ("0.7", "0", "0.05")
    assert found["--reasoning"] == "on"
    assert flags(llama(Options()).command)["--reasoning"] == "off"


def test_llama_server_gets_what_was_chosen_of_loading() -> None:
    options = Options().with_values(context=4096, kv_type="q8_0", gpu_layers=-1, threads=6)
    found = flags(llama(options).command)
    assert (found["-c"], found["-ctk"], found["-ctv"]) == ("4096", "q8_0", "q8_0")
    assert (found["-ngl"], found["-ngld"], found["-t"]) == ("all", "all", "6")
    plain = flags(llama(options, draft=0).command)
    assert "-md" not in plain
    assert "-ngld" not in plain
    assert flags(llama(Options(cpu_experts=9)).command)["-ncmoe"] == "9"
    assert "-cmoe" in llama(Options(cpu_experts=-1)).command
    assert {"-ngl", "-ncmoe", "-cmoe"}.isdisjoint(llama(Options()).command)


def test_what_a_program_cannot_be_told_is_said() -> None:
    def notes(**values: Any) -> str:
        return " ".join(llama(Options().with_values(**values)).notes)

    assert "Exact mode" not in notes()
    assert "Exact mode" in notes(seed=3)
    assert "system prompt" in notes(system="Be brief.")
    assert "texts that end a reply" in notes(stop=("x",))
    assert "copied" in notes()
    assert not llama(Options(), draft=0).notes
    assert "--gpu-memory cannot be told" in notes(gpu_memory=10**9)
    ours = Options(gpu_memory=10**9, cpu_experts=9)
    said = " ".join(elsewhere.for_ollama(PAIR, ours, 3).notes)
    assert "--gpu-memory and --cpu-experts cannot be told" in said
    assert "--kv-type, --threads" in " ".join(vllm(kv_type="q8_0", threads=2).notes)


def test_vllm_gets_the_original_weights_and_their_drafter() -> None:
    command = vllm(context=4096).command
    found = flags(command)
    assert command[:3] == ("vllm", "serve", "google/gemma-4-E2B-it")
    assert json.loads(found["--speculative-config"]) == {
        "method": "mtp", "model": "google/gemma-4-E2B-it-assistant", "num_speculative_tokens": 2,
    }  # fmt: skip
    assert (found["--max-model-len"], found["--host"], found["--port"]) == ("4096", "::1", "9000")


def test_vllm_gets_sampling_under_its_names() -> None:
    found = flags(vllm(top_k=0, repeat_penalty=1.1, max_tokens=50, think=True).command)
    sampling = json.loads(found["--override-generation-config"])
    assert (sampling["top_k"], sampling["repetition_penalty"]) == (-1, 1.1)
    assert sampling["max_new_tokens"] == 50
    assert json.loads(found["--default-chat-template-kwargs"]) == {"enable_thinking": True}
    assert "--speculative-config" not in flags(vllm(draft=0).command)


def test_every_model_with_files_of_the_hub_names_its_originals() -> None:
    for entry in load_catalogue().entries:
        assert entry.builtin == (entry.original is None)
        if entry.original:
            assert entry.original.drafter == f"{entry.original.repo}-assistant"


def test_ollama_gets_a_modelfile_with_the_drafter() -> None:
    lines = ollama(context=1048576, system="Be\nbrief.", stop=("END", "##"))
    assert lines[:2] == ["FROM /m/my target.gguf", "DRAFT /m/my drafter.gguf"]
    assert "PARAMETER draft_num_predict 3" in lines
    assert "PARAMETER num_ctx 1048576" in lines
    assert 'PARAMETER stop """##"""' in lines
    assert lines[-2:] == ['SYSTEM """Be', 'brief."""']
    assert not any(line.startswith("DRAFT") for line in ollama(draft=0, files=PLAIN))
    with pytest.raises(UsageError, match="Modelfile"):
        ollama(system='"""')


def test_all_parts_of_a_split_model_are_in_the_modelfile() -> None:
    split = PairFiles("big", Path("/m/big-00001-of-00002.gguf"), None)
    assert ollama(draft=0, files=split)[:2] == [
        "FROM /m/big-00001-of-00002.gguf",
        "FROM /m/big-00002-of-00002.gguf",
    ]


@pytest.mark.parametrize(
    ("chosen", "paid", "files", "draft", "why"),
    [
        ("auto", None, PAIR, 3, "as usual"),
        ("auto", 7, PAIR, 7, "paid in the last chat"),
        ("auto", 0, PAIR, 0, "did not pay"),
        (5, 7, PAIR, 5, "--draft"),
        (0, 7, PAIR, 0, "--draft"),
        ("auto", 7, PLAIN, 0, "no drafter here"),
    ],
)
def test_the_draft_length_is_what_was_asked_for_or_what_paid_here(
    chosen: Any, paid: int | None, files: PairFiles, draft: int, why: str
) -> None:
    found, said = elsewhere.draft_length(files, Options().with_values(draft=chosen), paid)
    assert found == draft
    assert why in said
