"""Tools in OpenAI's dialect: by its own Python package and its helpers, and by requests as agents
send them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pytest
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from pydantic import BaseModel, Field
from support.fakes import Script
from support.serving import FakeEngines, body, chat

from gemma_mtp.api import Text, Thought, Tool, ToolCall, ToolChoice, ToolResult

ARGUMENTS = {
    "city": 'Ål "old" \\ town',
    "days": [1, 2],
    "where": {"unit": "°C", "deep": {"n": None}},
}
TEXT = json.dumps(ARGUMENTS, ensure_ascii=False)
CALLS = (("weather", TEXT), ("clock", "{}"))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks outside.",
        "parameters": SCHEMA,
        "strict": True,
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}
FLAT: list[Any] = [{"type": "function", **tool["function"]} for tool in (WEATHER, CLOCK)]
ASKED: list[Any] = [{"role": "user", "content": "What is the weather?"}]
OURS = (Tool("weather", "Looks outside.", json.dumps(SCHEMA)), Tool("clock"))


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


# --- what is asked for --------------------------------------------------------------------------


def test_tools_are_declared_to_the_engine(engines: FakeEngines, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER, CLOCK])
    assert engines.asked.tools == OURS
    assert engines.asked.tool_choice == ToolChoice()
    client.responses.create(model="tiny", input="Hi", tools=FLAT)
    assert engines.asked.tools == OURS


BY_NAME = ToolChoice("required", "clock")
CHOICES: list[tuple[Any, ToolChoice]] = [
    ("auto", ToolChoice()),
    ("none", ToolChoice("none")),
    ("required", ToolChoice("required")),
    ({"type": "function", "function": {"name": "clock"}}, BY_NAME),
    ({"type": "function", "name": "clock"}, BY_NAME),
]


@pytest.mark.parametrize(("given", "wanted"), CHOICES)
def test_whether_and_which_tool_is_called(
    engines: FakeEngines, url: str, given: Any, wanted: ToolChoice
) -> None:
    assert chat(url, tools=[WEATHER, CLOCK], tool_choice=given).status_code == 200
    assert engines.asked.tool_choice == wanted
    answer = respond(url, tools=FLAT, tool_choice=given)
    assert engines.asked.tool_choice == wanted
    assert answer["tool_choice"] == given
    assert [tool["name"] for tool in answer["tools"]] == ["weather", "clock"]


@pytest.mark.parametrize("deeper", [True, False])
def test_only_tools_that_are_allowed_are_declared(
    engines: FakeEngines, url: str, deeper: bool
) -> None:
    name = {"function": {"name": "clock"}} if deeper else {"name": "clock"}
    listed = {"mode": "required", "tools": [{"type": "function", **name}, {"type": "web_search"}]}
    choice = {"type": "allowed_tools", **({"allowed_tools": listed} if deeper else listed)}
    assert chat(url, tools=[WEATHER, CLOCK], tool_choice=choice).status_code == 200
    assert engines.asked.tools == (Tool("clock"),)
    assert engines.asked.tool_choice == ToolChoice("required")


def test_one_call_at_a_time(engines: FakeEngines, url: str) -> None:
    chat(url, tools=[CLOCK], parallel_tool_calls=False)
    assert engines.asked.tool_choice == ToolChoice(parallel=False)
    answer = respond(url, tools=FLAT, parallel_tool_calls=False)
    assert engines.asked.tool_choice == ToolChoice(parallel=False)
    assert answer["parallel_tool_calls"] is False


def test_tools_of_other_types_are_skipped_and_named(engines: FakeEngines, url: str) -> None:
    others = [{"type": "web_search"}, {"type": "custom", "custom": {"name": "patch"}}]
    assert chat(url, tools=[*others, CLOCK]).status_code == 200
    assert engines.asked.tools == (Tool("clock"),)
    assert engines.record().passed_over == ("tools.0 (web_search)", "tools.1 (custom)")
    assert respond(url, tools=others)["tools"] == []
    assert engines.record().passed_over == ("tools.0 (web_search)", "tools.1 (custom)")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"type": "function"}]}, "tools.0.name"),
    ({"tools": [{"type": "function", "function": {"name": "two words"}}]}, "two words"),
    ({"tools": [CLOCK, CLOCK]}, "clock"),
    ({"tools": [CLOCK], "tool_choice": "maybe"}, "tool_choice must be auto, none, required"),
    ({"tools": [CLOCK], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice names x"),
    ({"tools": [CLOCK], "tool_choice": {"type": "custom", "name": "x"}}, "tool_choice is custom"),
    ({"tools": [CLOCK], "tool_choice": {"type": "allowed_tools"}}, "tool_choice must have a list"),
    ({"tools": [{"type": "custom"}], "tool_choice": "required"}, "tool_choice demands a call"),
]


@pytest.mark.parametrize(("more", "said"), REFUSED)
def test_what_cannot_be_called_is_refused_by_name(
    engines: FakeEngines, url: str, more: dict[str, Any], said: str
) -> None:
    for stream in (False, True):
        refused = chat(url, stream=stream, **more)
        assert refused.status_code == 400
        assert said in refused.json()["error"]["message"]
    assert engines.engine.requests == []


def respond(url: str, **more: Any) -> dict[str, Any]:
    asked = {"model": "tiny", "input": "Hi", **more}
    response = httpx.post(f"{url}/v1/responses", json=asked, timeout=30)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


# --- what is said of calls before ---------------------------------------------------------------


def test_calls_results_and_thoughts_become_parts(engines: FakeEngines, url: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": TEXT}}
    other = {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": ""}}
    said = [
        *ASKED,
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "assistant", "content": "And", "reasoning": "Ah.", "tool_calls": [other]},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "noon"}]},
    ]
    assert chat(url, messages=said, tools=[WEATHER, CLOCK]).status_code == 200
    _, first, rain, second, noon = engines.asked.messages
    assert first.parts == (Thought("Hm."), ToolCall("c1", "weather", TEXT))
    assert rain.parts == (ToolResult("c1", "rain"),)
    assert second.parts == (Thought("Ah."), Text("And"), ToolCall("c2", "clock", "{}"))
    assert noon.parts == (ToolResult("c2", "noon"),)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"role": "tool", "content": "x"}, "messages.1.tool_call_id"),
    ({"role": "tool", "tool_call_id": "c9", "content": "x"}, '"c9", and no call before it has'),
    ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "messages.1.tool_calls.0.type"),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]},
        "messages.1.tool_calls.0.id",
    ),
    ({"role": "assistant", "function_call": {"name": "x"}}, "messages.1.function_call"),
    ({"role": "function", "name": "x", "content": "y"}, "messages.1.role"),
]


@pytest.mark.parametrize(("message", "said"), WRONG)
def test_what_is_no_call_and_no_result_is_refused(
    url: str, message: dict[str, Any], said: str
) -> None:
    refused = chat(url, messages=[*ASKED, message])
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


# --- chat completions ---------------------------------------------------------------------------


def test_a_whole_reply_with_calls(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("", thought="Hm.", calls=CALLS))
    reply = client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER, CLOCK])
    (choice,) = reply.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.model_extra == {"reasoning_content": "Hm."}
    weather, clock = choice.message.tool_calls or ()
    assert weather.type == clock.type == "function"
    assert (weather.id, weather.function.name) == ("call_00", "weather")
    assert json.loads(weather.function.arguments) == ARGUMENTS
    assert (clock.id, clock.function.name, clock.function.arguments) == ("call_01", "clock", "{}")
    assert reply.usage
    assert reply.usage.completion_tokens_details
    assert reply.usage.completion_tokens_details.reasoning_tokens == 1


def test_text_before_a_call_is_kept(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("Let me see.", calls=CALLS[:1]))
    reply = client.chat.completions.create(model="tiny", messages=ASKED, tools=[WEATHER])
    assert reply.choices[0].message.content == "Let me see."
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_reply_that_was_cut_says_so_though_it_has_a_call(engines: FakeEngines, url: str) -> None:
    engines.say(Script("One two three.", calls=CALLS))
    reply = chat(url, tools=[WEATHER], max_tokens=2).json()
    assert reply["choices"][0]["finish_reason"] == "length"


def test_calls_come_in_pieces_each_under_one_index(engines: FakeEngines, url: str) -> None:
    engines.say(Script("", calls=CALLS))
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=body(stream=True, tools=[WEATHER, CLOCK])
    ) as response:
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
    assert choices[0]["delta"] == {"role": "assistant", "content": None}
    assert choices[-1]["finish_reason"] == "tool_calls"
    pieces = [choice["delta"]["tool_calls"][0] for choice in choices[1:-1]]
    begun = [piece for piece in pieces if "id" in piece]
    assert begun == [
        {
            "index": n,
            "id": f"call_0{n}",
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        for n, name in enumerate(("weather", "clock"))
    ]
    for number, (_, arguments) in enumerate(CALLS):
        later = [p for p in pieces if p["index"] == number and p not in begun]
        assert all(set(piece) == {"index", "function"} for piece in later)
        assert "".join(piece["function"]["arguments"] for piece in later) == arguments


class City(BaseModel):
    """A place."""

    name: str
    unit: Literal["C", "F"]


class Forecast(BaseModel):
    """Looks outside."""

    cities: list[City]
    days: int = Field(description="How many")


FORECAST = {"cities": [{"name": 'Oslo ·"Å"\n', "unit": "C"}], "days": 3}


@pytest.mark.parametrize("stream", [False, True])
def test_the_package_reads_arguments_into_a_class(
    engines: FakeEngines, client: openai.OpenAI, stream: bool
) -> None:
    engines.say(Script("", calls=[("Forecast", json.dumps(FORECAST, ensure_ascii=False))]))
    asked: Any = {
        "model": "tiny",
        "messages": ASKED,
        "tools": [openai.pydantic_function_tool(Forecast)],
    }
    if stream:
        with client.chat.completions.stream(**asked) as events:
            kinds = [event.type for event in events]
            reply = events.get_final_completion()
        assert kinds.count("tool_calls.function.arguments.done") == 1
        assert "tool_calls.function.arguments.delta" in kinds
    else:
        reply = client.chat.completions.parse(**asked)
    (call,) = reply.choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == Forecast.model_validate(FORECAST)
    assert reply.choices[0].message.content is None


def test_a_conversation_from_question_to_answer(
    engines: FakeEngines, client: openai.OpenAI
) -> None:
    engines.say(Script("", thought="Hm.", calls=CALLS), "Rain.")
    said = list(ASKED)
    first = client.chat.completions.create(model="tiny", messages=said, tools=[WEATHER, CLOCK])
    said.append(first.choices[0].message)
    for call in first.choices[0].message.tool_calls or ():
        said.append({"role": "tool", "tool_call_id": call.id, "content": f"of {call.id}"})
    last = client.chat.completions.create(model="tiny", messages=said, tools=[WEATHER, CLOCK])
    assert last.choices[0].message.content == "Rain."
    assert last.choices[0].finish_reason == "stop"
    _, calls, results = engines.asked.messages
    made = (ToolCall("call_00", "weather", TEXT), ToolCall("call_01", "clock", "{}"))
    assert calls.parts == (Thought("Hm."), *made)
    assert results.parts == (
        ToolResult("call_00", "of call_00"),
        ToolResult("call_01", "of call_01"),
    )


# --- responses ----------------------------------------------------------------------------------


def test_a_whole_answer_with_calls(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("Let me see.", thought="Hm.", calls=CALLS))
    answer = client.responses.create(model="tiny", input="Hi", tools=FLAT)
    assert [item.type for item in answer.output] == [
        *("reasoning", "message", "function_call", "function_call"),
    ]
    _, _, weather, clock = answer.output
    assert weather.type == clock.type == "function_call"
    assert (weather.call_id, weather.name, weather.arguments) == ("call_00", "weather", TEXT)
    assert (clock.call_id, clock.name, clock.arguments) == ("call_01", "clock", "{}")
    assert weather.id != clock.id
    assert weather.status == "completed"
    assert answer.status == "completed"
    assert answer.output_text == "Let me see."


def test_events_of_calls_come_in_their_order(engines: FakeEngines, client: openai.OpenAI) -> None:
    engines.say(Script("", calls=[("weather", '{"city": "Oslo"}'), ("clock", "{}")]))
    events = list(client.responses.create(model="tiny", input="Hi", tools=FLAT, stream=True))
    arguments = "response.function_call_arguments"
    assert [event.type for event in events] == [
        *("response.created", "response.in_progress"),
        *("response.output_item.added", f"{arguments}.delta", f"{arguments}.delta"),
        *(f"{arguments}.done", "response.output_item.done"),
        *("response.output_item.added", f"{arguments}.delta"),
        *(f"{arguments}.done", "response.output_item.done", "response.completed"),
    ]
    added = [event.item for event in events if event.type == "response.output_item.added"]
    assert [(item.name, item.arguments, item.status) for item in added] == [
        ("weather", "", "in_progress"),
        ("clock", "", "in_progress"),
    ]
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.item for event in done] == events[-1].response.output
    assert [(event.output_index, event.item.arguments) for event in done] == [
        (0, '{"city": "Oslo"}'),
        (1, "{}"),
    ]
    pieces = [event for event in events if event.type.startswith(arguments)]
    assert {event.item_id for event in pieces} == {item.id for item in added}
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_items_of_a_conversation_with_tools_become_turns(
    engines: FakeEngines, client: openai.OpenAI
) -> None:
    engines.say(Script("Let me see.", thought="Hm.", calls=CALLS), "Rain.")
    first = client.responses.create(model="tiny", input="Hi", tools=FLAT)
    said: list[Any] = [{"role": "user", "content": "Hi"}, *first.output]
    output = [{"type": "input_text", "text": "noon"}]
    said.append({"type": "function_call_output", "call_id": "call_00", "output": "rain"})
    said.append({"type": "function_call_output", "call_id": "call_01", "output": output})
    assert client.responses.create(model="tiny", input=said, tools=FLAT).output_text == "Rain."
    _, calls, results = engines.asked.messages
    made = (ToolCall("call_00", "weather", TEXT), ToolCall("call_01", "clock", "{}"))
    assert calls.parts == (Thought("Hm."), Text("Let me see."), *made)
    assert results.parts == (ToolResult("call_00", "rain"), ToolResult("call_01", "noon"))


@pytest.mark.parametrize("stream", [False, True])
def test_the_package_s_own_loop_runs_tools(
    engines: FakeEngines, client: openai.OpenAI, stream: bool
) -> None:
    """It is strict: whatever it sends back must be plain data in the form of OpenAI's."""
    engines.say(Script("", thought="Hm.", calls=CALLS), "Rain at noon.")
    ran: list[tuple[str, Any]] = []

    def run(name: str, answer: str) -> Any:
        return lambda arguments: ran.append((name, arguments)) or answer

    weather, clock = FLAT
    loose = {"parameters": {"type": "object", "properties": {}}}
    runner = ResponsesToolRunner(
        functions=[
            RegisteredFunction({**weather, **loose}, run("weather", "rain")),
            RegisteredFunction({**clock, **loose}, run("clock", "noon")),
        ]
    )
    answer = runner.run(client, {"model": "tiny", "input": "Hi"}, max_steps=3, stream=stream)
    assert answer.output_text == "Rain at noon."
    assert sorted(ran) == [("clock", {}), ("weather", ARGUMENTS)]
    _, calls, results = engines.asked.messages
    assert calls.parts[0] == Thought("Hm.")
    assert [part.text for part in results.parts if isinstance(part, ToolResult)] == ["rain", "noon"]


@pytest.mark.parametrize("stream", [False, True])
def test_responses_read_arguments_into_a_class(
    engines: FakeEngines, client: openai.OpenAI, stream: bool
) -> None:
    engines.say(Script("", calls=[("Forecast", json.dumps(FORECAST))]))
    tools: Any = [openai.pydantic_function_tool(Forecast)["function"]]
    tools = [{"type": "function", **tools[0]}]
    if stream:
        with client.responses.stream(model="tiny", input="Hi", tools=tools) as events:
            answer: Any = events.get_final_response()
    else:
        answer = client.responses.parse(model="tiny", input="Hi", tools=tools)
    (call,) = answer.output
    assert Forecast.model_validate_json(call.arguments) == Forecast.model_validate(FORECAST)


def test_tokens_of_a_prompt_are_counted(client: openai.OpenAI, url: str) -> None:
    counted = client.responses.input_tokens.count(model="tiny", input="one two three")
    assert (counted.object, counted.input_tokens) == ("response.input_tokens", 7)
    asked = httpx.post(f"{url}/v1/chat/completions/input_tokens", json=body(stream=True))
    assert asked.json()["input_tokens"] == 5
