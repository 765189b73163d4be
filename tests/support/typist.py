"""A chat of one kind of person only: reads lines with the real console and says what it got.

Run as a program in a pseudo-terminal; what it is to do comes as JSON in FAKE. A few lines make it
act: `work` until the file `gate` is there, `fail` hands the line back, `edit`, `ask`, `forget`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from gemma_mtp.terminal.prompt.chat_console import ChatConsole
from gemma_mtp.terminal.prompt.completion import Completion, paths
from gemma_mtp.terminal.tty_modes import cbreak_mode

VERBS = {
    "/save": "keep the conversation under a name",
    "/seed": "the seed of the next replies",
    "/set": "change a setting",
    "/show": "what is known about the model",
    "/file": "send files along with the message",
}
BAR = [(7, "tiny"), (9, "12/8192 (0 %)"), (4, "draft auto"), (6, "43 tok/s")]
FRUIT = ["apple tart", "banana bread", "cherry pie"]


def complete(typed: str) -> Iterable[Completion]:
    if typed.startswith("/file "):
        yield from paths(typed.removeprefix("/file "))
    elif typed.startswith("/"):
        for verb, description in VERBS.items():
            if verb.startswith(typed):
                yield Completion(verb, -len(typed), description)


def act(console: ChatConsole, line: str, gate: str) -> str:
    """Do what a line says; returns what the next prompt starts with."""
    if line == "work":
        print("working")
        try:
            while not os.path.exists(gate):
                time.sleep(0.01)
            print("worked")
        except KeyboardInterrupt:
            print("stopped")
    elif line == "edit":
        print("edited:", repr(console.edit("one\ntwo")))
    elif line == "ask":
        print("asked:", console.ask("Which?", FRUIT * 10))
    elif line == "forget":
        console.history_on = False
    elif line.startswith("fail"):
        return line
    return ""


def main(history: str = "", vi: bool = False, gate: str = "") -> None:
    console = ChatConsole(
        history=Path(history) if history else None,
        completions=complete,
        toolbar=lambda: BAR,
        vi=vi,
    )
    print("A conversation above.")
    again = ""
    with cbreak_mode():
        while True:
            try:
                line = console.read(again)
            except EOFError:
                break
            print("got:", repr(line) if len(line) < 300 else f"{len(line)} characters")
            again = act(console, line, gate)
    print("left")


if __name__ == "__main__":
    main(**json.loads(os.environ.get("FAKE", "{}")))
