"""The options of `chat` and `run` as typed, and whether they make sense.

Knows neither terminal nor engine; every complaint is a `GemmaMtpError`, so nothing that is out of
range gets any further.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Protocol, get_type_hints

from typer import Option

from gemma_mtp.api import KV_TYPES, MAX_DRAFT, DraftSetting, LoadOptions, Message, Request, Sampling
from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


class Names(Protocol):
    """The part of the catalogue that reading a command line needs."""

    def find(self, name: str) -> Any: ...

    def nearest(self, word: str) -> list[str]: ...


def refuse_image(text: str) -> None:
    """A picture given as the whole prompt would otherwise be answered by its file name."""
    path = text.strip().strip("'\"")
    if not path.lower().endswith(IMAGE_SUFFIXES):
        return
    if not re.search(r"\s", path) or path.startswith(("/", "~", "./", "../")) or _exists(path):
        raise UsageError(
            f"{path} is an image, and images are not supported yet.", "Only text can be sent."
        )


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


@dataclass
class Options:
    """The options of `chat` and `run` as typed; `check` them before doing anything."""

    draft: Annotated[
        str, Option(metavar="auto|off|N", help=f"Draft length: auto, off, or 0 to {MAX_DRAFT}.")
    ] = "auto"
    drafter: Annotated[
        Path | None, Option(metavar="PATH", help="Use this GGUF file as the drafter.")
    ] = None
    temperature: Annotated[float, Option(help="Randomness; 0 takes the likeliest token.")] = (
        Sampling.temperature
    )
    top_k: Annotated[int, Option(help="Keep the K likeliest tokens; 0 keeps all.")] = Sampling.top_k
    top_p: Annotated[float, Option(help="Keep the likeliest tokens up to this total.")] = (
        Sampling.top_p
    )
    min_p: Annotated[float, Option(help="Drop tokens below this share of the likeliest one.")] = (
        Sampling.min_p
    )
    repeat_penalty: Annotated[float, Option(help="Above 1 discourages repetition.")] = (
        Sampling.repeat_penalty
    )
    seed: Annotated[int | None, Option(help="Same seed, same text; turns --exact on.")] = None
    exact: Annotated[bool, Option("--exact", help="Same text at every draft length.")] = False
    max_tokens: Annotated[int | None, Option(help="Stop after this many tokens.")] = None
    stop: Annotated[
        list[str] | None, Option(metavar="TEXT", help="Stop before this text (repeatable).")
    ] = None
    ctx: Annotated[int | None, Option(help="Context length in tokens.")] = None
    threads: Annotated[int | None, Option(help="CPU threads; else as many as others leave.")] = None
    gpu_layers: Annotated[int | None, Option(help="Layers on the GPU; -1 is all.")] = None
    kv_type: Annotated[
        str, Option(metavar="TYPE", help=f"KV cache type: {', '.join(KV_TYPES)}.")
    ] = LoadOptions.cache_type_k
    flash_attn: Annotated[str, Option(metavar="auto|on|off", help="Flash attention.")] = "auto"
    system: Annotated[str | None, Option(metavar="TEXT", help="System prompt.")] = None
    think: Annotated[bool, Option("--think/--no-think", help="Let the model think first.")] = False
    verbose: Annotated[
        bool, Option("--verbose", help="llama.cpp's log, and a traceback of any error.")
    ] = False

    def check(self) -> None:
        """Raise `UsageError` with one sentence for the first option that is out of range."""
        self.draft_setting()
        for flag, value, good, wanted in self._ranges():
            if value is not None and not (math.isfinite(value) and good):
                raise UsageError(f"{flag} must be {wanted}, not {value}.")
        _one_of("--kv-type", self.kv_type, KV_TYPES)
        _one_of("--flash-attn", self.flash_attn, ("auto", "on", "off"))
        if self.flash_attn == "off" and self.kv_type not in ("f32", "f16", "bf16"):
            raise UsageError(f"--kv-type {self.kv_type} needs flash attention, which is off.")
        if "" in (self.stop or ()):
            raise UsageError("--stop needs a text that is not empty.")

    def _ranges(self) -> list[tuple[str, float | None, bool, str]]:
        def within(low: int, value: int | None, high: int) -> bool:
            return value is None or low <= value <= high

        gpu = self.gpu_layers
        t, k, p, m, r = self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty
        return [
            ("--temperature", t, 0 <= t <= 100, "between 0 and 100"),
            ("--top-k", k, within(0, k, 2**20), "between 0 (off) and 1048576"),
            ("--top-p", p, 0 < p <= 1, "above 0 and at most 1"),
            ("--min-p", m, 0 <= m <= 1, "between 0 and 1"),
            ("--repeat-penalty", r, 0 < r <= 10, "above 0 and at most 10"),
            ("--seed", self.seed, within(0, self.seed, 2**63 - 1), "between 0 and 2**63 - 1"),
            ("--max-tokens", self.max_tokens, within(1, self.max_tokens, 2**20), "at least 1"),
            ("--ctx", self.ctx, within(256, self.ctx, 2**20), "between 256 and 1048576"),
            ("--threads", self.threads, within(1, self.threads, 1024), "between 1 and 1024"),
            ("--gpu-layers", gpu, within(-1, gpu, 1000), "-1 (all) to 1000"),
        ]

    def draft_setting(self) -> DraftSetting:
        """`--draft` as the engine takes it."""
        word = self.draft.strip().lower()
        if word in ("auto", "off"):
            return "auto" if word == "auto" else 0
        if word.isascii() and word.isdigit() and int(word) <= MAX_DRAFT:
            return int(word)
        raise UsageError(
            f'--draft must be auto, off, or a number from 0 to {MAX_DRAFT}, not "{self.draft}".'
        )

    def load_options(self) -> LoadOptions:
        """What the engine needs to load a pair."""
        flash = {"auto": None, "on": True, "off": False}[self.flash_attn.lower()]
        kind = self.kv_type.lower()
        return LoadOptions(self.ctx, self.threads, self.gpu_layers, kind, kind, flash, self.verbose)

    def system_messages(self) -> tuple[Message, ...]:
        """The conversation before anyone said anything."""
        return (Message.text("system", clean(self.system)),) if self.system else ()

    def request(self, messages: tuple[Message, ...]) -> Request:
        """One reply to `messages`."""
        return Request(
            messages,
            Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repeat_penalty),
            seed=self.seed,
            exact=self.exact or self.seed is not None,
            draft=self.draft_setting(),
            max_tokens=self.max_tokens,
            stop=tuple(map(clean, self.stop or ())),
            think=self.think,
        )


def _one_of(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value.lower() not in known:
        raise UsageError(f'{flag} must be one of {", ".join(known)}, not "{value}".')


def takes_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command(options=...)` one command-line option for each field of `Options`."""
    hints = get_type_hints(Options, include_extras=True)
    own = [p for p in signature(command, eval_str=True).parameters.values() if p.name != "options"]
    added = [
        Parameter(f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(Options)
    ]

    def wrapper(**values: Any) -> int:
        options = Options(**{f.name: values.pop(f.name) for f in fields(Options)})
        return command(options=options, **values)

    wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
    vars(wrapper)["__signature__"] = Signature([*own, *added])
    return wrapper
