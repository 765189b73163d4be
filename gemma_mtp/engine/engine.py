"""A loaded pair that writes replies, and what it keeps from one reply to the next.

Joins the parts that each know one thing; knows no terminal, no network and no files but the pair's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event as Flag
from time import perf_counter, process_time
from typing import Protocol

import numpy as np

from gemma_mtp.api import (
    MAX_WIDTH,
    DraftSetting,
    Event,
    LoadOptions,
    Message,
    PairFiles,
    PairInfo,
    Prefill,
    Request,
    Sampling,
)
from gemma_mtp.decoding.cost_timing import measure_costs
from gemma_mtp.decoding.costs import CostBook, Costs
from gemma_mtp.decoding.draft_length import AutoDraft, DraftPolicy, FixedDraft
from gemma_mtp.decoding.lookup import common_prefix
from gemma_mtp.decoding.plain_steps import Baseline
from gemma_mtp.decoding.proposer import DraftTemperature
from gemma_mtp.decoding.round import Drafter
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.thread_count import AutoThreads, FixedThreads, ThreadPolicy
from gemma_mtp.engine.background import Background
from gemma_mtp.engine.chat_template import ChatTemplate, Piece, encode_prompt, turn_after
from gemma_mtp.engine.detokenizer import Channel, ReplyText
from gemma_mtp.engine.prompt_cache import Session
from gemma_mtp.engine.prompt_length import refuse_far_too_long
from gemma_mtp.engine.reply import SPARE_CELLS, Reply
from gemma_mtp.engine.template_rendering import Renderer, never
from gemma_mtp.engine.thread_equality import EqualRows
from gemma_mtp.errors import BadPair, GemmaMtpError
from gemma_mtp.llama import LoadedPair, load_pair
from gemma_mtp.llama.threads import FreeProcessors

# What costs are measured with where nothing is cached yet: any text will do.
SHORT_CONTEXT = 256  # tokens
SOME_TEXT = "Every round drafts a few tokens, and the target checks all of them at once. "
# Bytes of a target that takes long enough to load for the template's process to start meanwhile.
WORTH_A_HEAD_START = 500 << 20


class Memory(Protocol):
    """Keeps measured costs from one run of the program to the next."""

    def recall(self, info: PairInfo) -> CostBook: ...
    def keep(self, info: PairInfo, book: CostBook) -> None: ...


def load(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool] = lambda f: True,
    memory: Memory | None = None,
) -> Engine:
    """Load a pair; `progress` gets 0..1 and answers whether to go on.

    Raises BadPair, DoesNotFit, Cancelled.
    """
    renderer = _renderer_for(files)
    try:
        pair = load_pair(files, options, progress)
        try:
            return Engine(pair, memory, renderer, lambda: not progress(1.0))
        except BaseException:
            pair.close()
            raise
    except BaseException:
        if renderer is not None:
            renderer.close()
        raise


def _renderer_for(files: PairFiles) -> Renderer | None:
    """A process for the model's template that starts while the model is loaded, if that is long."""
    try:
        if files.target.stat().st_size < WORTH_A_HEAD_START:
            return None
    except OSError:  # said when it is loaded
        return None
    from gemma_mtp.engine.template_process import Apart

    renderer = Apart()
    with suppress(GemmaMtpError):  # not needed for every template; said if it is
        renderer.start()
    return renderer


class Engine:
    """Writes replies, one at a time, and keeps what it learned from one to the next."""

    def __init__(
        self,
        pair: LoadedPair,
        memory: Memory | None = None,
        renderer: Renderer | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self.pair = pair
        self._memory = memory
        self.info: PairInfo = pair.info
        vocabulary = pair.target.vocabulary
        self._template = ChatTemplate(
            pair.chat_template,
            vocabulary.text(vocabulary.bos),
            vocabulary.text(vocabulary.eos),
            renderer,
            cancelled,
        )
        self._channel = Channel(
            open_id=vocabulary.id_of("<|channel>"), close_id=vocabulary.id_of("<channel|>")
        )
        self._book = memory.recall(pair.info) if memory else CostBook()
        self._book.threads = pair.info.threads
        self._auto = AutoDraft(self._book)
        self.draft_temperature = DraftTemperature()
        self.session = Session(pair.target)
        self.reading_threads = self._thread_policy()
        self.writing_threads = self._thread_policy()
        self.equal_rows = EqualRows(pair)
        self._plain_steps: dict[tuple[int, int], Baseline] = {}
        self._drafter_failed = False
        self.background = Background()
        self._prepared_for: Request | None = None

    def close(self) -> None:
        """Free the models; the engine is of no use afterwards."""
        self.background.stop()
        self._template.close()
        if self._memory:
            self._memory.keep(self.info, self._book)
        self.pair.close()

    def reply(self, request: Request, cancel: Flag | None = None) -> Iterator[Event]:
        """Write one reply. `End` is always the last event, also after `cancel` was set.

        Raises UsageError for a request that fails its `check`, and DoesNotFit when the prompt
        leaves no room for a reply.
        """
        request.check()
        # Made first, so that the time to its first token includes the wait for the background.
        reply = Reply(self, request, cancel or Flag())
        self._prepared_for = None
        self.background.stop()
        yield from self._in_step(reply.events())

    def prepare(self, request: Request | None) -> None:
        """Evaluate in the background what the prompt after `request` will begin with, up to the
        text of its new message; for None, leave off. The last message of `request` is a reply.

        Templates drop from their history what they put in front of a new reply, and thoughts: then
        nothing of the last reply can be reused. Done while the person reads or types, this makes
        the next prompt as short as what is new in it. Returns at once; whatever else is asked of
        the engine ends it within a piece, and its errors mean no more than that less is prepared.
        """
        if request == self._prepared_for:
            return
        self.background.cancel()
        self._prepared_for = request
        if request is not None:
            self.background.start(self._in_step(self._ahead(request)))

    def _ahead(self, request: Request) -> Iterator[Prefill]:
        """What `prepare` evaluates. That begins with rendering, as templates may be slow."""
        expected = self.expected(request)
        if len(expected) + SPARE_CELLS < self.info.context_size:
            pieces = self.session.prepare(expected, request.is_exact)
            yield from self.in_pieces(pieces, expected, request.is_exact)

    def expected(self, request: Request) -> list[int]:
        """What the prompts of all messages that may follow those of `request` begin with."""
        one, other = (
            self.prompt(replace(request, messages=(*request.messages, Message.text("user", text))))
            for text in ("a", ".")
        )
        return one[: common_prefix(one, other)]

    def _in_step(self, events: Iterator[Event]) -> Generator[Event, None, None]:
        """Whatever happens, the cache holds what the session says, and not a token more."""
        try:
            yield from events
        finally:
            self.pair.target.keep(len(self.session.tokens))

    def count(self, request: Request) -> int:
        """Tokens of the prompt that `request` amounts to. Raises what `prompt` raises."""
        return len(self.prompt(request))

    def prompt(self, request: Request) -> list[int]:
        """Token ids of the prompt that `request` amounts to.

        Raises UsageError for a request that fails its `check`, BadPair where the model's chat
        template fails, and DoesNotFit for a message that is far too long to be tokenized.
        """
        return self.encode(self.pieces(request))

    def pieces(self, request: Request, cancelled: Callable[[], bool] = never) -> list[Piece]:
        """The prompt as text. Raises what `prompt` raises, and Cancelled."""
        request.check()
        tokenize = self.pair.target.vocabulary.tokenize
        refuse_far_too_long(
            request.messages,
            lambda text: len(tokenize(text, special=False)),
            self.info.context_size,
        )
        return self._template.pieces(request.messages, request.think, cancelled)

    def encode(self, pieces: Sequence[Piece]) -> list[int]:
        """Token ids of a prompt."""
        vocabulary = self.pair.target.vocabulary
        return encode_prompt(pieces, vocabulary.tokenize, vocabulary.bos)

    def lasting(
        self, request: Request, prompt: list[int], cancelled: Callable[[], bool] = never
    ) -> int:
        """How many tokens of `prompt` every later prompt begins with, whatever the reply is."""
        if request.messages[-1].role == "assistant":
            return len(prompt)
        later = replace(request, messages=tuple(turn_after(request.messages)))
        try:
            return common_prefix(prompt, self.encode(self.pieces(later, cancelled)))
        except BadPair:  # a template that takes no second turn is said when there is one
            return len(prompt)

    def reply_text(self, stop: Sequence[str]) -> ReplyText:
        """A fresh assembler of this model's tokens into text."""
        return ReplyText(
            self.pair.target.vocabulary.piece,
            stop,
            self._channel,
            self.pair.target.vocabulary.end_of_generation,
        )

    def measure_costs(
        self,
        max_width: int = 9,
        repeats: int = 5,
        progress: Callable[[float], bool] = lambda fraction: True,
    ) -> Costs:
        """Time all widths now, behind what is cached; the controller uses them from now on, unless
        `progress` says to stop."""
        self._prepared_for = None
        self.background.stop()
        if not self.session.tokens:
            vocabulary = self.pair.target.vocabulary
            text = vocabulary.tokenize(SOME_TEXT, special=False)
            room = self.info.context_size - max_width - SPARE_CELLS
            prompt = [vocabulary.bos, *text * SHORT_CONTEXT][: min(SHORT_CONTEXT, room)]
            for _ in self.session.prefill(prompt):
                pass
        complete = True

        def go_on(fraction: float) -> bool:
            nonlocal complete
            complete = complete and progress(fraction)
            return complete

        self.writing_threads.begin()
        self.use_threads(self.writing_threads.count)
        target, drafter = self.pair.target, self.drafter
        room = self.info.context_size - max_width - SPARE_CELLS
        position = self.session.rewind(min(len(self.session.tokens), room))
        text = self.session.tokens[-max_width:]
        costs = measure_costs(
            target,
            drafter,
            Sampler(Sampling(), 0),
            (text * max_width)[:max_width],
            position,
            np.zeros(target.embedding_width, np.float32),
            min(max_width, target.widest(position)),
            repeats,
            go_on,
        )
        if complete:
            self._book.learn(costs)
        return costs

    def in_pieces(
        self, pieces: Iterator[Prefill], tokens: Sequence[int], exact: bool
    ) -> Iterator[Prefill]:
        """Prefill of `tokens`, each piece with as many threads as are best now."""
        threads = self.reading_threads
        threads.begin()
        event = next(pieces, None)  # nothing is evaluated yet
        while event is not None:
            yield event
            if (done := event.done) == event.total:
                return
            self.choose_threads(threads, tokens[done : done + MAX_WIDTH], done, exact)
            started, given = perf_counter(), process_time()
            event = next(pieces)
            threads.record(event.done - done, perf_counter() - started, process_time() - given)

    def choose_threads(
        self, policy: ThreadPolicy, tokens: Sequence[int], position: int, exact: bool
    ) -> None:
        """Evaluate with as many threads as `policy` says; if `exact`, only where the text is the
        same as with all of them, for which `tokens` may be evaluated at `position`."""
        count, most = policy.count, policy.most
        if exact and count != most:
            equal = self.equal_rows.between(most, count, tokens, position)
            count = count if equal else most
        self.use_threads(count)

    def use_threads(self, count: int) -> None:
        """Evaluate with so many threads, at whose costs rounds are valued from now on."""
        self.pair.use_threads(count)
        self._book.threads = count

    @property
    def threads(self) -> int:
        """How many evaluate now."""
        return self._book.threads

    def plain_steps(self, width: int) -> Baseline:
        """Plain steps of `width` rows, timed with as many threads as evaluate now."""
        return self._plain_steps.setdefault((self.threads, width), Baseline())

    def _thread_policy(self) -> ThreadPolicy:
        if not self.info.adaptive_threads:
            return FixedThreads(self.info.threads)
        return AutoThreads(self.info.threads, FreeProcessors())

    @property
    def drafter(self) -> Drafter | None:
        """The pair's drafter, if there is one and it has not failed."""
        return None if self._drafter_failed else self.pair.drafter

    def give_up_drafter(self, error: GemmaMtpError) -> str:
        """Decode plainly from here on, since the drafter failed; what to say about that."""
        reason = str(error).rstrip(".")
        self._drafter_failed = True
        self.info = replace(self.info, plain_reason=reason[:1].lower() + reason[1:])
        return f"{reason}; decoding is plain until the pair is loaded again."

    def policy(self, setting: DraftSetting) -> DraftPolicy:
        """The controller for a request; "auto" goes on from what it has learned."""
        if self.drafter is None:
            return FixedDraft(0)
        if setting != "auto":
            return FixedDraft(setting)
        self._auto.new_reply()
        return self._auto
