"""Calls of tools as a grammar: Gemma's notation, held to the schemas of the tools.

A small compiler from JSON Schema to Lark as llguidance reads it. What of a schema it cannot express
is left out and named in `loosened`; docs/tools.md lists what it can. `reply` asks for the grammar,
`grammar` makes a matcher of it. Knows no tokens but the ids of the marks.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gemma_mtp.api import Tool, ToolChoice
from gemma_mtp.engine.json_schema.opposites import Opposites
from gemma_mtp.engine.json_schema.references import Schema
from gemma_mtp.engine.json_schema.rewriting import rewritten
from gemma_mtp.engine.tool_calls import CallMarks
from gemma_mtp.engine.tool_notation import QUOTE, is_bare, notation, ordered
from gemma_mtp.engine.tool_patterns import any_text, pattern_of_format, whole_text
from gemma_mtp.engine.tool_schema import Impossible, merged, without_unsupported
from gemma_mtp.text import json_text

NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
KEY = "/[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}/"  # of properties that no schema names
TYPES = ("string", "number", "boolean", "null", "array", "object")
MOST, MOST_VALUES = 20_000, 10_000  # rules and listed values; a schema of more is not held to

IsRegex = Callable[[str], bool]
"""Whether llguidance can read a regular expression."""


class CallGrammar:
    """The grammar of all that may follow the mark that opens a reply's first call.

    `source` is Lark; `loosened` holds sentences about what is not held to the schema.
    """

    def __init__(
        self, tools: Sequence[Tool], choice: ToolChoice, marks: CallMarks, is_regex: IsRegex
    ) -> None:
        self.loosened: list[str] = []
        self._marks = marks
        chosen = [tool for tool in tools if choice.name in ("", tool.name)]
        again = f" (<[{marks.opens}]> call)*" if choice.parallel else ""
        rules = [f"start: call{again}", f'call: "call:" ({self._names(chosen)}) <[{marks.closes}]>']
        for number, tool in enumerate(chosen):
            if choice.constrained:
                rules += self._arguments(number, tool, is_regex)
            else:
                rules.append(f'f{number}: {json_text(tool.name)} "{{" any_text*')
        if not choice.constrained:
            rules.append(f"any_text: /(.|\\n)+/ | <[{marks.quote}]>")
        self.source = "\n".join(rules)

    def _names(self, tools: Sequence[Tool]) -> str:
        return " | ".join(f"f{number}" for number in range(len(tools)))

    def _arguments(self, number: int, tool: Tool, is_regex: IsRegex) -> list[str]:
        schema = json.loads(tool.parameters or "{}") | {"type": "object"}
        quote = f"<[{self._marks.quote}]>"
        try:
            compiler = _Compiler(f"f{number}_", rewritten(schema), quote, is_regex)
            arguments = compiler.arguments()
        except ValueError as error:
            self.loosened.append(_loosened(tool, str(error)))
            compiler, arguments = self._loose(number, schema, quote, is_regex)
        self.loosened += [_loosened(tool, what) for what in compiler.left_out]
        name = f"f{number}: {json_text(tool.name)} {arguments}"
        return [name, *(f"{rule}: {body}" for rule, body in compiler.rules.items())]

    def _loose(
        self, number: int, schema: Schema, quote: str, is_regex: IsRegex
    ) -> tuple[_Compiler, str]:
        """The schema without what cannot be expressed, or any arguments at all."""
        for simplify in (without_unsupported, lambda _: {"type": "object"}):
            try:
                simpler = simplify(schema)
                compiler = _Compiler(f"f{number}_", rewritten(simpler), quote, is_regex)
                return compiler, compiler.arguments(is_known=simpler.keys() != {"type"})
            except (ValueError, RecursionError):
                continue
        raise AssertionError("any object can be expressed")


def _loosened(tool: Tool, why: str) -> str:
    return f"The arguments of {tool.name} are not held to all of their schema: {why}."


class _Compiler:
    """Of one schema, whose rules all begin with `prefix`."""

    def __init__(self, prefix: str, root: Schema, quote: str, is_regex: IsRegex) -> None:
        self.rules: dict[str, str] = {}
        self.left_out: list[str] = []
        self._prefix, self._root, self._quote, self._is_regex = prefix, root, quote, is_regex
        self._logic = Opposites(root)
        self._known: dict[str, str] = {}  # the rules of schemas
        self._values = 0  # of all enums

    def arguments(self, is_known: bool = True) -> str:
        """The rule for the root. An object of which nothing is known is empty, if `is_known`."""
        root = self._root
        says = ("properties", "additionalProperties", "patternProperties", "required")
        combines = ("anyOf", "allOf", "$ref", "enum", "const")
        if is_known and not any(root.get(key) for key in (*says, *combines)):
            return '"{}"'
        try:
            rule = self._rule(root)
        except (AttributeError, LookupError, OverflowError, TypeError) as error:
            raise ValueError("one of its keywords has a value that it cannot have") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if rule is None:
            raise ValueError("nothing fits it")
        return rule

    def _new(self, body: str = "", terminal: bool = False) -> str:
        name = f"{self._prefix}{len(self.rules)}"
        if len(self.rules) > MOST:
            raise ValueError("it is too large")
        name = name.upper() if terminal else name
        self.rules[name] = body
        return name

    def _rule(self, schema: Schema) -> str | None:
        """A rule for all values that fit; None where there are none."""
        if schema is False:
            return None
        known = json.dumps(schema if schema is not True else {}, sort_keys=True)
        if known not in self._known:
            self._known[known] = name = self._new()
            ways = self._ways({} if schema is True else schema)
            self.rules[name] = " | ".join(dict.fromkeys(ways)) or self._nothing()
            if not ways:
                self._known[known] = ""
        return self._known[known] or None

    def _nothing(self) -> str:
        return self._new("/[a&&b]/", terminal=True)

    def _ways(self, schema: dict[str, Any]) -> list[str]:
        ways: list[str] = []
        for _, said in self._logic.choices(schema, "anyOf"):
            try:
                flat = merged(said)
            except Impossible:
                continue
            if "enum" in flat:
                self._values += len(flat["enum"])
                if self._values > MOST_VALUES:
                    raise ValueError("it is too large")
                ways += [self._literal(value) for value in flat["enum"]]
                continue
            kinds = flat.get("type", TYPES)
            ways += [way for kind in kinds if (way := self._of_type(kind, flat)) is not None]
        return ways

    def _of_type(self, kind: str, flat: Mapping[str, Any]) -> str | None:
        if kind == "string":
            return self._text(flat)
        if kind in ("number", "integer"):
            bounds = {key: flat[key] for key in NUMBERS if key in flat}
            return f"%json {json.dumps({'type': kind, **bounds})}"
        if kind == "boolean":
            return '"true" | "false"'
        if kind == "null":
            return '"null"'
        return self._array(flat) if kind == "array" else self._object(flat)

    def _literal(self, value: Any) -> str:
        pieces = [self._quote if p == QUOTE else json_text(p) for p in notation(value) if p]
        return " ".join(pieces)

    # Texts.

    def _text(self, flat: Mapping[str, Any]) -> str | None:
        least, most = int(flat.get("minLength", 0)), flat.get("maxLength")
        if most is not None and most < least:
            return None
        asked = [any_text(least, most)] if least or most is not None else []
        for pattern in flat.get("pattern", ()):
            asked += self._checked(whole_text(pattern), f'"pattern" {pattern}')
        for name in flat.get("format", ()):
            found = pattern_of_format(name)
            asked += self._checked(found, f'"format" {name}') if found != "" else []
        terminal = " & ".join(asked) or any_text(0, None)
        key = f"text {terminal}"
        if key not in self._known:
            self._known[key] = self._new(terminal, terminal=True)
        text = self._known[key]
        return f"{self._quote} {text} {self._quote}"

    def _checked(self, regex: str | None, what: str) -> list[str]:
        if regex is not None and self._is_regex(regex):
            return [regex]
        self._leave_out(f"{what} is not supported")
        return []

    def _leave_out(self, what: str) -> None:
        if what not in self.left_out:
            self.left_out.append(what)

    # Lists.

    def _array(self, flat: Mapping[str, Any]) -> str | None:
        least, most = int(flat.get("minItems", 0)), flat.get("maxItems")
        first = [self._rule(schema) for schema in flat.get("prefixItems", ())]
        rest = self._rule(flat.get("items", True))
        usable = next((n for n, rule in enumerate(first) if rule is None), len(first))
        if usable < len(first) or rest is None:
            most = min(usable, usable if most is None else most)
        if most is not None and most < least:
            return None
        first = first[: usable if most is None else most]
        places = len(first)
        tail = ""
        if rest is not None and (most is None or most > places):
            end = "" if most is None else most - places
            tail = f'("," {rest}){{{max(0, least - places)},{end}}}'
            if not first:
                more = f'("," {rest}){{{max(0, least - 1)},{"" if most is None else most - 1}}}'
                inside = f"{rest} {more}"
                return f'"[" {inside if least else f"({inside})?"} "]"'
        for number in range(places - 1, -1, -1):
            comma = '"," ' if number else ""
            tail = f"{comma}{first[number]} {tail}"
            tail = tail if number < least else f"({tail})?"
        return f'"[" {tail} "]"'

    # Objects.

    def _object(self, flat: Mapping[str, Any]) -> str | None:
        properties, required = flat.get("properties", {}), {*flat.get("required", ())}
        others = flat.get("additionalProperties", True)
        named = {**{name: others for name in required if name not in properties}, **properties}
        rules = {name: self._rule(named[name]) for name in ordered(named)}
        if any(rules[name] is None for name in required):
            return None
        self._name_counts(flat, rules, required)
        keys = [name for name in rules if rules[name] is not None]
        more = self._more(flat, [*named])
        after = f'("," {more})*' if more else ""
        tail = self._new(after or '""')  # what may follow where something stands before
        head = self._new(f"({more} {after})?" if more else '""')
        for name in reversed(keys):
            pair = f"{self._key(name)} {rules[name]}"
            optional = name not in required
            head = self._new(f"{pair} {tail}" + (f" | {head}" if optional else ""))
            tail = self._new(f'"," {pair} {tail}' + (f" | {tail}" if optional else ""))
        return f'"{{" {head} "}}"'

    def _key(self, name: str) -> str:
        return json_text(name + ":") if is_bare(name) else f'{self._literal(name)} ":"'

    def _more(self, flat: Mapping[str, Any], named: Sequence[str]) -> str:
        """Pairs that the schema does not name; "" where there are none.

        An object whose properties are named has no others unless the schema says of what kind.
        """
        pairs = []
        if len(named) * len(flat.get("patternProperties", {})) > MOST_VALUES:
            raise ValueError("it is too large")
        besides = " ".join(f"& ~{_regex_of(name)}" for name in named)
        for pattern, schema in flat.get("patternProperties", {}).items():
            regexes = self._checked(whole_text(pattern), f'"patternProperties" {pattern}')
            rule = self._rule(schema)
            if regexes and rule:
                key = self._new(f"{regexes[0]} {besides}", terminal=True)
                pairs.append(f'{self._quote} {key} {self._quote} ":" {rule}')
        others = flat.get("additionalProperties", True)
        says = isinstance(others, dict) or not (named or flat.get("patternProperties"))
        if says and (rule := self._rule(others)):
            key = self._new(f"{KEY} {besides}", terminal=True)
            pairs.append(f'{key} ":" {rule}')
        return f"({' | '.join(pairs)})" if pairs else ""

    def _name_counts(
        self, flat: Mapping[str, Any], rules: Mapping[str, str | None], required: set[str]
    ) -> None:
        least, most = flat.get("minProperties", 0), flat.get("maxProperties")
        if least > len(required):
            self._leave_out('"minProperties" is not supported')
        if most is not None and (most < len(rules) or not rules):
            self._leave_out('"maxProperties" is not supported')


def _regex_of(name: str) -> str:
    import re

    escaped = re.escape(name).replace("/", r"\/").replace("\n", r"\n")
    return f"/{escaped}/"
