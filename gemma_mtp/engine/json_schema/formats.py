"""Texts of JSON Schema that have a form: what is enforced of `format`.

`rewriting` asks. What stands here is narrower than the standard where llguidance has no form of its
own, or where libraries read less than the standard allows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gemma_mtp.engine.json_schema.references import Schema, as_dict
from gemma_mtp.text import json_text

# Any text is one of these, or nobody could tell: they ask for nothing.
FORMATS_OF_ANY_TEXT = ("binary", "password", "path", "file-path", "directory-path", "textarea")
# What llguidance has a part of: the part is written.
FORMATS_IN_PART = {
    "iri": "uri",
    "iri-reference": "uri",
    "uri-reference": "uri",
    "uri-template": "uri",
    "idn-email": "email",
    "idn-hostname": "hostname",
    "ipvanyaddress": "ipv4",
}
# Formats of which libraries read less than the standard allows: the part that all of them read.
# Real days from the year 1000 to 2999, no leap seconds, "T" and "Z" and not "t" and "z".
_DATE = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)-02-29)"
)
_TIME = (
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?"
    "(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_HOURS = "T(?:N H(?:N M(?:N S)?)?|N M(?:N S)?|N S)"
_DURATION = f"P(?:(?:N Y(?:N M(?:N D)?)?|N M(?:N D)?|N D)(?:{_HOURS})?|{_HOURS}|N W)"
PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": _DURATION.replace("N ", "[0-9]{1,4}"),
}
LOOKING_AROUND = ("(?=", "(?!", "(?<=", "(?<!")  # in a pattern: what llguidance does not do


def formatted(rest: dict[str, Any]) -> list[Schema]:
    """Put a `format` that llguidance knows into `rest`; what has to hold besides."""
    found = rest.get("format")
    if found in FORMATS_OF_ANY_TEXT:
        del rest["format"]
    elif found in PATTERNS:
        del rest["format"]
        return [{"pattern": f"^{PATTERNS[found]}$"}]
    elif isinstance(found, str):
        rest["format"] = FORMATS_IN_PART.get(found, found)
    return []


def looks_around(part: Schema) -> bool:
    """Whether it has a pattern that llguidance refuses for looking ahead or back."""
    return any(mark in str(as_dict(part).get("pattern", "")) for mark in LOOKING_AROUND)


def pattern_of(wanted: Schema) -> str | None:
    """A pattern for texts that fit, where nothing but their pattern or their length counts."""
    found = {k: v for k, v in as_dict(wanted).items() if k not in ("type", "title", "description")}
    if [*found] == ["pattern"]:
        return str(found["pattern"])
    if found and found.keys() <= {"minLength", "maxLength"}:
        return f"^(?s:.{{{found.get('minLength', 0)},{found.get('maxLength', '')}}})$"
    return None


def found_in(pattern: str, texts: Iterable[str]) -> set[str]:
    """The texts that a pattern is found in, as llguidance reads it: in time that grows with their
    length alone, whatever the pattern is. Raises ValueError."""
    from llguidance import LLMatcher, LLTokenizer

    source = LLMatcher.grammar_from_json_schema({"type": "string", "pattern": pattern})
    if wrong := LLMatcher.validate_grammar(source):
        raise ValueError(wrong)
    tokenizer = LLTokenizer("byte")
    beginning, found = LLMatcher(tokenizer, source, log_level=0), set()
    for text in texts:
        tokens, matcher = tokenizer.tokenize_str(json_text(text)), beginning.deep_copy()
        if matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting():
            found.add(text)
    return found
