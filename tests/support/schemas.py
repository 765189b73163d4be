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
    """ECMAScript's \\w and \\d are ASCII; and what Python cannot read is not judged by it."""
    if isinstance(instance, str):
        try:
            found = re.search(pattern, instance, re.ASCII)
        except re.error:
            return
        if not found:
            yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def complaints(schema: object, answer: str) -> list[str]:
    """What `jsonschema` finds wrong, where numbers are decimals and not rounded."""
    schema = json.loads(json.dumps(schema), parse_float=Decimal)
    found = json.loads(answer, parse_float=Decimal)
    return [error.message for error in _Validator(schema).iter_errors(found)]


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
            if "draft2020-12" in path.parts and path.suffix == ".json":
                text = files.extractfile(member)
                assert text is not None
                for group in json.load(text):
                    yield f"{path.stem}: {group['description']}", group["schema"]
