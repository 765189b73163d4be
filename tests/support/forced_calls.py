"""The real command line with the built-in pair, which has to call a tool for each message and none
after a result; what it would rather do is another matter for a toy model. Run as a program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

from gemma_mtp.api import Event, LoadOptions, PairFiles, Replies, Request, ToolChoice
from gemma_mtp.cli.app import main
from gemma_mtp.cli.environment import Environment
from gemma_mtp.options import Options


class Forced:
    """An engine that is told when to call."""

    def __init__(self, engine: Replies) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def reply(self, request: Request, cancel: threading.Event) -> Iterator[Event]:
        after_result = request.messages[-1].role == "tool"
        choice = ToolChoice("none") if after_result else ToolChoice("required", "paint")
        return self._engine.reply(replace(request, tool_choice=choice), cancel)


class ForcedEnvironment(Environment):
    """Everything as it is, but for that."""

    def attach(
        self, files: PairFiles, options: Options, progress: Callable[[float], bool]
    ) -> Replies:
        return Forced(self.load(files, options.part(LoadOptions), progress))  # type: ignore[return-value]


if __name__ == "__main__":
    sys.exit(main(env=ForcedEnvironment()))
