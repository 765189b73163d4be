"""What the parser of the command line finds wrong, in our words and with what was meant.

Called by `app` for every error of the parser. What people bring along from Ollama and llama.cpp is
told what takes its place here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gemma_mtp.cli.positionals import is_model, quoted
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.options import SETTINGS
from gemma_mtp.text import nearest

if TYPE_CHECKING:
    from gemma_mtp.models.catalogue import Catalogue

COMMANDS = {
    "start": ("The server for other programs runs until Ctrl-C.", "serve"),
    "launch": ("Other programs are told the address of the server by themselves.", "serve"),
    "push": ("Models are not published from here; a copy can be carried.", "pull e2b --to FOLDER"),
    "signin": ("There is no account: models are pulled without one.", "pull"),
    "signout": ("There is no account: models are pulled without one.", "pull"),
    "embed": ("Embeddings are not made here; another program has to make these.", "help"),
    "update": ("A pull looks at a model again and fetches what is wrong.", "pull e2b"),
    "upgrade": ("A pull looks at a model again and fetches what is wrong.", "pull e2b"),
    "set": ("Settings are shown and changed by config.", "config"),
    "history": ("Saved conversations are listed by chats.", "chats"),
    "resume": ("A saved conversation is taken up by chat.", "chat --resume"),
    "continue": ("The latest conversation is gone on with by chat.", "chat --continue"),
}
"""Commands of others and of the chat: what to say, and the command that comes nearest."""

OPTIONS = {
    "--format": "An answer in JSON comes with: gemma-mtp run --format json",
    "--tools": "Tools of a chat come from MCP servers: gemma-mtp chat --mcp FILE",
    "--mcp": "Tools of MCP servers are for a chat: gemma-mtp chat --mcp FILE",
    "--emacs": "These keys are the usual ones; those of vi go with: gemma-mtp chat --no-vi",
    "--hidethinking": "To leave thoughts out: gemma-mtp chat --thoughts hide",
    "--license": "In a chat: /show license",
    "--template": "In a chat: /show template",
    "--parameters": "In a chat: /show parameters",
    "--insecure": "Connections to a hub are always checked; leave it out.",
    "--stream": "Replies are always written as they come; leave it out.",
    "--draft-max": "A fixed draft length: gemma-mtp run --draft 3",
    "--spec-type": "MTP is always on; without it: gemma-mtp run --draft off",
    "--mmproj": "An mmproj-*.gguf in the folder of the model file is used by itself.",
    "--cache-type-k": "The type of the whole KV cache: gemma-mtp run --kv-type q8_0",
}
"""Options of others that have no place here, and why."""

EXAMPLES = {
    "MODEL": "e2b", "ID": "1", "ID...": "1", "TITLE": "1 A new title", "COMMAND": "run",
    "FOLDER_OR_REPO": "google/gemma-4-E2B-it", "FILE": "gemma-4-E2B-it-BF16.gguf Q4_K_M",
    "MODEL...": "e2b",
}  # fmt: skip
WHOLE = {"create": "pirate --from e2b", "cp": "e2b mine"}
"""What is typed after these commands, whatever of it is missing."""


def in_our_words(
    error: Any, words: Sequence[str], names: Callable[[], Catalogue]
) -> tuple[str, str]:
    """What the parser has to say about `words`, as a sentence and a hint.

    `error` is typer's, whose kinds have no public names: they are told apart by what they say.
    """
    said = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context else " ".join(["gemma-mtp", *words[:1]])
    if said.startswith("No such option"):
        return _no_option(error.option_name, context, path, words)
    if said.startswith("No such command"):
        return _no_command(context, path, words, names)
    for pattern, answer in _OTHERS.items():
        if match := re.search(pattern, said, re.DOTALL):
            return answer(match, path, words)
    return said, f"What there is: {path} --help"


def _no_option(option: str, context: Any, path: str, words: Sequence[str]) -> tuple[str, str]:
    typed = next((word for word in words if word.lower().startswith(option)), option)
    prompts = path.split()[-1] in ("run", "chat")
    message, help = f"There is no option {option}.", f"What there is: {path} --help"
    if prompts and (re.match(r"-[^a-zA-Z-]", typed) or " " in typed):
        at = words.index(typed)
        before, prompt = " ".join(map(quoted, words[:at])), quoted(" ".join(words[at:]))
        return (
            "A prompt that begins with a dash comes after two dashes.",
            f"gemma-mtp {before} -- {prompt}",
        )
    if option in OPTIONS:
        return message, OPTIONS[option]
    if path == "gemma-mtp":
        command = next((word for word in words if word in context.command.commands), "run")
        rest = [word for word in words if word != command]
        return "Options come after a command.", _line(path, command, *rest)
    if option in ("-m", "--model"):
        return message, f"The model needs none: {path} e2b"
    near = nearest(option, _options(context)) if len(option) > 3 else []
    return message, f"Did you mean {near[0]}? {help}" if near else help


def _options(context: Any) -> Iterator[str]:
    for parameter in context.command.params if context else ():
        yield from (name for name in parameter.opts if name.startswith("--"))


def _no_command(
    context: Any, path: str, words: Sequence[str], names: Callable[[], Catalogue]
) -> tuple[str, str]:
    words = words[1:] if words[0] == "help" else words
    typed, *rest = [word for word in words if not word.startswith("-")][path.count(" ") :]
    if path != "gemma-mtp":
        if typed.isdecimal():
            return "A conversation's number comes after a command.", f"{path} show {typed}"
        near = nearest(typed, context.command.commands)
        hint = (
            f"Did you mean: {_line(path, near[0], *rest)}"
            if near
            else f"What there is: {path} --help"
        )
        return f'There is no command "{typed}" of {path.split()[-1]}.', hint
    if typed.lower() in COMMANDS:
        message, command = COMMANDS[typed.lower()]
        return message, f"What comes nearest: gemma-mtp {command}"
    message = f'There is no command "{typed}".'
    with suppress(GemmaMtpError):  # a broken list of models is not what this is about
        if is_model(typed, names()):
            return message, f"To chat with that model: {_line('gemma-mtp', 'chat', typed, *rest)}"
    if " " in typed or len(rest) > 1:
        return message, f"To ask it: gemma-mtp run {quoted(' '.join([typed, *rest]))}"
    visible = [name for name, known in context.command.commands.items() if not known.hidden]
    near = nearest(typed, visible) if len(typed) > 2 else []
    if near:
        return message, f"Did you mean: {_line('gemma-mtp', near[0], *rest)}"
    return message, "What there is: gemma-mtp help"


def _line(*words: str) -> str:
    return " ".join([words[0], *map(quoted, words[1:])])


def _not_a_number(match: re.Match[str], path: str, words: Sequence[str]) -> tuple[str, str]:
    flag, kind = match[1], "a whole number" if match[2] == "integer" else "a number"
    typed = re.split(r"[ =]", " ".join(words).partition(flag)[2][1:])[0]
    return f'{flag} must be {kind}, not "{typed}".', f"What there is: {path} --help"


def _out_of_range(match: re.Match[str], path: str, words: Sequence[str]) -> tuple[str, str]:
    flag, limit = match[1], match[3]
    typed = re.split(r"[ =]", " ".join(words).partition(flag)[2][1:])[0]
    bound = "at least" if match[2] == "greater" else "at most"
    return f"{flag} must be {bound} {limit}, not {typed}.", f"What there is: {path} --help"


def _not_a_choice(match: re.Match[str], path: str, words: Sequence[str]) -> tuple[str, str]:
    choices = " or ".join(re.findall(r"'([^']*)'", match[3]))
    return f'{match[1]} must be {choices}, not "{match[2]}".', f"What there is: {path} --help"


def _missing(match: re.Match[str], path: str, words: Sequence[str]) -> tuple[str, str]:
    example = WHOLE.get(path.split()[-1]) or EXAMPLES.get(match[1], "--help")
    example += " --for llama-server" if path.endswith("export-command") else ""
    return f"{match[1].rstrip('.')} is missing.", f"As in: {path} {example}"


def _off(name: str) -> str:
    """What turns a switch off."""
    return f"--no-{name}" if name.replace("-", "_") in SETTINGS else "to leave it out"


def _too_many(match: re.Match[str], path: str, words: Sequence[str]) -> tuple[str, str]:
    return f'{path} takes no "{match[1]}".', f"What it takes: {path} --help"


_OTHERS: dict[str, Callable[[re.Match[str], str, Sequence[str]], tuple[str, str]]] = {
    r"'ID(?:\.\.\.)?'.* valid integer": lambda match, path, words: (
        "A conversation is named by its number.",
        "What there is: gemma-mtp chats",
    ),
    r"'(--[\w-]+)'.* valid (integer|number)": _not_a_number,
    r"'(--[\w-]+)'.*should be (greater|less) than or equal to (\S+)": _out_of_range,
    r"'(--[\w-]+)'.*?: (?:Value error, )?'(.*)' is not one of (.*)": _not_a_choice,
    r"Missing argument '?([A-Z_.]+)": _missing,
    r"Missing option '(--for)'": lambda match, path, words: (
        f"{match[1]} says for which program, and is missing.",
        f"As in: {path} e2b --for llama-server",
    ),
    r"unexpected extra argument\S* \((.*)\)": _too_many,
    r"Option '(--unset)' requires an argument": lambda match, path, words: (
        f"{match[1]} needs the name of a setting.",
        f"As in: {path} --unset draft",
    ),
    r"Option '(-.*)' requires an argument": lambda match, path, words: (
        f"{match[1]} needs a value.",
        f"What it takes: {path} --help",
    ),
    r"Option '(--(.*))' does not take a value": lambda match, path, words: (
        f"{match[1]} takes no value.",
        f"On is {match[1]}, off is {_off(match[2])}: {path} --help",
    ),
}
"""Complaints that differ only in names, and what answers each."""
