"""Grammars, compiled for a vocabulary by llguidance [1].

The engine has one `Grammars` for the pair it has loaded, since taking the vocabulary in takes
seconds. A matcher says which tokens may come next in microseconds.

[1] https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gemma_mtp.api import Grammar, Tool, ToolChoice
from gemma_mtp.decoding.constraint import Fixed
from gemma_mtp.engine.json_schema.rewriting import rewritten
from gemma_mtp.engine.matchers import (
    CallsMatcher,
    GrammarMatcher,
    JsonMatcher,
    TakenIn,
    Vocabulary,
    bits_of,
    deeply,
)
from gemma_mtp.engine.tool_calls import CallMarks
from gemma_mtp.engine.tool_grammar import CallGrammar
from gemma_mtp.errors import UsageError
from gemma_mtp.text import json_text, thousands

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from llguidance._lib import JsonCompileOptions

LARGEST_GRAMMAR, LARGEST_LIST = 64 << 10, 256 << 10  # characters; long chains of rules take minutes
# to compile, and all of the stack below in the end; a list is flat
ANY_OBJECT = '{"type": "object"}'
# In one line: a model that may write white space between all parts may write it without end.
LAYOUT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": False,
}


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
