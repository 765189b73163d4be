"""Hundreds of JSON Schemas: whatever ends is valid, whatever was cut says so, in every draft mode.

The long one takes the JSON Schema test suite, from PyPI, and schemas made at random:

    pytest -m slow tests/engine/test_schema_suite.py

and beside the built-in pair one with random weights; with SCHEMA_PAIR=FOLDER in the environment the
pair in this folder, such as `benchmarks/real_vocabulary.py` makes with the vocabulary of Gemma 4.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from support.pairs import TINY, random_pair
from support.schemas import complaints, random_answer, random_schema, suite

from gemma_mtp.api import Grammar, LoadOptions, Message, PairFiles, Request, Sampling
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import UsageError

DRAFTS = (0, 1, 3, 7, "auto")
ENOUGH = 300  # schemas that have to be enforced


def schemas(count: int) -> dict[str, object]:
    """Made at random, the same ones each time."""
    return {f"random {i}": random_schema(random.Random(i)) for i in range(count)}


def test_schemas_made_at_random_are_enforced_or_refused(engine) -> None:
    enforced = 0
    for name, schema in schemas(60).items():
        try:
            answers = {random_answer(engine, schema, seed, most=80) for seed in range(4)} - {None}
        except UsageError:
            continue
        enforced += 1
        for answer in answers:
            assert not complaints(schema, answer), (name, schema, answer)
    assert enforced > 40


def test_a_few_of_them_in_every_draft_mode(engine) -> None:
    found = Counter(written(engine, schema, most=60) for schema in schemas(8).values())
    assert found["stop"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("which", ["built-in", "random weights"])
def test_the_suite_in_every_draft_mode(which, tmp_path) -> None:
    pair = TINY if which == "built-in" else given_pair() or random_pair(tmp_path)
    try:
        all_schemas = {**dict(suite()), **schemas(150)}
    except CalledProcessError:
        all_schemas = schemas(ENOUGH * 3 // 2)  # offline
    engine = load(pair, LoadOptions(context=2048))
    found = Counter(written(engine, schema) for schema in all_schemas.values())
    engine.close()
    print(which, dict(found))
    assert found.total() - found["refused"] >= ENOUGH
    assert found["stop"] >= ENOUGH / 2


def given_pair() -> PairFiles | None:
    if not (folder := os.environ.get("SCHEMA_PAIR")):
        return None
    drafter, target = sorted(Path(folder).glob("*.gguf"))  # mtp-...
    return PairFiles("given", target, drafter)


def written(engine, schema: object, most: int = 120) -> str:
    """Why an answer under the schema ended; it is judged, and the same for all draft lengths."""
    grammar = Grammar("json_schema", json.dumps(schema))
    said = (Message.text("user", "Tell me something."),)
    ends = []
    for draft in DRAFTS:
        request = Request(
            said, Sampling(1.0), grammar, seed=1, exact=True, draft=draft, max_tokens=most
        )
        try:
            *_, end = engine.reply(request)
        except UsageError:
            return "refused"
        ends.append(end)
    text = ends[0].message.content
    assert {end.message.content for end in ends} == {text}, schema
    assert {end.reason for end in ends} == {ends[0].reason}
    if ends[0].reason == "stop":
        assert not complaints(schema, text), (schema, text)
    else:
        assert ends[0].reason == "length"
    return ends[0].reason
