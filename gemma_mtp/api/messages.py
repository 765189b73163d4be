"""Messages, and the turns of a conversation that they make. Made by whoever asks for a reply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from gemma_mtp.api.stats import FinishReason, Stats

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Text:
    """Text in a message."""

    type: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Image:
    """A picture in a message: the bytes of its file, and their media type such as image/png.

    `name` is what the file is called, for whoever is shown the message; "" where it has none.
    """

    type: ClassVar = "image"
    data: bytes = field(repr=False)  # megabytes, where a program prints a reply
    media_type: str
    name: str = ""


@dataclass(frozen=True)
class Audio:
    """A recording in a message: the bytes of its file, and their media type such as audio/wav.

    `name` is what the file is called, for whoever is shown the message; "" where it has none.
    """

    type: ClassVar = "audio"
    data: bytes = field(repr=False)  # megabytes, as those of a picture
    media_type: str
    name: str = ""


@dataclass(frozen=True)
class Thought:
    """What the assistant thought before it called a tool.

    A prompt has it until the user speaks again, and goes without it from then on.
    """

    type: ClassVar = "thought"
    text: str


@dataclass(frozen=True)
class ToolCall:
    """The model asks for a tool to be run; `arguments` are the text of a JSON object.

    `id` is what the result refers to.
    """

    type: ClassVar = "tool_call"
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ToolResult:
    """What the tool said that was called under `id`."""

    type: ClassVar = "tool_result"
    id: str
    text: str


Media = Image | Audio
"""What goes along with a message beside its text."""
Part = Text | Image | Audio | Thought | ToolCall | ToolResult


@dataclass(frozen=True)
class Message:
    """What one side said, in order. `tokens` are the ids the engine generated for it, if it did.

    Keeping them lets a later prompt reuse the cache even where tokenizing the text again would
    split it differently; they belong to exactly these parts, the marks around calls and thoughts
    included.
    """

    role: Role
    parts: tuple[Part, ...]
    tokens: tuple[int, ...] = ()

    @classmethod
    def text(cls, role: Role, text: str, tokens: tuple[int, ...] = ()) -> Message:
        """A message that is nothing but text."""
        return cls(role, (Text(text),), tokens)

    @property
    def content(self) -> str:
        """The text in it, without whatever else it holds."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures in it, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def media(self) -> tuple[Media, ...]:
        """What it has beside its text, in order."""
        return tuple(part for part in self.parts if isinstance(part, Media))

    @property
    def audio(self) -> tuple[Audio, ...]:
        """The recordings in it, in order."""
        return tuple(part for part in self.parts if isinstance(part, Audio))

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tools it calls, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def extended(self, text: str, tokens: tuple[int, ...] = ()) -> Message:
        """With more text at its end; its tokens are known if those of both were."""
        *before, last = self.parts or (Text(""),)
        more = [Text(last.text + text)] if isinstance(last, Text) else [last, Text(text)]
        known = (*self.tokens, *tokens) if self.tokens and tokens else ()
        return Message(self.role, (*before, *more), known)

    def without_tokens(self) -> Message:
        """For another model, or where they no longer fit the parts."""
        return replace(self, tokens=())


def named(parts: Iterable[Part]) -> Iterator[tuple[str, Media]]:
    """The pictures and recordings of a request, in order, and what to call each in a sentence."""
    found = [part for part in parts if isinstance(part, Media)]
    for number, part in enumerate(found):
        noun = "picture" if isinstance(part, Image) else "recording"
        alike = [type(other) is type(part) for other in found]
        place, many = sum(alike[: number + 1]), sum(alike)
        called = f"The {noun}" if many == 1 else f"{noun.capitalize()} {place} of {many}"
        yield part.name or called, part


@dataclass(frozen=True)
class Turn:
    """A message of the user and what came of it, up to the user's next one.

    `replies` are the assistant's messages, with the results of the tools it called between them;
    none while there is no reply. `thought` is what was thought before them. `seed` and `exact` let
    the reply be written again; `reason` says how it ended, None when that is not known: the
    program was killed meanwhile.
    """

    user: Message
    replies: tuple[Message, ...] = ()
    thought: str = ""
    seed: int | None = None
    exact: bool = False
    reason: FinishReason | None = None
    stats: Stats | None = None

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turn as a prompt has it."""
        return (self.user, *self.replies)

    @property
    def reply(self) -> Message | None:
        """The assistant's last message, which is the one that can be gone on with."""
        last = self.messages[-1]
        return last if last.role == "assistant" else None

    def with_reply(self, reply: Message) -> Turn:
        """With `reply` as the assistant's last message, in place of one that was."""
        before = self.replies if self.reply is None else self.replies[:-1]
        return replace(self, replies=(*before, reply))

    @property
    def answer(self) -> str:
        """The text of all that the assistant said, "" where there is none."""
        said = (m.content for m in self.replies if m.role == "assistant")
        return "\n\n".join(text for text in said if text)
