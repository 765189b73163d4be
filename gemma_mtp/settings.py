"""The parameters of a reply and of loading a pair, and a person's taste, each declared once.

A field declared with `setting` below is what the engine takes (`Sampling`, `ReplySettings` as part
of a `Request`, `LoadOptions`) or what a chat looks like (`View`, `ChatSettings`), and by the same
line a flag of the command line, a key of config.toml, a name for `/set`, a range that values are
held to, and a row of docs/reference.md. To add one, declare it here and use it where it counts.

`options` has them all together. Pure: knows no terminal, no file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from gemma_mtp.errors import UsageError
from gemma_mtp.setting import check, setting

Part = TypeVar("Part")

DraftSetting = int | Literal["auto"]
"""Draft length k: "auto", or a fixed number of drafted tokens per round (0 is plain decoding)."""

MAX_DRAFT = 16  # tokens; the widest round evaluates one more
KEEP_ALIVE = 300  # seconds that a model stays loaded after a reply, as with Ollama
SHORTEST_THOUGHT = 4  # tokens: the mark that opens one, its heading of two, the one that closes it
EFFORTS = {
    "none": 0,
    "minimal": 128,
    "low": 512,
    "medium": 2048,
    "high": None,
    "xhigh": None,
    "max": None,
}
"""What clients call an effort of thinking, as a `think_budget`; None is no limit."""
AUTO_OR_ALL: dict[str, int | None] = {"auto": None, "all": -1}


class KvType(NamedTuple):
    """A type of the KV cache: its number in ggml.h, and bytes of one value; quantized values come
    in blocks of 32 with their scales."""

    number: int
    bytes: float


KV_TYPES = {
    "f32": KvType(0, 4.0),
    "f16": KvType(1, 2.0),
    "bf16": KvType(30, 2.0),
    "q8_0": KvType(8, 34 / 32),
    "q5_1": KvType(7, 24 / 32),
    "q5_0": KvType(6, 22 / 32),
    "q4_1": KvType(3, 20 / 32),
    "q4_0": KvType(2, 18 / 32),
    "iq4_nl": KvType(20, 18 / 32),
}


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen from logits; defaults are those recommended for Gemma 4."""

    temperature: float = setting(1.0, "Randomness; 0 takes the likeliest token.", least=0, most=100)
    top_k: int = setting(64, "Keep the K likeliest tokens; 0 keeps all.", least=0, most=2**20)
    top_p: float = setting(0.95, "Keep the likeliest tokens up to this total.", above=0, most=1)
    min_p: float = setting(
        0.0, "Drop tokens below this share of the likeliest one.", least=0, most=1
    )
    repeat_penalty: float = setting(1.0, "Above 1 discourages repetition.", least=0.01, most=10)
    repeat_last_n: int = setting(
        64, "Tokens that --repeat-penalty looks back at.", least=0, most=2**20
    )


@dataclass(frozen=True, kw_only=True)
class ReplySettings:
    """What else is asked of one reply.

    `exact` makes the text a function of model, prompt, sampling, seed and of what of the prompt was
    cached before, whatever is drafted.
    """

    seed: int | None = setting(
        None,
        "Same seed, same text; turns --exact on.",
        int,
        least=0,
        most=2**63 - 1,
        unset="another for each reply",
    )
    exact: bool | None = setting(
        None, "Same text at every draft length.", bool, unset="where a seed is set"
    )
    draft: DraftSetting = setting(
        "auto",
        f"Draft length, at most {MAX_DRAFT}; off is plain decoding, auto measures what pays.",
        int,
        least=0,
        most=MAX_DRAFT,
        words={"auto": "auto", "off": 0},
    )
    max_tokens: int | None = setting(
        None, "Stop after this many tokens.", int, least=1, unset="no limit", alias="num_predict"
    )
    stop: tuple[str, ...] = setting(
        (), "Stop before this text (repeatable).", unset="no text ends a reply"
    )
    think: bool = setting(False, "Let the model think first.")
    think_budget: int | None = setting(
        None,
        "Tokens that thoughts may take, then the answer begins; turns --think on, 0 off.",
        int,
        least=0,
        unset="no limit",
    )

    @property
    def thinks(self) -> bool:
        """Whether the model is asked to think: a budget for it says so, too, if there is room for a
        thought in it. Asked where there is none, a model writes its thought into the answer."""
        return self.think if self.think_budget is None else self.think_budget >= SHORTEST_THOUGHT

    @property
    def is_exact(self) -> bool:
        """`exact`, with None resolved."""
        return self.seed is not None if self.exact is None else self.exact


loading = partial(setting, at_load=True)
chosen = partial(loading, None, kind=int, unset="chosen for this machine")


@dataclass(frozen=True)
class LoadOptions:
    """How a pair is loaded. llama.cpp's own log goes to `log_file`, or to stderr when `verbose`."""

    context: int | None = chosen(
        "Context length in tokens.", name="ctx", least=256, most=2**20, alias="num_ctx"
    )
    threads: int | None = chosen(
        "CPU threads; else as many as others leave.", least=1, most=1024, alias="num_thread"
    )
    gpu_layers: int | None = chosen(
        "Layers on the GPU, the last ones; the others stay on the CPU.",
        least=-1,
        most=1000,
        words=AUTO_OR_ALL,
        alias="num_gpu",
    )
    cpu_experts: int | None = chosen(
        "Layers whose experts stay on the CPU, the first ones.",
        least=-1,
        most=1000,
        words=AUTO_OR_ALL,
    )
    gpu_memory: int | None = loading(
        None,
        "Most memory of GPUs to use, of all together.",
        int,
        least=10**6,
        is_size=True,
        unset="what is free",
    )
    kv_type: str = loading("f16", "Type of the KV cache.", choices=tuple(KV_TYPES))
    flash_attn: str = loading("auto", "Flash attention.", choices=("auto", "on", "off"))
    image_tokens: int = loading(
        280,
        "Most tokens that a picture takes: more show small writing, and take longer.",
        int,
        least=70,
        most=1120,
    )
    verbose: bool = False
    log_file: Path | None = None

    def check(self, called: Callable[[str], str] = str) -> None:
        """Raise UsageError for a value that no pair can be loaded with; `called` says how the
        settings are called where they were set."""
        check(self, called)
        if self.flash_attn == "off" and KV_TYPES[self.kv_type].bytes < 2:
            raise UsageError(
                f"{called('kv_type')} {self.kv_type} needs flash attention, which is off."
            )


@dataclass(frozen=True)
class View:
    """How replies look on a terminal, of `chat` and of `run`."""

    markdown: bool = setting(True, "Render Markdown; off, replies are shown as written.")
    highlight: bool = setting(False, "Tint the tokens that were proposed.")
    thoughts: Literal["show", "fold", "hide"] = setting(
        "show",
        "Show thoughts, put one line in their place, or leave them out.",
        choices=("show", "fold", "hide"),
    )
    wrap: bool = setting(True, "Break lines between words.", name="wordwrap")


@dataclass(frozen=True)
class ChatSettings:
    """What else is a matter of taste in a chat."""

    figures: bool = setting(True, "A line of figures below each reply.")
    history: bool = setting(True, "Keep what is typed for the chats to come.")
    save: bool = setting(True, "Keep conversations and what is typed on the disk.")
    keep_chats: Literal["ask", "on", "off"] = setting(
        "ask",
        "Keep on the disk what was read of a saved chat, so that it goes on at once.",
        choices=("ask", "on", "off"),
    )
    keep_chats_gb: int = setting(
        4,
        "Gigabytes that all of that may take; what was used longest ago goes.",
        least=1,
        most=10**6,
    )
    vi: bool = setting(False, "Keys of vi, instead of those of Emacs.")
    mcp: str | None = setting(
        None, "File of MCP servers whose tools the model may call.", str, unset="no tools"
    )
    overflow: Literal["ask", "drop-oldest", "stop"] = setting(
        "ask", "What to do when the context is full.", choices=("ask", "drop-oldest", "stop")
    )


@dataclass(frozen=True)
class Elsewhere:
    """A server that writes the replies, in place of this machine."""

    server: str | None = setting(
        None,
        "Address of a server that answers instead; any that speaks OpenAI's dialect.",
        str,
        unset="this machine answers",
        variable="GEMMA_MTP_SERVER",
    )
    api_key: str | None = setting(
        None, "Key for that server.", str, unset="no key", secret=True, variable="GEMMA_MTP_API_KEY"
    )
