"""A line with a prompt and settings by name; its answer is what `run --json` prints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from gemma_mtp.api import Grammar, Media, Message, PairInfo, Request, Role, Tool, ToolChoice
from gemma_mtp.errors import GemmaMtpError, UsageError
from gemma_mtp.files.media import KINDS, Kind, placed
from gemma_mtp.files.reading import named_path
from gemma_mtp.options import SETTINGS
from gemma_mtp.setting import settings_of
from gemma_mtp.settings import ReplySettings, Sampling
from gemma_mtp.text import json_text, suggestion

if TYPE_CHECKING:
    from gemma_mtp.api import End
    from gemma_mtp.server.asked import Asked

Form = Callable[["End", PairInfo, Request, float], dict[str, Any]]
"""The object of an answer, of its end, the pair, the request and the seconds that it took."""

_SETTINGS = {
    known.name: known.name for kind in (Sampling, ReplySettings) for known in settings_of(kind)
} | {"system": "system"}
_SETTINGS |= {known.alias: name for name in _SETTINGS if (known := SETTINGS[name]).alias}
"""Settings of one reply under our names and Ollama's."""

_ROLES = tuple(role for role in get_args(Role) if role != "tool")


@dataclass(frozen=True)
class Plain:
    """A plain line; where it could not be read, `problem` says why."""

    index: int
    data: dict[str, Any]
    form: Form
    problem: UsageError | None = None

    @property
    def key(self) -> int:
        return self.index

    @property
    def model(self) -> str:
        return str(self.data.get("model") or "")

    def asked(self) -> Asked:
        """Raises UsageError."""
        if self.problem is not None:
            raise self.problem
        from gemma_mtp.server.asked import Asked

        given = {name: value for name, value in self.data.items() if value is not None}
        for name in given.keys() - _SETTINGS.keys() - _READ.keys():
            raise _unknown(name)
        messages = _with_media(_messages(given), given)
        if "system" in given and any(message.role == "system" for message in messages):
            raise UsageError("system is given twice, by itself and among the messages.")
        values = tuple((_SETTINGS[name], v) for name, v in given.items() if name in _SETTINGS)
        called = tuple((_SETTINGS[name], name) for name in given if name in _SETTINGS)
        tools, choice = _tools(given)
        return Asked(
            self.model or None,
            messages,
            None,
            values,
            called,
            grammar=_grammar(given),
            tools=tools,
            tool_choice=choice,
        )

    def answered(
        self, end: End, info: PairInfo, request: Request, seconds: float
    ) -> dict[str, Any]:
        return {**self._head, **self.form(end, info, request, seconds)}

    def failed(self, error: GemmaMtpError) -> dict[str, Any]:
        said = f"{error} {error.hint}".strip()
        return {**self._head, "error": {"message": said, "status": int(error.status)}}

    @property
    def _head(self) -> dict[str, Any]:
        named = {"custom_id": self.data["custom_id"]} if "custom_id" in self.data else {}
        return {"index": self.index, **named}


def _unknown(name: str) -> UsageError:
    if name in {known.name for known in SETTINGS.values()}:
        return UsageError(f"{name} is for all lines.", "It is an option of the command.")
    return UsageError(f'There is no field "{name}".', suggestion(name, [*_READ, *_SETTINGS]))


def _messages(given: dict[str, Any]) -> tuple[Message, ...]:
    says_enough = any(given.get(kind.key) for kind in KINDS)  # without a word
    if "messages" in given:
        if "prompt" in given:
            raise UsageError("The line must have either prompt or messages.")
        return tuple(_message(each) for each in _list("messages", given["messages"]))
    if "prompt" not in given and not says_enough:
        raise UsageError("The line must have either prompt or messages.")
    prompt = given.get("prompt", "")
    if not isinstance(prompt, str):
        raise UsageError("prompt must be a text.")
    if prompt.strip():
        return (Message.text("user", prompt),)
    if not says_enough:
        raise UsageError("The prompt is empty.")
    return (Message("user", ()),)


def _with_media(messages: tuple[Message, ...], given: dict[str, Any]) -> tuple[Message, ...]:
    """The pictures whose paths a line has go along with its last message."""
    media: list[Media] = []
    for kind in KINDS:
        paths = _list(kind.key, given.get(kind.key, []))
        if not all(isinstance(path, str) for path in paths):
            raise UsageError(f"{kind.key} must be paths of files.")
        if paths and (not messages or messages[-1].role != "user"):
            raise UsageError(kind.astray)
        media += [_read(kind, path) for path in paths]
    if not media:
        return messages
    return (*messages[:-1], Message("user", placed(media, messages[-1].parts)))


def _read(kind: Kind, word: str) -> Media:
    path = named_path(word)
    with suppress(OSError):  # reading says what is wrong
        if path.is_fifo():
            raise UsageError(f"{path} is a pipe, not a file.")  # all others would wait for it
    return kind.read(path, lambda text: None)


def _message(said: Any) -> Message:
    if not isinstance(said, dict) or said.keys() != {"role", "content"}:
        raise UsageError("Each of the messages must have role and content, and nothing else.")
    if said["role"] not in _ROLES or not isinstance(said["content"], str):
        hint = "Pictures are images of the line, a list of paths."
        says = f"role must be one of {', '.join(_ROLES)}, and content a text."
        raise UsageError(says, hint if isinstance(said["content"], list) else "")
    return Message.text(said["role"], said["content"])


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{name} must be a list.")
    return value


def _grammar(given: dict[str, Any]) -> Grammar | None:
    found = [_FORMS[name](given[name]) for name in given if name in _FORMS]
    if len(found) > 1:
        raise UsageError(f"Of {', '.join(_FORMS)} a line can have only one.")
    return found[0] if found else None


def _of_format(value: Any) -> Grammar:
    return Grammar("json") if value == "json" else _of_schema(value, "format")


def _of_schema(value: Any, name: str = "schema") -> Grammar:
    if not isinstance(value, dict):
        what = 'must be "json" or a JSON Schema' if name == "format" else "must be a JSON Schema"
        raise UsageError(f"{name} {what}.")
    return Grammar("json_schema", json_text(value))


def _of_choices(value: Any) -> Grammar:
    return Grammar("choices", json_text(_list("choices", value)))


def _of_grammar(value: Any) -> Grammar:
    if not isinstance(value, str):
        raise UsageError("grammar must be the text of a grammar.")
    return Grammar.written(value)


def _tools(given: dict[str, Any]) -> tuple[tuple[Tool, ...], ToolChoice]:
    choice = given.get("tool_choice", "auto")
    if "tools" not in given:
        if "tool_choice" in given:
            raise UsageError("tool_choice needs tools.")
        return (), ToolChoice()
    from gemma_mtp.tools.definitions import read_tools

    tools = read_tools(json_text(given["tools"]), "tools")
    if choice in [tool.name for tool in tools]:
        return tools, ToolChoice("required", choice)
    return tools, ToolChoice(choice)  # which `Request.check` looks at


_FORMS: dict[str, Callable[[Any], Grammar]] = {
    "format": _of_format,
    "schema": _of_schema,
    "choices": _of_choices,
    "grammar": _of_grammar,
}
_READ = dict.fromkeys(
    (
        "prompt",
        "messages",
        *(kind.key for kind in KINDS),
        "custom_id",
        "model",
        "tools",
        "tool_choice",
        *_FORMS,
    )
)
