"""`create` and `cp`: presets, names for a model with settings of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.cli.flags import Drafter, Json
from gemma_mtp.errors import ExitStatus, ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.terminal.console import agreed, can_ask, note, say
from gemma_mtp.text import json_text, one_line

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.presets import Kept

USUAL = Path("Modelfile")  # what Ollama reads where no file is named

Force = Annotated[bool, typer.Option("--force", help="Replace one of the same name.")]


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the preset is called.")],
    model: Annotated[
        str | None, typer.Option("--from", metavar="MODEL", help="The model, or another preset.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="System prompt.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of it (repeatable)."),
    ] = None,
    drafter: Drafter = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", metavar="FILE", help="A Modelfile, or what show --toml made."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Keep a name for a model with its settings.

    The name is used like that of a model, by chat, run, serve and the others. With nothing
    else, the Modelfile of this folder is read.
    """
    env: Environment = context.obj
    if model is None and file is None and not USUAL.is_file():
        raise UsageError(
            "Say which model it is for.", f'gemma-mtp create {name} --from e2b --system "..."'
        )
    if model is None and file is None:
        file = USUAL
        note(f"reading {USUAL}")
    kept = _begun(env, name, model, file)
    kept = kept.changed(_typed(system, settings or [], drafter))
    return _keep(env, kept, force, as_json)


def cp(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A preset, or a model.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the copy is called.")],
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Copy a preset, or give a model another name."""
    env: Environment = context.obj
    return _keep(env, env.store.preset(source, name), force, as_json)


def _begun(env: Environment, name: str, model: str | None, file: Path | None) -> Kept:
    """What the file says, or a preset of the model without settings."""
    if file is None:
        return env.store.preset(model or "", name)
    kept = _of_file(file, name)
    on_top = env.store.preset(model or kept.model, name)
    over = {key: value for key, value in _data(kept).items() if key != "from"}
    return on_top.changed(over)


def _of_file(file: Path, name: str) -> Kept:
    from gemma_mtp.files import places
    from gemma_mtp.models import modelfile, presets

    if file.is_dir():
        raise UsageError(f"{file} is a folder.", f"--file {file / USUAL}, say, names a file in it.")
    if not file.exists():
        raise UsageError(f"There is no file {file}.")
    if file.suffix.lower() == ".toml":
        return presets.read(file, name)
    try:
        text = places.own_text(file)
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no Modelfile: it is no text.") from error
    except ValueError as error:
        raise UsageError(f"{file} is no Modelfile: {error}.") from error
    found = modelfile.read(text, name, file.absolute().parent)
    for sentence in found.notes:
        note(sentence)
    return found.kept


def _data(kept: Kept) -> dict[str, Any]:
    from gemma_mtp.models.presets import as_data

    return as_data(kept)


def _typed(system: str | None, settings: list[str], drafter: Path | None) -> dict[str, Any]:
    """What the command line says, as a file of a preset does. Raises UsageError."""
    from gemma_mtp import paths
    from gemma_mtp.models.preset_data import NAMES
    from gemma_mtp.options import find

    found: dict[str, Any] = {} if system is None else {"system": system}
    for word in settings:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--set {word} has no value.", "As in: --set temperature=0.5")
        known = find(name.strip(), NAMES, "setting of a preset")
        accepted = known.parse(value, f"--set {known.name}")
        before = found.get(known.name, ()) if known.kind is tuple else ()
        found[known.name] = [*before, *accepted] if known.kind is tuple else accepted
    if drafter is not None:
        found["drafter"] = str(paths.expanded(drafter).absolute())
    return found


def _keep(env: Environment, kept: Kept, force: bool, as_json: bool) -> int:
    from gemma_mtp.models import presets

    if kept.drafter is not None and not kept.drafter.is_file():
        raise ModelNotAvailable(f"There is no file {kept.drafter}.")
    absent = ""
    try:
        env.resolve(kept.model, kept.drafter)  # so that nothing is kept that cannot be loaded
    except NotPulled as error:
        absent = error.name
    known = presets.exists(kept.name)
    if known and not force:
        if not can_ask():
            raise UsageError(f"There is a preset {known} already.", "--force replaces it.")
        if not agreed(f"There is a preset {known} already. Replace it?", default=False):
            say("Nothing was changed.")
            return ExitStatus.OK
    path = presets.keep(kept)
    if as_json:
        print(json_text({"preset": kept.name, "preset_of": kept.model, "path": str(path)}))
    else:
        say(described(kept))
    if absent:
        note(f"{absent} is not on this machine yet: gemma-mtp pull {absent}")
    return ExitStatus.OK


def described(kept: Kept) -> str:
    """A sentence about what a preset is, and what it adds to its model."""
    from gemma_mtp.models.preset_data import told

    parts = [
        f"{words} to begin with" if name == "messages" else f"{name} {one_line(words, 40)}"
        for name, words in told(kept.preset)
    ]
    parts += [f"the drafter {kept.drafter}"] if kept.drafter else []
    if not parts:
        return f"{kept.name} is another name for {kept.model}."
    return f"{kept.name} is {kept.model} with {', '.join(parts)}."
