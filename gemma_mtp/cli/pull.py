"""`gemma-mtp pull`: its options, and what a person or a script sees of it.

`models.pull` does the work, `pull_view` shows how it goes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.doctor import suggest, warning
from gemma_mtp.errors import Cancelled, ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.terminal.console import agreed, can_ask, say

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.cli.pull_view import JsonView, PullView
    from gemma_mtp.models.pull.events import PullEvent
    from gemma_mtp.models.pull.request import PullRequest

Name = Annotated[
    str | None,
    typer.Argument(metavar="MODEL", help="As in 12b, OWNER/REPO:QUANT, ollama:NAME or FILE.gguf."),
]
Folder = Path | None


def pull(
    context: typer.Context,
    model: Name = None,
    revision: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Another revision than the pinned one.")
    ] = None,
    reuse: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A file, or a folder to look in, before downloading."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Fetch again what has been published anew since.")
    ] = False,
    to: Annotated[
        Folder, typer.Option("--to", metavar="FOLDER", help="Make a copy to carry away.")
    ] = None,
    source: Annotated[
        Folder, typer.Option("--from", metavar="FOLDER", help="Take what --to made.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use only what is on this machine.")
    ] = False,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Take files that differ from the pinned sha256.")
    ] = False,
    no_images: Annotated[
        bool, typer.Option("--no-images", help="Leave out the encoder of pictures and sound.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for each event.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """Download a model, its drafter and its encoder.

    From then on it is the model used when none is named.
    """
    from gemma_mtp.models.pull.request import PullRequest

    if to is not None and source is not None:
        raise UsageError("--to and --from cannot be used together.")
    doubt = _doubt(context.obj, model) if model is not None and to is None else ""
    if model is None and source is None:
        model = suggest(context.obj)
        if model is None:
            return ExitStatus.OK
    if doubt and not as_json and can_ask():
        say(doubt)
        if not agreed("Pull it nevertheless?", default=False):
            return ExitStatus.OK
        doubt = ""
    request = PullRequest(
        revision, offline, tuple(reuse or ()), allow_changed, to=to, source=source, update=update,
        images=not no_images,
    )  # fmt: skip
    return show_pull(context.obj, model, request, doubt, as_json=as_json, quiet=quiet)


def show_pull(
    env: Environment,
    model: str | None,
    request: PullRequest | None = None,
    doubt: str = "",
    *,
    as_json: bool = False,
    quiet: bool = False,
    goes_on: bool = False,
) -> int:
    """Pull with progress on the screen; also for the offer to pull a model that is missing.

    `doubt` is a sentence to begin with. `goes_on`: the command uses the model by itself then.
    """
    from gemma_mtp.cli.pull_view import JsonView, PullView, ready_line
    from gemma_mtp.models.pull.events import PullNote, PullReady
    from gemma_mtp.models.pull.request import PullRequest
    from gemma_mtp.terminal.render import Printer

    request = request or PullRequest()
    printer = Printer()
    view: JsonView | PullView = JsonView(sys.stdout) if as_json else PullView(printer, quiet)
    if doubt:
        view(PullNote(doubt))
    ready: list[PullReady] = []

    def on_event(event: PullEvent) -> None:
        view(event)
        if isinstance(event, PullReady):
            ready.append(event)

    name = _pulled(env, model, request, on_event, view)
    if request.to is None:
        env.remember_used(name)
    for event in ready or [PullReady(name, "", "")]:
        if not as_json and not quiet:
            printer.line(ready_line(event, request.to is not None, goes_on))
    return ExitStatus.OK


def _doubt(env: Environment, model: str) -> str:
    """Why not to pull this model, if anything speaks against it and it is not here yet."""
    entry = env.catalogue.find(env.store.meant(model).name)
    if entry is None or env.store.is_ready(entry):
        return ""
    return warning(env, entry.name)


def _pulled(
    env: Environment,
    model: str | None,
    request: PullRequest,
    on_event: Callable[[PullEvent], None],
    view: JsonView | PullView,
) -> str:
    """The name of what was pulled; whatever went wrong is also an event for scripts."""
    from gemma_mtp.cli.pull_view import JsonView

    failure: GemmaMtpError
    try:
        return env.pull(model, on_event, request)
    except KeyboardInterrupt:
        failure = Cancelled("Stopped.", "What has arrived is kept; the same command goes on.")
    except GemmaMtpError as error:
        failure = error
    finally:
        view.end()
    if isinstance(view, JsonView):
        view.error(str(failure), failure.hint, failure.status)
    raise failure
