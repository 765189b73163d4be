"""Completion of command lines in bash, zsh and fish: `completion` prints what a shell has to know.

The shell runs the program for each completion, with a variable set; `prepare` is called then. The
scripts and what reads a line are typer's. No model is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context

from gemma_mtp.errors import ExitStatus, UsageError
from gemma_mtp.options import SETTINGS

if TYPE_CHECKING:
    from gemma_mtp.cli.environment import Environment

PROGRAM, VARIABLE = "gemma-mtp", "_GEMMA_MTP_COMPLETE"
HOW = {
    "bash": 'eval "$(gemma-mtp completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(gemma-mtp completion zsh)" in ~/.zshrc, behind compinit',
    "fish": "gemma-mtp completion fish > ~/.config/fish/completions/gemma-mtp.fish",
}
Found = Iterator[tuple[str, str]]
"""Words, each with what it means."""


def completion(
    shell: Annotated[str, Argument(metavar="bash|zsh|fish", help="The shell that you use.")],
) -> int:
    """Print what lets a shell complete commands and models."""
    from typer import completion as typers

    if shell not in HOW:
        raise UsageError(
            f'There is no completion for "{shell}".', f"There is one for {', '.join(HOW)}."
        )
    print(f"# Use it by: {HOW[shell]}")
    script = vars(typers)["get_completion_script"]
    print(script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell))
    return ExitStatus.OK


def is_asked() -> bool:
    """Whether a shell asks what may come next."""
    return VARIABLE in os.environ


def prepare(command: Any, env: Environment) -> None:
    """Have typer answer a shell, and the arguments say what may stand for them."""
    from typer import completion as typers

    vars(typers)["completion_init"]()
    _teach(command, "", env)


def _teach(command: Any, name: str, env: Environment) -> None:
    for parameter in command.params:
        words = _words(parameter, name, env)
        if words is not None:
            parameter._custom_shell_complete = _completer(words)
    for below, its in getattr(command, "commands", {}).items():
        _teach(its, below, env)


def _words(parameter: Any, command: str, env: Environment) -> Callable[[], Found] | None:
    known = SETTINGS.get(str(parameter.name))
    if parameter.metavar == "MODEL" or "--model" in parameter.opts:
        return env.models_here if command not in ("pull", "download") else env.models_elsewhere
    if parameter.metavar == "KEY":
        return lambda: ((each.name, each.help) for each in SETTINGS.values())
    if parameter.name == "shell":
        return lambda: ((each, "") for each in HOW)
    if known is not None and (known.words or known.choices):
        return lambda: ((word, "") for word in (*known.words, *known.choices))
    return None


def _completer(words: Callable[[], Found]) -> Callable[[Any, Any, str], list[Any]]:
    from typer import completion as typers

    item = vars(typers)["shell_completion"].CompletionItem

    def complete(context: Context, parameter: Any, begun: str) -> list[Any]:
        return [item(word, help=what) for word, what in words() if word.startswith(begun)]

    return complete
