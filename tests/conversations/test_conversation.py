"""What the model gets of a conversation, and what each change makes of it."""

from __future__ import annotations

from gemma_mtp.api import Message, Turn
from gemma_mtp.conversations.conversation import Conversation, unanswered


def turn(user: str, reply: str | None = None) -> Turn:
    answer = () if reply is None else (Message.text("assistant", reply, (1, 2)),)
    return Turn(Message.text("user", user), answer)


WHOLE = Conversation("Be brief.", (turn("a", "A"), turn("b", "B"), turn("c", "C")))


def texts(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages()]


def test_messages() -> None:
    assert texts(WHOLE) == ["Be brief.", "a", "A", "b", "B", "c", "C"]
    assert texts(WHOLE.asking(Message.text("user", "d")))[-2:] == ["C", "d"]
    assert texts(Conversation()) == []


def test_turns_that_are_left_out_are_still_there() -> None:
    shorter = WHOLE.skipping(1).skipping(1)
    assert texts(shorter) == ["Be brief.", "c", "C"]
    assert shorter.turns == WHOLE.turns


def test_taking_back_the_last_turn_uncovers_one_that_was_left_out() -> None:
    assert texts(WHOLE.skipping(2).without_last()) == ["Be brief.", "b", "B"]
    assert texts(WHOLE.without_last().without_last().without_last()) == ["Be brief."]


def test_nothing_changes_in_place() -> None:
    WHOLE.with_last(turn("x", "X"))
    WHOLE.without_last()
    assert texts(WHOLE)[-1] == "C"


def test_tokens_are_forgotten_texts_are_not() -> None:
    bare = WHOLE.without_tokens()
    assert texts(bare) == texts(WHOLE)
    assert all(message.tokens == () for message in bare.messages())
    assert any(message.tokens for message in WHOLE.messages())


def test_a_message_that_got_no_reply() -> None:
    turns = (turn("a", "A"), turn("b"))
    assert unanswered(turns) == (turns[:1], turns[1].user)
    assert unanswered(turns[:1]) == (turns[:1], None)
    assert unanswered(()) == ((), None)
