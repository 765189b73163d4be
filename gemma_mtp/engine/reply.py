"""One reply as a stream of events: prompt, prefill, rounds, text, statistics.

Knows the engine it is written by; no terminal, no network and no files.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from threading import Event as Flag
from time import perf_counter
from typing import TYPE_CHECKING

from gemma_mtp.api import (
    MAX_WIDTH,
    Drafted,
    End,
    Event,
    FinishReason,
    Message,
    Prefill,
    Progress,
    Request,
    Stats,
    TextDelta,
    add_drafted,
)
from gemma_mtp.decoding.lookup import Lookup
from gemma_mtp.decoding.plain_steps import Baseline, Step
from gemma_mtp.decoding.proposer import Proposer
from gemma_mtp.decoding.round import Round, Speculator, agree, synthetic
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.engine.chat_template import open_thought
from gemma_mtp.errors import Cancelled, DoesNotFit

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

# The round needs a cell for the pending token and one for padding; the drafter needs one, too.
SPARE_CELLS = 2
# The first rounds after a prompt rebuild llama.cpp's graph; a reply of a few words is little else.
ENOUGH_TO_COMPARE = 64


class Reply:
    """One reply being written."""

    def __init__(self, engine: Engine, request: Request, cancel: Flag) -> None:
        self.engine, self.request, self.cancel = engine, request, cancel
        self.session = engine.session
        self.started = perf_counter()
        self.seed = secrets.randbits(32) if request.seed is None else request.seed
        # A round of exact mode is never narrower; one of this width without drafts is plain.
        self.plain_width = 2 if request.is_exact else 1
        self.stats = Stats(
            context_size=engine.info.context_size,
            compared_with="exact plain" if request.is_exact else "plain",
        )
        self.ids: list[int] = []
        self.text = engine.reply_text(request.stop)
        self.policy = engine.policy(request.draft)
        self.warning = ""

    def events(self) -> Iterator[Event]:
        """Prefill, then text and progress, then the end."""
        try:
            pieces = self.engine.pieces(self.request, self.cancel.is_set)
            prompt = self.engine.encode(pieces)
            lasting = self.engine.lasting(self.request, prompt, self.cancel.is_set)
        except Cancelled:
            yield self._end("cancelled")
            return
        thought = open_thought(pieces)
        if thought is not None:
            self.text.open_thought(thought)
        size = self.engine.info.context_size
        if len(prompt) + SPARE_CELLS >= size:
            raise DoesNotFit(
                f"The prompt has {len(prompt)} tokens, and the context holds {size}.",
                tokens=len(prompt),
                size=size,
            )
        self.stats = replace(self.stats, prompt_tokens=len(prompt))
        yield from self._prefill(prompt, lasting)
        if len(self.session.tokens) < len(prompt):
            yield self._end("cancelled")
        else:
            yield from self._generate(prompt)

    def _prefill(self, prompt: list[int], lasting: int) -> Iterator[Prefill]:
        started = perf_counter()
        pieces = self.session.prefill(prompt, self.request.is_exact, lasting)
        for event in self.engine.in_pieces(pieces, prompt, self.request.is_exact):
            self.stats = replace(
                self.stats,
                cached_tokens=event.cached,
                prefill_seconds=perf_counter() - started,
                context_used=event.done,
            )
            yield event
            if self.cancel.is_set():
                return

    def _generate(self, prompt: list[int]) -> Iterator[Event]:
        rounds = self._rounds(prompt)
        threads = self.engine.writing_threads
        threads.begin()
        reason, texts = self._record([rounds.history[-1]], 0, rounds)
        self.stats = replace(self.stats, ttft_seconds=perf_counter() - self.started)
        yield from texts
        while reason is None:
            started = perf_counter()
            position = len(rounds.history) - 1
            room = min(self.engine.info.context_size - position, MAX_WIDTH)
            tokens = rounds.history[-room:]
            self.engine.choose_threads(threads, tokens, position, self.request.is_exact)
            self._time_plain_step(rounds, position)
            done = self._round(rounds, position)
            threads.record(done.width, done.verify_seconds, done.verify_processor_seconds)
            reason, texts = self._record(done.tokens, done.accepted, rounds)
            done = done.cut(len(rounds.history) - 1 - position)  # at a stop string
            self._count(done, position, perf_counter() - started)
            yield from texts
            yield Progress(self.stats)
        yield from self.text.finish()
        yield self._end(reason)

    def _rounds(self, prompt: list[int]) -> Speculator:
        """The speculator; its history ends in the first token, chosen by the prompt's last row."""
        target, drafter = self.engine.pair.target, self.engine.drafter
        sampler = Sampler(self.request.sampling, self.seed, target.softcap)
        assert self.session.last_row is not None
        # A copy: a repeat penalty changes the row, and a later reply may start from it again.
        first = sampler.sample(self.session.last_row.copy(), len(prompt), prompt)
        request = self.request
        chance = request.synthetic_acceptance
        history = [*prompt, first]
        looks_up = request.draft == "auto" and chance is None
        return Speculator(
            target,
            drafter,
            sampler,
            history,
            target.hidden(0) if drafter else None,
            () if request.ignore_end else target.vocabulary.end_of_generation,
            min_width=self.plain_width,
            judge=agree if chance is None else synthetic(chance, self.seed),
            proposer=Proposer(sampler, self.engine.draft_temperature),
            lookup=Lookup(history) if looks_up else None,
        )

    def _time_plain_step(self, rounds: Speculator, position: int) -> None:
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

    def _round(self, rounds: Speculator, position: int) -> Round:
        # A round commits up to k + 1 tokens; none may be more than the context or the user allows.
        room = self.engine.info.context_size - SPARE_CELLS - position
        if self.request.max_tokens is not None:
            room = min(room, self.request.max_tokens - len(self.ids))
        limit = min(room, self.engine.pair.target.widest(position), MAX_WIDTH) - 1
        done = rounds.round(self.policy, limit)
        if self._is_plain(done):
            self._plain_steps.record(position, done.seconds)
        if rounds.failure and not self.warning:
            self.warning = self.engine.give_up_drafter(rounds.failure)
        return done

    def _record(
        self, tokens: list[int], accepted: int, rounds: Speculator
    ) -> tuple[FinishReason | None, list[TextDelta]]:
        """Put the tokens of a round on record; their texts, and whether the reply is over."""
        reason: FinishReason | None = None
        texts: list[TextDelta] = []
        size = self.engine.info.context_size
        for i, token in enumerate(tokens):
            self.ids.append(token)
            if token in rounds.end:
                reason = "stop"
                break
            texts += self.text.push(token, i < accepted)
            if self.text.stopped:
                del rounds.history[len(rounds.history) - len(tokens) + i + 1 :]
                reason = "stop"
                break
        if reason is None and self.request.max_tokens is not None:
            reason = "length" if len(self.ids) >= self.request.max_tokens else None
        if reason is None and len(rounds.history) - 1 >= size - SPARE_CELLS:
            reason = "context"
        if reason is None and self.cancel.is_set():
            reason = "cancelled"
        # The last token is never evaluated, as in plain decoding, whatever the drafts were.
        self.session.tokens += rounds.history[len(self.session.tokens) : -1]
        self.stats = replace(
            self.stats, completion_tokens=len(self.ids), context_used=len(rounds.history)
        )
        return reason, texts

    @property
    def _plain_steps(self) -> Baseline:
        """Timed plain steps of the kind that this reply is compared with."""
        return self.engine.plain_steps(self.plain_width)

    def _is_plain(self, done: Round) -> bool:
        return done.width == self.plain_width and not done.kept and not done.drafted

    def _count(self, done: Round, position: int, seconds: float) -> None:
        before, threads = self.stats, self.engine.threads
        drafted = [Drafted(done.source, done.kept, done.accepted)] if done.kept else []
        self.stats = replace(
            before,
            rounds=before.rounds + 1,
            decoded=before.decoded + len(done.tokens),
            drafted=before.drafted + done.kept,
            accepted=before.accepted + done.accepted,
            sources=add_drafted(before.sources, drafted),
            threads=_counted(before.threads, threads),
            accepted_histogram=(
                _counted(before.accepted_histogram, done.accepted)
                if done.kept
                else before.accepted_histogram
            ),
            draft_seconds=before.draft_seconds + done.draft_seconds,
            verify_seconds=before.verify_seconds + done.verify_seconds,
            sampling_seconds=before.sampling_seconds + done.sampling_seconds,
            decode_seconds=before.decode_seconds + seconds,
        )
        self._compare(done, position, seconds)

    def _compare(self, done: Round, position: int, seconds: float) -> None:
        """Set what the round took against what plain decoding takes here and now.

        In exact mode that is plain decoding in exact mode, whose rounds have width 2: the other
        kind would write another text.
        """
        stats = self.stats
        step = self._plain_steps.step(position)
        if self._is_plain(done):
            step = Step(seconds, 0.0, "measured")
        if step.basis != "none":
            # The rounds before the first timed step count as well: the last ones alone, with the
            # timing itself among them, would say something else.
            first = stats.compared_seconds == 0
            tokens = stats.decoded if first else len(done.tokens)
            stats = replace(
                stats,
                plain_seconds=stats.plain_seconds + step.seconds * tokens,
                plain_deviation=stats.plain_deviation + step.deviation * tokens,
                compared_seconds=stats.compared_seconds
                + (stats.decode_seconds if first else seconds),
            )
        if stats.drafted and stats.decoded >= ENOUGH_TO_COMPARE:
            stats = replace(stats, speedup_basis=step.basis)
        self.stats = stats

    def _end(self, reason: FinishReason) -> End:
        return End(
            reason,
            Message.text("assistant", self.text.answer, tuple(self.text.answer_tokens)),
            self.text.thought,
            tuple(self.ids),
            self.seed,
            self.stats,
            self.warning,
        )


def _counted(histogram: tuple[int, ...], value: int) -> tuple[int, ...]:
    """The histogram with one more of `value`."""
    longer = [*histogram, *[0] * (value + 1 - len(histogram))]
    longer[value] += 1
    return tuple(longer)
