"""What a model of Ollama's registry brings besides weights: parameters, system prompt, messages.

`ollama_registry` asks. What gemma-mtp has a setting for is taken over as the model's own, and holds
where a person has set nothing; all else is named. Pure: takes the texts of layers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gemma_mtp.api import Message, Preset
from gemma_mtp.errors import UsageError
from gemma_mtp.files import bounded
from gemma_mtp.models.preset_data import KEYS, messages_of, settled
from gemma_mtp.options import SETTINGS, find

LONGEST_TEXT = 32 << 10  # bytes of a layer that is taken over; the record of a pair takes 128 KiB
MOST_STOPS, LONGEST_STOP = 16, 200  # texts, and characters of one
LEFT_OUT = ("num_gpu", "num_thread", "draft", "keep_alive")
"""Names of settings that are this machine's affair."""
UNSET = {"num_predict": (-1, -2), "seed": (-1,), "draft_num_predict": (-1, 0)}
"""Values by which Ollama says that nothing is set."""
_TEMPLATE = "its template (that of the file is used)"
OTHERS = {"template": _TEMPLATE, "prompt": _TEMPLATE}
"""Kinds of layers that are not taken over, in words."""
_MARK = re.compile(r"<\|?[a-z_]+\|?>")  # what ends a turn; llama.cpp knows it from the file
_NAMES = {
    name: known
    for known in KEYS.values()
    for name in (known.name, known.alias)
    if name and not {known.name, known.alias} & {*LEFT_OUT}
}


@dataclass
class Brought:
    """What came with a model: settings by field, messages, and in words what is left out."""

    values: dict[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    left_out: list[str] = field(default_factory=list)

    def take(self, kind: str, text: bytes | None) -> None:
        """Take over a layer of text, None where it is too long to be one."""
        words, reader = _READERS[kind]
        try:
            if text is None or len(text) > LONGEST_TEXT:
                raise ValueError
            reader(self, text)
        except (ValueError, UsageError):
            self.left_out.append(f"its {words}, which cannot be used")

    def preset(self) -> Preset:
        """All of it. What contradicts each other is left out."""
        try:
            return Preset("", settled(self.values), self.messages)
        except UsageError:
            self.left_out.append("its parameters, which contradict each other")
            return Preset("", (), self.messages)

    def _system(self, text: bytes) -> None:
        if said := SETTINGS["system"].accept(text.decode()).strip():
            self.values["system"] = said

    def _messages(self, text: bytes) -> None:
        self.messages = messages_of(bounded.parse_json(text))

    def _parameters(self, text: bytes) -> None:
        found = bounded.parse_json(text)
        if not isinstance(found, dict):
            raise ValueError
        for name, value in found.items():
            if value is not None and value not in UNSET.get(name, ()):
                self._parameter(name, value)

    def _parameter(self, name: str, value: Any) -> None:
        if name == "stop":
            value = _stops(value)
            if value == []:
                return
        try:
            known = find(name, _NAMES)
            self.values[known.field] = known.accept(value)
        except UsageError:
            can_be_shown = re.fullmatch(r"\w{1,40}", name, re.ASCII)
            self.left_out.append(name if can_be_shown else "a parameter of no known name")


_READERS = {
    "system": ("system prompt", Brought._system),
    "messages": ("messages", Brought._messages),
    "params": ("parameters", Brought._parameters),
}
TEXTS = tuple(_READERS)
"""Kinds of layers that are taken over."""


def _stops(value: Any) -> Any:
    """The texts that end a reply, without the model's own marks, which end it anyway."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return value  # which is refused
    if len(texts) > MOST_STOPS or any(len(text) > LONGEST_STOP for text in texts):
        return ""  # which is refused, too
    return [text for text in texts if text and not _MARK.fullmatch(text)]
