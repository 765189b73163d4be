"""From the messages of a request to a prompt: text by the chat template, then segments.

The engine has one `Prompts` for the pair it has loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from gemma_mtp.api import Audio, Image, Media, Message, Request
from gemma_mtp.api.messages import named
from gemma_mtp.decoding.transcript import Position, Segment, Tokens, Transcript
from gemma_mtp.engine.chat_template import ChatTemplate, turn_after
from gemma_mtp.engine.prompt_length import refuse_far_too_long, refuse_hours, texts_of
from gemma_mtp.engine.prompt_tokens import encode_prompt
from gemma_mtp.engine.template_rendering import Renderer, never
from gemma_mtp.engine.tool_prompt import MARKS_AROUND, Piece
from gemma_mtp.errors import BadPair, UsageError
from gemma_mtp.llama import LoadedPair
from gemma_mtp.llama.media import Embedded

NO_ENCODER = "There is a {} in {} message, and this model has no {} encoder here."


class Prompts:
    """Writes prompts as this pair was trained with."""

    def __init__(
        self, pair: LoadedPair, renderer: Renderer | None, cancelled: Callable[[], bool]
    ) -> None:
        """Raises BadPair for a template that cannot be read, and Cancelled."""
        self._vocabulary = vocabulary = pair.target.vocabulary
        self.context_size = pair.info.context_size
        self._encoder, self._info = pair.encoder, pair.info
        self._longest = pair.info.context_limit  # context of this model, 0 where it does not say
        bos, eos = vocabulary.text(vocabulary.bos), vocabulary.text(vocabulary.eos)
        self._template = ChatTemplate(pair.chat_template, bos, eos, renderer, cancelled)

    def close(self) -> None:
        """End what runs the template."""
        self._template.close()

    def pieces(self, request: Request, cancelled: Callable[[], bool] = never) -> list[Piece]:
        """The prompt as text.

        Raises UsageError for a request that fails its `check`, BadPair where the model's chat
        template fails, DoesNotFit for a message that is far too long to be tokenized, and
        Cancelled.
        """
        return self._pieces(request, self.context_size, cancelled)

    def _pieces(
        self, request: Request, size: int, cancelled: Callable[[], bool] = never
    ) -> list[Piece]:
        request.check()
        self._refuse_unread(request, Image, self._info.images, self._info.no_images)
        self._refuse_unread(request, Audio, self._info.audio, self._info.no_audio)
        refuse_hours(request, size)
        tokenize = self._vocabulary.tokenize
        raw = request.prompt
        refuse_far_too_long(
            texts_of(request) if raw is None else [raw],
            lambda text: len(tokenize(text, special=False)),
            size,
        )
        if raw is not None:
            return [Piece(raw)]
        return self._template.pieces(request.messages, request.thinks, cancelled, request.tools)

    @staticmethod
    def _refuse_unread(request: Request, kind: type[Image | Audio], reads: bool, hint: str) -> None:
        having = [m for m in request.messages if any(isinstance(part, kind) for part in m.parts)]
        if having and not reads:
            noun = "picture" if kind is Image else "recording"
            which = "this" if having[-1] is request.messages[-1] else "an earlier"
            raise UsageError(NO_ENCODER.format(noun, which, kind.type), hint)

    def says_nothing_of_thoughts(self, request: Request) -> bool:
        """Whether they were asked for, and this model's chat template cannot say so."""
        return request.thinks and request.prompt is None and not self._template.has_thoughts

    def encode(self, pieces: Sequence[Piece]) -> Transcript:
        """The prompt as segments: tokens, with pictures and recordings among them.

        Raises UsageError where there are none, and for a picture or recording that cannot be read;
        BadPair for an encoder that cannot be used.
        """
        found = encode_prompt(pieces, self._vocabulary.tokenize, self._vocabulary.bos)
        if not found:
            raise UsageError("The prompt is empty.")
        return Transcript(self._segments(found))

    def _segments(self, prompt: Sequence[int | Media]) -> Iterator[Segment]:
        names = named(part for part in prompt if isinstance(part, Media))
        for is_token, parts in groupby(prompt, lambda part: isinstance(part, int)):
            if is_token:
                yield Tokens(tuple(part for part in parts if isinstance(part, int)))
                continue
            for _ in parts:
                assert self._encoder is not None  # asked before
                name, part = next(names)
                yield from self._apart(self._encoder.segments(part, name))

    def _apart(self, found: Sequence[Embedded]) -> Iterator[Segment]:
        """The parts of a recording, each between the marks of one."""
        opens, closes = MARKS_AROUND[Audio]
        for number, segment in enumerate(found):
            if number:
                yield Tokens(tuple(self._vocabulary.tokenize(closes + opens, special=True)))
            yield segment

    def of(self, request: Request, cancelled: Callable[[], bool] = never) -> Transcript:
        """The prompt of a request. Raises what `pieces` raises."""
        return self.encode(self.pieces(request, cancelled))

    def count(self, request: Request) -> Position:
        """How many positions the prompt of a request takes, also where the context would have to be
        larger for it. Raises what `pieces` raises."""
        return self.encode(self._pieces(request, max(self._longest, self.context_size))).end

    def lasting(
        self, request: Request, prompt: Transcript, cancelled: Callable[[], bool] = never
    ) -> Position:
        """How much of `prompt` every later prompt begins with, whatever the reply is."""
        if request.prompt is not None or request.messages[-1].role in ("assistant", "tool"):
            return prompt.end
        later = replace(request, messages=tuple(turn_after(request.messages)))
        try:
            return prompt.shared(self.of(later, cancelled))
        except BadPair:
            # A template that fails at a second turn is reported when there is one.
            return prompt.end

    def expected(self, request: Request) -> Transcript:
        """What the prompts of all messages that may follow those of `request` begin with."""
        one, other = (
            self.of(replace(request, messages=(*request.messages, Message.text("user", text))))
            for text in ("a", ".")
        )
        one.truncate(one.shared(other))
        return one
