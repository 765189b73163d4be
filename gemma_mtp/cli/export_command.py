"""`export-command`: what serves the same pair in llama-server, vLLM or Ollama."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.find_pair import say_what_is_meant
from gemma_mtp.cli.flags import Json, read_options, takes_options
from gemma_mtp.errors import ExitStatus, ModelNotAvailable, UsageError
from gemma_mtp.options import Options
from gemma_mtp.settings import LoadOptions, ReplySettings, Sampling
from gemma_mtp.terminal.console import note
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.elsewhere import Exported


PROGRAMS = (LLAMA_SERVER, VLLM, OLLAMA) = ("llama-server", "vllm", "ollama")
HOST = "127.0.0.1"
PORTS = {LLAMA_SERVER: 8080, VLLM: 8000}  # their own


@dataclass(frozen=True)
class Carried(LoadOptions, ReplySettings, Sampling):
    """The settings that may have a counterpart in another program."""


@takes_options(Carried)
def export_command(
    context: typer.Context,
    options: Options,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A name such as 12b, or a GGUF file.")
    ],
    program: Annotated[str, typer.Option("--for", metavar="|".join(PROGRAMS), help="The program.")],
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="HOST", help=f"Where it listens. [default: {HOST}]"),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, help="On which port. [default: its own]"
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Print what serves a model in another program.

    A command, or for Ollama a Modelfile. What cannot be carried over is said on standard error.
    """
    env: Environment = context.obj
    if program not in PROGRAMS:
        raise UsageError(f"--for must be one of {', '.join(PROGRAMS)}, not {program}.")
    say_what_is_meant(env, model)
    configured = read_options({}, env)
    options = configured.with_values(**{name: getattr(options, name) for name in options.given})
    found = _exported(env, model, program, options, host or HOST, port or PORTS.get(program, 0))
    notes = [*found.notes]
    if program == OLLAMA and (host or port):
        notes.append("Where Ollama listens is said where it starts: OLLAMA_HOST=HOST:PORT")
    if as_json:
        about = {"program": program, "command": found.command, "modelfile": found.modelfile}
        print(json_text({**about, "notes": notes}, indent=2))
        return ExitStatus.OK
    print(found.modelfile or f"{shlex.join(found.command)}\n", end="")
    for sentence in notes:
        note(sentence)
    return ExitStatus.OK


def _exported(
    env: Environment, model: str, program: str, options: Options, host: str, port: int
) -> Exported:
    from gemma_mtp.models import elsewhere, speeds, tried

    if program == VLLM:
        return _for_vllm(env, model, options, host, port)
    files, _ = tried.settled(env.resolve(model, options.drafter))
    options = files.fill(options)
    draft, why = elsewhere.draft_length(files, options, speeds.paid(files.name))
    if program == OLLAMA:
        found = elsewhere.for_ollama(files, options, draft)
    else:
        found = elsewhere.for_llama_server(files, options, draft, host, port)
    return replace(found, notes=(why, *found.notes))


def _for_vllm(env: Environment, model: str, options: Options, host: str, port: int) -> Exported:
    """vLLM fetches the model itself, so it need not be here."""
    from gemma_mtp.models import elsewhere

    entry = env.store.require(model)
    if entry.original is None:
        known = dict.fromkeys(e.size for e in env.catalogue.entries if e.original)
        raise ModelNotAvailable(
            f"vLLM serves a model's original weights, and those of {entry.name} are not known.",
            f"Known of: {', '.join(known)}.",
        )
    filled = env.store.filled(model, options)
    return elsewhere.for_vllm(entry.size, entry.original, filled, host, port)
