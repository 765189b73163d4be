"""The parameters of a reply and of loading a pair, and a person's taste, each declared once.

A field declared with `setting` below is what the engine takes (`Sampling`, `ReplySettings` as part
of a `Request`, `LoadOptions`) or what a chat looks like (`View`, `ChatSettings`), and by the same
line a flag of the command line, a key of config.toml, a name for `/set`, a range that values are
held to, and a row of docs/reference.md. To add one, declare it here and use it where it counts.

Read by the command line, the chat, config.toml and models.toml. Pure: knows no terminal, no file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from dataclasses import field as dataclass_field
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from gemma_mtp.errors import UsageError
from gemma_mtp.text import clean, json_text, suggestion

Part = TypeVar("Part")

DraftSetting = int | Literal["auto"]
"""Draft length k: "auto", or a fixed number of drafted tokens per round (0 is plain decoding)."""

MAX_DRAFT = 16  # tokens; the widest round evaluates one more
NONE = ("none", "off", "default")  # words for no value of one's own
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
SWITCH = {"on": True, "off": False, "true": True, "false": False}


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


LARGEST = 2**63  # what no number reaches that is sent to the engine as JSON


@dataclass(frozen=True)
class Setting:
    """All there is to know about one parameter.

    `name` is what people type, `field` the attribute that holds the value. Numbers are between
    `least` and `most`, or larger than `above`; texts are one of `choices` where there are any.
    `words` stand for values. `unset` says what None means, "" where None is no value. `alias` is
    Ollama's name, where that is another one. `is_time`: a number of seconds, also typed as 30s, 5m
    or 1h30m. `variable` of the environment sets it, over config.toml. A `secret` is never shown.
    """

    name: str
    field: str
    kind: type
    default: Any
    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, Any] = dataclass_field(default_factory=dict)
    unset: str = ""
    alias: str = ""
    is_time: bool = False
    variable: str = ""
    secret: bool = False

    def accept(self, value: Any, called: str = "") -> Any:
        """A value of TOML, JSON or Python as the field holds it.

        Raises UsageError where it is of another kind or out of range, and calls it `called`.
        """
        found = value
        if isinstance(value, str) and (self.words or self.choices):
            found = value.lower()
            if found in self.words:
                return self.words[found]
            if self.kind is int and found.isdecimal():  # quoted like the words
                found = int(found)
            if self.is_time and (time := seconds_of(found)) is not None:
                found = -1 if time < 0 else ceil(time)
        if self.kind is bool and isinstance(value, str):
            found = SWITCH.get(value.lower(), value)
        if self.kind is float and type(found) is int:
            found = float(found)
        elif self.kind is tuple and isinstance(found, str | list):
            found = (found,) if isinstance(found, str) else tuple(found)
        if found is None and self.unset:
            return None
        if type(found) is not self.kind or not self._fits(found):
            raise self.refusal(value, called)
        if isinstance(found, int) and found >= LARGEST:
            raise UsageError(f"{called or self.name} must be below 2^63, not {found}.")
        return clean(str(found)) if self.kind is str else found

    def refusal(self, value: Any, called: str = "") -> UsageError:
        """What is said about a value that cannot be accepted."""
        quoted = value
        if isinstance(value, str | bool | tuple | list):  # as TOML and JSON have them
            quoted = json_text(value)
        return UsageError(f"{called or self.name} must be {self.wanted}, not {quoted}.")

    def parse(self, text: str, called: str = "") -> Any:
        """The value that is typed as `text`. Raises UsageError as `accept` does."""
        word = text.strip().lower()
        if self.unset and word in NONE and word not in self.words:
            return self.default
        value: Any = word if word in (*self.words, *self.choices) else text
        if self.kind is tuple:
            value = (clean(text),)
        elif self.kind in (int, float) and word not in self.words:
            with suppress(ValueError):  # `accept` says what is wanted
                value = self.kind(text)
        return self.accept(value, called)

    def shown(self, value: Any) -> str:
        """A value as a person reads and types it."""
        if value is None or value == ():
            return self.unset
        if self.secret:
            return "(not shown)"
        if isinstance(value, tuple):
            return " ".join(f'"{text}"' for text in value)
        if isinstance(value, bool):
            return str(value).lower()
        usual = _time_words(value) if self.is_time else str(value)
        return next((word for word, meant in self.words.items() if meant == value), usual)

    @property
    def at_load(self) -> bool:
        """Whether a change counts from the next load on, and not at once."""
        return self.field in {known.name for known in fields(LoadOptions)}

    @property
    def wanted(self) -> str:
        """The values it takes, as the rest of a sentence."""
        if self.is_time:
            return f"{', '.join(self.words)} or a time such as 30s, 5m or 1h30m"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.kind is bool:
            return "true or false"
        if self.kind is tuple:
            return "a text, or several, none of them empty"
        if self.kind is str:
            return "text in quotes"
        low = f"between {self.least} and {self.most}"
        if self.above is not None:
            low = f"above {self.above} and at most {self.most}"
        elif self.most is None:
            low = f"of at least {self.least}"
        number = f"{'a whole number' if self.kind is int else 'a number'} {low}"
        return f"{', '.join(self.words)} or {number}" if self.words else number

    def _fits(self, value: Any) -> bool:
        if self.kind is str:
            return not self.choices or value in self.choices
        if self.kind is tuple:
            return all(isinstance(text, str) and text for text in value)
        if self.kind is bool:
            return True
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
        )


_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d{0,30})?(e[+-]?\d{1,3})?", re.ASCII)
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([a-zµμ]+)", re.ASCII)
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float | None:
    """A time such as 300, 5m, 1h30m or -1 in seconds, as Ollama reads it; None for what is none."""
    if _NUMBER.fullmatch(text):
        total = abs(float(text))
    elif _DURATION.fullmatch(text):
        total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    else:
        return None
    return -total if text.startswith("-") else total


def _time_words(seconds: int) -> str:
    """As 90s, 5m, or 1h30m."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if left or not seconds:
        return f"{seconds}s" if seconds < 3600 else f"{hours}h{minutes}m{left}s"
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m")) if count)


def setting(default: Any, help: str, kind: type | None = None, **details: Any) -> Any:
    """A field of a dataclass that is a `Setting`; `details` are the other attributes of one."""
    known = {"kind": kind or type(default), "default": default, "help": help, **details}
    return dataclass_field(default=default, metadata=known)


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


loading = partial(setting, None, kind=int, unset="chosen for this machine")


@dataclass(frozen=True)
class LoadOptions:
    """How a pair is loaded. llama.cpp's own log goes to `log_file`, or to stderr when `verbose`."""

    context: int | None = loading(
        "Context length in tokens.", name="ctx", least=256, most=2**20, alias="num_ctx"
    )
    threads: int | None = loading(
        "CPU threads; else as many as others leave.", least=1, most=1024, alias="num_thread"
    )
    gpu_layers: int | None = loading(
        "Layers on the GPU; -1 is all.", least=-1, most=1000, alias="num_gpu"
    )
    kv_type: str = setting("f16", "Type of the KV cache.", choices=tuple(KV_TYPES))
    flash_attn: str = setting("auto", "Flash attention.", choices=("auto", "on", "off"))
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


@dataclass(frozen=True)
class Options(ChatSettings, View, Elsewhere, LoadOptions, ReplySettings, Sampling):
    """All settings of a chat or a run.

    `given` names the fields that a person has set, on the command line, in config.toml or with
    /set; what is recommended for a model takes the place of the others.
    """

    system: str | None = setting(None, "System prompt.", str, unset="no system prompt")
    keep_alive: int | None = setting(
        None,
        "How long the model stays loaded after a reply, for the next command.",
        int,
        least=-1,
        most=10**9,
        words={"off": 0, "forever": -1},
        unset="5m at a terminal, else off",
        alias="keepalive",
        is_time=True,
        variable="GEMMA_MTP_KEEP_ALIVE",
    )
    drafter: Path | None = None
    given: frozenset[str] = frozenset()

    def with_values(self, **values: Any) -> Options:
        """The options with fields set by a person. What is said of thinking later holds: a budget
        for thoughts turns them on, and who turns them off has no budget any more.

        Raises UsageError where both are set and contradict each other.
        """
        given = self.given | values.keys()
        think, budget = values.get("think"), values.get("think_budget")
        if budget is not None:
            if think not in (None, budget > 0):
                said = f"think {'on' if think else 'off'} and a think_budget of {budget}"
                raise UsageError(f"{said} contradict each other.", "Leave one of them out.")
            values["think"] = budget >= SHORTEST_THOUGHT
        elif think is False or (think and self.think_budget == 0):
            values.setdefault("think_budget", None)
        return replace(self, given=given, **values)

    def without(self, known: Setting) -> Options:
        """The options as if nobody had set that one."""
        return replace(self, given=self.given - {known.field}, **{known.field: known.default})

    def for_model(self, recommended: Sampling) -> Options:
        """The options with what is recommended for a model, where a person has set nothing."""
        names = {known.name for known in fields(Sampling)} - self.given
        return replace(self, **{name: getattr(recommended, name) for name in names})

    def seeded(self, seed: int) -> Options:
        """The options with a seed, which by itself makes no reply exact."""
        return replace(self, seed=seed, exact=self.is_exact)

    def part(self, kind: type[Part]) -> Part:
        """The fields of one of the classes that options are made of."""
        return kind(**{f.name: getattr(self, f.name) for f in fields(kind)})  # type: ignore[arg-type]


def settings_of(kind: Any) -> Iterator[Setting]:
    """The settings among the fields of a dataclass, in their order."""
    for known in fields(kind):
        if "help" in known.metadata:
            details = {"name": known.name, "field": known.name, **known.metadata}
            yield Setting(**details)


PARAMETERS = {
    known.name: known
    for kind in (Sampling, ReplySettings, LoadOptions)
    for known in settings_of(kind)
}
"""What `/set parameter` knows, by name."""

PARAMETER_NAMES = {
    name: known for known in PARAMETERS.values() for name in (known.name, known.alias) if name
}
"""The same under Ollama's names, too."""

CHAT_SETTINGS = {known.name: known for known in settings_of(ChatSettings)}
"""What only a chat knows, by name."""

TASTE = {**{known.name: known for known in settings_of(View)}, **CHAT_SETTINGS}
"""What `/set` knows besides, by name."""

SETTINGS = {known.name: known for known in settings_of(Options) if known.name not in TASTE} | TASTE
"""All that flags and config.toml know, by name."""


def find(
    name: str, names: Mapping[str, Setting] = PARAMETER_NAMES, what: str = "parameter"
) -> Setting:
    """The one that a person means, of those in `names`; raises UsageError with the nearest one."""
    word = name.lower().replace("-", "_")
    if word in names:
        return names[word]
    known = dict.fromkeys(known.name for known in names.values())
    hint = suggestion(word, names) or f"Known: {', '.join(known)}."
    raise UsageError(f'There is no {what} "{name}".', hint)


def check(values: Any, called: Callable[[str], str] = str) -> None:
    """Raise UsageError for the first setting of a dataclass that no code could work with."""
    for known in settings_of(values):
        value = getattr(values, known.field)
        if known.accept(value, called(known.name)) != value:  # a word that stands for a value
            raise known.refusal(value, called(known.name))
