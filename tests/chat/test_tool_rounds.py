"""Tools in a chat: asked for, run by real MCP servers, and kept whatever happens meanwhile."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import mcp_server
from support.fakes import Script
from support.mcp_config import SERVER, write_config
from support.talk import Talk
from support.waiting import wait_until

from gemma_mtp.api import ToolResult
from gemma_mtp.chat import tool_rounds, tools
from gemma_mtp.tools.offered import Listed, Offered, offered
from gemma_mtp.tools.results import Outcome
from gemma_mtp.tools.servers import Servers

ADD = ("add", '{"a": 1, "b": 2}')
YES, ALWAYS, NO, ALL = range(4)


class FunctionsAsServers(Servers):
    """The functions of the server for tests, without a process, a protocol or its seconds."""

    def __init__(self) -> None:
        self._listed = {"calc": [Listed(name) for name in ("add", "shout", "long_text")]}

    def tools(self) -> list[Offered]:
        return offered(self._listed)

    def call(
        self, tool: Offered, arguments: dict[str, Any], cancel: threading.Event
    ) -> Outcome | None:
        return Outcome(getattr(mcp_server, tool.own_name)(**arguments))

    def waiting(self) -> list[str]:
        return []

    def news(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


class Bench:
    """Talks with the servers of one file; what these were called for is in `called`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.folder, self.calls = folder, folder / "calls"
        self.talks: list[Talk] = []

    def config(self, *names: str, **more: object) -> str:
        return write_config(self.folder, *names, **more)

    def talk(
        self, *scripts: Script, config: str = "", real: bool = False, **options: object
    ) -> Talk:
        """With the servers of a `config`, or one; a `real` one, or its functions called here."""
        if not (config or real):
            self.patch.setenv("CALLS", str(self.calls))
            self.patch.setattr(tools, "_started", lambda file, say: FunctionsAsServers())
        config = config or self.config()
        self.talks.append(Talk(*scripts, home=self.folder, mcp=config, **options))
        tools.meet(self.talks[-1].chat)
        return self.talks[-1]

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []

    def results(self, talk: Talk) -> list[str]:
        """What the model got from tools in the last exchange."""
        turn = talk.chat.conversation.last
        assert turn is not None
        return [p.text for m in turn.replies for p in m.parts if isinstance(p, ToolResult)]


def press_ctrl_c(when: Callable[[], object]) -> None:
    """As soon as that holds."""

    def press() -> None:
        wait_until(lambda: bool(when()))
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path / "home"))
    found = Bench(tmp_path, monkeypatch)
    yield found
    for talk in found.talks:
        talk.chat.tools.close()


def test_a_call_is_shown_asked_for_run_and_answered(bench: Bench) -> None:
    talk = bench.talk(Script("I will count.", calls=[ADD]), Script("It is 3."), real=True)
    assert "The model may ask for 8 tools of calc; /tools lists them." in talk.out.getvalue()
    talk.console.answers = [YES]
    shown = talk.run("what is 1 + 2?")
    assert shown.startswith(">>> what is 1 + 2?\nI will count.\nadd(a: 1, b: 2)\n  3\nIt is 3.\n")
    assert talk.console.asked == [("Run add (calc)?", ("yes", "yes, always for this tool", "no"))]
    assert bench.called == ["add 1 2"]
    first, second = talk.engine.requests
    assert [tool.name for tool in first.tools][:2] == ["add", "shout"]
    assert [m.role for m in second.messages] == ["user", "assistant", "tool"]
    assert second.messages[2].parts == (ToolResult(second.messages[1].calls[0].id, "3"),)
    assert second.seed == 7  # one seed for the whole turn
    saved = talk.saved.turns[0]
    assert [m.role for m in saved.replies] == ["assistant", "tool", "assistant"]
    assert (saved.answer, saved.reason) == ("I will count.\n\nIt is 3.", "stop")
    assert "400 tok/s" in shown
    assert shown.count("ctx") == 1  # figures for the whole, at its end


def test_what_is_declined_does_not_run_and_the_model_goes_on(bench: Bench) -> None:
    talk = bench.talk(Script("", calls=[ADD]), Script("Then not."))
    talk.console.answers = [NO]
    shown = talk.run("add")
    assert bench.called == []
    assert bench.results(talk) == ["The user declined this call."]
    assert shown.rstrip().splitlines()[-2] == "Then not."


def test_always_is_for_this_tool_and_this_chat(bench: Bench) -> None:
    shout = ("shout", '{"text": "hi"}')
    talk = bench.talk(Script("", calls=[ADD, ADD, shout]), Script("Done."))
    talk.console.answers = [ALWAYS, YES]
    talk.run("go")
    assert [question for question, _ in talk.console.asked] == [
        "Run add (calc)?",
        "Run shout (calc)?",
    ]
    assert bench.called == ["add 1 2", "add 1 2", "shout hi"]
    assert bench.results(talk) == ["3", "3", "HI"]
    again = bench.talk(Script("", calls=[ADD]), Script("Done."))
    again.console.answers = [NO]
    again.run("go")
    assert len(again.console.asked) == 1


def test_a_warning_is_said_once(bench: Bench) -> None:
    loose = "The arguments of add are not held to all of their schema."
    talk = bench.talk(Script("", calls=[ADD], warning=loose), Script("Done.", warning=loose))
    talk.console.answers = [YES]
    assert talk.run("go", "again").count(loose) == 1


def test_a_long_argument_is_cut_on_the_screen_alone(bench: Bench) -> None:
    text = "x" * 3000
    talk = bench.talk(Script("", calls=[("shout", json.dumps({"text": text}))]), Script("Done."))
    talk.console.answers = [ALL, YES]
    shown = talk.run("go")
    assert "… (3002 characters))" in shown
    assert shown.index("… (3002 characters))") < shown.index(f'"{text}"')
    assert bench.called == [f"shout {text}"]
    assert talk.console.asked[0][1][ALL] == "show all of it"


def test_control_characters_of_a_call_do_not_reach_the_screen(bench: Bench) -> None:
    talk = bench.talk(Script("", calls=[("shout", r'{"text": "\u001b[2J\u202e"}')]), Script("."))
    talk.console.answers = [NO]
    shown = talk.run("go")
    assert r'shout(text: "\u001b[2J\u202e")' in shown


def test_what_cannot_be_used_is_said_to_the_model(bench: Bench) -> None:
    expected = {
        ("fail", "{}"): "Error executing tool fail",
        ("picture", "{}"): "(a picture, image/png: results of tools are shown as text)",
        ("nosuch", "{}"): "Error: there is no tool nosuch.",
        ("add", '{"a": "x"}'): "Error executing tool add: 2 validation errors",
    }
    talk = bench.talk(Script("", calls=[*expected]), Script("I see."), real=True)
    talk.console.answers = [YES] * 3
    shown = talk.run("go")
    for got, begins in zip(bench.results(talk), expected.values(), strict=True):
        assert got.startswith(begins)
        assert f"  {begins}" in shown
    assert talk.said[-1] == ("assistant", "I see.")


def test_a_server_that_dies_is_started_again_once_and_ends_nothing(bench: Bench) -> None:
    die = Script("", calls=[("die", "{}")])
    scripts = [die, Script("", calls=[ADD]), Script("3."), die, Script("Still here."), Script("!")]
    talk = bench.talk(*scripts, real=True)
    talk.console.answers = [YES, YES, YES]
    shown = talk.run("go")
    assert "Error: the server of this tool is gone: it has ended." in shown
    gone = "The MCP server calc is not there: it has ended."
    assert f"{gone} The next call of one of its tools starts it again." in shown
    assert "The MCP server calc was started again." in shown
    assert bench.results(talk)[1] == "3"
    assert talk.said[-1] == ("assistant", "3.")
    shown = talk.run("and now?", "and then?")
    assert f"{gone} Its tools are off." in shown
    assert "started again" not in shown
    assert talk.said[-1] == ("assistant", "!")
    assert talk.engine.requests[-1].tools == ()
    assert bench.called == ["die", "add 1 2", "die"]


def test_a_server_that_cannot_be_started_again_costs_a_sentence(bench: Bench) -> None:
    scripts = [Script("", calls=[("die", "{}")]), Script("", calls=[ADD]), Script("Still here.")]
    talk = bench.talk(*scripts, real=True)
    (connection,) = talk.chat.tools._servers._connections  # type: ignore[union-attr]
    connection.config = replace(connection.config, command="no-such-program")
    talk.console.answers = [YES, YES]
    shown = talk.run("go")
    assert "calc is not there: no-such-program cannot be started: No such file" in shown
    assert "cannot be started: No such file or directory. Its tools are off." in shown
    assert talk.said[-1] == ("assistant", "Still here.")


def test_servers_that_cannot_be_started_or_never_answer_cost_a_sentence(bench: Bench) -> None:
    silent = {"command": sys.executable, "args": [str(SERVER)], "env": {"SILENT": "1"}}
    servers = {"silent": {**silent, "timeout": 0.2}, "missing": {"command": "no-such-program"}}
    servers["ends"] = {"command": sys.executable, "args": ["-c", "1 / 0"]}
    file = bench.folder / "bad.json"
    file.write_text(json.dumps({"mcpServers": servers}))
    talk = bench.talk(config=str(file))
    shown = talk.out.getvalue()
    assert "silent is not there: it did not answer within 0.2 seconds. Its tools" in shown
    assert "missing is not there: no-such-program cannot be started: No such file or" in shown
    assert "ends is not there: it ended at once; what it said is in " in shown
    assert talk.run("hi").startswith(">>> hi\nHello there.")


def test_a_tool_that_takes_too_long_is_an_error_for_the_model(bench: Bench) -> None:
    talk = bench.talk(Script("", calls=[("sleep", '{"seconds": 60}')]), Script("."), real=True)
    (connection,) = talk.chat.tools._servers._connections  # type: ignore[union-attr]
    connection.config = replace(connection.config, timeout=0.2)
    talk.console.answers = [YES]
    talk.run("go")
    assert bench.results(talk) == ["Error: the tool did not answer within 0.2 seconds."]


def test_a_result_too_long_for_the_context_is_cut_and_says_so(bench: Bench) -> None:
    talk = bench.talk(
        Script("", calls=[("long_text", '{"lines": 900}')]), Script("Long."), context=1024
    )
    talk.console.answers = [YES]
    shown = talk.run("go")
    (result,) = bench.results(talk)
    assert "Cut to what the context has room for: " in shown
    assert result.startswith("line 1 of many\n")
    assert "(Cut here: these are the first" in result
    assert talk.engine.count(talk.engine.requests[-1]) < 1024 - 200
    assert talk.said[-1] == ("assistant", "Long.")


def test_names_of_several_servers_do_not_clash(bench: Bench) -> None:
    config = bench.config("one", "two")
    talk = bench.talk(Script("", calls=[("two_add", ADD[1])]), Script("3"), config=config)
    talk.console.answers = [YES]
    talk.run("go")
    names = [tool.name for tool in talk.engine.requests[0].tools]
    assert len(names) == len(set(names)) == 16
    assert talk.console.asked[0][0] == "Run two_add (two)?"
    assert bench.results(talk) == ["3"]


def test_no_answer_to_the_question_stops_and_continue_asks_again(bench: Bench) -> None:
    talk = bench.talk(Script("Wait.", calls=[ADD, ADD]), Script("3 and 3."))
    talk.console.answers = [YES, None, YES]
    shown = talk.run("go")
    assert "stopped; /continue goes on" in shown
    assert talk.saved.turns[0].reason == "cancelled"
    assert [m.role for m in talk.saved.turns[0].replies] == ["assistant", "tool"]
    assert "3 and 3." in talk.run("/continue")
    assert bench.called == ["add 1 2", "add 1 2"]
    assert bench.results(talk) == ["3", "3"]
    assert talk.saved.turns[0].reason == "stop"


def test_another_message_instead_goes_on_without_the_result(bench: Bench) -> None:
    talk = bench.talk(Script("Wait.", calls=[ADD]), Script("Fine."))
    talk.console.answers = [None]
    talk.run("go", "never mind")
    assert [text for role, text in talk.said if role == "assistant"] == ["Wait.", "Fine."]
    tool = talk.engine.requests[-1].messages[2]
    assert [part.text for part in tool.parts] == ["This tool was not run."]  # type: ignore[union-attr]


def test_ctrl_c_stops_a_tool_and_keeps_what_was_done(bench: Bench) -> None:
    calls = [ADD, ("sleep", '{"seconds": 60}'), ADD]
    talk = bench.talk(Script("", calls=calls), Script("Well."), real=True)
    talk.console.answers = [ALWAYS, YES]

    press_ctrl_c(lambda: "sleep" in bench.called)
    shown = talk.run("go")
    assert "stopped; /continue goes on" in shown
    assert bench.results(talk) == ["3", tool_rounds.STOPPED]
    assert len(talk.saved.turns[0].replies) == 2
    talk.run("/continue")
    assert bench.called == ["add 1 2", "sleep", "add 1 2"]
    assert talk.said[-1] == ("assistant", "Well.")


def test_after_many_rounds_the_person_is_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_rounds, "MOST_ROUNDS", 2)
    talk = bench.talk(Script("", calls=[ADD]))
    talk.console.answers = [ALWAYS, 0, 1]
    shown = talk.run("go")
    assert [question for question, _ in talk.console.asked[1:]] == [
        f"The model called tools {n} times for this answer. Go on?" for n in (2, 4)
    ]
    assert len(bench.called) == 3
    assert "stopped; /continue goes on" in shown


def test_a_conversation_with_calls_goes_on_without_the_tools(bench: Bench) -> None:
    talk = bench.talk(Script("", calls=[ADD]), Script("It is 3."))
    talk.console.answers = [YES]
    talk.run("what is 1 + 2?")
    later = Talk(Script("Good."), home=bench.folder)
    shown = later.run("/resume 1", "thanks")
    assert "add(a: 1, b: 2)\n  3\nIt is 3.\n" in shown
    assert [role for role, _ in later.said] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant"),
    ]
    assert later.engine.requests[0].tools == ()
    assert [one.id for one in later.env.archive().list('"b": 2')] == [1]  # a search finds calls


def test_regen_calls_anew_and_retry_compares_the_last_reply_alone(bench: Bench) -> None:
    talk = bench.talk(Script("", calls=[ADD]), Script("It is 3."), Script("It is 3."))
    talk.console.answers = [YES]
    talk.run("go")
    shown = talk.run("/retry plain")
    assert "The text is the same as before." in shown
    assert bench.called == ["add 1 2"]
    talk.engine.scripts += [Script("", calls=[ADD]), Script("Three.")]
    talk.console.answers = [YES]
    talk.run("/regen")
    assert bench.called == ["add 1 2", "add 1 2"]
    assert talk.saved.turns[0].answer == "Three."
    talk.run("/undo")
    assert talk.said == []


def test_a_reply_that_broke_off_within_a_call_keeps_all_of_it(bench: Bench) -> None:
    long = ("shout", json.dumps({"text": "a b" + " c" * 1000}))
    talk = bench.talk(Script("Now.", calls=[long], delay=0.05), Script("Now. Done."))

    press_ctrl_c(lambda: talk.env.archive().list('{"text": "a b'))  # kept while it is written
    shown = talk.run("go")
    assert 'shout({"text": "a b' in shown
    assert "The reply was cut, so nothing was run; /continue goes on." in shown
    turn = talk.saved.turns[0]
    assert turn.reason == "cancelled"
    call = turn.replies[0].calls[0]
    assert call.name == "shout"
    assert call.arguments.startswith('{"text": "a')
    assert talk.console.asked == []  # what is not whole is not run
    talk.run("/continue")
    assert talk.said[-1] == ("assistant", "Now. Done.")
