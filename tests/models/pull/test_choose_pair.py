"""A repository becomes a pair by the names of its files, or a sentence says why not."""

from __future__ import annotations

import pytest
from support.hub_server import REVISION

from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable, UsageError
from gemma_mtp.models import hub_names
from gemma_mtp.models.pull import choose_pair
from gemma_mtp.models.pull.hub import HubFile

QAT = "unsloth/gemma-4-12B-it-qat-GGUF"
QAT_FILES = (
    "README.md imatrix.gguf_file gemma-4-12B-it-qat-UD-Q4_K_XL.gguf mtp-gemma-4-12B-it.gguf "
    "mmproj-BF16.gguf mmproj-F16.gguf MTP/mtp-gemma-4-12B-it-Q8_0.gguf "
    "MTP/mtp-gemma-4-12B-it-BF16.gguf"
)
PLAIN_FILES = (
    "gemma-4-12b-it-Q4_K_M.gguf gemma-4-12b-it-UD-Q4_K_XL.gguf gemma-4-12b-it-Q8_0.gguf "
    "BF16/gemma-4-12b-it-BF16-00001-of-00002.gguf BF16/gemma-4-12b-it-BF16-00002-of-00002.gguf "
    "mtp-gemma-4-12b-it.gguf"
)


def choose(files: str, quantization: str = "") -> tuple[str, str]:
    listing = [HubFile(name, 1, "0" * 64, REVISION) for name in files.split()]
    choice = choose_pair.choose("o/r", listing, quantization)
    return choice.target.path, choice.drafter.path if choice.drafter else ""


@pytest.mark.parametrize(
    ("files", "quantization", "target", "drafter"),
    [
        (QAT_FILES, "", "gemma-4-12B-it-qat-UD-Q4_K_XL.gguf", "mtp-gemma-4-12B-it.gguf"),
        (PLAIN_FILES, "", "gemma-4-12b-it-UD-Q4_K_XL.gguf", "mtp-gemma-4-12b-it.gguf"),
        (PLAIN_FILES, "q8_0", "gemma-4-12b-it-Q8_0.gguf", "mtp-gemma-4-12b-it.gguf"),
        ("m-Q8_0.gguf MTP/mtp-m-BF16.gguf MTP/mtp-m-Q8_0.gguf", "", "m-Q8_0.gguf",
         "MTP/mtp-m-Q8_0.gguf"),
        (PLAIN_FILES, "BF16", "BF16/gemma-4-12b-it-BF16-00001-of-00002.gguf",
         "mtp-gemma-4-12b-it.gguf"),
        ("m-Q8_0.gguf MTP/draft.gguf", "", "m-Q8_0.gguf", "MTP/draft.gguf"),
        ("m-Q8_0.gguf m-assistant-Q4_0.gguf", "", "m-Q8_0.gguf", "m-assistant-Q4_0.gguf"),
        ("m-qat-Q4_0.gguf m-assistant-Q8_0.gguf m-qat-assistant-Q8_0.gguf", "", "m-qat-Q4_0.gguf",
         "m-qat-assistant-Q8_0.gguf"),
        ("my-assistant-Q4_0.gguf mtp-my-assistant.gguf", "", "my-assistant-Q4_0.gguf",
         "mtp-my-assistant.gguf"),
        ("m-Q8_0-00001-of-00002.gguf m-Q8_0-00002-of-00002.gguf mtp-m-00002-of-00002.gguf "
         "mtp-m-00001-of-00002.gguf", "", "m-Q8_0-00001-of-00002.gguf",
         "mtp-m-00001-of-00002.gguf"),
        ("model.gguf mtp-other.gguf", "", "model.gguf", "mtp-other.gguf"),
        ("m-Q4_0.gguf mmproj-F16.gguf", "", "m-Q4_0.gguf", ""),
        ("m-Q4_0.gguf c:/mtp-m.gguf", "", "m-Q4_0.gguf", ""),
        ("a-Q4_0.gguf b-Q5_0.gguf mtp-a.gguf mtp-b.gguf", "q5_0", "b-Q5_0.gguf", "mtp-b.gguf"),
    ],
)  # fmt: skip
def test_pairs(files: str, quantization: str, target: str, drafter: str) -> None:
    assert choose(files, quantization) == (target, drafter)


@pytest.mark.parametrize(
    ("files", "quantization", "kind", "words"),
    [
        ("README.md model.bin", "", BadPair, "o/r holds no GGUF file of a model."),
        ("model.safetensors", "", BadPair, "o/r holds its weights as safetensors; only GGUF"),
        (PLAIN_FILES, "Q3_K_S", ModelNotAvailable, "o/r has no Q3_K_S."),
        ("a-Q4_0.gguf b-Q4_0.gguf mtp-a.gguf", "", BadPair, "holds several models: a-Q4_0.gguf, b"),
        ("m-Q2_K.gguf m-Q3_K.gguf mtp-m.gguf", "", ModelNotAvailable, "offers Q2_K, Q3_K: which"),
        ("m-Q4_0.gguf mtp-a.gguf mtp-b.gguf", "", BadPair, "holds drafters of several models"),
        ("../m-Q4_0.gguf mtp-m.gguf", "", BadPair, "holds a drafter, mtp-m.gguf, and no target"),
        (
            "a/" * 1500 + "m-Q4_0.gguf mtp-m.gguf",
            "",
            BadPair,
            "holds a drafter, mtp-m.gguf, and no target",
        ),
        ("m\0-Q4_0.gguf mtp-m.gguf", "", BadPair, "holds a drafter, mtp-m.gguf, and no target"),
        ("\ud800-Q4_0.gguf mtp-m.gguf", "", BadPair, "holds a drafter, mtp-m.gguf, and no target"),
        (" ".join(f"m-Q9_{n}.gguf" for n in range(9000)), "", ModelNotAvailable, "and 8980 more"),
        (" ".join(f"{n}-Q4_0.gguf" for n in range(9000)), "", BadPair, "and 8980 more"),
        (
            "m-Q4_0.gguf " + " ".join(f"mtp-{n}.gguf" for n in range(9000)),
            "",
            BadPair,
            "and 8980 more",
        ),
    ],
)
def test_what_is_no_pair(
    files: str, quantization: str, kind: type[GemmaMtpError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        choose(files, quantization)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("hf:a/b", ("a/b", "")),
        ("hf:_a/b_", ("_a/b_", "")),
        ("hf://a/b", ("a/b", "")),
        (f"hf:{QAT}:UD-Q4_K_XL", (QAT, "UD-Q4_K_XL")),
    ],
)
def test_names(name: str, parsed: tuple[str, str]) -> None:
    assert hub_names.parse(name) == parsed


@pytest.mark.parametrize(
    "name",
    [
        "hf:",
        "hf:a",
        "hf:a/b/c",
        "hf:a/b:",
        "hf:a b/c",
        "hf:a/../b",
        "hf:../a",
        "hf:a/..",
        "hf:a/b\n",
        "hf:a/" + "b" * 97,
    ],
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(UsageError, match="hf:OWNER/REPO"):
        hub_names.parse(name)


def test_why_this_drafter() -> None:
    def reason(files: str) -> str:
        listing = [HubFile(name, 1, "0" * 64, REVISION) for name in files.split()]
        return choose_pair.choose("o/r", listing, "").reasons[1].partition("; ")[2]

    assert reason(QAT_FILES) == "of 3 the one beside the target."
    assert reason("m-Q8_0.gguf MTP/mtp-m-BF16.gguf MTP/mtp-m-Q8_0.gguf") == "of 2 the quickest."
    assert reason(PLAIN_FILES) == ""
