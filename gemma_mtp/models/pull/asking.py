"""One question to the hub, asked again until it is answered or hopeless.

Says what is waited for. Knows nothing of what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from gemma_mtp.models.pull import hub
from gemma_mtp.models.pull.events import OnEvent, PullSilence, PullWait
from gemma_mtp.models.pull.retry import patiently
from gemma_mtp.models.pull.silence import within

T = TypeVar("T")


def ask(where: str, question: Callable[[], T], on_event: OnEvent) -> T:
    """The answer to `question`. Raises HubError, caused by a Hiccup where `where` is hopeless."""

    def on_silence(seconds: float) -> None:
        on_event(PullSilence(urlsplit(where).netloc or where, seconds))

    return patiently(
        f"{where} cannot be asked",
        lambda: within(hub.longest_answer(), question, on_silence),
        lambda reason, seconds: on_event(PullWait(reason, seconds)),
    )
