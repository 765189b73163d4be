"""Ollama's Modelfiles: what of one is a preset, and a preset written as one.

`create` and Ollama's dialect read them. The form is that of Ollama's parser/parser.go: an
instruction a line, whose value may be in quotes and then go over several lines. Pure.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import Preset
from gemma_mtp.errors import UsageError
from gemma_mtp.models import ollama_parameters
from gemma_mtp.models.preset_data import KEYS, data_of, in_turns, settled
from gemma_mtp.models.presets import Kept
from gemma_mtp.text import clean, json_text, one_line

INSTRUCTIONS = ("from", "parameter", "system", "template", "draft", "message",
                "adapter", "license", "requires", "renderer", "parser")  # fmt: skip
LEFT_OUT = {
    "template": "TEMPLATE is left out: the model's own is used, with which it was trained.",
    "adapter": "ADAPTER is left out: gemma-mtp cannot apply adapters.",
    "license": "LICENSE is left out: it stays with the model.",
    "requires": "",  # of Ollama's own
    "renderer": "RENDERER is left out: the model's own chat template is used.",
    "parser": "PARSER is left out: Gemma 4's form of thoughts and calls is known here.",
}
"""What is said of what a preset cannot hold."""
ROLES = ("system", "user", "assistant")
THEIRS = {"draft": "draft_num_predict"}
"""What parameters are called there, where a setting has no alias."""


@dataclass(frozen=True)
class Read:
    """What a Modelfile says: the preset, and sentences about what was left out."""

    kept: Kept
    notes: tuple[str, ...] = ()


@dataclass
class Said:
    """What is said of a model, in the order in which it was said."""

    model: str = ""
    drafter: str = ""
    system: list[str] = field(default_factory=list)
    parameters: list[tuple[str, Any]] = field(default_factory=list)
    messages: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def read(self, name: str) -> Read:
        """The preset of this. Raises UsageError."""
        values, unlike = ollama_parameters.read(self.parameters)
        system = [*self.system, *(text for role, text in self.messages if role == "system")]
        if system:
            values["system"] = clean("\n\n".join(system)).strip()
        messages = in_turns(said for said in self.messages if said[0] != "system")
        notes = [LEFT_OUT[what] for what in dict.fromkeys(self.left_out)]
        if unlike:
            notes.append(f"Left out, since nothing here is like it: {', '.join(unlike)}.")
        drafter = Path(self.drafter) if self.drafter else None
        kept = Kept(Preset(name, settled(values), messages), self.model, drafter)
        return Read(kept, tuple(note for note in notes if note))


def read(text: str, name: str, folder: Path) -> Read:
    """The preset that a Modelfile says; paths in it start from `folder`.

    Raises UsageError with the line that makes no sense.
    """
    said = Said()
    for number, instruction, before, value in _instructions(text):
        try:
            _take(said, instruction, before, value, folder)
        except UsageError as error:
            error.args = (f"Line {number} of the Modelfile: {error}",)
            raise
    if not said.model:
        raise UsageError("The Modelfile has no FROM, which names the model.", "FROM e2b")
    return said.read(name)


def _take(said: Said, instruction: str, before: str, value: str, folder: Path) -> None:
    if not value and instruction in ("from", "draft"):
        raise UsageError(f"{instruction.upper()} needs the name of a model, or a file.")
    if instruction == "from":
        said.model = said.model or _file(value, folder)  # the others are of parts, such as images
    elif instruction == "draft":
        said.drafter = said.drafter or str((folder / paths.expanded(value)).absolute())
    elif instruction == "system":
        said.system = [value]
    elif instruction == "parameter":
        if not before or not value:
            raise UsageError("PARAMETER needs a name and a value, as in PARAMETER num_ctx 8192.")
        ollama_parameters.read([(before, value)])  # what is wrong is said with its line
        said.parameters.append((before, value))
    elif instruction == "message":
        if before.lower() not in ROLES or not value:
            raise UsageError("MESSAGE needs system, user or assistant, and a text.")
        said.messages.append((before.lower(), value))
    else:
        said.left_out.append(instruction)


def _file(value: str, folder: Path) -> str:
    """A model's name, or the whole path of a file."""
    path = folder / paths.expanded(value)
    # Those of `os.path` say no to what can be no path, where those of Path raise.
    if value.startswith((".", "/", "~")) or value.lower().endswith(".gguf") or os.path.exists(path):
        if os.path.isdir(path):
            convert = f"gemma-mtp convert {shlex.quote(value)}"
            raise UsageError(f"{value} is a folder, not a GGUF file.", convert)
        return str(path.absolute())
    return value


def _instructions(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, instruction in lower case, the word before a value (the name of a parameter, or a
    role) and the value. Raises UsageError."""
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        words = line.split(maxsplit=1)
        if not words or words[0].startswith("#"):
            continue
        instruction, rest = words[0].lower(), words[1] if len(words) > 1 else ""
        if instruction not in INSTRUCTIONS:
            raise UsageError(
                f'Line {number} of the Modelfile: "{one_line(words[0], 40)}" is no instruction.',
                f"Known: {', '.join(INSTRUCTIONS).upper()}.",
            )
        before = ""
        if instruction in ("parameter", "message"):
            before, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        while (value := _unquoted(rest)) is None:
            _, following = next(lines, (0, None))
            if following is None:
                raise UsageError(f"Line {number} of the Modelfile opens quotes that never close.")
            rest += f"\n{following}"
        yield number, instruction, before, value


def _unquoted(text: str) -> str | None:
    """A value without its quotes; None where these are not closed yet."""
    ended = text.rstrip()
    for mark in ('"""', '"'):
        if text.startswith(mark):
            closed = len(ended) >= 2 * len(mark) and ended.endswith(mark)
            return ended[len(mark) : -len(mark)] if closed else None
    return ended


def written(kept: Kept) -> str:
    """A Modelfile that `read` makes the same preset of. Raises UsageError for a text that has no
    place in one."""
    lines = [f"FROM {kept.model}", *([f"DRAFT {kept.drafter}"] if kept.drafter else [])]
    data = data_of(kept.preset)
    for name, value in data.items():
        known = KEYS.get(name)
        if known is None or name == "system":
            continue
        for each in value if isinstance(value, list) else [value]:
            word = quoted(each) if known.kind is tuple else json_text(each).strip('"')
            lines.append(f"PARAMETER {THEIRS.get(name, known.alias or name)} {word}")
    lines += [f"SYSTEM {quoted(data['system'])}"] if "system" in data else []
    lines += [f"MESSAGE {m['role']} {quoted(m['content'])}" for m in data.get("message", [])]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text as a Modelfile has it, over several lines where need be. Raises UsageError."""
    if '"""' in text:
        raise UsageError('A text with """ in it cannot be written into a Modelfile.')
    return f'"""{text}"""'
