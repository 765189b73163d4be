"""What `/retry` says about two replies with one seed."""

from __future__ import annotations

from dataclasses import replace

from gemma_mtp.api import FinishReason, Message, Stats, Turn
from gemma_mtp.chat.comparison import compared

PLAIN = Stats(decoded=100, decode_seconds=2.0)
DRAFTED = Stats(decoded=100, decode_seconds=1.0, drafted=90, drafts="used")


def turn(
    text: str,
    stats: Stats | None = None,
    *,
    exact: bool = True,
    reason: FinishReason | None = "stop",
) -> Turn:
    reply = Message.text("assistant", text)
    return Turn(Message.text("user", "hi"), (reply,), exact=exact, reason=reason, stats=stats)


def test_the_same_text_at_another_speed() -> None:
    assert compared(turn("a b", PLAIN), turn("a b", DRAFTED)) == [
        "The text is the same as before.",
        "before  plain           50.0 tok/s",
        "now     with drafts      100 tok/s",
        "Exact mode slows plain decoding down; /race compares the speeds.",
    ]
    assert compared(turn("a", DRAFTED), turn("a", PLAIN))[-1].endswith("/race compares the speeds.")


def test_the_rows_fit_into_a_narrow_window() -> None:
    fast = Stats(decoded=99999, decode_seconds=1.0, drafted=90, drafts="used")
    assert all(len(row) < 40 for row in compared(turn("a", PLAIN), turn("a", fast))[1:3])


def test_short_replies_are_not_compared_by_speed() -> None:
    short = Stats(decoded=63, decode_seconds=1.0, drafted=90, drafts="used")
    for before, after in ((short, PLAIN), (PLAIN, short)):
        assert compared(turn("a", before), turn("a", after)) == [
            "The text is the same as before.",
            "Too short to compare the speeds.",
        ]


def test_a_reply_in_which_drafts_were_only_tried_is_plain() -> None:
    tried = Stats(decoded=100, decode_seconds=1.0, drafted=3, drafts="unprofitable")
    shown = compared(turn("a", PLAIN), turn("a", tried))
    assert shown[2] == "now     plain            100 tok/s"
    assert len(shown) == 3
    tried = replace(tried, drafts="trying")
    assert compared(turn("a", tried), turn("a", PLAIN))[1] == ("before  trying drafts    100 tok/s")
    tried = replace(tried, drafted=0)
    assert compared(turn("a", tried), turn("a", PLAIN))[1] == ("before  plain            100 tok/s")


def test_the_speeds_of_two_modes_are_not_set_side_by_side() -> None:
    """Exact mode is the slower one, so that the two would say little about drafts."""
    before = turn("a", DRAFTED, exact=False)
    assert compared(before, turn("a", PLAIN)) == [
        "The text is the same as before.",
        "Exact mode slows plain decoding down; /race compares the speeds.",
    ]
    before = turn("a", PLAIN, exact=False)
    assert compared(before, turn("a", PLAIN)) == ["The text is the same as before."]


def test_the_same_mode_twice_has_no_winner() -> None:
    assert len(compared(turn("a", PLAIN), turn("a", PLAIN))) == 3


def test_a_reply_that_was_stopped_is_compared_as_far_as_it_goes() -> None:
    (line,) = compared(turn("a b", reason="cancelled"), turn("a b c"))
    assert line == "The text is the same as before, as far as the shorter one goes."
    (line,) = compared(turn("a b"), turn("a b c"))
    assert line == "The text differs after 3 characters."


def test_what_was_not_exact_need_not_be_the_same() -> None:
    assert compared(turn("a b", PLAIN, exact=False), turn("a c", DRAFTED)) == [
        "The text differs after 2 characters.",
        "The reply before was not in exact mode; another /retry compares two of it.",
        "Exact mode slows plain decoding down; /race compares the speeds.",
    ]
