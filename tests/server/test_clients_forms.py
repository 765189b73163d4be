"""Answers in the form of a pydantic model, asked for by the helpers of each client."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Literal

import anthropic
import ollama
import openai
import pytest
from pydantic import BaseModel, Field
from support.models import Colour, Enums, EnumSet, Moments, Nested, Pet, Reasoning

SAID = [{"role": "user", "content": "Tell me about somebody."}]
MODELS = [Enums, EnumSet, Moments, Nested, Pet, Reasoning]


def of_chat(url: str, model: type[BaseModel]) -> BaseModel | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-") as client:
        completion = client.chat.completions.parse(
            model="tiny", messages=SAID, response_format=model, temperature=1, seed=4
        )
    return completion.choices[0].message.parsed


def of_streamed_chat(url: str, model: type[BaseModel]) -> BaseModel | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-") as client:
        asked = client.chat.completions.stream(
            model="tiny", messages=SAID, response_format=model, temperature=1, seed=4
        )
        with asked as stream:
            stream.until_done()
            return stream.get_final_completion().choices[0].message.parsed


def of_responses(url: str, model: type[BaseModel]) -> BaseModel | None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="-") as client:
        return client.responses.parse(
            model="tiny", input="Tell me about somebody.", text_format=model, temperature=1
        ).output_parsed


def of_ollama(url: str, model: type[BaseModel]) -> BaseModel | None:
    reply = ollama.Client(url).chat(
        "tiny", SAID, format=model.model_json_schema(), options={"temperature": 1, "seed": 4}
    )
    return model.model_validate_json(reply.message.content or "")


def of_anthropic(url: str, model: type[BaseModel]) -> BaseModel | None:
    with anthropic.Anthropic(base_url=url, api_key="-") as client:
        reply = client.messages.parse(
            model="tiny", messages=SAID, max_tokens=400, output_format=model
        )
    return reply.parsed_output


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ask", [of_chat, of_streamed_chat, of_responses, of_ollama])
def test_a_model_is_asked_for_and_got(
    served: str, ask: Callable[[str, type[BaseModel]], BaseModel | None], model: type[BaseModel]
) -> None:
    assert isinstance(ask(served, model), model)


class Ball(BaseModel):
    kind: Literal["ball"] = "ball"
    colour: Colour


class Kite(BaseModel):
    kind: Literal["kite"] = "kite"
    since: date


class Toy(BaseModel):
    toy: Ball | Kite = Field(discriminator="kind")


@pytest.mark.parametrize("model", [Moments, Toy])
def test_the_same_of_a_client_that_leaves_lengths_out(served: str, model: type[BaseModel]) -> None:
    assert isinstance(of_anthropic(served, model), model)
