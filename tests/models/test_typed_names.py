"""What people type for a model, and what they get: one table for all commands and for /model."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma_mtp.errors import ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.models import inventory
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.pull.request import PullRequest, fulfil
from gemma_mtp.models.store import Store
from gemma_mtp.models.typed_names import Meant, other_family, understand

PAGE = "https://huggingface.co/unsloth/gemma-4-E2B-it-GGUF"


@pytest.fixture
def shop(machine: Path) -> Store:
    return Store(load_catalogue())


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("e2b", "e2b"), ("E2B", "e2b"), (" e2b ", "e2b"), ("tiny:latest", "tiny"),
        ("gemma-4-e2b", "e2b"), ("gemma-4-E2B-it", "e2b"), ("gemma4-e2b", "e2b"),
        ("gemma_4_e2b", "e2b"), ("gemma 4 e2b", "e2b"), ("Gemma 4 26B A4B", "26b"),
        ("gemma-4-E2B-it-GGUF", "e2b"), ("gemma-4-E2B-it-qat-GGUF", "e2b"),
        # Ollama
        ("gemma4:e2b", "e2b"), ("gemma4:12b", "12b"), ("gemma4:31b-it-qat", "31b"),
        ("gemma4:e4b-it-q4_K_M", "e4b:q4_k_m"), ("gemma4:26b-a4b-it-q8_0", "26b:q8_0"),
        ("e2b:latest", "e2b"), ("registry.ollama.ai/library/gemma4:e2b", "e2b"),
        ("https://ollama.com/library/gemma4:26b", "26b"),
        # LM Studio
        ("gemma-4-e2b@q8_0", "e2b:q8_0"),
        # the hub, the pairs that are known
        ("unsloth/gemma-4-E2B-it-qat-GGUF", "e2b"),
        ("hf.co/unsloth/gemma-4-E2B-it-qat-GGUF", "e2b"),
        ("unsloth/gemma-4-E2B-it-qat-GGUF:UD-Q4_K_XL", "e2b"),
        ("unsloth/gemma-4-E2B-it-qat-GGUF:latest", "e2b"),
        ("unsloth/gemma-4-E2B-it-GGUF", "e2b:ud-q4_k_xl"),
        ("unsloth/gemma-4-E2B-it-GGUF:Q4_K_M", "e2b:q4_k_m"),
        ("HF:UNSLOTH/gemma-4-e2b-it-gguf:q8_0", "e2b:q8_0"), (PAGE, "e2b:ud-q4_k_xl"),
        ("hf://unsloth/gemma-4-E2B-it-GGUF:Q8_0", "e2b:q8_0"), (f"{PAGE}/", "e2b:ud-q4_k_xl"),
        (f"{PAGE}/tree/main", "e2b:ud-q4_k_xl"), (f"{PAGE}?library=ggml", "e2b:ud-q4_k_xl"),
        (f"{PAGE}/blob/main/gemma-4-E2B-it-Q8_0.gguf", "e2b:q8_0"),
        (f"{PAGE}/resolve/main/gemma-4-E2B-it-Q4_K_M.gguf?download=true", "e2b:q4_k_m"),
        (f"{PAGE}/blob/main/MTP/mtp-gemma-4-E2B-it-Q8_0.gguf", "e2b:ud-q4_k_xl"),
        # the hub, anything else
        ("unsloth/gemma-4-E2B-it-GGUF:Q6_K", "hf:unsloth/gemma-4-E2B-it-GGUF:Q6_K"),
        ("hf.co/ggml-org/gemma-4-E2B-it-GGUF:Q8_0", "hf:ggml-org/gemma-4-E2B-it-GGUF:Q8_0"),
        ("huggingface.co/a/b", "hf:a/b"), ("https://hf.co/a/b", "hf:a/b"), ("hf:a/b", "hf:a/b"),
        ("https://huggingface.co/a/b/blob/main/gemma-Q6_K.gguf", "hf:a/b:Q6_K"),
        ("ggml-org/gemma-4-E2B-it-GGUF", "hf:ggml-org/gemma-4-E2B-it-GGUF"),
        # files, and what means nothing
        ("./e2b.gguf", "./e2b.gguf"), ("models/e2b.gguf", "models/e2b.gguf"),
        ("/tmp/e2b", "/tmp/e2b"), ("nosuch", "nosuch"), ("e9b", "e9b"),
    ],
)  # fmt: skip
def test_what_is_meant(shop: Store, typed: str, name: str) -> None:
    assert shop.meant(typed) == Meant(name)
    assert shop.meant(name) == Meant(name)  # what was understood stays so


@pytest.mark.parametrize(
    ("typed", "name", "note"),
    [
        ("gemma4", "e4b", "gemma4 is taken as e4b, as in Ollama; "),
        ("Gemma 4", "e4b", "Gemma 4 is taken as e4b"),
        ("gemma4:latest", "e4b", "gemma4:latest is taken as e4b"),
        ("google/gemma-4-E2B-it", "e2b", "google/gemma-4-E2B-it holds no GGUF files; e2b is taken "
         "instead, from unsloth/gemma-4-E2B-it-qat-GGUF."),
        ("google/gemma-4-e2b", "e2b", "google/gemma-4-e2b holds no GGUF files; e2b is taken"),
        ("https://huggingface.co/google/gemma-4-12B-it", "12b", "12b is taken instead, from "),
        ("unsloth/gemma-4-31B-it", "31b", "31b is taken instead"),
    ],
)  # fmt: skip
def test_what_is_taken_instead_is_said(shop: Store, typed: str, name: str, note: str) -> None:
    meant = shop.meant(typed)
    assert meant.name == name
    assert note in meant.note


def test_a_folder_here_is_no_repository(
    shop: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shop.meant("google/gemma-4-E2B-it").name == "e2b"
    (tmp_path / "google" / "gemma-4-E2B-it").mkdir(parents=True)
    assert shop.meant("google/gemma-4-E2B-it") == Meant("google/gemma-4-E2B-it")


def test_an_address_of_another_revision_leads_to_the_option() -> None:
    with pytest.raises(UsageError, match="names the revision abc123") as caught:
        understand(f"{PAGE}/tree/abc123", load_catalogue())
    assert caught.value.hint == ("gemma-mtp pull hf:unsloth/gemma-4-E2B-it-GGUF --revision abc123")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("llama3.2", ""), ("llama3.2:1b", "e2b"), ("qwen3:8b", "e4b"), ("mistral", ""),
        ("gpt-oss:20b", "26b"), ("deepseek-r1", ""), ("deepseek-r1:70b", "31b"), ("phi4", ""),
        ("phi4:14b", "12b"), ("gemma3:4b", "e2b"), ("gemma2:27b", "26b"), ("gemma3n:e4b", "e4b"),
        ("gemma", ""), ("gemma:7b", "e4b"), ("medgemma:27b", "26b"), ("codellama:13b", "12b"),
        ("meta-llama/Llama-3.2-3B-Instruct", "e2b"), ("hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M", "e4b"),
        ("Mixtral-8x7B", ""), ("nomic-embed-text", ""),
    ],
)  # fmt: skip
def test_another_family_is_told_so(shop: Store, typed: str, near: str) -> None:
    def pull(name: str) -> object:
        return fulfil(name, PullRequest(), shop, lambda event: None)

    def find(name: str) -> object:
        return inventory.find(shop, name)

    for ask in (shop.resolve, pull, find):
        with pytest.raises(ModelNotAvailable, match="gemma-mtp runs Gemma 4 only") as caught:
            ask(typed)
        wanted = f"Near in size is {near}: gemma-mtp pull {near}" if near else "gemma-mtp pull"
        assert caught.value.hint.endswith(wanted)


@pytest.mark.parametrize(
    "word",
    ["gemma4:e9b", "ggml-org/gemma-4-E2B-it-GGUF", "someone/gemma-4-llama-distill-GGUF", "e2b",
     "tiny", "llamas are animals", "gemmation", "phial", "aya's", "granites"],
)  # fmt: skip
def test_what_is_no_other_family(word: str) -> None:
    assert other_family(word) == ""


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("gemma4:26b-a4b-it-q4_K_M", "26b"), ("gemma4:e2b-it-bf16", "e2b:q8_0"),
        ("gemma4:e4b-mlx", "e4b"), ("gemma4:12b-it-q5_1", "12b:q5_k_m"), ("31b-cloud", "31b"),
        ("gemma4:e2b-mxfp8", "e2b:q8_0"), ("gemma4:e2b-nvfp4", "e2b"), ("e2b:fp16", "e2b:q8_0"),
    ],
)  # fmt: skip
def test_a_variant_that_is_not_there_leads_to_the_nearest(
    shop: Store, typed: str, nearest: str
) -> None:
    with pytest.raises(ModelNotAvailable, match="no model called") as caught:
        shop.resolve(typed)
    assert caught.value.hint.endswith(f" Nearest: gemma-mtp pull {nearest}")


@pytest.mark.parametrize("typed", ["gemma4:e2b", PAGE, "google/gemma-4-12b", "gemma4"])
def test_what_is_understood_but_not_here_leads_to_a_pull(shop: Store, typed: str) -> None:
    name = shop.meant(typed).name
    for ask in (shop.resolve, lambda typed: inventory.find(shop, typed)):
        with pytest.raises(NotPulled) as caught:
            ask(typed)
        assert caught.value.hint == f"gemma-mtp pull {name}"
