"""`ps` and `stop`: the engine that stays loaded between commands."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.cli.flags import Json, Model
from gemma_mtp.errors import ExitStatus, NotPulled
from gemma_mtp.setting import settings_of
from gemma_mtp.settings import LoadOptions
from gemma_mtp.text import byte_size, counted, json_text, percent

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment

NONE = "No model is loaded."


def ps(context: typer.Context, as_json: Json = False) -> int:
    """Say which model is loaded, how, for whom and until when.

    As JSON it is an empty object where no engine runs.
    """
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.line import ask

    status = ask(place(), "status")
    if as_json:
        print(json_text(status or {}, indent=2))
    elif status is None or _model(status) is None:
        print(NONE)
    else:
        from gemma_mtp.terminal import tables

        tables.show(tables.facts(_facts(status)))
    return ExitStatus.OK


def stop(
    context: typer.Context,
    model: Model = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="End the engine at once, as one that does not answer."),
    ] = False,
) -> int:
    """Unload the model that stays between commands.

    With a MODEL only if that one is loaded. A reply in progress is written to its end, but with
    --force what there is of it is all.
    """
    if force:
        return _end()
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.line import ask

    folder = place()
    status = ask(folder, "status")
    if status is None or (model is None and _model(status) is None):
        ask(folder, "stop")
        print(NONE)
        return ExitStatus.OK
    name = _model(status)
    if model is not None and _name(context.obj, model) != name:
        print(f"{model} is not loaded{f', {name} is' if name else ''}.")
        return ExitStatus.OK
    busy = status["busy_for"]
    ask(folder, "stop", until_it_ends=not busy)
    print(f"{name} is unloaded when {busy} has its reply." if busy else f"{name} is unloaded.")
    return ExitStatus.OK


def _end() -> int:
    """End the process of the engine, whatever is loaded."""
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.start import kill

    pid = kill(place())
    print("No engine runs." if pid is None else f"The engine, process {pid}, has been ended.")
    return ExitStatus.OK


def _name(env: Environment, typed: str) -> str:
    """The name of the pair that is meant. Raises ModelNotAvailable for one that there is not."""
    try:
        return env.resolve(typed).name
    except NotPulled:
        return typed


def _model(status: dict[str, Any]) -> str | None:
    """The model that is loaded, or is about to be."""
    loading = status["loading"]
    found: str | None = loading["model"] if loading else status["model"]
    return found


def _facts(status: dict[str, Any]) -> list[tuple[str, str]]:
    users = Counter(status["clients"])
    named = [f"{name} ({count} times)" if count > 1 else name for name, count in users.items()]
    return [
        ("model", str(_model(status))),
        *(_how(status) if status["info"] else []),
        ("memory", _memory(status)),
        ("used by", ", ".join(named) or "nobody"),
        ("now", _now(status)),
        *([("waiting", _waiting(status["waiting_for"]))] if status["waiting_for"] else []),
        ("stays", _stays(status["seconds_left"])),
        ("process", str(status["pid"])),
    ]


def _how(status: dict[str, Any]) -> list[tuple[str, str]]:
    """How the model is loaded."""
    from gemma_mtp.api import DeviceChoice, Placement, from_json

    info, options = status["info"], status["options"]
    threads = counted(info["threads"], "thread")
    placement = from_json(Placement, info["placement"])
    placed = placement.in_words(bool(info["drafter_parameters"]))
    if info["adaptive_threads"]:
        threads = f"up to {threads}"
    chosen = [
        f"--{known.name.replace('_', '-')} {known.shown(options[known.field])}"
        for known in settings_of(LoadOptions)
        if options[known.field] != known.default
    ]
    facts = [
        ("context", counted(info["context_size"], "token")),
        ("runs on", f"{placed}; {threads}" if placement.gpus else f"CPU, {threads}"),
    ]
    choice: DeviceChoice = from_json(DeviceChoice, info["device_choice"])
    if words := choice.in_words:
        facts.append(("fastest", words))
    return [*facts, ("options", " ".join(chosen))] if chosen else facts


def _memory(status: dict[str, Any]) -> str:
    whole, info = status["memory_bytes"], status["info"]
    if not whole:
        return "not known"
    if not info:
        return byte_size(whole)
    cache = info["target_kv_bytes"] + info["drafter_kv_bytes"]
    files, context = byte_size(status["file_bytes"]), byte_size(cache)
    encoder = info.get("encoder_bytes", 0)
    reads = "pictures and recordings" if info.get("audio") else "pictures"
    pictures = f", reading {reads} {byte_size(encoder)}" if encoder else ""
    return f"{byte_size(whole)} (model files {files}, context {context}{pictures})"


def _now(status: dict[str, Any]) -> str:
    busy, loading = status["busy_for"], status["loading"]
    if loading:
        tries = loading["done"] > 1
        doing = "what is fastest on the GPU is tried" if tries else percent(loading["done"])
        return f"is loaded for {busy}, {doing}"
    return f"writes a reply for {busy}" if busy else "nothing to do"


def _waiting(waiting: dict[str, int]) -> str:
    """How many requests wait for which model."""
    each = [f"{counted(count, 'request')} for {name}" for name, count in waiting.items()]
    return ", ".join(each) + ("; those for one model together" if len(each) > 1 else "")


def _stays(seconds: float | None) -> str:
    if seconds is None:
        return "until gemma-mtp stop"
    minutes, rest = divmod(max(round(seconds), 0), 60)
    time = f"{minutes}:{rest:02} min"
    if minutes >= 60:
        time = f"{minutes // 60}:{minutes % 60:02} h"
    return f"{time}, if nobody asks for it"
