"""What Ollama's clients send for a reply, and what of it is a setting, must be neutral, or changes
nothing.

Ollama's documentation of its API says what each field means:
github.com/ollama/ollama/blob/main/docs/api.md, and api/types.go there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from gemma_mtp.api import Message
from gemma_mtp.errors import UsageError
from gemma_mtp.models import ollama_parameters
from gemma_mtp.models.ollama_parameters import no_limit
from gemma_mtp.options import SETTINGS
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import Body
from gemma_mtp.server.errors import Refused, Unsupported
from gemma_mtp.server.forms import of_ollama
from gemma_mtp.server.ollama.messages import Said, read, shown
from gemma_mtp.server.openai.tools import TOOLS, offered
from gemma_mtp.server.thoughts import thoughts
from gemma_mtp.setting import seconds_of

MOST_LAYERS = int(SETTINGS["gpu_layers"].most or 0)
LONGEST_STAY = float(SETTINGS["keep_alive"].most or 0)  # seconds


class OllamaOptions(Body):
    """The object `options`. Numbers that a client sends as 40.0 or "40" are taken as well."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    num_predict: int | None = None
    num_ctx: int | None = None
    num_gpu: int | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    draft_num_predict: int | None = None
    stop: str | list[str] | None = None

    SETTINGS: ClassVar = {
        "temperature": "temperature",
        "top_p": "top_p",
        "seed": "seed",
        "stop": "stop",
        "num_predict": "max_tokens",
        "draft_num_predict": "draft",
        "num_gpu": "gpu_layers",
    }
    NEUTRAL: ClassVar = {**ollama_parameters.NEUTRAL}
    IGNORED: ClassVar = ollama_parameters.IGNORED | {"num_ctx"}  # which is asked for by `context`

    def asked(self) -> tuple[tuple[str, Any], ...]:
        """The settings under our names. Raises Unsupported, and UsageError."""
        try:
            self.check()
        except Unsupported as error:
            raise Unsupported(f"options.{error.field}") from error
        found = [(name, _OF[name](value)) if name in _OF else (name, value)
                 for name, value in self.values()]  # fmt: skip
        return tuple(setting for setting in found if setting != ("gpu_layers", None))

    def names(self) -> tuple[tuple[str, str], ...]:
        """What the client calls them."""
        return tuple((ours, f"options.{theirs}") for ours, theirs in self.called())

    def context(self) -> int | None:
        """The context that is wanted; 0 leaves it to the server."""
        if not self.num_ctx:
            return None
        known = SETTINGS["ctx"]
        if self.num_ctx < 0:
            raise known.refusal(self.num_ctx, "options.num_ctx")
        return int(known.accept(max(self.num_ctx, int(known.least or 0)), "options.num_ctx"))


def _max_tokens(value: int) -> int | None:
    if no_limit(value) is not None and value < 1:
        what = "options.num_predict must be -1, -2 (both: no limit) or a whole number of at least 1"
        raise UsageError(f"{what}, not {value}.")
    return no_limit(value)


_OF: dict[str, Callable[[Any], Any]] = {
    **ollama_parameters.OURS,
    "max_tokens": _max_tokens,
    # Below 0 leaves it to the server, and more layers than a model has are all of them.
    "gpu_layers": lambda value: None if value < 0 else min(value, MOST_LAYERS),
}
"""What a value means that we write differently, by our name of the setting."""


class Asking(Body):
    """What `chat` and `generate` have in common."""

    model: str | None = None
    stream: bool | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    keep_alive: float | str | None = None
    options: OllamaOptions | None = None
    format: str | dict[str, Any] | None = None

    NEUTRAL: ClassVar = {
        "suffix": ("",),
        "template": ("",),
        "context": ([],),
        "logprobs": (False,),
        "top_logprobs": (0,),
    }
    # Both allow to cut what does not fit the context. Nothing is cut here: such a request is
    # refused with a sentence, and a reply that fills the context ends with done_reason "length".
    IGNORED: ClassVar = frozenset({"truncate", "shift"})

    @property
    def streams(self) -> bool:
        """Ollama's replies are streams unless a client says otherwise."""
        return self.stream is not False

    @property
    def wants_thoughts(self) -> bool:
        """Whether the client asks for thoughts."""
        return bool(self.think)

    @property
    def unloads(self) -> bool:
        """Whether a request without a prompt is one to unload the model, and not to load it."""
        return self.keep_alive is not None and seconds(self.keep_alive) == 0

    def asked(self, messages: Sequence[Message] = (), prompt: str | None = None) -> Asked:
        """Raises Unsupported, and UsageError."""
        self.check()
        options = self.options or OllamaOptions()
        said = thoughts(("think", self.think))
        return Asked(
            self.model,
            tuple(messages),
            prompt,
            (*said.values, *options.asked()),
            (*said.called, *options.names()),
            options.context(),
            None if self.keep_alive is None else seconds(self.keep_alive),
            (*self.passed_over(), *(f"options.{name}" for name in options.passed_over())),
            of_ollama(self.format),
        )


class ChatBody(Asking):
    """`POST /api/chat`."""

    messages: list[Said] | None = None
    tools: list[dict[str, Any]] | None = Field(None, description=TOOLS)

    NEUTRAL: ClassVar = {**Asking.NEUTRAL, "images": ([],)}  # which belong into the messages

    @property
    def is_empty(self) -> bool:
        """Whether the model is only to be loaded, or unloaded."""
        return not self.messages

    def read(self) -> Asked:
        offer = offered(self.tools, None, None)
        asked = self.asked(read(self.messages or ()))
        return replace(asked, tools=offer.tools, ignored=(*asked.ignored, *offer.skipped))


class GenerateBody(Asking):
    """`POST /api/generate`."""

    prompt: str | None = None
    system: str | None = None
    images: list[Any] | None = None
    raw: bool = False

    NEUTRAL: ClassVar = {**Asking.NEUTRAL, "tools": ([],)}

    @property
    def is_empty(self) -> bool:
        """Whether the model is only to be loaded, or unloaded."""
        return not self.prompt and not self.images

    def read(self) -> Asked:
        if self.raw:
            if self.system:
                raise Unsupported("system", "has no place in a prompt that is raw")
            if self.images:
                raise Unsupported("images", "have no place in a prompt that is raw")
            return self.asked(prompt=self.prompt)
        system = [Message.text("system", self.system)] if self.system else []
        return self.asked([*system, shown(self.prompt or "", self.images, "images")])


def seconds(value: float | str) -> float:
    """A time such as 300, "5m", "1h30m" or "-1" in seconds; below 0 stands for ever, and so does
    what is longer than the longest time that can be configured.

    Raises Refused for what is no time.
    """
    found = seconds_of(str(value).strip())
    if found is None:
        why = f'must be a number of seconds or a time such as 5m, 1h30m or -1, not "{value}"'
        raise Refused(400, f"keep_alive {why}.", field="keep_alive")
    return -1.0 if abs(found) > LONGEST_STAY else found
