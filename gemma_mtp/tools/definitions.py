"""Tools as others declare them in JSON, read as `api.Tool`. Pure; used by `run --tools`."""

from __future__ import annotations

import json
from typing import Any

from gemma_mtp.api.tools import Tool, ToolChoice, check_tools
from gemma_mtp.errors import UsageError
from gemma_mtp.text import json_text

FORMS = (
    'A tool is {"type": "function", "function": {"name": ..., "parameters": {...}}}, or has '
    "name, description and parameters (or input_schema) itself."
)
_SCHEMAS = ("parameters", "input_schema", "inputSchema")
"""Where OpenAI, Anthropic and the Model Context Protocol have the schema of the arguments."""


def read_tools(text: str, name: str) -> tuple[Tool, ...]:
    """The tools of a JSON list, or of an object that has them in `tools`.

    `name` is what the text is called. Raises UsageError, which says what is wrong and where.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is no JSON: {error}.", FORMS) from error
    if isinstance(found, dict) and isinstance(found.get("tools"), list):
        found = found["tools"]
    if not isinstance(found, list):
        raise UsageError(f"{name} must be a list of tools.", FORMS)
    if not found:
        raise UsageError(f"{name} holds no tools.", FORMS)
    tools = tuple(_tool(each, f"Tool {n} of {name}") for n, each in enumerate(found, 1))
    check_tools(tools, ToolChoice())
    return tools


def _tool(found: Any, where: str) -> Tool:
    if not isinstance(found, dict):
        raise UsageError(f"{where} is no object.", FORMS)
    if found.get("type", "function") not in ("function", "custom"):  # the latter is Anthropic's
        raise UsageError(f"{where} is of the type {found['type']}, which is not run here.", FORMS)
    inner = found.get("function", found)
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise UsageError(f"{where} has no name.", FORMS)
    description = inner.get("description") or ""
    if not isinstance(description, str):
        raise UsageError(f"{where}: the description must be a text.")
    schema = next((inner[key] for key in _SCHEMAS if inner.get(key) is not None), None)
    if not isinstance(schema, dict | None):
        raise UsageError(f"{where}: the parameters must be a JSON Schema.")
    return Tool(inner["name"], description, json_text(schema) if schema else "")
