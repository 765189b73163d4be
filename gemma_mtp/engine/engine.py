"""A loaded pair that writes replies, and what it keeps from one reply to the next.

Joins the parts that each know one thing; knows no terminal, no network and no files but the pair's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from threading import Event as Flag
from typing import TypeVar

from gemma_mtp.api import End, Event, PairInfo, Prefill, Request
from gemma_mtp.decoding.costs import CostBook, Costs
from gemma_mtp.decoding.drafters import DraftModel
from gemma_mtp.decoding.plain_steps import PlainSteps
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import Transcript
from gemma_mtp.decoding.trial import Trial
from gemma_mtp.engine.background import Background, Pause
from gemma_mtp.engine.cost_measuring import measure_costs
from gemma_mtp.engine.detokenizer import Channel, ReplyText
from gemma_mtp.engine.drafting import Drafting
from gemma_mtp.engine.grammar import Grammars
from gemma_mtp.engine.prompt_cache import PromptCache
from gemma_mtp.engine.prompts import Prompts
from gemma_mtp.engine.reply import SPARE_CELLS, Reply
from gemma_mtp.engine.states import KeptStates, States
from gemma_mtp.engine.template_rendering import Renderer, never
from gemma_mtp.engine.threads import Threads
from gemma_mtp.engine.tool_calls import CallMarks
from gemma_mtp.engine.tool_notation import MARK
from gemma_mtp.engine.tool_prompt import CALL_CLOSES, CALL_OPENS, TOOL_MARKS
from gemma_mtp.engine.two_drafters import Memory, TwoDrafters
from gemma_mtp.errors import DoesNotFit, GemmaMtpError, UsageError
from gemma_mtp.llama import LoadedPair
from gemma_mtp.llama.context import LARGE_CONTEXT
from gemma_mtp.llama.media import Embedded

# Seconds without a request after which a conversation is kept on the disk, and tokens by which it
# has to have grown: seldom enough that the disk does not notice a chat that goes on.
REST, WORTH_WRITING = 20.0, 64

OVERTAKEN = "This reply cannot go on: the model was used for something else meanwhile."

Step = TypeVar("Step")


class Engine:
    """Writes replies, one at a time, and keeps what it learned from one to the next."""

    def __init__(
        self,
        pair: LoadedPair,
        memory: Memory | None = None,
        renderer: Renderer | None = None,
        cancelled: Callable[[], bool] = never,
        states: States | None = None,
        two_drafters: TwoDrafters | None = None,
    ) -> None:
        self.pair = pair
        self._two_drafters = two_drafters
        self.info: PairInfo = pair.info
        self.prompts = Prompts(pair, renderer, cancelled)
        self._states = states
        self.cache = PromptCache(pair.target, self._kept_states(), pair.encoder)
        self.grammars = Grammars(pair.target.vocabulary)
        self.background = Background()
        self._memory = memory
        self._begin_learning()
        self._drafter_failed = False
        self._prepared_for: Request | None = None
        self._using_cache: Iterator[object] | None = None

    def close(self) -> None:
        """Free the models; the engine is of no use afterwards."""
        self.background.stop()
        self._using_cache = None  # a reply that was abandoned must not touch freed memory
        self.cache.settle()
        self.cache.keep()
        self.cache.states.close()
        self.prompts.close()
        self.grammars.close()
        if self._memory:
            self._memory.keep(self.info, self._book)
        self.pair.close()

    def _begin_learning(self) -> None:
        """What rounds cost, with how many threads, and what drafts bring."""
        self._book = self._memory.recall(self.info) if self._memory else CostBook()
        self.threads = Threads(self.pair, self.info, self._book)
        self.drafting = Drafting(self._book, self.info.target_parameters)
        self._plain_steps: dict[tuple[int, int], PlainSteps] = {}

    def _kept_states(self) -> KeptStates:
        """The states on the disk that fit a cache of this size."""
        target, size = self.pair.target, self.pair.info.context_size
        cells = target.ring_size, target.piece_size, size > LARGE_CONTEXT
        info = self.pair.info
        where = info.gpu_layers, *info.placement.key, *info.device_choice.options.key
        encoder = self.pair.encoder
        return KeptStates(self._states, size, (*where, *cells), encoder and encoder.identity)

    def enlarge(self, context: int) -> None:
        """Have a context of at least so many tokens, without loading the weights again.

        The conversations in the cache and on the shelf stay where they are the same bits in it.
        Raises UsageError for more than the model was trained for, and DoesNotFit: then all is as
        before. BadPair where nothing is left but to close.
        """
        if context <= self.info.context_size:
            return
        self._stop_preparing()
        self.cache.settle()
        self._using_cache = None  # one that was abandoned
        alike, device = self.pair.attends_alike(context), self.pair.device
        before, kept = self.info, self.cache.lift()
        try:
            self.pair.enlarge(context)
        except (DoesNotFit, UsageError):
            self.cache.put_back(kept)
            raise
        self._heed_size()
        if alike and self.pair.device == device:
            self.cache.put_back(kept)
            self.cache.states = self._kept_states()
        else:
            self.cache = PromptCache(self.pair.target, self._kept_states(), self.pair.encoder)
            if self._memory:
                self._memory.keep(before, self._book)
            self._begin_learning()

    def make_ready(self, prompt: Transcript, exact: bool) -> None:
        """Make the contexts anew if `prompt` has pictures that have to be evaluated at once and are
        larger than a piece; and again for an `exact` one without, which must not show that there
        were pictures before. The cache holds what it did. Raises what `enlarge` raises."""
        at_once = self._at_once(prompt)
        if at_once <= self.pair.target.most_at_once and (at_once or not exact):
            return
        if at_once == self.pair.at_once:
            return
        kept = self.cache.lift()
        try:
            self.pair.widen(at_once)
        except DoesNotFit as error:
            self.cache.put_back(kept)
            hint = "A shorter context, or fewer tokens for a picture (--image-tokens), takes less."
            raise DoesNotFit(f"There is no memory to read a picture: {error}", hint) from error
        self.cache.put_back(kept)
        self.cache.states = self._kept_states()
        self._heed_size()

    def _at_once(self, prompt: Transcript) -> int:
        """Positions that one batch has to have room for; 0 where pieces will do."""
        encoder = self.pair.encoder
        others = (each for each in prompt.segments() if isinstance(each, Embedded))
        return encoder.most if encoder and any(each.at_once for each in others) else 0

    def _heed_size(self) -> None:
        found = self.pair.info
        self.info = replace(
            self.info,
            context_size=found.context_size,
            target_kv_bytes=found.target_kv_bytes,
            drafter_kv_bytes=found.drafter_kv_bytes,
            placement=found.placement,
            device_choice=found.device_choice,
        )
        self.prompts.context_size = found.context_size

    def reply(self, request: Request, cancel: Flag | None = None) -> Iterator[Event]:
        """Write one reply. `End` is always the last event, also after `cancel` was set.

        Raises what `prompt` raises, and DoesNotFit, with the number of tokens and the size of the
        context, when the prompt leaves no room for a reply.
        """
        request.check()
        # Made first, so that the time to its first token includes the wait for the background.
        reply = Reply(self, request, cancel or Flag())
        self._stop_preparing()
        yield from self._settling(reply.events())
        size = self.cache.state_bytes
        encoder = self.pair.encoder
        self.info = replace(
            self.info,
            exact_slowdown=self._exact_slowdown(),
            state_bytes=size,
            encoder_bytes=encoder.nbytes if encoder else 0,
        )
        if request.keep is not None:
            self.background.start(self._settling(self._at_rest()))

    def prepare(self, request: Request | None) -> None:
        """Evaluate in the background what the prompt after `request` will begin with, up to the
        text of its new message; for None, leave off. The last message of `request` is a reply.

        Templates drop from their history what they put in front of a new reply, and thoughts: then
        nothing of the last reply can be reused. Done while the person reads or types, this makes
        the next prompt as short as what is new in it. Returns at once; whatever else is asked of
        the engine ends it within a piece, and its errors mean no more than that less is prepared.
        What follows a `prompt` of its own is not known before.
        """
        request = None if request is None or request.prompt is not None else request
        if request == self._prepared_for:
            return
        self.background.cancel()
        self._prepared_for = request
        if request is not None:
            self.background.start(self._settling(self._ahead(request)))

    def count(self, request: Request) -> int:
        """How many positions the prompt of `request` takes. Raises what `prompt` raises. Another
        thread may ask while a reply is written, until `close`."""
        return self.prompts.count(request)

    def prompt(self, request: Request) -> list[int]:
        """Token ids of the prompt that `request` amounts to.

        Raises UsageError for a request that fails its `check`, BadPair where the model's chat
        template fails, and DoesNotFit for a message that is far too long to be tokenized.
        """
        return self.prompts.of(request).ids

    def measure_costs(
        self,
        max_width: int = 9,
        repeats: int = 5,
        progress: Callable[[float], bool] = lambda fraction: True,
    ) -> Costs:
        """Time all widths now, behind what is cached; the controller uses them from now on, unless
        `progress`, which gets 0..1, says to stop."""
        self._stop_preparing()
        costs, complete = measure_costs(self, max_width, repeats, progress)
        if complete:
            self._book.learn(costs)
        return costs

    def _exact_slowdown(self) -> float | None:
        """How many times as long a plain round takes in exact mode, which makes it two rows wide;
        None until both widths were timed."""
        curve = self._book.at(self.cache.transcript.end)
        return curve.verify(2) / curve.verify(1) if 1 in curve and 2 in curve else None

    def _stop_preparing(self) -> None:
        self._prepared_for = None
        self.background.stop()

    def _ahead(self, request: Request) -> Iterator[Prefill | Pause]:
        """What `prepare` evaluates. That begins with rendering, as templates may be slow."""
        expected = self.prompts.expected(request)
        if expected.end + SPARE_CELLS < self.info.context_size:
            self.make_ready(expected, request.is_exact)
            pieces = self.cache.prepare(expected, request.is_exact, request.keep)
            yield from self.threads.in_pieces(pieces, expected, request.is_exact)
        yield from self._at_rest()

    def _at_rest(self) -> Iterator[Pause]:
        """Have the conversation kept on the disk, if that is wanted, once nobody asks for more."""
        if self.cache.keeping is not None:
            yield Pause(REST)
            self.cache.keep(WORTH_WRITING)

    def _settling(self, events: Iterator[Step]) -> Generator[Step, None, None]:
        """Whatever happens, the cache holds what the transcript says, and not a token more.

        Not if the cache is in use by others: a reply may be abandoned and end after the next began.
        Nor can it go on then, with tokens, and perhaps a drafter, that are no longer there: raises
        GemmaMtpError.
        """
        self.cache.settle()
        self._using_cache = events
        try:
            for event in events:
                yield event
                if self._using_cache is not events and not isinstance(event, End):
                    raise GemmaMtpError(OVERTAKEN)
        finally:
            if self._using_cache is events:
                self.cache.settle()

    # What a reply needs of it.

    def reply_text(self, stop: Sequence[str], raw: bool = False) -> ReplyText:
        """A fresh assembler of this model's tokens into text. `raw`: marks of tools are text."""
        vocabulary = self.pair.target.vocabulary
        marks = () if raw else map(vocabulary.id_of, TOOL_MARKS)
        hidden = {*vocabulary.end_of_generation, *(i for i in marks if i is not None)}
        return ReplyText(vocabulary.piece, stop, self.channel, hidden)

    @property
    def call_marks(self) -> CallMarks:
        """The marks around this model's calls of tools."""
        return CallMarks(*map(self.pair.target.vocabulary.id_of, (CALL_OPENS, CALL_CLOSES, MARK)))

    @property
    def channel(self) -> Channel:
        """The marks around this model's thoughts."""
        id_of = self.pair.target.vocabulary.id_of
        return Channel(open_id=id_of("<|channel>"), close_id=id_of("<channel|>"))

    def plain_steps(self, width: int) -> PlainSteps:
        """Plain steps of `width` rows, timed with as many threads as evaluate now."""
        return self._plain_steps.setdefault((self.threads.count, width), PlainSteps())

    @property
    def draft_model(self) -> DraftModel | None:
        """The pair's drafter, if there is one and it has not failed."""
        return None if self._drafter_failed else self.pair.drafter

    def trial(self, request: Request, sampler: Sampler) -> Trial | None:
        """A comparison of the pair's two drafters in this reply, if there are two to choose from
        and the reply may have drafts. What a grammar leaves says little of how they guess."""
        pair, drafts = self.pair, request.draft != 0 and request.synthetic_acceptance is None
        if self._two_drafters is None or pair.rival is None or self.draft_model is None:
            return None
        if not drafts or sampler.constraint is not None:
            return None
        return Trial(self._two_drafters.score, (self.draft_model, pair.rival), sampler)

    def choose_drafter(self) -> str:
        """Keep the better drafter, once that is known, and say so; "" where nothing is new. Not
        while a round is under way."""
        two, pair = self._two_drafters, self.pair
        if two is None or pair.rival is None or not two.score.is_decided:
            return ""
        two.keep(two.score)
        self.info = replace(self.info, drafter_choice=two.said)
        if two.score.second_is_better:
            self._exchange(two)
        else:
            self.drop_rival()
        return two.said

    def drop_rival(self) -> None:
        """Do without the second drafter."""
        self.pair.settle(rival=False)

    def _exchange(self, two: TwoDrafters) -> None:
        """Draft with the second drafter from now on; what was learned of the first one is kept."""
        if self._memory:
            self._memory.keep(self.info, self._book)
        self._memory = two.memory
        self.pair.settle(rival=True)
        parameters = self.pair.info.drafter_parameters
        self.info = replace(self.info, drafter_parameters=parameters, drafter_of=two.files.rival_of)
        self._begin_learning()

    def give_up_drafter(self, error: GemmaMtpError) -> str:
        """Do without the pair's drafter from here on, since it failed; what to say about that."""
        reason = str(error).rstrip(".")
        self._drafter_failed = True
        self.info = replace(self.info, plain_reason=reason[:1].lower() + reason[1:])
        return f"{reason}; decoding is plain until the pair is loaded again."
