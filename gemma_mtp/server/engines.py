"""From what a client asks for to the events of a reply, by the resident engine.

Each request is a client of the engine process of its own, so the engine's queue is the only one.
The engine is spoken to in a thread of its own for each request; events come over to the event loop.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gemma_mtp.api import LoadOptions, PairFiles
from gemma_mtp.errors import DoesNotFit, ModelNotAvailable
from gemma_mtp.models import presets
from gemma_mtp.models.larger_context import larger_context
from gemma_mtp.models.machine import has_gpu, this_machine
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.options import Options
from gemma_mtp.resident.client import ResidentPair
from gemma_mtp.resident.identity import engine_folder, place
from gemma_mtp.resident.line import ask
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.errors import RETRY_AFTER, Refused
from gemma_mtp.server.record import Record
from gemma_mtp.server.remembered import Remembered
from gemma_mtp.server.reply import Opened, Reply
from gemma_mtp.server.threads import in_thread
from gemma_mtp.settings import KEEP_ALIVE

MOST_WAITING = 64  # requests; more would wait longer than clients do
LATEST = ":latest"  # Ollama's clients write it behind every name

Result = TypeVar("Result")


class Engines:
    """Serves requests with the models that are here.

    `served` are the options that `serve` was started with, `default` the model where a client
    names none.
    """

    def __init__(self, models: Store, served: Options, default: str | None = None) -> None:
        self.models, self.served, self.default = models, served, default
        self.replies: set[Reply] = set()  # those that have not ended
        self.remembered = Remembered()
        self.grown: dict[str, int] = {}  # context sizes, by model, that prompts made necessary
        self.stopping = False

    def find(self, model: str | None) -> PairFiles:
        """The pair that a client's name means, the default one where it gives none; accesses the
        disk, so call it in a thread. No client learns of other files than the one that `serve` was
        started with.

        Raises ModelNotAvailable, UsageError and BadPair.
        """
        default = partial(self.models.resolve, self.default, self.served.drafter)
        name = (model or "").removesuffix(LATEST)
        if not name or name == self.default:
            return default()
        if self.is_file(name):
            if default().name != name:
                raise no_file(name)
            return default()
        found = self.models.resolve(name)
        if self.served.drafter is not None and found.name == default().name:
            # With the drafter that `serve` was given for it.
            return replace(default(), preset=found.preset)
        return found

    def is_file(self, name: str) -> bool:
        """Whether a name is that of a file, which may be there or not; that of a preset is none."""
        return not presets.exists(name) and looks_like_path(self.models.meant(name).name)

    def open(self, asked: Asked) -> Opened:
        """Find the model and make the request; call it in a thread.

        Raises UsageError, ModelNotAvailable and what opening a pair raises.
        """
        files = self.find(asked.model)
        options = self._options(asked, files)
        pair = self._pair(asked, files, options)
        request = asked.request(options, files.opening)
        said = tuple(self.remembered.restored(files.target, each) for each in request.messages)
        return Opened(files, replace(request, messages=said), pair, options.context)

    def _options(self, asked: Asked, files: PairFiles) -> Options:
        options = files.fill(asked.options(self.served))
        if options.gpu_layers and self.served.gpu_layers is None and not has_gpu():
            options = replace(options, gpu_layers=None)  # clients ask for layers on any machine
        context = max(asked.context or 0, self.grown.get(files.name, 0), options.context or 0)
        return replace(options, context=context or None)

    def _pair(self, asked: Asked, files: PairFiles, options: Options) -> ResidentPair:
        keep = asked.keep_alive
        if keep is None:
            keep = KEEP_ALIVE if options.keep_alive is None else options.keep_alive
        return self.connect(files, options.part(LoadOptions), keep)

    def connect(self, files: PairFiles, loading: LoadOptions, keep: float) -> ResidentPair:
        """A client of the resident engine; tests have another one."""
        any_layers = loading.gpu_layers is None  # so that clients do not take turns in loading
        return ResidentPair(engine_folder(), files, loading, keep, any_layers=any_layers)

    async def load(self, asked: Asked, cancel: threading.Event) -> None:
        """Have the model loaded, for requests to come. Raises as `reply` does."""

        def load() -> None:
            files = self.find(asked.model)
            pair = self._pair(asked, files, self._options(asked, files))
            try:
                pair.load(lambda fraction: not cancel.is_set())
            finally:
                pair.close()

        await in_thread(load)

    def enlarge(self, asked: Asked, opened: Opened, error: DoesNotFit) -> bool:
        """Whether the context of this pair is larger from now on, so that the prompt fits: where
        neither `serve`, the client nor a preset said how large it is to be, and model and memory
        allow it."""
        preset = opened.files.preset
        own = dict(preset.values).get("context") if preset else None
        if not error.tokens or asked.context or self.served.context or own:
            return False
        opened.pair.load(lambda fraction: True)  # for its size; it is loaded
        size = larger_context(this_machine, opened.pair.info, error.tokens)
        if isinstance(size, str):
            error.hint = f"The context cannot be made larger: {size}."
            return False
        self.grown[opened.files.name] = max(size, self.grown.get(opened.files.name, 0))
        return True

    def unload(self, name: str) -> None:
        """Have the pair of this name unloaded, if it is loaded, after the reply in progress."""
        status = self.status()
        if status is not None and status["model"] == name:
            ask(place(), "unload")

    def status(self) -> dict[str, Any] | None:
        """What the engine says of itself; None where none runs."""
        found: dict[str, Any] | None = ask(place(), "status")
        return found

    async def reply(
        self, asked: Asked, cancel: threading.Event, record: Record, patience: float | None = None
    ) -> Reply:
        """A reply that has begun, or of which nothing was heard for `patience` seconds: what is
        wrong with a request is raised here, and not in the middle of a stream, unless it comes out
        later than that. `cancel` stops it within a round. What becomes of it is noted in `record`.
        """
        if self.stopping:
            raise Refused(503, "The server is being stopped.", "Try again.", "", RETRY_AFTER)
        if len(self.replies) >= MOST_WAITING:
            raise Refused(
                503, f"{MOST_WAITING} requests wait already.", "Try later.", "", RETRY_AFTER
            )
        record.passed_over, record.model = asked.ignored, asked.model or ""
        reply = Reply(self, asked, cancel, record)
        record.closing.append(reply.close)
        await reply.begin(patience)
        return reply

    async def count(self, asked: Asked) -> int:
        """Tokens of the prompt. Raises as `reply` does."""

        def count() -> int:
            opened = self.open(asked.without_values())
            try:
                return opened.pair.count(opened.request)
            finally:
                opened.pair.close()

        return await in_thread(count)

    def stop(self) -> None:
        """Stop the replies in progress, and take no more requests."""
        self.stopping = True
        for reply in list(self.replies):
            reply.stop()


def no_file(name: str) -> ModelNotAvailable:
    """The error about a file that is named, whether it is there or not."""
    hint = "A file is served where it is named: gemma-mtp serve FILE"
    return ModelNotAvailable(f'There is no model called "{name}".', hint)
