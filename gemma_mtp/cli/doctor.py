"""`doctor`, what `pull` does without a name, and a warning: what runs here and what does not.

Knows how findings and verdicts are worded and shown; `findings` looks, `fit` judges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.cli.flags import Json
from gemma_mtp.errors import ExitStatus, GemmaMtpError
from gemma_mtp.settings import SETTINGS
from gemma_mtp.terminal.console import ask, can_ask
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.cli.findings import Finding
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
    wanted = SETTINGS["ctx"].accept(ctx, "--ctx") or DEFAULT_CONTEXT
    findings = env.findings(offline)
    wrong = any(finding.problem for finding in findings)
    try:
        fits, best = _verdicts(env, wanted)
    except GemmaMtpError:
        # Such as a models.toml that cannot be read, which is among the findings.
        if not wrong:
            raise
        fits, best = [], None
    if as_json:
        found = {"findings": [finding.as_json() for finding in findings]}
        print(json_text({**found, **_fits_json(fits, best, wanted)}))
    else:
        blocks = [_finding(finding) for finding in findings]
        lines = [line for block in blocks for line in block]
        print("\n".join([*lines, ""]))
        _show_fits(fits, wanted)
        print("\n".join(["", *advice(best, wanted)]))
    return ExitStatus.ERROR if wrong else ExitStatus.OK


def suggest(env: Environment) -> str | None:
    """`pull` without a name: show what runs here, and on a terminal ask which one to pull."""
    from gemma_mtp.api import DEFAULT_CONTEXT

    fits, best = _verdicts(env, DEFAULT_CONTEXT)
    _show_fits(fits, DEFAULT_CONTEXT)
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
    except (ImportError, OSError, RuntimeError):
        # Without llama.cpp GPUs are not known; loading reports that it is missing.
        return ""


def _show_fits(fits: list[Fit], wanted: int) -> None:
    """One line for each default pair, and what its columns mean."""
    from gemma_mtp.terminal.tables import Table, show
    from gemma_mtp.text import byte_size, thousands

    def row(fit: Fit) -> tuple[str, ...]:
        size = byte_size(fit.entry.bytes) if fit.entry.bytes else "?"
        longest = thousands(fit.context) if fit.context else "-"
        reason = f"{fit.verdict}: {fit.reason}"
        return fit.entry.name, size, byte_size(fit.needed), longest, reason

    if not fits:
        print("Which models run here cannot be told.")
        return
    heads = ("model", "download", "needs", "context", "verdict")
    show(
        Table(
            heads,
            [row(fit) for fit in fits],
            right=heads[1:4],
            dropped=("download", "context", "needs"),
        )
    )
    longest = f"{thousands(wanted)} of context, or the longest that fits"
    print(f"needs: memory with drafter and {longest}")


def advice(best: Fit | None, wanted: int) -> list[str]:
    """What to do about it."""
    from gemma_mtp.models.fit import recommended_context
    from gemma_mtp.text import thousands

    if best is None:
        return [
            "None to recommend; the built-in toy model always runs:",
            "  gemma-mtp chat tiny",
        ]
    name, context = best.entry.name, recommended_context(best, wanted)
    gpu = " --gpu-layers 0" if "--gpu-layers 0" in best.reason else ""
    kind = "QAT, " if best.entry.qat else ""
    return [
        f"Recommended: {best.entry.title} ({kind}{best.entry.target.quantization}), "
        f"with up to {thousands(context)} tokens of context",
        f"  gemma-mtp pull {name}",
        f"  gemma-mtp chat {name} --ctx {context}{gpu}",
    ]


def _verdicts(env: Environment, wanted: int) -> tuple[list[Fit], Fit | None]:
    from gemma_mtp.models.fit import judge_all, recommend

    entries = [entry for entry in env.catalogue.entries if entry.default or entry.own]
    here = {entry.name for entry in env.store.ready()}
    machine: Machine = env.machine()
    fits = judge_all(entries, machine, wanted, here)
    return fits, recommend(fits)


def _finding(finding: Finding) -> list[str]:
    lines = [f"{finding.name:14} {finding.value}".rstrip()]
    if finding.problem:
        lines.append(f"  wrong: {finding.problem}")
    if finding.hint:
        lines.append(f"         {finding.hint}")
    return lines


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
        }
        for fit in fits
    ]
    chosen = best and {"name": best.entry.name, "context": recommended_context(best, wanted)}
    return {"models": models, "recommended": chosen}
