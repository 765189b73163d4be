"""`quantize`: a GGUF of Gemma 4, target or drafter, in another type.

`models/convert` does it; here are names, questions and Ctrl-C.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.models.convert.quantize import Kind
    from gemma_mtp.models.gguf_header import Header

Like = Annotated[
    str | None,
    typer.Option("--like", metavar="QAT", help="All matrices in Q4_0, as QAT files have them."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for each event.")]


def quantize(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A GGUF in BF16, F16 or F32.")],
    kind: Annotated[
        str | None, typer.Argument(metavar="TYPE", help="As in Q4_K_M, Q8_0 or Q4_0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="OUT", help="The file to write.")
    ] = None,
    like: Like = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it exists.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Make a smaller file of a GGUF of Gemma 4.

    Target or drafter. FILE stays as it is; OUT is there when it is whole.
    """
    from gemma_mtp import paths
    from gemma_mtp.cli.step_view import StepView
    from gemma_mtp.models.convert import quantize as work
    from gemma_mtp.terminal.interrupts import stoppable

    wanted = kind_of(kind, like)
    header = work.read_source(paths.expanded(file).absolute())
    work.refuse_same(header, wanted)
    final = _out(header, wanted, out)

    def check() -> None:
        if final.exists() and not force:
            again = f"gemma-mtp quantize {shlex.quote(str(header.path))} {wanted.name}"
            raise UsageError(f"{final} exists already.", f"{again} -o OTHER.gguf, or --force.")

    check()  # before anything is read, and again when another command may have ended
    with stoppable(raising=False) as stop:
        view = StepView(stop, as_json=as_json, quiet=quiet)
        try:
            expected, memory = work.expected_bytes(header, wanted), work.memory_of(header)
            view.say(
                f"{header.path.name}, {byte_size(header.file_size)}, becomes {final.name}, about "
                f"{byte_size(expected)}; that takes up to {byte_size(memory)} of memory.",
                bytes=expected,
                memory=memory,
            )
            elsewhere = "name a file elsewhere with -o"
            work.quantize(header, final, wanted, expected, view, elsewhere, check)
        finally:
            view.end()
    size = final.stat().st_size
    view.ready(f"{final} is ready, {byte_size(size)}.", file=str(final), bytes=size)
    return ExitStatus.OK


def kind_of(typed: str | None, like: str | None, default: str = "") -> Kind:
    """The type that TYPE or --like names. Raises UsageError."""
    from gemma_mtp.models.convert.quantize import QAT, TYPES, read_kind

    if like is not None and like.upper() != QAT:
        raise UsageError(
            f'--like takes QAT, not "{like}".',
            "Any other type goes without --like: gemma-mtp quantize FILE.gguf Q4_K_M",
        )
    if like is not None and typed is not None:
        raise UsageError("The type is given twice.", "Leave out TYPE, or --like.")
    word = typed or like or default
    if not word:
        hint = "As in: gemma-mtp quantize FILE.gguf Q4_K_M"
        raise UsageError("TYPE is missing.", f"{hint}. Types: {', '.join(TYPES)}.")
    return read_kind(word)


def _out(header: Header, kind: Kind, out: Path | None) -> Path:
    """The file to write. Raises UsageError where it is not to be written."""
    from gemma_mtp import paths
    from gemma_mtp.models import gguf_names

    stem = gguf_names.first_part(header.path.name)
    stem = stem.removesuffix(".gguf").removesuffix(gguf_names.quantization(stem)).rstrip("-_.")
    final = paths.expanded(out).absolute() if out else None
    if final is None or final.is_dir():
        final = (final or header.path.parent) / f"{stem}-{kind.name}.gguf"
    if not final.parent.is_dir():
        raise UsageError(f"There is no folder {final.parent}.", "Make it first.")
    if final.suffix.lower() != ".gguf":
        raise UsageError(f"{final.name} does not end in .gguf.", "Names of models do.")
    if final.exists() and any(final.samefile(part) for part in header.files or (header.path,)):
        raise UsageError("FILE and OUT are the same file.", "Name another one with -o.")
    return final
