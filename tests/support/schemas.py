"""JSON Schemas and answers to them: random ones, written without a model, and judged."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import jsonschema
import numpy as np

from gemma_mtp.api import Grammar
from gemma_mtp.engine.engine import Engine

# Its source distribution carries the JSON Schema test suite.
SUITE = "jsonschema==4.26.0"
ENDS = {b'"', b"}", b"]", b",", b"true", b"null"}  # what answers that end are made of


def random_answer(engine: Engine, schema: object, seed: int, most: int = 150) -> str | None:
    """What a model without any sense would write under the schema; None where it came to no end."""
    vocabulary, chance = engine.pair.target.vocabulary, random.Random(seed)
    place, answer = engine.grammars.matcher(Grammar("json_schema", json.dumps(schema))), b""
    for _ in range(most):
        bits = np.unpackbits(place.allowed(), count=vocabulary.size, bitorder="little")
        ids = {int(i) for i in np.flatnonzero(bits)}
        going_on = sorted(ids - vocabulary.end_of_generation)
        if not going_on or (len(going_on) < len(ids) and chance.random() < 0.6):
            return answer.decode()
        ending = [i for i in going_on if vocabulary.piece(i) in ENDS]
        token = chance.choice(ending if ending and chance.random() < 0.4 else going_on)
        answer += vocabulary.piece(token)
        place.consume(token)
    return None


def _pattern(validator, pattern, instance, schema):
    """ECMAScript's \\w and \\d are ASCII, its \\s is not; what Python cannot read is not judged."""
    if isinstance(instance, str):
        try:
            found = re.search(pattern, instance, 0 if "\\s" in pattern.lower() else re.ASCII)
        except re.error:
            return
        if not found:
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def complaints(schema: object, answer: str) -> list[str]:
    """What `jsonschema` finds wrong, where numbers are decimals and not rounded."""
    schema = json.loads(json.dumps(schema), parse_float=Decimal)
    found = json.loads(answer, parse_float=Decimal)
    judge = _Validator(schema, format_checker=_Validator.FORMAT_CHECKER)
    return [error.message for error in judge.iter_errors(found)]


def suite() -> Iterator[tuple[str, object]]:
    """Names and schemas of the JSON Schema test suite. Raises CalledProcessError offline."""
    folder = Path(tempfile.gettempdir()) / f"gemma-mtp-{SUITE.replace('==', '-')}"
    if not list(folder.glob("*.tar.gz")):
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
        subprocess.run([*pip, "jsonschema", "--dest", folder, SUITE], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        for member in sorted(files.getmembers(), key=lambda member: member.name):
            path = Path(member.name)
            if "tests/draft2020-12" in member.name and path.suffix == ".json":
                text = files.extractfile(member)
                assert text is not None
                groups = json.load(text)
                for group in groups if isinstance(groups, list) else ():
                    yield f"{path.stem}: {group['description']}", group["schema"]


def random_schema(chance: random.Random, depth: int = 2) -> object:
    """Any schema, most of them such as somebody might write; some say nothing sensible."""
    kinds = [_constant, _number, _text] + [_list, _object, _object, _mixed] * (depth > 0)
    return chance.choice(kinds)(chance, depth - 1)


def _constant(chance: random.Random, depth: int) -> object:
    values = chance.sample([None, True, False, 0, 1, 2.5, "a", "b", "c d", 'e"\\'], 3)
    return chance.choice(
        [{"const": values[0]}, {"enum": values}, {"type": "boolean"}, {"type": "null"}]
    )


def _number(chance: random.Random, depth: int) -> object:
    bounds = {
        "minimum": chance.randint(-9, 3),
        "maximum": chance.randint(3, 99),
        "exclusiveMaximum": 50,
        "multipleOf": chance.choice([2, 0.5, 0.01]),
    }
    named = chance.sample(sorted(bounds), chance.randint(0, 2))
    return {
        "type": chance.choice(["integer", "number", "number"]),
        **{n: bounds[n] for n in named},
    }


def _text(chance: random.Random, depth: int) -> object:
    found = {"minLength": chance.randint(0, 2), "maxLength": chance.randint(2, 9)}
    if chance.random() < 0.3:
        found = {"pattern": chance.choice(["^[a-c]+$", "^\\d{2,4}-[A-Z]$", "^(yes|no)?$"])}
    elif chance.random() < 0.3:
        found = {"format": chance.choice(["date", "time", "date-time", "uuid", "email", "ipv4"])}
    return {"type": "string", **found}


def _list(chance: random.Random, depth: int) -> object:
    found: dict[str, object] = {"type": "array", "items": random_schema(chance, depth)}
    found["maxItems"] = chance.randint(1, 4)
    for name, value in {
        "uniqueItems": True,
        "minItems": 1,
        "contains": random_schema(chance, 0),
        "prefixItems": [random_schema(chance, 0)],
        "unevaluatedItems": False,
    }.items():
        if chance.random() < 0.2:
            found[name] = value
    return found


def _object(chance: random.Random, depth: int) -> object:
    names = chance.sample(["name", "age", "kind", "größe", "a b"], chance.randint(1, 3))
    kind = {"const": chance.choice("xyz")}
    parts = {n: kind if n == "kind" else random_schema(chance, depth) for n in names}
    found: dict[str, object] = {"type": "object", "properties": parts}
    found["required"] = [name for name in names if chance.random() < 0.6]
    for name, value in {
        "dependentRequired": {names[0]: [names[-1]]},
        "unevaluatedProperties": False,
        "propertyNames": {"enum": [*names, "z"]},
        "not": {"required": [names[0]]},
        "dependentSchemas": {names[0]: {"properties": {names[-1]: random_schema(chance, 0)}}},
    }.items():
        if chance.random() < 0.1:
            found[name] = value
    return {"additionalProperties": False, **found} if chance.random() < 0.7 else found


def _mixed(chance: random.Random, depth: int) -> object:
    one, other, third = (random_schema(chance, depth) for _ in range(3))
    return chance.choice(
        [
            {"anyOf": [one, other]},
            {"oneOf": [one, other]},
            {"oneOf": [one, other, third]},
            {"allOf": [one, {"not": _constant(chance, 0)}]},
            {"if": one, "then": other, "else": third},
            {"$ref": "#/$defs/here", "$defs": {"here": one}} if depth == 1 else one,
        ]
    )
