"""Questions about models at a real pseudo-terminal: what is asked, and what each answer does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX")

from support.terminal import CTRL_C, CTRL_D, ENTER, Terminal

Open = Callable[..., Terminal]


pytestmark = pytest.mark.usefixtures("home")


def test_a_model_that_is_not_here_is_pulled_and_then_chats(open_terminal: Open) -> None:
    chat = open_terminal("chat", "31b")
    chat.until("31b is not on this machine. Pull it now (18.8 GB)? [y/N]")
    chat.keys("y", ENTER)
    chat.until("31b is ready.")  # and nothing to type, since it begins by itself
    chat.say("hi")
    chat.until("Hello there.")
    chat.prompt()
    assert chat.leave(CTRL_D) == 0


@pytest.mark.parametrize(("answer", "status"), [("n", 4), (CTRL_D, 4), (CTRL_C, 130)])
def test_a_no_ends_with_the_command(open_terminal: Open, answer: str, status: int) -> None:
    chat = open_terminal("chat", "31b")
    chat.until("[y/N]")
    keys = (answer, ENTER) if answer == "n" else (answer,)
    assert chat.leave(*keys) == status
    if status == 130:
        assert chat.screen.cursor.x == 0  # so that the shell's prompt has a line of its own
    if status == 4:
        assert chat.lines[-2:] == ["gemma-mtp: 31b is not on this machine.", "  gemma-mtp pull 31b"]


def test_pull_without_a_name_asks_which(open_terminal: Open) -> None:
    pull = open_terminal("pull", columns=100)
    pull.until("Pull which one? Enter takes e4b, n none:")
    assert any(row.startswith("e4b") and "runs well" in row for row in pull.lines)
    assert pull.leave("e2b", ENTER) == 0
    assert pull.lines[-1] == "e2b is ready: gemma-mtp chat e2b"


def test_pull_without_a_name_takes_no_for_an_answer(open_terminal: Open) -> None:
    pull = open_terminal("pull", columns=100)
    pull.until("n none:")
    assert pull.leave("n", ENTER) == 0
    assert "ready" not in "\n".join(pull.lines)
