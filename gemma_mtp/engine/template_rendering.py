"""Runs a chat template: the environment transformers gives it, here or at the other end of a pipe.

Knows Jinja, neither messages nor the engine. `template_process` starts `serve` in a process of its
own, so nothing but Jinja and the standard library is imported here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from time import process_time
from typing import Any, Protocol

# jinja2 comes with llama-cpp-python, which requires it for the same purpose.
from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MEMORY = 512 << 20  # bytes of address space for a template of others; they take about 40 MB
ORPHAN_SECONDS = 60  # of processor time, should nobody be left to end the process
LONGEST_REASON = 300  # characters


class Failure(Exception):
    """Why a template gave no text; `bound`: it went beyond what it may take."""

    def __init__(self, reason: str, bound: bool = False) -> None:
        super().__init__(reason)
        self.bound = bound


class TooSlow(Failure):
    """It had not ended after all the time that it may take."""


def never() -> bool:
    """A `cancelled` for callers that are never cancelled."""
    return False


class Renderer(Protocol):
    """Runs one template. Whatever is wrong with it is raised as Failure; `cancelled` is asked now
    and then while it runs, and Cancelled raised if it says so."""

    def compile(self, source: str, cancelled: Callable[[], bool] = never) -> None: ...

    def render(
        self, variables: dict[str, Any], longest: int, cancelled: Callable[[], bool] = never
    ) -> str:
        """The text, of at most `longest` characters."""
        ...

    def close(self) -> None: ...


class LocalRenderer:
    """Runs a template in this process: only for those that are known to be harmless."""

    def __init__(self) -> None:
        self._template: Template | None = None

    def compile(self, source: str, cancelled: Callable[[], bool] = never) -> None:
        """Get ready to render. Raises Failure."""
        try:
            self._template = _environment().from_string(source)
        except Exception as error:  # it is somebody else's program: anything can be raised
            raise _failure(error) from error

    def render(
        self, variables: dict[str, Any], longest: int, cancelled: Callable[[], bool] = never
    ) -> str:
        """The text. Raises Failure."""
        assert self._template is not None
        text: list[str] = []
        room = longest
        try:
            for part in self._template.generate(variables):
                room -= len(part)
                if room < 0:
                    raise Failure(f"it writes more than {longest} characters", bound=True)
                text.append(part)
        except Failure:
            raise
        except Exception as error:
            raise _failure(error) from error
        return "".join(text)

    def close(self) -> None:
        """End what runs the template: nothing, since it runs in this process."""


def serve() -> None:
    """Compile and render for another process: one JSON object a line in and out, until the input
    ends."""
    _limit("RLIMIT_AS", MEMORY)
    renderer = LocalRenderer()
    for line in sys.stdin.buffer:
        _limit("RLIMIT_CPU", int(process_time()) + ORPHAN_SECONDS)
        answer: dict[str, Any] = {}
        try:
            answer["text"] = _serve(renderer, json.loads(line))
        except Failure as failure:
            answer = {"failed": str(failure), "bound": failure.bound}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


def _serve(renderer: LocalRenderer, request: dict[str, Any]) -> str:
    if "source" in request:
        renderer.compile(request["source"])
        return ""
    return renderer.render(request["variables"], request["longest"])


def _limit(name: str, most: int) -> None:
    """Lower what this process may take, where the system has such a limit."""
    with suppress(ImportError, AttributeError, ValueError, OSError):
        import resource

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(kind, (most, hard))


def _failure(error: Exception) -> Failure:
    if isinstance(error, MemoryError):
        return Failure("it takes too much memory", bound=True)
    if isinstance(error, RecursionError):
        return Failure("it is nested too deeply", bound=True)
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return Failure(reason[:LONGEST_REASON].rstrip(".\n") or type(error).__name__)


class _Generation(Extension):
    """`{% generation %}` marks what a model wrote, for training; here it is text like any other."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    env.filters["tojson"] = _to_json
    env.globals["raise_exception"] = _raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own filter escapes for HTML, which no model was trained on."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
