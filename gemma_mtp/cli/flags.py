"""The settings as flags of the command line.

A command that is decorated with `takes_options` gets its options read, checked and merged with
config.toml; who typed or wrote what is wrong is told by the name used there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from gemma_mtp.options import CHAT_SETTINGS, SETTINGS, Options
from gemma_mtp.paths import config_file
from gemma_mtp.setting import SWITCH, Setting, settings_of
from gemma_mtp.settings import EFFORTS, LoadOptions
from gemma_mtp.terminal.console import note

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment

Command = Callable[..., int]
Drafter = Annotated[
    Path | None, Option("--drafter", metavar="PATH", help="Use this GGUF file as the drafter.")
]
Files = Annotated[
    list[str] | None,
    Option("--file", "-f", metavar="FILE", help="Send this text file along (repeatable)."),
]
Images = Annotated[
    list[str] | None,
    Option("--image", metavar="FILE", help="Show the model this picture (repeatable)."),
]
Audio = Annotated[
    list[str] | None,
    Option("--audio", metavar="FILE", help="Play the model this recording (repeatable)."),
]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
Model = Annotated[
    str | None,
    Argument(metavar="MODEL", help="A name such as e2b, or a GGUF file; else the one used last."),
]
NoStdin = Annotated[
    bool, Option("--no-stdin", help="Leave standard input alone, as in a loop over lines.")
]
NamedModel = Annotated[
    str | None, Option("--model", "-m", "-hf", metavar="NAME", help="The same as MODEL.")
]
NamedPrompt = Annotated[
    str | None, Option("--prompt", "-p", metavar="TEXT", help="The same as PROMPT.")
]
Prompt = Annotated[list[str] | None, Argument(metavar="PROMPT", help="What to ask.")]
Yes = Annotated[bool, Option("--yes", "-y", help="Download what is missing without asking.")]
Verbose = Annotated[
    bool, Option("--verbose", help="llama.cpp's log, and a traceback of any error.")
]

TEXTS = {"mcp": "FILE", "server": "ADDRESS", "api_key": "KEY"}
"""What the text is that some settings take, for their usage."""

SHORT = {"ctx": "-c", "max_tokens": "-n", "threads": "-t", "gpu_layers": "-ngl"}
"""Flags of llama.cpp with the same meaning, by setting."""

OTHER_NAMES = {
    **{known.alias: known.name for known in SETTINGS.values() if known.alias},
    "temp": "temperature",
    "ctx_size": "ctx",
    "context": "ctx",
    "context_length": "ctx",
    "n_ctx": "ctx",
    "n_predict": "max_tokens",
    "predict": "max_tokens",
    "max_new_tokens": "max_tokens",
    "num_threads": "threads",
    "n_threads": "threads",
    "n_gpu_layers": "gpu_layers",
    "n_cpu_moe": "cpu_experts",
    "repetition_penalty": "repeat_penalty",
    "system_prompt": "system",
    "system_prompt_file": "system_file",
    "files": "file",
    **dict.fromkeys(("images", "img", "picture"), "image"),
    **dict.fromkeys(("sound", "recording"), "audio"),
    "nothink": "no_think",
    "nowordwrap": "no_wordwrap",
    "model_draft": "drafter",
    "flash_attention": "flash_attn",
}
"""What flags are called by Ollama, llama.cpp and others that mean the same by it."""


def our_word(word: str) -> str:
    """A flag without its dashes, or the name of a command, as it is called here."""
    if len(word) == 1:  # -v and -V differ
        return word
    name = word.replace("-", "_").lower()
    return OTHER_NAMES.get(name, name).replace("_", "-")


def switched(words: Sequence[str]) -> list[str]:
    """The words of a command line with `--think=false` and its like, as Ollama writes switches, as
    the flags that say so. `--think=low` and other efforts are budgets."""
    found = list(words)
    end = found.index("--") if "--" in found else len(found)
    for at, word in enumerate(found[:end]):
        flag, equals, value = word.partition("=")
        known = SETTINGS.get(our_word(flag[2:]).replace("-", "_")) if word[:2] == "--" else None
        if not equals or known is None or known.kind is not bool:
            continue
        if value.lower() in SWITCH:
            found[at] = flag_of(known.name if SWITCH[value.lower()] else f"no-{known.name}")
        elif known.name == "think" and EFFORTS.get(value.lower()):
            found[at] = f"--think-budget={EFFORTS[value.lower()]}"
        elif known.name == "think" and value.lower() in EFFORTS:
            found[at] = "--no-think" if EFFORTS[value.lower()] == 0 else "--think"
    return found


def takes_options(
    kind: type = Options, *, chat: bool = False, without: tuple[type, ...] = ()
) -> Callable[[Command], Command]:
    """Give `command(options=...)` a flag for each setting of `kind`, --drafter and --verbose; those
    of a `chat` only where it is one, and none of those of `without`.

    With all settings, or those of loading, config.toml holds where nothing is typed.
    """
    names = {known.name for known in settings_of(kind)} - (set() if chat else {*CHAT_SETTINGS})
    names -= {known.name for left_out in without for known in settings_of(left_out)}
    flags = {name: flag for name, flag in FLAGS.items() if name in names}

    def decorate(command: Command) -> Command:
        own = signature(command, eval_str=True).parameters.values()
        added = [_parameter(name, flag) for name, flag in flags.items()]
        added += [_parameter("drafter", Drafter), _parameter("verbose", Verbose, False)]
        added += [_parameter("yes", Yes, False)] if kind is Options else []

        def wrapper(**values: Any) -> int:
            chosen = {name: values.pop(name) for name in flags}
            chosen = {name: value for name, value in chosen.items() if value is not None}
            heeds_config = kind is Options or kind is LoadOptions
            options = read_options(chosen, values["context"].obj if heeds_config else None)
            asked = ("drafter", "verbose", *(("yes",) if kind is Options else ()))
            fixed = {name: values.pop(name) for name in asked}
            return command(options=options.with_values(**fixed), **values)

        wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
        kept = [parameter for parameter in own if parameter.name != "options"]
        vars(wrapper)["__signature__"] = Signature([*kept, *added])
        return wrapper

    return decorate


def _parameter(name: str, annotation: Any, default: Any = None) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def flag_of(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def read_options(typed: dict[str, Any], env: Environment | None) -> Options:
    """The options that were typed, over those of variables and of config.toml if there is an `env`.

    Raises UsageError for the first value that is out of range.
    """
    written = {} if env is None else env.settings()
    if env is not None and (slips := env.misspelt_settings()):
        note(slips)

    def called(name: str) -> str:
        return (
            flag_of(name) if name in typed or name not in written else f"In {config_file()}, {name}"
        )

    lasting = {SETTINGS[name].field: value for name, value in written.items() if name in SETTINGS}
    variables = {} if env is None else of_variables()
    values = {}
    for name, text in typed.items():
        known = SETTINGS[name]
        accept = known.parse if isinstance(text, str) else known.accept
        values[known.field] = accept(text, flag_of(name))
    options = Options().configured(**lasting).with_values(**variables).with_values(**values)
    options.check(called)
    return options


def of_variables() -> dict[str, Any]:
    """What variables of the environment say, by field. Raises UsageError."""
    told = ((known, os.environ.get(known.variable, "")) for known in SETTINGS.values())
    return {known.field: known.parse(text, known.variable) for known, text in told if text}


def table(names: Iterable[str] = SETTINGS) -> str:
    """A table of docs/reference.md: a row for each of these settings."""
    rows = ["| option | key | meaning | values | default |", "|---|---|---|---|---|"]
    for known in (SETTINGS[name] for name in names):
        name = known.name if known.default is not True else f"no-{known.name}"
        flag = f"{flag_of(name)} {metavar(known)}".rstrip().replace("|", "\\|")
        alias = f"; Ollama's `{known.alias}`" if known.alias else ""
        meaning = f"{known.help.rstrip('.')}{alias}"
        short = f", `{SHORT[known.name]}`" if known.name in SHORT else ""
        cells = [
            f"`{flag}`{short}",
            f"`{known.name}`",
            meaning,
            known.wanted,
            known.shown(known.default),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def metavar(known: Setting) -> str:
    """What stands for the value of a flag in its usage; "" for a switch."""
    if known.kind is bool:
        return ""
    if known.words:
        return "|".join([*known.words, "TIME" if known.is_time else "N"])
    if known.is_size:
        return "SIZE"
    if known.choices:
        return "|".join(known.choices) if len(known.choices) < 4 else "TYPE"
    return TEXTS.get(known.name, "TEXT") if known.kind in (str, tuple) else "N"


def _flag(known: Setting) -> Any:
    """The annotation that typer makes a flag of; the setting itself reads what is typed."""
    flag, usage = flag_of(known.name), metavar(known)
    kinds = f" One of {', '.join(known.choices)}." if usage == "TYPE" else ""
    help = f"{known.help}{kinds} [default: {known.shown(known.default)}]"
    if not usage:
        return Annotated[bool | None, Option(f"{flag}/--no-{flag[2:]}", help=help)]
    kind = list[str] if known.kind is tuple else str
    short = [SHORT[known.name]] if known.name in SHORT else []
    return Annotated[kind | None, Option(flag, *short, metavar=usage, help=help)]


FLAGS = {known.name: _flag(known) for known in SETTINGS.values()}
"""The annotation of each setting's flag."""
