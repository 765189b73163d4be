"""From a typed line to the verb that is meant: read, done, or answered with what would do it.

The loop of a chat calls it. What other programs call a verb is in `others`.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from gemma_mtp.chat.verbs import others
from gemma_mtp.chat.verbs.registry import Verb, find
from gemma_mtp.errors import GemmaMtpError, UsageError

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat

AS_MESSAGE = 'To send it as a message, put """ before and after it.'


def read_verb(line: str) -> tuple[str, str] | None:
    """(verb, rest) of a command line; None for a message, which may well start with a path."""
    if line.strip() in ("/", "?"):
        return "help", ""
    spaced = re.match(r"\s*/( +\w+)", line)
    if spaced and find(spaced[1].strip().lower()):
        # No verb has spaces in front: the answer names the one without them.
        return spaced[1].lower(), ""
    match = re.fullmatch(r"\s*/(\?|[A-Za-z][\w-]*)(?:\s+(.*))?", line, re.DOTALL)
    if not match:
        return None
    name, rest = match[1].lower(), (match[2] or "").strip()
    if rest and not _is_known(name, rest) and os.path.exists(f"/{match[1]}"):  # also endless names
        return None
    return name, rest


def _is_known(name: str, rest: str) -> bool:
    """Whether it is some program's verb; one of others with several words after it is talk."""
    return find(name) is not None or (others.is_known(name) and " " not in rest)


def run(chat: Chat, name: str, rest: str) -> None:
    """Do what was typed, or say why not; whatever happens, the chat goes on."""
    known = find(name)
    if known is None:
        meant = others.meant(name, rest)
        if meant:
            run(chat, *meant)
        else:
            chat.say(others.unknown(name))
            if len(rest.split()) > 1 or (os.path.exists(f"/{name}") and name not in others.HINTS):
                chat.note(AS_MESSAGE)
        return
    try:
        _check_words(known, name, rest)
        known.act(chat, rest)
    except GemmaMtpError as error:
        chat.failed(error, "")
    except KeyboardInterrupt:
        chat.note("stopped")
    except EOFError:  # Ctrl-D at a question
        chat.note("Nothing was done.")
    except Exception as error:
        chat.failed(error, f"/{name}")


def _check_words(known: Verb, name: str, rest: str) -> None:
    count = len(rest.split())
    if known.words is None or count <= known.words:
        return
    if known.words == 0:
        raise UsageError(f"/{name} takes nothing after it.", f"/{name}")
    raise UsageError(f"/{name} takes one word after it.", known.usage)
