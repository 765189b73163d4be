"""`config`: shows and changes the user's config.toml, which `chat` and `run` honour.

Knows words and streams, and how settings become defaults of options; the file is `config`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemma_mtp.errors import ExitStatus, GemmaMtpError, UsageError
from gemma_mtp.text import json_text

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment

COMMANDS = ("chat", "run")


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    # -1 is a value, not an option.
    app.command(context_settings={"ignore_unknown_options": True})(config)


def config(
    context: typer.Context,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="A setting.")] = None,
    value: Annotated[str | None, typer.Argument(metavar="VALUE", help="Its new value.")] = None,
    unset: Annotated[
        str | None, typer.Option("--unset", metavar="KEY", help="Take a setting out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Show or change the settings of `chat` and `run`.

    They hold where the command line says nothing.
    """
    from gemma_mtp.files import config_file as settings
    from gemma_mtp.paths import config_file

    file = config_file()
    if unset is not None:
        if key is not None:
            raise UsageError("--unset takes the only name.")
        if unset in settings.read(file) or unset in settings.KEYS:
            _remove(file, unset)
            return ExitStatus.OK
        raise UsageError(f'There is no setting "{unset}".')
    if key is not None and value is not None:
        parsed = settings.parse(key, value)
        _check(context.obj, key, parsed)
        settings.write(file, key, parsed)
        return ExitStatus.OK
    return _print(settings.read(file), key, settings.KEYS, str(file), as_json)


def lazy_defaults(env: Environment) -> dict[str, Any]:
    """The settings as defaults of options, for typer; read only when an option wants one."""
    defaults = _Settings(env.settings)
    return dict.fromkeys(COMMANDS, defaults)


class _Settings(dict[str, Any]):
    """A mapping that reads the file when it is first asked.

    `--help` shows defaults too and must work whatever the file says, so a broken one is empty here;
    `complain` is for those who are about to use it.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._read = read
        self._values: dict[str, Any] | None = None

    def get(self, key: str, default: Any = None) -> Any:
        if key == "model":  # an argument; left out, it is for the store to find
            return default
        if self._values is None:
            try:
                self._values = self._read()
            except GemmaMtpError:
                self._values = {}
        return self._values.get(key, default)


def complain(env: Environment) -> None:
    """Raise what is wrong with the settings, if anything is."""
    env.settings()


def _remove(file: Any, key: str) -> None:
    from gemma_mtp.files import config_file as settings

    if key in settings.read(file):
        settings.write(file, key, None)


def _check(env: Environment, key: str, value: Any) -> None:
    """Refuse at once what `chat` would refuse later."""
    from gemma_mtp.settings import Options

    if key != "model":
        Options(**{key: value}).check()
        return
    from gemma_mtp.models.store import looks_like_path

    if not looks_like_path(value) and not value.startswith("hf:"):
        env.store.known(value)


def _print(
    values: dict[str, Any], key: str | None, known: dict[str, type], file: str, as_json: bool
) -> int:
    if key is not None and key not in known:
        raise UsageError(f'There is no setting "{key}".', f"Settings: {', '.join(known)}.")
    if as_json:
        shown = {key: values.get(key)} if key else {"file": file, "settings": values}
        print(json_text(shown))
    elif key is not None:
        print(_text(values.get(key)))
    else:
        print("\n".join(_lines(values, known, file)))
    return ExitStatus.OK


def _lines(values: dict[str, Any], known: dict[str, type], file: str) -> Iterator[str]:
    yield file
    for key in known:
        yield f"  {key:15} {_text(values.get(key))}"


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)
