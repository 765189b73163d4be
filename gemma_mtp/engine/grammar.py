"""Grammars, compiled for a vocabulary by llguidance [1].

The engine has one `Grammars` for the pair it has loaded, since taking the vocabulary in takes
seconds. A matcher says which tokens may come next in microseconds.

[1] https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from gemma_mtp.api import Grammar, Tool, ToolChoice
from gemma_mtp.decoding.constraint import Bits, Fixed
from gemma_mtp.engine.digits import ESCAPE, QUOTE, Digits
from gemma_mtp.engine.json_schema.rewriting import rewritten
from gemma_mtp.engine.tool_calls import CallMarks
from gemma_mtp.engine.tool_grammar import CallGrammar
from gemma_mtp.errors import UsageError
from gemma_mtp.text import json_text, thousands

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from llguidance import LLMatcher
    from llguidance._lib import JsonCompileOptions

T = TypeVar("T")

LARGEST_GRAMMAR, LARGEST_LIST = 64 << 10, 256 << 10  # characters; long chains of rules take minutes
# to compile, and all of the stack below in the end; a list is flat
STACK = 256 << 20  # bytes; enough for the largest schema that llguidance takes, and used as needed
ANY_OBJECT = '{"type": "object"}'
# In one line: a model that may write white space between all parts may write it without end.
LAYOUT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}


class Vocabulary(Protocol):
    """What is needed of the target's vocabulary."""

    size: int
    eos: int
    end_of_generation: frozenset[int]

    def piece(self, token: int, special: bool = False) -> bytes: ...
    def is_control(self, token: int) -> bool: ...
    def tokenize(self, text: str, special: bool) -> list[int]: ...


class Grammars:
    """Compiles grammars for one vocabulary.

    Taking that in begins with the first grammar, beside whatever else is done, such as evaluating
    the prompt, and is waited for when a matcher is first asked.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._pool: ThreadPoolExecutor | None = None
        self._taken_in: Future[TakenIn] | None = None
        self._calls: tuple[tuple[tuple[Tool, ...], ToolChoice], GrammarMatcher, list[str]] | None
        self._calls = None

    def close(self) -> None:
        """The vocabulary is not used any more afterwards."""
        if self._pool is not None:
            self._pool.shutdown()

    def matcher(self, grammar: Grammar) -> GrammarMatcher:
        """At the beginning of the grammar. Raises UsageError for one that cannot be enforced."""
        from llguidance import LLMatcher

        source = source_of(grammar)
        taken_in = self._take_in()
        # Grammars of one's own may name tokens; of the others all is known without.
        tokenizer = taken_in.result().tokenizer if grammar.kind == "lark" else None
        if wrong := deeply(lambda: LLMatcher.validate_grammar(source, tokenizer)):
            raise refusal(grammar, wrong)
        kind = JsonMatcher if grammar.kind in ("json", "json_schema") else GrammarMatcher
        return kind(source, taken_in, self._vocabulary)

    def _take_in(self) -> Future[TakenIn]:
        from concurrent.futures import ThreadPoolExecutor

        if self._taken_in is None:
            self._pool = ThreadPoolExecutor(1)
            self._taken_in = self._pool.submit(TakenIn, self._vocabulary)
        return self._taken_in

    def calls(
        self, tools: tuple[Tool, ...], choice: ToolChoice, marks: CallMarks
    ) -> tuple[GrammarMatcher, list[str]]:
        """At the beginning of the calls of these tools; and sentences about what is not held to
        their schemas. Raises UsageError. Compiled once for requests with the same tools."""
        taken_in = self._take_in()
        if self._calls is None or self._calls[0] != (tools, choice):
            grammar = CallGrammar(tools, choice, marks, self.is_regex)
            self._calls = (tools, choice), self._valid(grammar.source, taken_in), grammar.loosened
        _, beginning, loosened = self._calls
        return CallsMatcher(beginning, self._vocabulary, marks.quote), loosened

    def _valid(self, lark: str, taken_in: Future[TakenIn]) -> GrammarMatcher:
        from llguidance import LLMatcher

        # Its marks are tokens; what else may be wrong is known without the vocabulary.
        without = re.sub(r"<\[[0-9]+\]>", "mark", lark) + '\nmark: "mark"'
        valid = LLMatcher.grammar_from_lark(without)
        if wrong := deeply(lambda: LLMatcher.validate_grammar(valid, None)):
            why = wrong.splitlines()[0]
            raise UsageError(f"The schemas of these tools cannot be used: {why}.")
        source = LLMatcher.grammar_from_lark(lark)
        return GrammarMatcher(source, taken_in, self._vocabulary)

    def is_regex(self, regex: str) -> bool:
        """Whether this is a regular expression that a grammar may hold."""
        from llguidance import LLMatcher

        return not LLMatcher.validate_grammar(
            LLMatcher.grammar_from_lark(f"start: A\nA: {regex}"), None
        )

    def only(self, tokens: Iterable[int], every_other: bool = False) -> Fixed:
        """These tokens alone, everywhere; or all but these."""
        bits = bits_of(tokens, self._vocabulary)
        return Fixed(~bits if every_other else bits)


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


def source_of(grammar: Grammar) -> str:
    """A grammar as llguidance takes it. Raises UsageError."""
    from llguidance import LLMatcher, grammar_from

    try:
        if grammar.kind in ("json", "json_schema"):
            schema = rewritten(json.loads(grammar.text or ANY_OBJECT))
            return LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=LAYOUT)
        most = LARGEST_LIST if grammar.kind == "choices" else LARGEST_GRAMMAR
        if len(grammar.text) > most:
            raise refusal(grammar, f"it has more than {thousands(most)} characters")
        if grammar.kind == "choices":
            return LLMatcher.grammar_from_lark(_one_of(json.loads(grammar.text)))
        if grammar.kind == "gbnf":
            return grammar_from("gbnf", grammar.text)
        return LLMatcher.grammar_from_lark(grammar.text)
    except RecursionError:
        raise refusal(grammar, "it is nested too deeply") from None
    except ValueError as error:
        raise refusal(grammar, str(error)) from error


def _one_of(choices: Sequence[str]) -> str:
    if not choices or not all(isinstance(choice, str) and choice for choice in choices):
        raise ValueError("it must hold at least one text, and none that is empty")
    return "start: " + " | ".join(json_text(choice) for choice in choices)


def refusal(grammar: Grammar, why: str) -> UsageError:
    """What is said about a grammar that cannot be enforced."""
    if away := re.search(r"Resource '(.*?)' is not present in a registry", why):
        why = f"{away[1]} is not in it, and nothing is fetched"
    what = {"json_schema": "schema", "choices": "list of choices"}.get(grammar.kind, "grammar")
    return UsageError(f"This {what} cannot be used: {why.splitlines()[0].rstrip('.')}.")
