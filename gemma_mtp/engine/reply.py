"""One reply as a stream of events: prompt, prefill, rounds, text, statistics.

Knows the engine it is written by; no terminal, no network and no files.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from threading import Event as Flag
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from gemma_mtp.api import (
    MAX_WIDTH,
    DraftUse,
    End,
    Event,
    FinishReason,
    Prefill,
    Progress,
    Request,
    Stats,
)
from gemma_mtp.decoding.constraint import Constraint, Thinking
from gemma_mtp.decoding.outcome import Round
from gemma_mtp.decoding.plain_steps import PlainSteps, Step
from gemma_mtp.decoding.round import Speculator, agree, synthetic
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import Position, Transcript
from gemma_mtp.decoding.trial import Trial
from gemma_mtp.engine.chat_template import open_thought
from gemma_mtp.engine.counting import draft_use, with_round
from gemma_mtp.engine.held import Held, reply_parts
from gemma_mtp.engine.prompt_cache import Wanted
from gemma_mtp.engine.tool_calls import Delta
from gemma_mtp.errors import Cancelled, DoesNotFit, GemmaMtpError, UsageError

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

# The round needs a cell for the pending token and one for padding; the drafter needs one, too.
SPARE_CELLS = 2

NO_THOUGHTS = (
    "The chat template of this model has no place for thoughts, so it was not told to think."
)
STUCK = "Nothing may follow here by the grammar or schema, so that the answer is not complete."


class Reply:
    """One reply being written."""

    def __init__(self, engine: Engine, request: Request, cancel: Flag) -> None:
        self.engine, self.request, self.cancel = engine, request, cancel
        self.transcript = engine.cache.transcript
        self.started = perf_counter()
        self.seed = secrets.randbits(32) if request.seed is None else request.seed
        self.policy = engine.drafting.policy(request.draft)
        self.warning = ""
        self._chosen = ""  # which of two drafters was kept at its end
        # A round of exact mode is never narrower; one of this width without drafts is plain.
        self.plain_width = 2 if request.is_exact else 1
        self.stats = Stats(
            context_size=engine.info.context_size,
            compared_with="exact plain" if request.is_exact else "plain",
        )
        self._tried = 0  # rounds that only tried drafts out
        self._first: int | None = None  # where in the transcript's ids the reply begins
        self._held = Held(engine, request)
        self.text = reply_parts(engine, request, self._held, self._call_id)
        self._in_thought = False  # whether the prompt ends in one
        self._restricted: Constraint | None = None  # there from `_begin` on
        self._trial: Trial | None = None  # likewise
        if request.think_budget and engine.channel.close_id is None:
            raise UsageError(
                "The marks around a thought are no tokens in this model's file, so that thoughts "
                "cannot be held to a budget.",
                "Leave it out; the limit of tokens counts thoughts, too.",
            )

    def _written(self) -> int:
        """How many tokens were generated so far."""
        return 0 if self._first is None else len(self.transcript.ids) - self._first

    @property
    def _left(self) -> int | None:
        """How many tokens may still come, of the answer or of all; None without a limit. A round in
        a thought has no more of them either: the answer may begin in it."""
        if self.request.max_tokens is None:
            return None
        uncounted = self.text.text.thought_tokens if self.request.limit_answer else 0
        return self.request.max_tokens - self._written() + uncounted

    @property
    def ids(self) -> tuple[int, ...]:
        """All that was generated so far."""
        return () if self._first is None else tuple(self.transcript.ids[self._first :])

    def events(self) -> Iterator[Event]:
        """Prefill, then text and progress, then the end."""
        prompts, cancelled = self.engine.prompts, self.cancel.is_set
        try:
            pieces = prompts.pieces(self.request, cancelled)
            prompt = prompts.encode(pieces)
            lasting = prompts.lasting(self.request, prompt, cancelled)
        except Cancelled:
            yield self._end("cancelled")
            return
        thought = open_thought(pieces)
        if thought is not None:
            self._in_thought = True
            self.text.text.open_thought(thought)
        size = self.engine.info.context_size
        if prompt.end + SPARE_CELLS >= size:
            raise DoesNotFit(
                f"The prompt has {prompt.end} tokens, and the context holds {size}.",
                tokens=prompt.end,
                size=size,
            )
        self.stats = replace(self.stats, prompt_tokens=prompt.end)
        self.engine.make_ready(prompt, self.request.is_exact)
        yield from self._prefill(prompt, lasting)
        if self.transcript.end < prompt.end:
            yield self._end("cancelled")
        else:
            yield from self._generate()

    def _prefill(self, prompt: Transcript, lasting: Position) -> Iterator[Prefill]:
        started = perf_counter()
        keep, exact = self.request.keep, self.request.is_exact
        sampler = Sampler(self.request.sampling, self.seed)
        short = self._is_free and sampler.takes_shortlists
        wanted: Wanted = "shortlist" if short else "row"
        pieces = self.engine.cache.prefill(prompt, exact, lasting, keep, wanted, self.cancel.is_set)
        for event in self.engine.threads.in_pieces(pieces, prompt, exact):
            self.stats = replace(
                self.stats,
                cached_tokens=event.cached,
                prefill_seconds=perf_counter() - started,
                context_used=event.done,
            )
            yield event
            if self.cancel.is_set():
                return

    def _generate(self) -> Iterator[Event]:
        rounds, transcript = self._begin(), self.transcript
        threads = self.engine.threads
        threads.writing.begin()
        reason, texts = self._record(transcript.ids[-1:], 0, rounds)
        self.stats = replace(
            self.stats,
            completion_tokens=1,
            context_used=transcript.end,
            ttft_seconds=perf_counter() - self.started,
        )
        yield from texts
        while reason is None:
            started, position = perf_counter(), transcript.end - 1
            room = min(self.engine.info.context_size - position, MAX_WIDTH)
            threads.choose(threads.writing, transcript.ids[-room:], position, self.request.is_exact)
            self._guess(rounds)
            self._time_plain_step(rounds, position)
            done = self._round(rounds, position)
            if self._trial is not None:
                self._trial.judge(done.tokens[0])
            threads.writing.record(done.width, done.verify_seconds, done.verify_processor_seconds)
            reason, texts = self._record(done.tokens, done.accepted, rounds)
            done = done.cut(transcript.end - 1 - position)  # at a stop string
            self._count(done, position, perf_counter() - started)
            yield from texts
            yield Progress(self.stats)
        if reason == "stop" and self._is_stuck:
            reason, self.warning = "length", self.warning or STUCK
        yield from self.text.finish(ended=reason == "stop")
        yield self._end(reason)

    @property
    def _is_stuck(self) -> bool:
        """Whether the grammar came to a place where nothing may follow, and the reply ended so."""
        if self._restricted is None or self.text.stopped:
            return False
        return not self._restricted.may_end(self.transcript.ids[:-1])

    def _begin(self) -> Speculator:
        """Choose the first token by the prompt's last row, from which rounds go on."""
        engine, request, transcript = self.engine, self.request, self.transcript
        target = engine.pair.target
        self._restricted = self._constraint()
        sampler = Sampler(request.sampling, self.seed, target.softcap, self._restricted)
        drafters = engine.drafting.drafters(request, engine.draft_model, sampler)
        self._trial = engine.trial(request, sampler)
        row = engine.cache.last_row
        assert row is not None
        self._first = len(transcript.ids)
        # A copy: a repeat penalty changes the row, and a later reply may start from it again.
        row = row.copy() if isinstance(row, np.ndarray) else row
        transcript.append(sampler.sample(row, transcript.end, transcript.ids))
        chance = request.synthetic_acceptance
        return Speculator(
            target,
            drafters,
            sampler,
            transcript,
            None if all(drafter.free for drafter in drafters) else target.hidden(0),
            () if request.ignore_end else target.vocabulary.end_of_generation,
            min_width=self.plain_width,
            judge=agree if chance is None else synthetic(chance, self.seed),
        )

    @property
    def _is_free(self) -> bool:
        """Whether any token may come anywhere."""
        return self._held.is_free and self.request.think_budget is None

    def _constraint(self) -> Constraint | None:
        """What the grammar of the request and its tools allow, and its budget for thoughts."""
        if self._is_free:
            return None
        held = self._held
        channel, vocabulary = self.engine.channel, self.engine.pair.target.vocabulary
        thinking = Thinking(
            channel.open_id,
            channel.close_id,
            vocabulary.id_of("\n"),
            in_thought=self._in_thought,
            may_think=self.request.thinks,
            budget=self.request.think_budget,
            ends=vocabulary.end_of_generation,
        )
        return Constraint(held.text, len(self.transcript.ids), thinking, held.calls)

    def _guess(self, rounds: Speculator) -> None:
        """Where the pair has two drafters to choose from, both guess what comes next."""
        if self._trial is None or rounds.hidden is None:
            return
        rounds.watched = self._trial.is_on
        try:
            self._trial.guess(self.transcript, rounds.hidden)
        except GemmaMtpError:  # if it was the first one that failed, its next draft says so
            self._trial = None
            self.engine.drop_rival()

    def _time_plain_step(self, rounds: Speculator, position: Position) -> None:
        """Once in a while, so that speedup is a comparison and not a guess."""
        plain_steps = self._plain_steps
        if not self.stats.drafted or not plain_steps.is_due(self.stats.rounds, position):
            return
        # All rows of such a step are forgotten again, the first one too.
        if self.engine.pair.target.widest(position, kept=0) < self.plain_width:
            return
        seconds = rounds.time_plain_step()
        plain_steps.record(position, seconds)
        self.policy.plain_step(seconds, self.plain_width)

    def _round(self, rounds: Speculator, position: Position) -> Round:
        # A round commits up to k + 1 tokens; none may be more than the context or the user allows.
        room = self.engine.info.context_size - SPARE_CELLS - position
        if self._left is not None:
            room = min(room, self._left)
        limit = min(room, self.engine.pair.target.widest(position), MAX_WIDTH) - 1
        done = rounds.round(self.policy, limit)
        if self._is_plain(done):
            self._plain_steps.record(position, done.seconds)
        if rounds.failure and not self.warning:
            self.warning = self.engine.give_up_drafter(rounds.failure)
        return done

    def _record(
        self, tokens: Sequence[int], accepted: int, rounds: Speculator
    ) -> tuple[FinishReason | None, list[Delta]]:
        """The texts of the tokens that were committed last, and whether the reply is over."""
        transcript = self.transcript
        reason: FinishReason | None = None
        texts: list[Delta] = []
        start = transcript.end - len(tokens)
        for i, token in enumerate(tokens):
            if token in rounds.end:
                reason = "stop"
                break
            texts += self.text.push(token, i < accepted)
            if self.text.stopped:
                transcript.truncate(start + i + 1)
                reason = "stop"
                break
        # The last token is never evaluated, as in plain decoding, whatever the drafts were.
        transcript.cached = min(transcript.cached, transcript.end - 1)
        if reason is None and self._left == 0:
            reason = "length"
        if reason is None and transcript.end - 1 >= self.stats.context_size - SPARE_CELLS:
            reason = "context"
        if reason is None and self.cancel.is_set():
            reason = "cancelled"
        return reason, texts

    @property
    def _plain_steps(self) -> PlainSteps:
        """Timed plain steps of the kind that this reply is compared with."""
        return self.engine.plain_steps(self.plain_width)

    def _is_plain(self, done: Round) -> bool:
        """Whether plain decoding of the same kind would have done just that."""
        return done.width == self.plain_width and not done.kept and not done.drafted

    def _count(self, done: Round, position: Position, seconds: float) -> None:
        """Count a round, and set what it took against what plain decoding takes here and now.

        In exact mode that is plain decoding in exact mode, whose rounds have width 2: the other
        kind would write another text.
        """
        plain = Step(seconds, 0.0, "measured") if self._is_plain(done) else None
        step = plain or self._plain_steps.step(position)
        threads = self.engine.threads.count
        self._tried += self.policy.trying
        self.stats = with_round(self.stats, done, seconds, threads, step, self._draft_use)

    @property
    def _draft_use(self) -> DraftUse:
        has_drafter = self.engine.draft_model is not None
        return draft_use(self.stats, self.request.draft, has_drafter, self._tried)

    def _call_id(self, number: int) -> str:
        """An id for a call: the same for the same seed and prompt, another one for any other."""
        place = f"{self.seed} {self._first} {number}"
        return f"call_{sha256(place.encode()).hexdigest()[:24]}"

    def _end(self, reason: FinishReason) -> End:
        written, drafts = self.text.text, self._draft_use
        if self._trial is not None:
            self._chosen = self.engine.choose_drafter()
        return End(
            reason,
            self.text.message,
            written.thought,
            self.ids,
            self.seed,
            replace(self.stats, drafts=drafts),
            self._warning,
            written.stopped_at,
            written.thought_tokens,
            self._thought_cut,
        )

    @property
    def _warning(self) -> str:
        unsaid = self.engine.prompts.says_nothing_of_thoughts(self.request)
        found = NO_THOUGHTS if unsaid else "", self.warning, self.text.warning, self._chosen
        return " ".join(filter(None, (*self._held.loosened, *found)))

    @property
    def _thought_cut(self) -> bool:
        """Whether there was more to think than the budget allowed."""
        constraint = self._restricted
        return constraint is not None and constraint.cut_thought(self.transcript.ids)
