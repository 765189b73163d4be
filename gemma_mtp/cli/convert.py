"""`convert`: Google's originals, a model and its assistant in safetensors, become a pair.

Finds out what is meant, says what it takes, asks before it downloads gigabytes. The work is
`models/convert`'s, the download `models/pull/originals`'s.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemma_mtp.cli.quantize import AsJson, Like, Quiet, kind_of
from gemma_mtp.errors import Cancelled, ExitStatus, HubError, UsageError
from gemma_mtp.terminal.console import agreed, can_ask
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.cli.step_view import StepView
    from gemma_mtp.models.convert.originals import Originals
    from gemma_mtp.models.convert.pair import Job
    from gemma_mtp.models.pull.events import OnEvent
    from gemma_mtp.models.pull.originals import Repository

DEFAULT = "Q4_K_M"
ASSISTANT = "-assistant"  # how the names of Google's assistants end


@dataclass(frozen=True)
class Place:
    """Where originals are: a folder, or a repository."""

    folder: Path | None = None
    repository: Repository | None = None


def convert(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="FOLDER_OR_REPO", help="A Gemma 4 in safetensors.")
    ],
    assistant: Annotated[
        str | None,
        typer.Option(metavar="FOLDER_OR_REPO", help="Its assistant; else the one named like it."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", "-t", metavar="TYPE", help=f"As in Q8_0 or Q4_0; else {DEFAULT}."),
    ] = None,
    like: Like = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the pair is to be called.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="Of the repository; else the newest.")
    ] = None,
    llama_cpp: Annotated[
        Path | None,
        typer.Option("--llama-cpp", metavar="FOLDER", help="A checkout with the converter."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Make a pair of Google's originals.

    A model in safetensors and its assistant are converted by llama.cpp's own converter, and made
    smaller.
    """
    from gemma_mtp.cli.step_view import StepView
    from gemma_mtp.models.convert import converter, pair
    from gemma_mtp.terminal.interrupts import stoppable

    env: Environment = context.obj
    wanted = kind_of(kind, like, "QAT" if "qat" in source.lower() else DEFAULT)
    with stoppable() as stop:
        view = StepView(stop, as_json=as_json, quiet=quiet)
        events = _events(view, as_json, quiet)
        try:
            places = _places(source, assistant, revision, events)
            job = pair.Job(*_named(env, source, name, wanted.name, places), wanted)
            if pair.ready(job) is None:
                script = converter.find(llama_cpp)
                converter.require_packages()
                _ask(job, places, script is None, yes, view)
                _convert(env, job, places, script, view, events)
        except KeyboardInterrupt:
            raise Cancelled("Stopped.", "The same command goes on with what is done.") from None
        finally:
            view.end()
    env.remember_used(job.name)
    typed = job.name.partition(":")[2]
    typed = typed if env.store.meant(typed).name == job.name else job.name
    size = sum(path.stat().st_size for path in job.folder.glob("*.gguf"))
    view.ready(f"{job.name} is ready, {byte_size(size)}: gemma-mtp chat {typed}",
               name=job.name, folder=str(job.folder), bytes=size)  # fmt: skip
    return ExitStatus.OK


def _convert(
    env: Environment, job: Job, places: tuple[Place, Place], script: Path | None,
    view: StepView, events: OnEvent,
) -> None:  # fmt: skip
    """Everything that takes long, in the pair's folder."""
    from gemma_mtp.models.convert import converter, pair

    if script is None:
        view.say("Fetching llama.cpp's converter.")
        script = converter.fetch()
    with pair.held(job, lambda: view.say(f"Another conversion of {job.name} is running.")):
        folders = [_fetched(job, place, events) for place in places]
        models = _read(folders)
        machine = env.machine()
        takes = pair.needs(models, job.kind)
        tight = pair.require_memory(takes.memory, machine.memory_free, machine.memory_total)
        view.say(
            f"{job.stem} becomes {job.name} in {job.kind.name}, about {byte_size(takes.pair)}. "
            f"That takes about {byte_size(takes.memory)} of memory, and of the disk "
            f"{byte_size(takes.disk)} while it goes on. {tight}".rstrip(),
            memory=takes.memory, disk=takes.disk, bytes=takes.pair,
        )  # fmt: skip
        pair.convert(job, models, script, view)


def _read(folders: list[Path]) -> tuple[Originals, Originals]:
    from gemma_mtp.models.convert import originals, pair

    target, assistant = (originals.read(folder) for folder in folders)
    pair.check_roles(target, assistant)
    return target, assistant


def _fetched(job: Job, place: Place, events: OnEvent) -> Path:
    """The folder of originals, with all files in it."""
    from gemma_mtp.models.pull.originals import fetch

    if place.folder is not None:
        return place.folder
    assert place.repository is not None
    folder = _folder_of(job, place.repository)
    fetch(place.repository, folder, events)
    return folder


def _folder_of(job: Job, repository: Repository) -> Path:
    from gemma_mtp.models.convert.pair import ORIGINALS

    return job.folder / ORIGINALS / repository.name.replace("/", "--")


def _ask(job: Job, places: tuple[Place, Place], converter: bool, yes: bool, view: StepView) -> None:
    """Say what would be downloaded, and ask. Raises UsageError where nobody can be asked, and
    Cancelled for a no."""
    from gemma_mtp.models.convert.converter import SOURCE, SOURCE_BYTES
    from gemma_mtp.models.pull.originals import missing_bytes
    from gemma_mtp.terminal.interrupts import breakable

    parts = {}
    for repository in (place.repository for place in places):
        if repository and (left := missing_bytes(repository, _folder_of(job, repository))) > 0:
            parts[repository.name] = left
    if converter:
        parts[f"llama.cpp's converter, in the sources of {SOURCE} on PyPI"] = SOURCE_BYTES
    if not parts:
        return
    listed = "; ".join(f"{what}: {byte_size(size)}" for what, size in parts.items())
    view.say(f"To be downloaded: {listed}.", download=sum(parts.values()))
    if yes:
        return
    if not can_ask():
        raise UsageError(f"This downloads {byte_size(sum(parts.values()))}.", "--yes allows it.")
    view.end()
    with breakable():
        if not agreed("Download it?", default=True):
            raise Cancelled("Nothing was downloaded.")


def _places(
    source: str, assistant: str | None, revision: str | None, events: OnEvent
) -> tuple[Place, Place]:
    """Those of the model and of its assistant. Raises UsageError for what is neither folder nor
    repository."""
    target = _place(source, revision, events)
    if assistant is not None:
        return target, _place(assistant, None, events)
    hint = f"--assistant google/gemma-4-E2B-it{ASSISTANT}, say, names the one of its size."
    if target.folder is not None:
        beside = target.folder.with_name(target.folder.name + ASSISTANT)
        found = next((p for p in (beside, target.folder / ASSISTANT[1:]) if p.is_dir()), None)
        if found is None:
            raise UsageError(f"There is no assistant at {beside}.", hint)
        return target, Place(found)
    assert target.repository is not None
    try:
        return target, _place(target.repository.name + ASSISTANT, None, events)
    except HubError as error:
        error.hint = f"{error.hint} {hint}".lstrip()
        raise


def _place(typed: str, revision: str | None, events: OnEvent) -> Place:
    from gemma_mtp import paths
    from gemma_mtp.models import hub_names, typed_names
    from gemma_mtp.models.convert import originals
    from gemma_mtp.models.pull.originals import look_up

    path = paths.expanded(typed).absolute()
    if path.is_dir():
        originals.read(path)  # so that what is wrong with it is said before anything is looked for
        return Place(path)
    if path.is_file():
        hint = f"gemma-mtp quantize {shlex.quote(typed)} TYPE"
        raise UsageError(f"{typed} is a file, not a folder of safetensors.",
                         hint if path.suffix == ".gguf" else "Name the folder.")  # fmt: skip
    if not (hub_names.says_hub(typed) or typed_names.is_repository(typed)):
        raise UsageError(f'"{typed}" is neither a folder nor OWNER/REPO.',
                         "As in: gemma-mtp convert google/gemma-4-E2B-it")  # fmt: skip
    return Place(repository=look_up(hub_names.read(typed).repo, revision, events))


def _named(
    env: Environment, source: str, name: str | None, kind: str, places: tuple[Place, Place]
) -> tuple[str, str, str, str]:
    """Name, source, revision and stem of a job. Raises UsageError for a name of another model."""
    from gemma_mtp.models import local_names
    from gemma_mtp.models.convert import originals

    target = places[0]
    if target.folder is not None:
        label, stem = str(target.folder), target.folder.name
        assert places[1].folder is not None or places[1].repository is not None
        revision = originals.read(target.folder).fingerprint
    else:
        assert target.repository is not None
        label, stem = target.repository.name, target.repository.name.rpartition("/")[2]
        revision = target.repository.commit
    whole = local_names.read(name or f"{stem}-{kind}")
    bare = whole.removeprefix(local_names.PREFIX)
    if name and not local_names.is_local(name) and env.catalogue.find(bare):
        raise UsageError(f"{bare} is the name of a known model.", "Choose another --name.")
    return whole, label, revision, stem


def _events(view: StepView, as_json: bool, quiet: bool) -> OnEvent:
    """Who hears of downloads."""
    from gemma_mtp.cli.pull_view import JsonView, PullView
    from gemma_mtp.terminal.render import Printer

    if as_json:
        return JsonView(sys.stdout)
    return PullView(Printer(), quiet)
