"""What programs ask for with pydantic: each model's schema is enforced, its answers are read."""

from __future__ import annotations

import json

import pytest
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel
from support.models import (
    MODELS,
    Enums,
    Money,
    Nested,
    Node,
    Pet,
    Plain,
    PlainDecimal,
    Reasoning,
)
from support.schemas import complaints, random_answer

from gemma_mtp.api import Grammar, Message, Request, Sampling

LOOSE = (Money, PlainDecimal)
"""Whose schemas, as pydantic makes them, allow texts that are no numbers, or more digits."""


@pytest.mark.parametrize("helper", ["ollama", "openai"])
@pytest.mark.parametrize("model", MODELS)
def test_every_answer_is_read(engine, model: type[BaseModel], helper: str) -> None:
    schema = model.model_json_schema() if helper == "ollama" else to_strict_json_schema(model)
    answers = {random_answer(engine, schema, seed, most=200) for seed in range(6)} - {None}
    assert answers
    for answer in answers:
        assert not complaints(schema, answer), answer
        if model not in LOOSE:
            model.model_validate_json(answer)


@pytest.mark.parametrize("model", [Plain, Nested, Enums, Pet, Node, Reasoning])
def test_a_reply_is_read_as_well(engine, model: type[BaseModel]) -> None:
    grammar = Grammar("json_schema", json.dumps(model.model_json_schema()))
    said = (Message.text("user", "Tell me about somebody."),)
    *_, end = engine.reply(Request(said, Sampling(1.0), grammar, seed=2, max_tokens=300))
    if end.reason == "stop":
        model.model_validate_json(end.message.content)
    else:
        assert end.reason == "length"


def test_a_decimal_whose_pattern_looks_ahead_is_a_number(engine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "price": {
                "anyOf": [{"type": "number"}, {"type": "string", "pattern": "^(?!^[-+.]*$)[0-9]*$"}]
            }
        },
        "required": ["price"],
    }
    for seed in range(4):
        answer = random_answer(engine, schema, seed)
        assert answer is None or isinstance(json.loads(answer)["price"], int | float)
