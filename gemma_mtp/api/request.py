"""A request: one reply to be written, and how. Made by clients, read by the engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from gemma_mtp.api.messages import (
    Image,
    Media,
    Message,
    Part,
    Role,
    Thought,
    ToolCall,
    ToolResult,
    named,
)
from gemma_mtp.api.pictures import check_picture
from gemma_mtp.api.recordings import check_recording
from gemma_mtp.api.tools import Tool, ToolChoice, check_tools
from gemma_mtp.errors import UsageError
from gemma_mtp.options import Options
from gemma_mtp.setting import check, setting
from gemma_mtp.settings import ReplySettings, Sampling

GrammarKind = Literal["json", "json_schema", "choices", "lark", "gbnf"]
"""json: any object; json_schema: `text` is a JSON Schema; choices: a JSON list of texts; lark and
gbnf: a grammar as llguidance [1] or llama.cpp [2] writes it.

[1] https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
[2] https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""


@dataclass(frozen=True)
class Grammar:
    """What the answer has to look like, whatever the model would rather write."""

    kind: GrammarKind
    text: str = ""

    @classmethod
    def written(cls, text: str) -> Grammar:
        """One that somebody wrote: GBNF where it has rules of that kind, else Lark."""
        return cls("gbnf" if "::=" in text else "lark", text)


@dataclass(frozen=True)
class Keeping:
    """That the state of the cache after a conversation is kept on the disk, for the chats to come.

    `name` tells the conversation from all others; `limit` is how many bytes all states may take.
    """

    name: str
    limit: int


@dataclass(frozen=True)
class Request(ReplySettings):
    """One reply to be written.

    `messages` become a prompt by the model's chat template; a `prompt` takes their place for who
    has one already, control tokens and all: only <bos> is put in front, where it has none.

    `seed` None lets the engine pick one (reported in `End`); `exact` None means: if a seed is
    given. A last message of the assistant's is continued. `keep` None keeps nothing on the disk.
    `limit_answer`: `max_tokens` counts the answer alone, and none of its thoughts.
    `tools` may be called as `tool_choice` says; with a `grammar` besides, text that is no call has
    to follow that.

    For measuring: `ignore_end` goes on to `max_tokens` whatever the model says, and
    `synthetic_acceptance` accepts each draft with this chance, if those before it were, whatever
    the tokens are: the text is worthless, the cost is real.
    """

    messages: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    grammar: Grammar | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    keep: Keeping | None = None
    limit_answer: bool = False
    ignore_end: bool = False
    synthetic_acceptance: float | None = setting(
        None, "", float, least=0, most=1, unset="drafts are judged"
    )
    prompt: str | None = None

    @classmethod
    def of(
        cls, messages: tuple[Message, ...], options: Options, keep: Keeping | None = None
    ) -> Request:
        """One reply to `messages`, as the options have it. A budget for thoughts leaves
        `max_tokens` to the answer."""
        settings = {**asdict(options.part(ReplySettings)), "exact": options.is_exact}
        apart = options.think_budget is not None
        sampling = options.part(Sampling)
        return cls(messages, sampling, keep=keep, limit_answer=apart, **settings)

    def check(self) -> None:
        """Raise UsageError with a sentence about the first field that cannot be served.

        Whoever makes a request, this is where it is validated; an engine calls it before anything
        else. Whether the prompt fits the context, and whether there is an encoder that can read
        its pictures and recordings, is only known to the engine.
        """
        if self.prompt is None and not self.messages:
            raise UsageError("messages must hold at least one message.")
        if self.prompt is not None and self.messages:
            raise UsageError("prompt takes the place of messages; a request has one of them.")
        if not isinstance(self.prompt, str | None):
            raise UsageError("prompt must be a text.")
        for message in self.messages:
            _check_message(message)
        for name, part in named(part for message in self.messages for part in message.parts):
            (check_picture if isinstance(part, Image) else check_recording)(part.data, name)
        check_tools(self.tools, self.tool_choice)
        check(self.sampling)
        check(self)


def _check_message(message: Message) -> None:
    if not isinstance(message, Message) or isinstance(message.parts, str):
        raise UsageError("messages must hold messages of parts; Message.text makes one of a text.")
    if message.role not in get_args(Role):
        raise UsageError(f'role must be one of {", ".join(get_args(Role))}, not "{message.role}".')
    for part in message.parts:
        if not isinstance(part, Part):
            raise UsageError(f"A part of a message must be one of api.Part, not {part!r}.")
        if isinstance(part, Media) and message.role != "user":
            does = "shows pictures" if isinstance(part, Image) else "plays recordings"
            raise UsageError(f"Only the user {does}, not the {message.role}.")
        if isinstance(part, ToolCall | Thought) and message.role != "assistant":
            raise UsageError(f"Only the assistant calls tools or thinks, not the {message.role}.")
        if isinstance(part, ToolResult) != (message.role == "tool"):
            raise UsageError("Messages of the role tool hold results of tools, and no others do.")
