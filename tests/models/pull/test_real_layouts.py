"""What is chosen of repositories as they are published: by their names alone, and the catalogue.

The names of repositories and files are those that public projects on GitHub quote in catalogues,
scripts and issues of 2026, among them zhongkaifu/TensorSharp (ggml-org, unsloth), OpenWhispr's pull
request 1268 (Google's own), AlexsJones/llmfit's 955 (bartowski), elizaOS/eliza's 9256 (drafters of
amaranus and Janvitos) and ggml-org/Llama-macOS's issue 97 (unsloth's QAT). A listing has the files
that are quoted, not necessarily all; sizes are rounded to what tells a drafter from a target. The
repositories of `someone` are nobody's and stand for a kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from support.hub_server import REVISION

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models.catalogue import Catalogue, load_catalogue
from gemma_mtp.models.pull import choose_pair
from gemma_mtp.models.pull.hub import HubFile
from gemma_mtp.models.pull.official_drafter import official_drafter


@dataclass(frozen=True)
class Layout:
    """A repository and its files; what is chosen, or the beginning of what is said. `size` is the
    catalogue's name of the model. A drafter "=NAME" is that of a pair of the catalogue."""

    repo: str
    files: str
    size: str = ""
    target: str = ""
    drafter: str = ""
    said: str = ""
    quantization: str = ""


UNSLOTH_12B = """gemma-4-12b-it-Q4_K_M.gguf gemma-4-12b-it-UD-Q4_K_XL.gguf gemma-4-12b-it-Q8_0.gguf
    gemma-4-12b-it-UD-IQ2_M.gguf mmproj-F16.gguf mtp-gemma-4-12b-it.gguf@0.46
    MTP/mtp-gemma-4-12b-it-Q8_0.gguf@0.46"""
OLD_26B = """BF16/gemma-4-26B-A4B-it-BF16-00001-of-00002.gguf
    BF16/gemma-4-26B-A4B-it-BF16-00002-of-00002.gguf gemma-4-26B-A4B-it-UD-Q4_K_XL.gguf
    gemma-4-26B-A4B-it-MXFP4_MOE.gguf MTP/gemma-4-26B-A4B-it-Q8_0-MTP.gguf@0.46"""
BARTOWSKI_31B = """google_gemma-4-31B-it-Q4_K_M.gguf google_gemma-4-31B-it-Q5_K_M.gguf
    google_gemma-4-31B-it-Q8_0.gguf google_gemma-4-31B-it-bf16-00001-of-00002.gguf
    google_gemma-4-31B-it-bf16-00002-of-00002.gguf"""

LAYOUTS = [
    Layout("unsloth/gemma-4-E4B-it-qat-GGUF",
           """gemma-4-E4B-it-qat-UD-Q4_K_XL.gguf gemma-4-E4B-it-qat-UD-Q2_K_XL.gguf mmproj-F16.gguf
           mtp-gemma-4-E4B-it.gguf@0.06""",
           "e4b", "gemma-4-E4B-it-qat-UD-Q4_K_XL.gguf", "mtp-gemma-4-E4B-it.gguf"),
    Layout("unsloth/gemma-4-12B-it-qat-GGUF",
           """gemma-4-12B-it-qat-UD-Q4_K_XL.gguf mmproj-BF16.gguf mtp-gemma-4-12B-it.gguf@0.25
           MTP/mtp-gemma-4-12B-it-Q4_0.gguf@0.25 MTP/mtp-gemma-4-12B-it-Q8_0.gguf@0.46
           MTP/mtp-gemma-4-12B-it-BF16.gguf@0.86 MTP/README.md""",
           "12b", "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf", "mtp-gemma-4-12B-it.gguf"),
    Layout("unsloth/gemma-4-12b-it-GGUF", UNSLOTH_12B, "12b", "gemma-4-12b-it-UD-Q4_K_XL.gguf",
           "mtp-gemma-4-12b-it.gguf"),
    Layout("unsloth/gemma-4-12b-it-GGUF", UNSLOTH_12B, "12b", "gemma-4-12b-it-UD-IQ2_M.gguf",
           "mtp-gemma-4-12b-it.gguf", quantization="UD-IQ2_M"),
    # As they were before July 2026: drafters in MTP alone, their role before or behind the rest.
    Layout("unsloth/gemma-4-12B-it-GGUF",
           "gemma-4-12b-it-Q4_K_M.gguf MTP/gemma-4-12B-it-MTP-Q8_0.gguf@0.46", "12b",
           "gemma-4-12b-it-Q4_K_M.gguf", "MTP/gemma-4-12B-it-MTP-Q8_0.gguf"),
    Layout("unsloth/gemma-4-26B-A4B-it-GGUF", OLD_26B, "26b", "gemma-4-26B-A4B-it-UD-Q4_K_XL.gguf",
           "MTP/gemma-4-26B-A4B-it-Q8_0-MTP.gguf"),
    Layout("unsloth/gemma-4-26B-A4B-it-GGUF", OLD_26B, "26b",
           "BF16/gemma-4-26B-A4B-it-BF16-00001-of-00002.gguf",
           "MTP/gemma-4-26B-A4B-it-Q8_0-MTP.gguf", quantization="BF16"),
    Layout("unsloth/gemma-4-26B-A4B-it-GGUF", OLD_26B, "26b", "gemma-4-26B-A4B-it-MXFP4_MOE.gguf",
           "MTP/gemma-4-26B-A4B-it-Q8_0-MTP.gguf", quantization="mxfp4_moe"),
    Layout("ggml-org/gemma-4-E2B-it-GGUF",
           """gemma-4-E2B-it-Q8_0.gguf mmproj-gemma-4-E2B-it-Q8_0.gguf
           mtp-gemma-4-E2B-it-Q8_0.gguf@0.1""",
           "e2b", "gemma-4-E2B-it-Q8_0.gguf", "mtp-gemma-4-E2B-it-Q8_0.gguf"),
    Layout("ggml-org/gemma-4-E4B-it-GGUF",
           """gemma-4-E4B-it-Q4_0.gguf gemma-4-E4B-it-Q4_K_M.gguf mmproj-gemma-4-E4B-it-Q8_0.gguf
           mtp-gemma-4-E4B-it-Q8_0.gguf@0.1""",
           "e4b", "gemma-4-E4B-it-Q4_K_M.gguf", "mtp-gemma-4-E4B-it-Q8_0.gguf"),
    Layout("ggml-org/gemma-4-31B-it-GGUF",
           """gemma-4-31B-it-BF16.gguf gemma-4-31B-it-Q4_0.gguf gemma-4-31B-it-Q8_0.gguf
           mmproj-gemma-4-31B-it-BF16.gguf mtp-gemma-4-31B-it-Q8_0.gguf@0.51""",
           "31b", "gemma-4-31B-it-BF16.gguf", "mtp-gemma-4-31B-it-Q8_0.gguf", quantization="bf16"),
    Layout("am17an/Gemma4-31B-it-GGUF", "Gemma4-31B-Q8_0.gguf mtp-gemma-4-31B-it.gguf@0.51", "31b",
           "Gemma4-31B-Q8_0.gguf", "mtp-gemma-4-31B-it.gguf"),
    Layout("google/gemma-4-31B-it-qat-q4_0-gguf", "gemma-4-31B_q4_0-it.gguf", "31b",
           "gemma-4-31B_q4_0-it.gguf", "=31b"),
    Layout("google/gemma-4-26B-A4B-it-qat-q4_0-gguf", "gemma-4-26B_q4_0-it.gguf", "26b",
           "gemma-4-26B_q4_0-it.gguf", "=26b", quantization="Q4_0"),
    Layout("google/gemma-4-12B-it-qat-q4_0-gguf",
           "gemma-4-12b-it-qat-q4_0.gguf mmproj-gemma-4-12b-it-qat-q4_0.gguf", "12b",
           "gemma-4-12b-it-qat-q4_0.gguf", "=12b"),
    Layout("bartowski/google_gemma-4-E2B-it-GGUF", "google_gemma-4-E2B-it-Q4_K_M.gguf", "e2b",
           "google_gemma-4-E2B-it-Q4_K_M.gguf", "=e2b:ud-q4_k_xl"),
    Layout("bartowski/google_gemma-4-26B-A4B-it-GGUF",
           """google_gemma-4-26B-A4B-it-Q4_K_M.gguf google_gemma-4-26B-A4B-it-imatrix.gguf@0.06""",
           "26b", "google_gemma-4-26B-A4B-it-Q4_K_M.gguf", "=26b:ud-q4_k_xl"),
    Layout("bartowski/google_gemma-4-31B-it-GGUF", BARTOWSKI_31B, "31b",
           "google_gemma-4-31B-it-Q4_K_M.gguf", "=31b:ud-q4_k_xl"),
    Layout("bartowski/google_gemma-4-31B-it-GGUF", BARTOWSKI_31B, "31b",
           "google_gemma-4-31B-it-bf16-00001-of-00002.gguf", "=31b:ud-q4_k_xl",
           quantization="BF16"),
    Layout("lmstudio-community/gemma-4-31B-it-GGUF",
           """gemma-4-31B-it-Q4_K_M.gguf gemma-4-31B-it-Q6_K.gguf gemma-4-31B-it-Q8_0.gguf
           mmproj-gemma-4-31B-it-BF16.gguf""",
           "31b", "gemma-4-31B-it-Q4_K_M.gguf", "=31b:ud-q4_k_xl"),
    Layout("lmstudio-community/gemma-4-26B-A4B-it-QAT-GGUF", "gemma-4-26B-A4B-it-QAT-Q4_0.gguf",
           "26b", "gemma-4-26B-A4B-it-QAT-Q4_0.gguf", "=26b"),
    Layout("lmstudio-community/gemma-4-12B-it-QAT-GGUF", "gemma-4-12B-it-QAT-Q4_0.gguf", "12b",
           "gemma-4-12B-it-QAT-Q4_0.gguf", "=12b"),
    Layout("lmstudio-community/gemma-4-E4B-it-MLX-4bit", "config.json model.safetensors",
           said="lmstudio-community/gemma-4-E4B-it-MLX-4bit holds weights in MLX's format"),
    Layout("mradermacher/gemma-4-E2B-i1-GGUF", "gemma-4-E2B.i1-Q4_K_M.gguf", "e2b",
           "gemma-4-E2B.i1-Q4_K_M.gguf", "=e2b:ud-q4_k_xl"),
    Layout("mradermacher/gemma-4-26B-A4B-i1-GGUF", "gemma-4-26B-A4B.i1-Q4_K_S.gguf", "26b",
           "gemma-4-26B-A4B.i1-Q4_K_S.gguf", "=26b:ud-q4_k_xl", quantization="Q4_K_S"),
    Layout("mradermacher/Gemma-4-31B-Fable-Coder-i1-GGUF",
           "Gemma-4-31B-Fable-Coder.i1-Q4_K_M.gguf", "31b",
           "Gemma-4-31B-Fable-Coder.i1-Q4_K_M.gguf", "=31b:ud-q4_k_xl"),
    Layout("mradermacher/gemma-4-31b-it-heretic-ara-GGUF",
           """gemma-4-31b-it-heretic-ara.Q4_K_S.gguf
           gemma-4-31b-it-heretic-ara.mmproj-f16.gguf""",
           "31b", "gemma-4-31b-it-heretic-ara.Q4_K_S.gguf", "=31b:ud-q4_k_xl"),
    Layout("MoonRide/gemma-4-31B-it-heretic-ara-GGUF",
           "gemma-4-31B-it-heretic-ara-Q4_K_M.gguf mmproj-F16.gguf", "31b",
           "gemma-4-31B-it-heretic-ara-Q4_K_M.gguf", "=31b:ud-q4_k_xl"),
    Layout("huihui-ai/Huihui-gemma-4-E2B-it-qat-q4_0-unquantized-abliterated-GGUF",
           "Huihui-gemma-4-E2B-it-qat-q4_0-unquantized-abliterated-Q4_K.gguf", "e2b",
           "Huihui-gemma-4-E2B-it-qat-q4_0-unquantized-abliterated-Q4_K.gguf", "=e2b"),
    Layout("HauhauCS/Gemma-4-E4B-Uncensored-HauhauCS-Aggressive",
           "Gemma-4-E4B-Uncensored-HauhauCS-Aggressive-Q4_K_P.gguf", "e4b",
           "Gemma-4-E4B-Uncensored-HauhauCS-Aggressive-Q4_K_P.gguf", "=e4b:ud-q4_k_xl"),
    Layout("HauhauCS/Gemma4-26B-A4B-QAT-Uncensored-HauhauCS-Balanced-MTP",
           """Gemma4-26B-A4B-QAT-Uncensored-HauhauCS-Balanced-Q4_K_M.gguf
           mmproj-Gemma4-26B-A4B-QAT-Uncensored-HauhauCS-Balanced-BF16.gguf
           mtp-gemma-4-26B-A4B-it.gguf@0.25""",
           "26b", "Gemma4-26B-A4B-QAT-Uncensored-HauhauCS-Balanced-Q4_K_M.gguf",
           "mtp-gemma-4-26B-A4B-it.gguf"),
    Layout("yuxinlu1/gemma-4-12B-coder-fable5-composer2.5-v1-GGUF",
           "gemma4-coding-Q4_K_M.gguf gemma4-coding-Q6_K.gguf gemma4-coding-Q8_0.gguf", "12b",
           "gemma4-coding-Q4_K_M.gguf", "=12b:ud-q4_k_xl"),
    Layout("culturerevolt/gemma-4-12b-heretic-abliterated-GGUF", "gemma-4-12b-heretic-Q4_K_M.gguf",
           "12b", "gemma-4-12b-heretic-Q4_K_M.gguf", "=12b:ud-q4_k_xl"),
    # A merged model with the word lora in its name is a model; it is large.
    Layout("beza4588/TenaOS",
           "tenaos-gemma-4-E4B-it-lora-F16.gguf@15 mmproj-gemma-4-E4B-it-bf16.gguf@0.9", "e4b",
           "tenaos-gemma-4-E4B-it-lora-F16.gguf", "=e4b:ud-q4_k_xl"),
    Layout("Janvitos/gemma-4-12B-it-qat-assistant-MTP-Q8_0-GGUF",
           "gemma-4-12B-it-qat-assistant-MTP-Q8_0.gguf@0.46",
           said="Janvitos/gemma-4-12B-it-qat-assistant-MTP-Q8_0-GGUF holds a drafter, "),
    Layout("AtomicChat/gemma-4-E2B-it-assistant-GGUF",
           "gemma-4-E2B-it-assistant.Q4_K_M.gguf@0.06",
           said="AtomicChat/gemma-4-E2B-it-assistant-GGUF holds a drafter, "),
    Layout("RachidAR/gemma-4-26B-A4B-it-qat-assistant-q4_0-gguf",
           "gemma-4-26b-A4B-it-assistant-Q4_0-q4emb.gguf@0.25",
           said="RachidAR/gemma-4-26B-A4B-it-qat-assistant-q4_0-gguf holds a drafter, "),
    Layout("google/gemma-4-E2B-it", "config.json model.safetensors tokenizer.json",
           said="google/gemma-4-E2B-it holds its weights as safetensors"),
    Layout("google/gemma-4-12B-it-assistant", "config.json model.safetensors",
           said="google/gemma-4-12B-it-assistant holds its weights as safetensors"),
    Layout("mlx-community/gemma-4-e2b-it-4bit", "config.json model.safetensors",
           said="mlx-community/gemma-4-e2b-it-4bit holds weights in MLX's format"),
    Layout("someone/gemma-4-E2B-it-tuned", "adapter_config.json adapter_model.safetensors",
           said="someone/gemma-4-E2B-it-tuned holds a LoRA adapter"),
]  # fmt: skip

REFUSED_BY_HEADER = [  # what is named as no model is chosen where there is nothing else
    ("ggml-org/vocabs", "ggml-vocab-gemma-4.gguf@0.02", "ggml-vocab-gemma-4.gguf"),
    ("someone/adapter", "gemma-4-E2B-it-lora-f16.gguf@0.05", "gemma-4-E2B-it-lora-f16.gguf"),
    ("someone/statistics", "gemma-4-E2B.imatrix.gguf@0.05", "gemma-4-E2B.imatrix.gguf"),
    ("someone/dflash", "gemma4-31b-it-dflash-Q8_0.gguf@3", "gemma4-31b-it-dflash-Q8_0.gguf"),
]


def listing(files: str) -> list[HubFile]:
    named = (word.partition("@") for word in files.split())
    sizes = ((path, float(size or 5)) for path, _, size in named)
    return [HubFile(path, int(size * 1e9), "0" * 64, REVISION) for path, size in sizes]


def header(catalogue: Catalogue, size: str) -> dict[str, object]:
    """What the header of a model of this size says of its shape."""
    entry = catalogue.find(size)
    assert entry is not None
    assert entry.shape is not None
    return {
        "general.architecture": "gemma4",
        "gemma4.block_count": entry.shape.layers,
        "gemma4.embedding_length": entry.shape.width,
        "gemma4.expert_count": entry.shape.experts,
    }


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: f"{each.repo}:{each.quantization}")
def test_a_repository_as_it_is_published(layout: Layout) -> None:
    catalogue, files = load_catalogue(), listing(layout.files)
    if layout.said:
        with pytest.raises(GemmaMtpError) as caught:
            choose_pair.choose(layout.repo, files, layout.quantization)
        assert str(caught.value).startswith(layout.said)
        assert caught.value.hint
        return
    choice = choose_pair.choose(layout.repo, files, layout.quantization)
    assert choice.target.path == layout.target
    if choice.drafter is not None:
        assert choice.drafter.path == layout.drafter
        return
    names, beginning = (layout.repo, layout.target), header(catalogue, layout.size)
    (drafter,), why = official_drafter(beginning, names, "none", catalogue)
    known = catalogue.find(layout.drafter.removeprefix("="))
    assert known is not None
    assert (drafter.repo, drafter.sha256) == (known.repo, known.drafter.sha256)
    assert "may be accepted" not in why


def test_there_are_thirty_of_them() -> None:
    real = {layout.repo for layout in LAYOUTS if not layout.repo.startswith("someone/")}
    assert len(real) >= 30


@pytest.mark.parametrize(("repo", "files", "target"), REFUSED_BY_HEADER)
def test_what_is_no_model_is_left_to_its_header(repo: str, files: str, target: str) -> None:
    assert choose_pair.choose(repo, listing(files), "").target.path == target
    beside = listing(f"{files} gemma-4-E2B-it-Q4_K_M.gguf")
    assert choose_pair.choose(repo, beside, "").target.path == "gemma-4-E2B-it-Q4_K_M.gguf"


def test_well_known_repositories_are_of_sizes_of_the_catalogue() -> None:
    catalogue = load_catalogue()
    assert {each.model for each in catalogue.drafters} == {
        entry.size for entry in catalogue.entries if not entry.builtin
    }
    for each in catalogue.drafters:
        assert each.qat == ("qat" in each.repo.lower())
