"""A request as the body of `POST /v1/chat/completions`, with the fields that each server knows."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from gemma_mtp.api import (
    Audio,
    Grammar,
    Media,
    Message,
    Part,
    Request,
    Sampling,
    Thought,
    Tool,
    ToolCall,
    ToolResult,
)
from gemma_mtp.errors import UsageError
from gemma_mtp.remote.server import Kind, Model
from gemma_mtp.settings import EFFORTS
from gemma_mtp.text import json_text

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "repeat_last_n")
NAMES: dict[Kind, dict[str, str]] = {
    "gemma-mtp": {name: name for name in SAMPLING},
    "llama-server": {name: name for name in SAMPLING},
    "vllm": {
        **{name: name for name in SAMPLING[:4]},
        "repeat_penalty": "repetition_penalty",
    },
    "sglang": {
        **{name: name for name in SAMPLING[:4]},
        "repeat_penalty": "repetition_penalty",
    },
    "ollama": {name: name for name in SAMPLING[:2]},
    "other": {name: name for name in SAMPLING[:2]},
}
"""What each server calls our sampling settings, in its OpenAI dialect."""


BUDGETS: dict[Kind, str] = {
    "gemma-mtp": "think_budget",
    "llama-server": "thinking_budget_tokens",
    "vllm": "thinking_token_budget",
}
"""What servers call a budget for thoughts that they hold; the others have none."""


GRAMMARS: dict[Kind, str] = {"gemma-mtp": "grammar", "llama-server": "grammar", "sglang": "ebnf"}
"""The field that servers have for a grammar of llama.cpp's kind (GBNF)."""


def body(request: Request, model: Model) -> dict[str, Any]:
    """Raises UsageError for what this server cannot be asked for."""
    if request.prompt is not None:
        raise UsageError("A server is sent messages; a prompt without a template is not.")
    found: dict[str, Any] = {
        "model": model.name,
        "messages": [each for message in request.messages for each in _said(message, model.kind)],
        "stream": True,
        "stream_options": {"include_usage": True},
        **_sampling(request.sampling, model),
        **_thinking(request, model.kind),
        **_tools(request, model.kind),
        **_form(request.grammar, model.kind),
    }
    if request.max_tokens is not None:
        found |= _limit(request.max_tokens, request, model.kind)
    if request.stop:
        found["stop"] = list(request.stop)
    if request.seed is not None:
        found["seed"] = request.seed
    if model.kind == "gemma-mtp":
        found |= {"draft": request.draft, "exact": request.is_exact}
    elif request.draft != "auto":
        raise UsageError(
            "This server decides by itself what is drafted.", "/draft auto, or --draft auto."
        )
    if model.kind == "llama-server":
        found["timings_per_token"] = True
    return found


def _said(message: Message, kind: Kind) -> list[dict[str, Any]]:
    """A message in OpenAI's form, which has a message of its own for each result."""
    results = [part for part in message.parts if isinstance(part, ToolResult)]
    if results:
        return [{"role": "tool", "tool_call_id": r.id, "content": r.text} for r in results]
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.media:
        said["content"] = [*map(_part, message.parts)]
    if message.calls:
        said |= {"content": message.content or None, "tool_calls": [*map(_call, message.calls)]}
        thought = "".join(part.text for part in message.parts if isinstance(part, Thought))
        if thought and kind != "other":  # OpenAI's own service has no such field
            said["reasoning" if kind == "ollama" else "reasoning_content"] = thought
    return [said]


def _part(part: Part) -> dict[str, Any]:
    """A part of a message that is more than text."""
    if isinstance(part, Media):
        data = b64encode(part.data).decode()
        if isinstance(part, Audio):
            form = part.media_type.removeprefix("audio/").replace("mpeg", "mp3")
            return {"type": "input_audio", "input_audio": {"data": data, "format": form}}
        url = f"data:{part.media_type};base64,{data}"
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "text", "text": getattr(part, "text", "")}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tools(request: Request, kind: Kind) -> dict[str, Any]:
    """Raises UsageError for a choice that this server would not heed."""
    if not request.tools:
        return {}
    choice = request.tool_choice
    found: dict[str, Any] = {"tools": [*map(_tool, request.tools)]}
    if choice.name:
        found["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    elif choice.mode != "auto":
        found["tool_choice"] = choice.mode
    if not choice.parallel:
        found["parallel_tool_calls"] = False
    if kind == "ollama" and len(found) > 1:
        raise UsageError("Ollama lets the model decide which tools it calls.")
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    schema = json.loads(tool.parameters or '{"type": "object", "properties": {}}')
    function = {"name": tool.name, "description": tool.description, "parameters": schema}
    return {"type": "function", "function": function}


def _form(grammar: Grammar | None, kind: Kind) -> dict[str, Any]:
    """What the answer has to look like. Raises UsageError for what a server has no field for."""
    if grammar is None:
        return {}
    if grammar.kind == "json":
        return {"response_format": {"type": "json_object"}}
    if grammar.kind == "json_schema":
        schema = {"name": "answer", "schema": json.loads(grammar.text), "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    return _grammar(grammar, kind)


def _grammar(grammar: Grammar, kind: Kind) -> dict[str, Any]:
    """A grammar, or a choice, in the field that this kind of server has for it. One that is too old
    for the first field of vLLM's heeds the second, and the others pass over the second."""
    choices = json.loads(grammar.text) if grammar.kind == "choices" else None
    if kind == "vllm":
        what, value = ("choice", choices) if choices else ("grammar", grammar.text)
        return {"structured_outputs": {what: value}, f"guided_{what}": value}
    if kind not in GRAMMARS:
        raise UsageError("This server can be asked for JSON alone.",
                         "--format takes a JSON Schema.")  # fmt: skip
    if grammar.kind == "lark" and kind != "gemma-mtp":
        raise UsageError("This server reads GBNF, and this grammar is written in Lark.",
                         "A rule of GBNF is written as in: root ::= \"yes\" | \"no\"")  # fmt: skip
    one_of = " | ".join(map(json_text, choices or ()))
    return {GRAMMARS[kind]: f"root ::= {one_of}" if choices else grammar.text}


def _sampling(sampling: Sampling, model: Model) -> dict[str, Any]:
    """What is recommended for Gemma is sent to Gemma; to others only what differs from that.

    A setting that the server has no name for is left out while it changes nothing.
    """
    names, usual, neutral = NAMES[model.kind], Sampling(), Sampling(top_k=0, top_p=1.0)
    is_gemma = model.kind == "gemma-mtp" or "gemma" in model.name.lower()
    found = {}
    for name in SAMPLING:
        value = getattr(sampling, name)
        if name in names and (is_gemma or value != getattr(usual, name)):
            found[names[name]] = value
        elif name not in names and value not in (getattr(usual, name), getattr(neutral, name)):
            raise UsageError(f"This server has no setting like {name}.")
    return found


def _thinking(request: Request, kind: Kind) -> dict[str, Any]:
    think, budget = request.thinks, request.think_budget
    held = {BUDGETS[kind]: budget} if budget is not None and kind in BUDGETS else {}
    if kind == "gemma-mtp" and held:
        return held
    if kind in ("gemma-mtp", "ollama"):
        return {"reasoning_effort": _effort(budget, "high") if think else "none"}
    if kind in ("llama-server", "vllm", "sglang"):
        return {"chat_template_kwargs": {"enable_thinking": think}, **(held if think else {})}
    return {"reasoning_effort": _effort(budget, "medium")} if think else {}


def _effort(budget: int | None, usual: str) -> str:
    """The least effort that a budget amounts to, of those that every server knows."""
    if budget is None:
        return usual
    return next((word for word in ("low", "medium") if budget <= (EFFORTS[word] or 0)), "high")


def not_held(request: Request, kind: Kind) -> str:
    """A sentence where a server has no word for the budget of thoughts."""
    if not request.thinks or request.think_budget is None or kind in BUDGETS:
        return ""
    return (
        f"This server cannot be told how long to think: {request.think_budget} tokens are not held."
    )


def _limit(tokens: int, request: Request, kind: Kind) -> dict[str, Any]:
    """The limit of tokens: other servers know none that is for the answer alone, and are given what
    both may take together."""
    if not request.limit_answer:
        return {"max_tokens": tokens}
    if kind == "gemma-mtp":
        return {"max_tokens": tokens, "limit_answer": True}
    return {"max_tokens": tokens + (request.think_budget or 0)}
