"""What an answer has to look like, as each dialect says it: any JSON, or a JSON Schema."""

from __future__ import annotations

from typing import Any

from gemma_mtp.api import Grammar
from gemma_mtp.server.errors import Unsupported
from gemma_mtp.text import json_text


def of_openai(form: Any, field: str) -> Grammar | None:
    """Of `response_format`, or of `text.format` of OpenAI's responses. Raises Unsupported."""
    kind = form.get("type") if isinstance(form, dict) else form
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return Grammar("json")
    # Chat completions have the schema one level deeper than responses.
    inner = form.get("json_schema", form) if isinstance(form, dict) else None
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if kind == "json_schema" and isinstance(schema, dict):
        return Grammar("json_schema", json_text(schema))
    raise Unsupported(field, "must be text, json_object, or json_schema with a schema")


def of_ollama(form: Any) -> Grammar | None:
    """Of `format`: "json", or the schema itself. Raises Unsupported."""
    if form in (None, ""):
        return None
    if form == "json":
        return Grammar("json")
    if isinstance(form, dict):
        return Grammar("json_schema", json_text(form))
    raise Unsupported("format", "must be json or a JSON Schema")
