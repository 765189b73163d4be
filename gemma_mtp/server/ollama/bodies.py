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
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import Body
from gemma_mtp.server.errors import Refused, Unsupported
from gemma_mtp.server.forms import of_ollama
from gemma_mtp.server.ollama.messages import Said, read
from gemma_mtp.server.openai.tools import TOOLS, offered
from gemma_mtp.server.thoughts import thoughts
from gemma_mtp.setting import seconds_of
from gemma_mtp.settings import MAX_DRAFT, SETTINGS

WHOLE_CONTEXT = 2**20  # tokens that repeat_last_n -1 looks back at: no context is longer
LONGEST_STAY = float(SETTINGS["keep_alive"].most or 0)  # seconds
NO_LIMIT = (-1, -2)
"""Values of num_predict: go on without end, or until the context is full. No reply goes on beyond
the context here, so they mean the same."""


class OllamaOptions(Body):
    """The object `options`. Numbers that a client sends as 40.0 or "40" are taken as well."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    num_predict: int | None = None
    num_ctx: int | None = None
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
    }
    NEUTRAL: ClassVar = {
        "mirostat": (0,),
        "tfs_z": (1,),
        "typical_p": (1,),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "penalize_newline": (True,),
        "f16_kv": (True,),
        "logits_all": (False,),
        "vocab_only": (False,),
        "embedding_only": (False,),
    }
    # How a model is loaded is said to `serve`, and changes no text; `num_keep` matters where a
    # full context is shifted, the other two where mirostat is on.
    IGNORED: ClassVar = frozenset(
        {"num_ctx", "num_keep", "num_batch", "mirostat_tau", "mirostat_eta", "numa", "main_gpu"}
        | {"low_vram", "use_mmap", "use_mlock"}
    )

    def asked(self) -> tuple[tuple[str, Any], ...]:
        """The settings under our names. Raises Unsupported, and UsageError."""
        try:
            self.check()
        except Unsupported as error:
            raise Unsupported(f"options.{error.field}") from error
        return tuple((name, _OF[name](value)) if name in _OF else (name, value)
                     for name, value in self.values())  # fmt: skip

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
    if value in NO_LIMIT:
        return None
    if value < 1:
        what = "options.num_predict must be -1, -2 (both: no limit) or a whole number of at least 1"
        raise UsageError(f"{what}, not {value}.")
    return value


_OF: dict[str, Callable[[Any], Any]] = {
    "max_tokens": _max_tokens,
    "seed": lambda value: None if value < 0 else value,
    "top_k": lambda value: max(value, 0),  # as in llama.cpp, where less than 1 keeps all
    "repeat_last_n": lambda value: WHOLE_CONTEXT if value < 0 else value,
    "draft": lambda value: min(max(value, 0), MAX_DRAFT) if isinstance(value, int) else value,
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
        "images": ([],),
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
    raw: bool = False

    NEUTRAL: ClassVar = {**Asking.NEUTRAL, "tools": ([],)}

    @property
    def is_empty(self) -> bool:
        """Whether the model is only to be loaded, or unloaded."""
        return not self.prompt

    def read(self) -> Asked:
        if self.raw:
            if self.system:
                raise Unsupported("system", "has no place in a prompt that is raw")
            return self.asked(prompt=self.prompt)
        system = [Message.text("system", self.system)] if self.system else []
        return self.asked([*system, Message.text("user", self.prompt or "")])


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
