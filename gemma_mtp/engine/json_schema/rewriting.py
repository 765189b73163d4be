"""JSON Schema [1] in the keywords that llguidance enforces.

What it does not know, such as `oneOf` or `not`, is said by what it does know. The result may allow
less than the schema (documented in docs/structured.md), never more: of what has no such form,
ValueError names the keyword. Called for each grammar; knows no tokens.

[1] https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from math import perm
from typing import Any

from gemma_mtp.engine.json_schema.formats import formatted, found_in, looks_around, pattern_of
from gemma_mtp.engine.json_schema.objects import complete, completed
from gemma_mtp.engine.json_schema.opposites import Opposites, either
from gemma_mtp.engine.json_schema.references import COMPLETE, TYPES, Schema, inside

WHOLE = tuple(f"{end}{of}" for end in ("min", "max") for of in ("Items", "Length", "Properties"))
MOST_SCHEMAS = 200_000  # in each other, those counted that keywords multiply
MOST_OPTIONAL = 400  # properties; llguidance's parser looks at all of them at once, up to 500
MOST_CONTAINED = 1000  # items that a list has to contain
MOST_LISTS = 400  # of different items, that are listed one by one


def rewritten(schema: Schema) -> Schema:
    """The same schema without keywords that llguidance does not know. Raises ValueError."""
    try:
        schema = completed({} if schema is True else schema)
        return _Rewriting(schema).of(schema)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (AttributeError, LookupError, TypeError):
        raise ValueError("one of its keywords has a value that it cannot have") from None


class _Rewriting:
    def __init__(self, root: Schema) -> None:
        self._parts, self._steps = Opposites(root), 0

    def of(self, schema: Schema) -> Schema:
        if not isinstance(schema, dict):
            return schema
        self._steps += 1
        if self._steps > MOST_SCHEMAS:
            raise ValueError("it is too large")
        rest, besides = dict(schema), list[Schema]()
        if rest.pop("nullable", False):  # of OpenAPI 3.0
            return self.of(either(rest, {"type": "null"}))
        besides += self._unevaluated(rest)
        if len(rest.get("properties") or ()) - len(rest.get("required") or ()) > MOST_OPTIONAL:
            raise ValueError(f"an object has more than {MOST_OPTIONAL} optional properties")
        for put in (
            self._numbers,
            self._items,
            self._any_of,
            self._names,
            self._different,
        ):
            put(rest)
        for lift in (self._one_of, self._not, self._if, self._dependent, self._contains):
            besides += lift(rest)
        besides += formatted(rest)
        if rest.pop(COMPLETE, False):
            complete(rest)
        if besides:
            rest["allOf"] = [*rest.get("allOf", ()), *besides]
        return inside(rest, self.of)

    def _numbers(self, rest: dict[str, Any]) -> None:
        """2.0 for 2, and bounds as draft 4 excluded them."""
        for key in rest.keys() & {*WHOLE}:
            if isinstance(rest[key], float) and rest[key].is_integer():
                rest[key] = int(rest[key])
        for end in ("Minimum", "Maximum"):
            if isinstance(excluded := rest.get(f"exclusive{end}"), bool):
                del rest[f"exclusive{end}"]
                if excluded and end.lower() in rest:
                    rest[f"exclusive{end}"] = rest.pop(end.lower())

    def _items(self, rest: dict[str, Any]) -> None:
        """A list of items, as older drafts wrote `prefixItems`."""
        if isinstance(rest.get("items"), list):
            rest["prefixItems"] = rest.pop("items")
            rest["items"] = rest.pop("additionalItems", True)

    def _any_of(self, rest: dict[str, Any]) -> None:
        """Without what looks around: pydantic has a number or such a text for a `Decimal`."""
        if isinstance(parts := rest.get("anyOf"), list):
            rest["anyOf"] = [part for part in parts if not looks_around(part)] or parts

    def _one_of(self, rest: dict[str, Any]) -> Iterable[Schema]:
        if "oneOf" in rest:
            yield {"anyOf": self._parts.told_apart(rest.pop("oneOf"))}

    def _not(self, rest: dict[str, Any]) -> Iterable[Schema]:
        if "not" in rest:
            yield self._parts.opposite(rest.pop("not"), "not")

    def _if(self, rest: dict[str, Any]) -> Iterable[Schema]:
        condition, then, other = (rest.pop(key, True) for key in ("if", "then", "else"))
        if then is not True or other is not True:
            opposite = self._parts.opposite(condition, "if")
            yield either({"allOf": [condition, then]}, {"allOf": [opposite, other]})

    def _dependent(self, rest: dict[str, Any]) -> Iterable[Schema]:
        """What has to be there, or to hold, where a property is there."""
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, needed in rest.pop(key, {}).items():
                wanted = {"required": needed} if isinstance(needed, list) else needed
                present = {"required": [name]}
                yield either({"properties": {name: False}}, {"allOf": [present, wanted]})

    def _unevaluated(self, rest: dict[str, Any]) -> Iterable[Schema]:
        """As `additionalProperties` or `items` behind all that any part says, in each choice of the
        parts of which one holds."""
        for key in ("unevaluatedProperties", "unevaluatedItems"):
            if (wanted := rest.pop(key, True)) is not True:
                close = _close_object if key == "unevaluatedProperties" else _close_list
                choices = self._parts.choices({**rest, "allOf": rest.get("allOf", [])}, key)
                yield either(*({"allOf": [*held, close(said, wanted)]} for held, said in choices))

    def _contains(self, rest: dict[str, Any]) -> Iterable[Schema]:
        """What a list has to contain comes first in it, behind what it begins with anyway."""
        wanted = rest.pop("contains", None)
        least, most = int(rest.pop("minContains", 1)), rest.pop("maxContains", None)
        if wanted is None or (least == 0 and most is None):
            return
        if most is not None and most < least:
            yield {"type": [kind for kind in TYPES if kind != "array"]}
            return
        if least > MOST_CONTAINED:
            raise ValueError(f'"minContains" of more than {MOST_CONTAINED} is not supported')
        first = len(rest.get("prefixItems", ()))
        if most is not None and first:
            raise ValueError('"maxContains" beside "prefixItems" is not supported')
        begins = [True] * first + [wanted] * least
        found: dict[str, Any] = {"prefixItems": begins, "minItems": len(begins) if least else 0}
        if most is not None:
            found["items"] = self._parts.opposite(wanted, "maxContains")
        yield found

    def _names(self, rest: dict[str, Any]) -> None:
        """Rules for the names of properties, by the names or by a pattern of them."""
        if (wanted := rest.pop("propertyNames", True)) in (True, {}, {"type": "string"}):
            return  # all names are texts; programs in JavaScript say so of every record
        names = self._parts.listed(wanted)
        pattern = "" if names is not None else pattern_of(self._parts.resolved(wanted))
        if pattern is None or rest.get("patternProperties"):
            raise ValueError('this "propertyNames" is not supported')
        listed, others = rest.pop("properties", {}), rest.pop("additionalProperties", True)
        fits = found_in(pattern, listed) if names is None else {*names} & {*listed}
        found = {name: part if name in fits else False for name, part in listed.items()}
        if names is None:
            rest["patternProperties"] = {pattern: others}
        else:
            found |= {str(name): others for name in names or () if name not in listed}
        rest |= {"properties": found, "additionalProperties": False}

    def _different(self, rest: dict[str, Any]) -> None:
        """Items of which no two may be the same: all lists of them one by one; or, if these are too
        many, with the items in the order of the schema."""
        if not rest.pop("uniqueItems", False) or rest.get("maxItems", 2) < 2:
            return
        values = self._parts.listed(rest.get("items", True))
        if values is None or rest.get("type") != "array" or rest.get("prefixItems"):
            raise ValueError('"uniqueItems" is supported for an array of items from an enum alone')
        least, most = rest.get("minItems", 0), min(rest.get("maxItems", 999), len(values))
        sizes = range(least, most + 1)
        if sum(perm(len(values), size) for size in sizes) <= MOST_LISTS:
            rest["enum"] = [list(some) for size in sizes for some in permutations(values, size)]
        elif 2 ** len(values) <= MOST_LISTS:
            chosen = _subsets(values)
            rest["enum"] = [some for some in chosen if least <= len(some) <= most]
        else:
            raise ValueError(f'"uniqueItems" is not supported for {len(values)} values')
        for key in ("items", "minItems", "maxItems"):
            rest.pop(key, None)


def _close_object(said: Sequence[Mapping[str, Any]], others: Schema) -> Schema:
    if any("additionalProperties" in part or "unevaluatedProperties" in part for part in said):
        return True
    names = {name: True for part in said for name in part.get("properties", ())}
    patterns = {name: True for part in said for name in part.get("patternProperties", ())}
    return {
        "properties": names,
        "patternProperties": patterns,
        "additionalProperties": others,
    }


def _close_list(said: Sequence[Mapping[str, Any]], others: Schema) -> Schema:
    if any("items" in part or "unevaluatedItems" in part for part in said):
        return True
    first = max((len(part.get("prefixItems", ())) for part in said), default=0)
    return {"prefixItems": [True] * first, "items": others}


def _subsets(values: Sequence[Any]) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    for value in values:
        found += [[*some, value] for some in found]
    return found
