"""`run` and `chat` with --server: a server writes the replies, all else is as ever."""

from __future__ import annotations

import json

import pytest
from support.fakes import FakeConsole, FakeEnvironment, invoke
from support.openai_server import OpenAIServer, piece, running

from gemma_mtp.cli.elsewhere import ServerEnvironment
from gemma_mtp.options import Options

SAID = [piece("Hello"), piece(" there"), piece(finish="stop")]


@pytest.fixture
def server():
    server = OpenAIServer(models=["gemma-4", "other"])
    server.stream = SAID
    with running(server):
        yield server


def test_an_answer(server) -> None:
    outcome = invoke("run", "--server", server.address, "gemma-4", "Hi you")
    assert (outcome.status, outcome.stdout) == (0, "Hello there\n")
    assert server.last["model"] == "gemma-4"
    assert server.last["messages"][-1]["content"] == "Hi you"


def test_which_words_are_the_model(server) -> None:
    for words in (["--model", "other", "gemma-4"], ["OTHER:latest", "gemma-4"]):
        assert invoke("run", "--server", server.address, *words).status == 0
        assert server.last["model"] == "other"
        assert server.last["messages"][-1]["content"] == "gemma-4"


def test_without_a_name_there_must_be_one_model(server) -> None:
    outcome = invoke("run", "--server", server.address, "Hi")
    assert outcome.status == 2
    assert "has several models: gemma-4, other." in outcome.stderr
    server.pages["/v1/models"]["data"].pop()
    outcome = invoke("run", "--server", server.address, "Hi")
    assert (outcome.status, outcome.stdout) == (0, "Hello there\n")
    assert f"gemma-4 of {server.address} answers." in outcome.stderr


def test_without_a_name_the_default_of_another_gemma_mtp_answers(server) -> None:
    server.pages["/v1/models"]["data"][1]["default"] = True
    outcome = invoke("run", "--server", server.address, "Hi")
    assert (outcome.status, outcome.stdout) == (0, "Hello there\n")
    assert server.last["model"] == "other"


def test_a_model_that_the_server_does_not_have(server) -> None:
    outcome = invoke("run", "--server", server.address, "--model", "gemma-3", "Hi")
    assert outcome.status == 4
    assert 'has no model "gemma-3"' in outcome.stderr
    assert "gemma-4" in outcome.stderr


def test_the_address_and_the_key_of_variables(server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMA_MTP_SERVER", server.address)
    monkeypatch.setenv("GEMMA_MTP_API_KEY", "k3y")
    outcome = invoke("run", "gemma-4", "Hi", "--json")
    assert json.loads(outcome.stdout)["text"] == "Hello there"
    assert server.asked[-1][1]["Authorization"] == "Bearer k3y"


@pytest.mark.parametrize("words", [["--ctx", "4096"], ["--gpu-layers", "3"], ["--drafter", "x"]])
def test_what_is_for_this_machine_is_refused(server, words) -> None:
    outcome = invoke("run", "--server", server.address, "gemma-4", "Hi", *words)
    assert outcome.status == 2
    assert f"{words[0]} is for this machine" in outcome.stderr


def test_what_config_says_of_this_machine_is_left_alone(server) -> None:
    env = FakeEnvironment()
    env.configured = {"ctx": 4096}
    assert invoke("run", "--server", server.address, "gemma-4", "Hi", env=env).status == 0


def test_nothing_is_loaded_here(server) -> None:
    env = FakeEnvironment()
    assert invoke("run", "--server", server.address, "gemma-4", "Hi", env=env).status == 0
    assert (env.loaded, env.used) == ([], [])


def test_a_server_that_is_not_there() -> None:
    outcome = invoke("run", "--server", "127.0.0.1:1", "Hi")
    assert outcome.status == 7
    assert "cannot be reached" in outcome.stderr
    assert invoke("run", "--server", "ftp://x", "Hi").status == 2


def test_a_reply_that_breaks_off_ends_with_the_words_so_far(server) -> None:
    server.stream, server.cut = [piece("so far")], True
    outcome = invoke("run", "--server", server.address, "gemma-4", "Hi")
    assert (outcome.status, outcome.stdout) == (7, "so far\n")
    assert "broke off" in outcome.stderr


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    env = FakeEnvironment()
    env.configured = {"api_key": "s3cret", "server": "localhost:1"}
    for words in (["config"], ["config", "api_key"], ["config", "--json"]):
        outcome = invoke(*words, env=env)
        assert "s3cret" not in outcome.stdout + outcome.stderr


def chat(server: OpenAIServer, *lines: str) -> str:
    """A chat with the server; what is on the screen."""
    import io

    from gemma_mtp.chat.chat import Chat
    from gemma_mtp.chat.loop import converse
    from gemma_mtp.terminal.render import Printer
    from gemma_mtp.terminal.screen import Screen

    env = ServerEnvironment(FakeEnvironment(), server.address, None)
    console, shown = FakeConsole(*lines), io.StringIO()
    talk = Chat(env, console, Printer(Screen(shown, shown)), Options())
    talk.use(env.resolve("gemma-4", None))
    converse(talk, None)
    talk.close()
    return shown.getvalue()


def test_a_chat(server) -> None:
    server.stream = [*SAID, {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}]
    shown = chat(server, "Hi", "/list", "/model other", "/stats", "And you?", "/model nosuch")
    assert "Hello there" in shown
    assert "* gemma-4" in shown
    assert "other answers now." in shown
    assert f"at {server.address}" in shown
    assert "ctx 11" in shown
    assert 'has no model "nosuch"' in shown
    assert server.last["model"] == "other"
    assert [m["role"] for m in server.last["messages"]] == ["user", "assistant", "user"]


def test_a_message_that_does_not_fit_is_kept(server) -> None:
    server.refusal = (400, {"error": {"message": "too long", "type": "context"}}, {})
    shown = chat(server, "Hi")
    assert "too long" in shown
    assert "a larger context is the server's to give" in shown


def test_how_a_model_is_loaded_is_not_set_in_a_chat_with_a_server(server) -> None:
    shown = chat(server, "Hi", "/set ctx 4096", "/set threads 2")
    assert "ctx is for this machine; the server has its own." in shown
    assert "threads is for this machine; the server has its own." in shown
    assert "from the next load on" not in shown
