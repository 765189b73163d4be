"""Tools in a prompt: how they are declared, and the model's turn with calls and results in it.

A chat template is given a turn of the model's as one message, from the first call to the last
answer, and a mark in place of all that is in it. What stands there is written here, as Gemma 4 was
trained to write it and as its templates do, with one difference: in the order in which it was
generated. So the prompt after a call begins with all that the cache holds. `chat_template` calls
it. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gemma_mtp.api import Message, Text, Thought, Tool, ToolCall, ToolResult
from gemma_mtp.engine.tool_notation import MARK, QUOTE, members, notation, read_json

THOUGHT_OPENS, THOUGHT_CLOSES = "<|channel>", "<channel|>"
THOUGHT_BEGINS = f"{THOUGHT_OPENS}thought\n"
CALL_OPENS, CALL_CLOSES = "<|tool_call>", "<tool_call|>"
RESULT_OPENS, RESULT_CLOSES = "<|tool_response>", "<tool_response|>"
TOOL_MARKS = (CALL_OPENS, CALL_CLOSES, RESULT_OPENS, RESULT_CLOSES, MARK)
DECLARATION = "<|tool>declaration:"
UNKNOWN = "unknown"  # as the templates call a tool of which a result has no call
DEEPEST = 32  # schemas in each other that a declaration shows

# Between the first two characters of anything shaped like <|turn> or <turn|>.
INSIDE_MARKER = re.compile(r"(?<=<)(?=\|[^\s<>]{1,40}>|[^\s<>]{1,40}\|>)")


@dataclass(frozen=True)
class Piece:
    """A stretch of the prompt: words with control tokens, or (part of) what `message` says.

    `ids` are the tokens it was generated as, where these are known.
    """

    text: str
    message: Message | None = None
    ids: tuple[int, ...] = ()


Group = list[Message]
"""Messages that are one turn: one of anybody's, or the model's with results of tools in it."""


def grouped(messages: Sequence[Message]) -> list[Group]:
    """The messages as turns. A tool's result belongs to the turn of the model that called it."""
    groups: list[Group] = []
    for message in messages:
        before = groups[-1][-1].role if groups else ""
        goes_on = message.role == "assistant" and before == "tool"
        if goes_on or (message.role == "tool" and before in ("assistant", "tool")):
            groups[-1].append(message)
        else:
            groups.append([message])
    return groups


def is_models(group: Group) -> bool:
    """Whether it is a turn of the model's."""
    return group[0].role in ("assistant", "tool")


def names_of_calls(messages: Sequence[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    return {call.id: call.name for message in messages for call in message.calls}


def said(
    group: Group, names: dict[str, str], over: bool, left: bool = True, right: bool = True
) -> list[Piece]:
    """All that is in a turn. `over`: the user has spoken since, so it has no thoughts any more.
    `left` and `right`: white space at its beginning and end stays."""
    found: list[Piece] = []
    for number, message in enumerate(group):
        parts = list(_parts(message, names, over))
        first, last = number == 0, number == len(group) - 1
        kept = _trimmed(parts, left or not first, right or not last)
        thinks = any(isinstance(part, Thought) for part in message.parts)
        if message.tokens and kept == parts and not (thinks and over):
            kept = [Piece("".join(piece.text for piece in parts), message, message.tokens)]
        found += kept
    return joined(found)


def _trimmed(pieces: list[Piece], left: bool, right: bool) -> list[Piece]:
    pieces = list(pieces)
    if pieces and not left and pieces[0].message:
        pieces[0] = replace(pieces[0], text=pieces[0].text.lstrip())
    if pieces and not right and pieces[-1].message:
        pieces[-1] = replace(pieces[-1], text=pieces[-1].text.rstrip())
    return pieces


def harmless_text(pieces: Sequence[Piece]) -> str:
    """The pieces as one text in which what was said holds no control tokens."""
    return "".join(
        INSIDE_MARKER.sub(" ", piece.text) if piece.message and not piece.ids else piece.text
        for piece in pieces
    )


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without empty ones, and words with control tokens as one where they meet."""
    found: list[Piece] = []
    for piece in pieces:
        if found and piece.message is None and found[-1].message is None:
            found[-1] = Piece(found[-1].text + piece.text)
        elif piece.text:
            found.append(piece)
    return found


def _parts(message: Message, names: dict[str, str], over: bool) -> Iterator[Piece]:
    for part in message.parts:
        if isinstance(part, Text):
            yield Piece(part.text, message)
        elif isinstance(part, Thought) and not over:
            yield from (Piece(THOUGHT_BEGINS), Piece(part.text, message))
            yield Piece(f"\n{THOUGHT_CLOSES}")
        elif isinstance(part, ToolCall):
            yield Piece(f"{CALL_OPENS}call:{part.name}{{")
            yield from _arguments(part.arguments, message)
            yield Piece(f"}}{CALL_CLOSES}")
        elif isinstance(part, ToolResult):
            name = names.get(part.id, UNKNOWN)
            yield Piece(f"{RESULT_OPENS}response:{name}{{value:{MARK}")
            yield Piece(part.text, message)
            yield Piece(f"{MARK}}}{RESULT_CLOSES}")


def _arguments(text: str, message: Message) -> Iterator[Piece]:
    """The arguments in the notation; what is no JSON object, as others may send it, as it is."""
    try:
        found = read_json(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        yield Piece(text, message)
        return
    for number, part in enumerate("".join(members(found)).split(QUOTE)):
        # Every other part is a text, and stands between two marks.
        yield from (
            (Piece(MARK), Piece(part, message), Piece(MARK)) if number % 2 else (Piece(part),)
        )


def types_of(tools: Sequence[Tool]) -> dict[str, dict[str, Any]]:
    """What the schemas of the tools say of the types of their arguments, by the tools' names."""
    plain = [each["function"] for each in declared(tools, [""] * len(tools))]
    return {
        each["name"]: {k: v["type"] for k, v in each["parameters"]["properties"].items()}
        for each in plain
    }


def declared(tools: Sequence[Tool], descriptions: Sequence[str]) -> list[dict[str, Any]]:
    """The tools as templates take them, with `descriptions` in place of their own."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": description,
                "parameters": _object(json.loads(tool.parameters or "{}")),
            },
        }
        for tool, description in zip(tools, descriptions, strict=True)
    ]


def declaration(tool: Tool, said_by: Message) -> list[Piece]:
    """A tool as Gemma's templates declare it, for a template that has no place for tools."""
    (one,) = declared([tool], [""])
    parameters = "".join(notation(_upper(one["function"]["parameters"]))).replace(QUOTE, MARK)
    return [
        Piece(f"{DECLARATION}{tool.name}{{description:{MARK}"),
        Piece(tool.description, said_by),
        Piece(f"{MARK},parameters:{parameters}}}<tool|>"),
    ]


def _upper(schema: Any) -> Any:
    """Types in capitals, as the model was trained with."""
    if isinstance(schema, list):
        return [_upper(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: each.upper() if key == "type" and isinstance(each, str) else _upper(each)
        for key, each in schema.items()
    }


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a tool in the few words that the templates know, with nothing left out
    that they cannot do without."""
    return _plain(schema | {"type": "object"}, schema, ())


_KEPT = ("description", "format", "default", "minimum", "maximum", "pattern")


def _plain(schema: Any, root: dict[str, Any], followed: tuple[str, ...]) -> dict[str, Any]:
    schema, followed = _resolved(schema, root, followed)
    kinds = _kinds(schema)
    kind = next((kind for kind in kinds if kind != "null"), "null" if kinds else "string")
    plain: dict[str, Any] = {key: _harmless(schema[key]) for key in _KEPT if key in schema}
    if kind != "null" and ("null" in kinds or schema.get("nullable") is True):
        plain["nullable"] = True
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list) and kind == "string":
        plain["enum"] = [_harmless(each) for each in values if isinstance(each, str)]
    deeper = len(followed) < DEEPEST
    if kind == "object":
        inner = schema.get("properties")
        inner = inner if isinstance(inner, dict) and deeper else {}
        plain["properties"] = {
            _harmless(key): _plain(each, root, (*followed, "")) for key, each in inner.items()
        }
        required = schema.get("required")
        if isinstance(required, list):
            plain["required"] = [_harmless(each) for each in required if isinstance(each, str)]
    if kind == "array" and deeper and isinstance(schema.get("items"), dict):
        plain["items"] = _plain(schema["items"], root, (*followed, ""))
    return plain | {"type": kind}


def _resolved(
    schema: Any, root: dict[str, Any], followed: tuple[str, ...]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The schema without a reference or alternatives at its top, of which the first one that is
    not null stays; and the references that were followed. None is followed inside itself."""
    while isinstance(schema, dict):
        reference = schema.get("$ref")
        branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if isinstance(reference, str):
            rest = {key: each for key, each in schema.items() if key != "$ref"}
            found = None if reference in followed else pointed_at(reference, root)
            schema = (found if isinstance(found, dict) else {"type": "object"}) | rest
            followed = (*followed, reference)
        elif isinstance(branches, list) and branches:
            rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf", "allOf")}
            kept = [each for each in branches if each != {"type": "null"}]
            null = {"nullable": True} if len(kept) < len(branches) else {}
            first = kept[0] if kept and isinstance(kept[0], dict) else {}
            schema = first | rest | null
        else:
            return schema, followed
    return {}, followed


def pointed_at(reference: str, root: Any) -> Any:
    """What a local reference such as #/$defs/place points at; None where there is nothing."""
    if not reference.startswith("#"):
        return None
    found = root
    for step in reference.removeprefix("#").split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and step.isdigit() and int(step) < len(found):
            found = found[int(step)]
        elif isinstance(found, dict) and step in found:
            found = found[step]
        else:
            return None
    return found


def _kinds(schema: dict[str, Any]) -> list[str]:
    """The types a schema allows, said or meant."""
    said_so = schema.get("type")
    if isinstance(said_so, str):
        return [said_so]
    if isinstance(said_so, list) and all(isinstance(each, str) for each in said_so):
        return said_so
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    names = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    if isinstance(values, list) and values:
        return [names.get(type(each), "string") for each in values if each is not None] or ["null"]
    if "properties" in schema or "additionalProperties" in schema:
        return ["object"]
    return ["array"] if "items" in schema else []


def _harmless(value: Any) -> Any:
    """A value of a schema in whose texts nothing can become a control token."""
    if isinstance(value, str):
        return INSIDE_MARKER.sub(" ", value)
    if isinstance(value, list):
        return [_harmless(each) for each in value]
    if isinstance(value, dict):
        return {_harmless(key): _harmless(each) for key, each in value.items()}
    return value
