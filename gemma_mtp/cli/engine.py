"""`ps` and `stop`: the engine that stays loaded between commands."""

from __future__ import annotations

from typing import Any

import typer

from gemma_mtp.cli.flags import Json, Model
from gemma_mtp.errors import ExitStatus
from gemma_mtp.settings import LoadOptions, settings_of
from gemma_mtp.text import byte_size, counted, json_text

NONE = "No model is loaded."


def ps(context: typer.Context, as_json: Json = False) -> int:
    """Say which model is loaded, how, for whom and until when."""
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.line import ask

    status = ask(place(), "status")
    if as_json:
        print(json_text(status, indent=2))
    elif status is None or status["model"] is None:
        print(NONE)
    else:
        from gemma_mtp.terminal import tables

        tables.show(tables.Table(("", ""), _rows(status)))
    return ExitStatus.OK


def stop(context: typer.Context, model: Model = None) -> int:
    """Unload the model and end the engine that stays between commands.

    With a MODEL only if that one is loaded.
    """
    from gemma_mtp.resident.identity import place
    from gemma_mtp.resident.line import ask

    folder = place()
    status = ask(folder, "status")
    if status is None:
        print(NONE)
        return ExitStatus.OK
    name = status["model"] or "The engine"
    if model is not None and context.obj.resolve(model, None).name != status["model"]:
        print(f"{model} is not loaded, {name} is.")
        return ExitStatus.OK
    ask(folder, "stop")
    busy = status["busy_for"]
    print(f"{name} ends when the reply to {busy} is written." if busy else f"{name} is unloaded.")
    return ExitStatus.OK


def _rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    info, left = status["info"], status["seconds_left"]
    users = ", ".join(status["clients"]) or "nobody"
    chosen = _chosen(status["options"])
    return [
        ("model", status["model"]),
        ("context", counted(info["context_size"], "token") if info else ""),
        *([("options", chosen)] if chosen else []),
        ("memory", byte_size(status["memory_bytes"]) if status["memory_bytes"] else "not known"),
        ("used by", users),
        ("busy", f"writes a reply for {status['busy_for']}" if status["busy_for"] else "no"),
        ("waiting", counted(status["waiting"], "request")),
        ("stays", "until gemma-mtp stop" if left is None else _time(left)),
        ("process", str(status["pid"])),
    ]


def _chosen(options: dict[str, Any]) -> str:
    """The options of loading that are not the usual ones, as they are typed."""
    chosen = []
    for known in settings_of(LoadOptions):
        if options[known.field] != known.default:
            chosen.append(f"--{known.name.replace('_', '-')} {known.shown(options[known.field])}")
    return " ".join(chosen)


def _time(seconds: float) -> str:
    whole = max(round(seconds), 0)
    return f"{whole // 60}:{whole % 60:02} min, if nobody asks for it"
