"""`doctor`, what `pull` does without a name, and a warning: what runs here and what does not.

Knows how findings and verdicts are worded and shown; `findings` looks, `fit` judges.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.cli.flags import Json, read_options
from gemma_mtp.errors import ExitStatus, GemmaMtpError, NoEngine
from gemma_mtp.settings import LoadOptions
from gemma_mtp.terminal.console import ask, can_ask
from gemma_mtp.text import byte_size, json_text, number, thousands

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.cli.finding import Finding
    from gemma_mtp.models.fit import Fit
    from gemma_mtp.models.machine import Machine

Ctx = Annotated[int | None, typer.Option("--ctx", help="Judge with this context length in tokens.")]


def doctor(
    context: typer.Context,
    ctx: Ctx = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the hub.")] = False,
    as_json: Json = False,
) -> int:
    """Say what is wrong here, and which models run.

    Looks at engine, memory, folders and hub.

    Ends with status 1 when something is wrong.
    """
    from gemma_mtp.api import DEFAULT_CONTEXT

    env: Environment = context.obj
    options = read_options({} if ctx is None else {"ctx": ctx}, env).part(LoadOptions)
    wanted = options.context or DEFAULT_CONTEXT
    findings = env.findings(offline)
    wrong = any(finding.problem for finding in findings)
    try:
        fits, best, basis = _verdicts(env, wanted, options)
    except GemmaMtpError:
        # Such as a models.toml that cannot be read, which is among the findings.
        if not wrong:
            raise
        fits, best, basis = [], None, ""
    if as_json:
        found = {"findings": [finding.as_json() for finding in findings]}
        print(json_text({**found, **_fits_json(fits, best, wanted)}))
    else:
        from gemma_mtp.terminal import tables

        lines = [line for finding in findings for line in _finding(finding)]
        tables.show(tables.Table(("", ""), lines), "")
        _show_fits(fits, wanted, basis)
        tables.show("", *advice(best, wanted))
    return ExitStatus.ERROR if wrong else ExitStatus.OK


def suggest(env: Environment) -> str | None:
    """`pull` without a name: show what runs here, and on a terminal ask which one to pull."""
    from gemma_mtp.api import DEFAULT_CONTEXT

    fits, best, basis = _verdicts(env, DEFAULT_CONTEXT, read_options({}, env).part(LoadOptions))
    _show_fits(fits, DEFAULT_CONTEXT, basis)
    print(flush=True)
    if best is None or not can_ask():
        print("\n".join(advice(best, DEFAULT_CONTEXT)))
        return None
    answer = ask(f"Pull which one? Enter takes {best.entry.name}, n none:")
    if answer is None or answer.lower() in ("n", "no", "none", "q"):
        return None
    return best.entry.name if answer.lower() in ("", "y", "yes") else answer


def warning(env: Environment, name: str) -> str:
    """A sentence about a model that this machine has no memory for, else "".

    What has no known shape is not judged; for the built-in pair nothing is looked at.
    """
    entry = env.catalogue.find(name)
    if entry is None or entry.shape is None:
        return ""
    from gemma_mtp.models.fit import too_large

    try:
        return too_large(entry, env.machine())
    except (NoEngine, ImportError, OSError, RuntimeError):
        # Without llama.cpp GPUs are not known; loading reports that it is missing.
        return ""


def _show_fits(fits: list[Fit], wanted: int, basis: str) -> None:
    """One line for each default pair, and what its columns mean."""
    from gemma_mtp.models.fit import Verdict
    from gemma_mtp.terminal.tables import Table, show

    def row(fit: Fit) -> tuple[str, ...]:
        size = byte_size(fit.entry.bytes) if fit.entry.bytes else "?"
        longest = thousands(fit.context) if fit.context else "-"
        # Of what is slow, the pace tells the reason.
        told = replace(fit, reason="") if fit.verdict == Verdict.SLOW else fit
        return fit.entry.name, size, byte_size(fit.needed), longest, _pace(fit), told.words

    if not fits:
        print("Which models run here cannot be told.")
        return
    heads = ("model", "download", "needs", "context", "pace", "verdict")
    below = ("download", "context", "needs", "pace")
    encoders = [fit.entry.encoder.total or 0 for fit in fits if fit.entry.encoder]
    pictures = f"; reading pictures up to {byte_size(max(encoders))} more" if encoders else ""
    show(Table(heads, [row(fit) for fit in fits], right=heads[1:4], below=below), "")
    show(
        Table(
            ("", ""),
            [
                (
                    "needs",
                    f"memory, drafter and {thousands(wanted)} tokens of context included{pictures}",
                ),
                ("context", "the longest that fits just as well; chats seldom need so much"),
                ("pace", f"without drafts, {basis}; exact after a first chat"),
            ],
        )
    )


def _pace(fit: Fit) -> str:
    """What a chat here measured, or else what the speed of the memory lets expect."""
    from gemma_mtp.models import speeds
    from gemma_mtp.models.fit import about

    if known := speeds.recall(fit.entry.name):
        return f"{number(known['tokens_per_second'])} tok/s"
    return about(fit.pace) if fit.pace is not None else "-"


def advice(best: Fit | None, wanted: int) -> list[str]:
    """What to do about it."""
    from gemma_mtp.models.fit import recommended_context

    if best is None:
        return [
            "None to recommend; the built-in toy model always runs:",
            "  gemma-mtp chat tiny",
        ]
    name, context = best.entry.name, recommended_context(best, wanted)
    kind = "QAT, " if best.entry.qat else ""
    return [
        f"Recommended: {best.entry.title} ({kind}{best.entry.target.quantization})",
        f"  gemma-mtp pull {name}",
        f"  gemma-mtp chat {name} --ctx {context}",
    ]


def _verdicts(
    env: Environment, wanted: int, options: LoadOptions
) -> tuple[list[Fit], Fit | None, str]:
    from gemma_mtp.models.fit import judge_all, known_by, recommend

    entries = [entry for entry in env.catalogue.entries if entry.default or entry.own]
    here = {entry.name for entry in env.store.ready()}
    machine: Machine = replace(env.machine(), memory_speed=env.memory_speed())
    fits = judge_all(entries, machine, wanted, here, options)
    return fits, recommend(fits), known_by(machine)


def _finding(finding: Finding) -> list[tuple[str, str]]:
    problem = f"wrong: {finding.problem}" if finding.problem else ""
    told = [line for line in (finding.value, problem, *finding.hint.splitlines()) if line]
    return [(finding.name if line is told[0] else "", line) for line in told]


def _fits_json(fits: list[Fit], best: Fit | None, wanted: int) -> dict[str, Any]:
    from gemma_mtp.models.fit import recommended_context

    models = [
        {
            "name": fit.entry.name,
            "verdict": fit.verdict.value,
            "reason": fit.reason,
            "context": fit.context,
            "needed_bytes": fit.needed,
            "download_bytes": fit.entry.bytes,
            "place": fit.place,
            "layers_on_gpu": fit.placement.layers,
            "layers": fit.placement.of,
            "layers_with_experts_on_cpu": fit.placement.cpu_experts,
            "tokens_per_second": fit.pace,
        }
        for fit in fits
    ]
    chosen = best and {"name": best.entry.name, "context": recommended_context(best, wanted)}
    return {"models": models, "recommended": chosen}
