"""What others measured with Gemma 4 and its drafters, each figure with its source.

The table in README.md is made of it, as a test makes sure, and `bench --shape` shows the figures of
its size and takes two rates of acceptance from here. None of it was repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma_mtp.measure.bench.break_even import break_even

GITHUB = "https://github.com"


@dataclass(frozen=True)
class Figure:
    """`sizes` as `bench --shape` calls them; `factor` is relative to the same without drafts."""

    sizes: tuple[str, ...]
    hardware: str
    model: str
    rates: str
    factor: str
    source: str
    link: str


@dataclass(frozen=True)
class Rate:
    """The share of drafts that others saw accepted in one kind of text, with three in a round."""

    text: str
    accepted: float
    source: str

    @property
    def chance(self) -> float:
        """The chance of each draft, given that those before it were accepted, that amounts to it:
        with three drafts a round brings 1 + 3 times the share of tokens."""
        return break_even(1 + 3 * self.accepted, 3) or 1.0


RATES = (Rate("code", 0.77, "llama.cpp 23398"), Rate("prose", 0.31, "gemmaclaw 133"))

FIGURES = (
    Figure(
        ("12b",),
        "RTX 4070 Ti Super, llama.cpp",
        "12B Q6_K, 3",
        "JSON 50 and 119, code 50 and 98, stories 50 and 65",
        "2.35, 1.95, 1.29",
        "llama.cpp 23398",
        f"{GITHUB}/ggml-org/llama.cpp/pull/23398",
    ),
    Figure(
        ("31b",),
        "Strix Halo, llama.cpp",
        "31B Q8, 4",
        "6.6 and 18 to 22",
        "2.7 to 3.3",
        "llama.cpp 23398",
        f"{GITHUB}/ggml-org/llama.cpp/pull/23398",
    ),
    Figure(
        ("26b",),
        "2x RTX 5060 Ti, llama.cpp",
        "26B QAT, 3",
        "88 and 132",
        "1.50",
        "gemmaclaw 346",
        f"{GITHUB}/gemmaclaw/gemmaclaw/pull/346",
    ),
    Figure(
        ("12b",),
        "RTX 3060, llama.cpp",
        "12B QAT, 1 / 4 / 8",
        "36 and 48 / 42 / 31",
        "1.33 / 1.16 / 0.86",
        "koboldcpp 2262",
        f"{GITHUB}/LostRuins/koboldcpp/issues/2262",
    ),
    Figure(
        ("12b",),
        "M5 Max, Ollama",
        "12B nvfp4, automatic",
        "50 and 95",
        "1.89",
        "Ollama, 29 June 2026",
        "https://ollama.com/blog",
    ),
    Figure(
        ("e2b",),
        "M4 Max, llama.cpp",
        "E2B QAT, 2",
        "",
        "1.1 to 1.29",
        "eliza 9256",
        f"{GITHUB}/elizaOS/eliza/issues/9256",
    ),
    Figure(
        ("31b", "e4b"),
        "MacBook Pro 48 GB, mlx-vlm",
        "31B 4-bit, 4; E4B bf16, 4",
        "13.5 and 13.5; 24.5 and 14.1",
        "1.00; 0.58",
        "mlx-vlm 1121",
        f"{GITHUB}/Blaizzy/mlx-vlm/issues/1121",
    ),
    Figure(
        ("e2b", "e4b"),
        "phones, LiteRT-LM",
        "E2B and E4B",
        "",
        "GPU up to 2.2, CPU up to 1.5",
        "Google",
        "https://developers.google.com/edge/litert-lm/models/gemma-4",
    ),
)


def of_size(size: str) -> list[Figure]:
    """The figures of one size of model."""
    return [figure for figure in FIGURES if size in figure.sizes]


def table() -> str:
    """The table of README.md."""
    heads = ("hardware, engine", "model, draft length", "tok/s without and with drafts", "factor")
    lines = [f"| {' | '.join([*heads, 'source'])} |", "|---" * 5 + "|"]
    for known in FIGURES:
        cells = (known.hardware, known.model, known.rates, known.factor)
        lines.append(f"| {' | '.join(cells)} | [{known.source}]({known.link}) |")
    return "\n".join(lines).replace("|  |", "| |") + "\n"
