"""Places in a grammar: which tokens of a vocabulary may come next, found out in microseconds.

`grammar` makes them, and `decoding.constraint` asks them for every row. llguidance [1] parses.

[1] https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from gemma_mtp.decoding.constraint import Bits
from gemma_mtp.engine.digits import ESCAPE, QUOTE, Digits

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llguidance import LLMatcher

T = TypeVar("T")

STACK = 256 << 20  # bytes; enough for the largest schema that llguidance takes, and used as needed


class Vocabulary(Protocol):
    """What is needed of the target's vocabulary."""

    size: int
    eos: int
    end_of_generation: frozenset[int]

    def piece(self, token: int, special: bool = False) -> bytes: ...
    def is_control(self, token: int) -> bool: ...
    def tokenize(self, text: str, special: bool) -> list[int]: ...


def bits_of(tokens: Iterable[int], vocabulary: Vocabulary) -> Bits:
    """A bit for each token of the vocabulary, set for these, in whole words of 32."""
    bits = np.zeros((vocabulary.size + 31) // 32 * 4, np.uint8)
    for token in tokens:
        bits[token >> 3] |= 1 << (token & 7)
    return bits


class TakenIn:
    """A vocabulary, as llguidance takes it in."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        from llguidance import LLTokenizer
        from llguidance._tokenizer import TokenizerWrapper

        named = _AsLlguidanceHasIt(vocabulary)
        self.tokenizer = LLTokenizer(
            TokenizerWrapper(named),
            n_vocab=vocabulary.size,
            eos_token=sorted(vocabulary.end_of_generation) or vocabulary.eos,
        )
        digits = [piece[:1].isdigit() for piece in named.tokens]
        digits += [False] * (-len(digits) % 32)
        self.begins_with_digit: Bits = np.packbits(digits, bitorder="little")


class _AsLlguidanceHasIt:
    """A vocabulary under the names that llguidance knows."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._tokenize = vocabulary.tokenize
        self.eos_token_id = vocabulary.eos
        self.bos_token_id = None
        ids = range(vocabulary.size)
        self.special_token_ids = [i for i in ids if vocabulary.is_control(i)]
        self.tokens = [vocabulary.piece(i, special=True) for i in ids]

    def __call__(self, text: bytes | str) -> list[int]:
        return self._tokenize(text if isinstance(text, str) else text.decode(), False)


class GrammarMatcher:
    """A place in a grammar; keeps the promises of `decoding.constraint.Matcher`."""

    def __init__(self, source: str, taken_in: Future[TakenIn], vocabulary: Vocabulary) -> None:
        self.source, self.taken_in = source, taken_in
        self._vocabulary = vocabulary
        self._bits = bits_of((), vocabulary)
        self._end = bits_of(vocabulary.end_of_generation, vocabulary)
        self._tokens: list[int] = []
        self._compiled: LLMatcher | None = None
        self._at: LLMatcher | None = None

    @property
    def compiled(self) -> LLMatcher:
        """The grammar for this vocabulary, at its beginning."""
        from llguidance import LLMatcher

        if self._compiled is None:
            tokenizer = self.taken_in.result().tokenizer
            self._compiled = deeply(lambda: LLMatcher(tokenizer, self.source, log_level=0))
        return self._compiled

    @property
    def _matcher(self) -> LLMatcher:
        if self._at is None:
            self._at = self.compiled.deep_copy()
        return self._at

    @property
    def may_end(self) -> bool:
        return self._matcher.is_accepting()

    def allowed(self) -> Bits:
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if not self._bits.any():  # a limit of the parser; the text cannot go on
            self._bits |= self._end
        return self._bits

    def forced(self) -> list[int]:
        return self._matcher.compute_ff_tokens()

    def consume(self, token: int) -> None:
        self._matcher.consume_token(token)
        self._tokens.append(token)

    def rollback(self, count: int) -> None:
        if not count:
            return
        del self._tokens[-count:]
        if self._matcher.is_error():  # as where nothing may follow; there is no way back from it
            self._at = self.compiled.deep_copy()
            self._at.consume_tokens(self._tokens)
        else:
            self._matcher.rollback(count)


class JsonMatcher(GrammarMatcher):
    """A place in JSON, whose numbers come to an end."""

    def __init__(self, source: str, taken_in: Future[TakenIn], vocabulary: Vocabulary) -> None:
        super().__init__(source, taken_in, vocabulary)
        self._place = Digits()

    def allowed(self) -> Bits:
        bits = super().allowed()
        if self._place.enough:
            others = bits & ~self.taken_in.result().begins_with_digit
            return others if others.any() else bits
        return bits

    def consume(self, token: int) -> None:
        super().consume(token)
        self._place.consume(self._as_json(token))

    def rollback(self, count: int) -> None:
        super().rollback(count)
        if count:
            self._place.rollback(count)

    def _as_json(self, token: int) -> bytes:
        return self._vocabulary.piece(token)


class CallsMatcher(JsonMatcher):
    """A place in calls of tools, whose numbers come to an end as well; `quote` is the mark around
    a text."""

    def __init__(
        self, beginning: GrammarMatcher, vocabulary: Vocabulary, quote: int | None
    ) -> None:
        super().__init__(beginning.source, beginning.taken_in, vocabulary)
        self._beginning, self._quote = beginning, quote

    @property
    def compiled(self) -> LLMatcher:
        return self._beginning.compiled

    def _as_json(self, token: int) -> bytes:
        if token == self._quote:
            return QUOTE
        return self._vocabulary.piece(token).translate(None, QUOTE + ESCAPE)


def deeply(work: Callable[[], T]) -> T:
    """What `work` returns, done with a deep stack: llguidance follows the rules of a grammar into
    each other, and running out of it would end the process."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        usual = threading.stack_size(STACK)
        try:
            future = pool.submit(work)
        finally:
            threading.stack_size(usual)
        return future.result()
