"""The line below a reply: whether drafts were used, what they brought, and where not, why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemma_mtp.api import DraftUse, Stats
from gemma_mtp.terminal.figures import request_parts, status_parts, summary_parts
from gemma_mtp.terminal.screen import fit
from gemma_mtp.text import counted

LAST = Stats(
    prompt_tokens=18,
    completion_tokens=212,
    rounds=80,
    decoded=211,
    drafted=240,
    accepted=131,
    decode_seconds=2.0,
    plain_seconds=2.84,
    compared_seconds=2.0,
    speedup_basis="measured",
    drafts="used",
    context_used=230,
    context_size=8192,
)


def line(stats: Stats, width: int = 1000) -> str:
    return fit(summary_parts(stats, "stop"), width)


def test_with_drafts() -> None:
    assert line(LAST) == (
        "106 tok/s · 1.42x plain (measured) · 55 % of drafts accepted · 3 drafts a round · "
        "2.6 tokens a round · ctx 230/8192"
    )
    assert fit(status_parts(LAST), 1000) == (
        "106 tok/s · 1.4x plain · 55 % of drafts accepted · 3 drafts a round · ctx 230/8192"
    )
    assert line(LAST, 60) == "106 tok/s · 1.42x plain (measured) · 55 % of drafts accepted"
    assert line(LAST, 40) == "106 tok/s · 1.42x plain (measured)"


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("trying", "trying drafts"),
        ("unprofitable", "plain: drafts do not pay"),
        ("off", "plain: drafts are off"),
        ("no-drafter", "plain: no drafter"),
        ("unknown", "plain"),
    ],
)
def test_without_drafts_the_line_says_why_and_no_figures_of_drafts(
    use: DraftUse, said: str
) -> None:
    """Neither do the few drafts that were tried meanwhile show."""
    few = 0 if use == "unknown" else 7
    stats = replace(LAST, drafts=use, drafted=few, accepted=few, rounds=204)
    assert line(stats) == f"106 tok/s · {said} · ctx 230/8192"
    assert fit(status_parts(stats), 1000) == f"106 tok/s · {said} · ctx 230/8192"
    assert said in line(stats, 40)


def test_where_nothing_was_drafted_so_far_the_line_does_not_say_that_drafts_are_tried() -> None:
    stats = replace(LAST, drafts="trying", drafted=0, accepted=0, rounds=211)
    assert line(stats) == "106 tok/s · plain: no drafts used yet · ctx 230/8192"
    assert line(stats, 39) == "106 tok/s · plain: no drafts used yet"
    assert not any("plain" in text for _, text in request_parts(stats, "stop"))  # of one of many
    stats = replace(stats, drafts="off")
    assert (6, "plain: drafts are off") in request_parts(stats, "stop")


def test_figures_that_an_older_version_kept_still_show_their_drafts() -> None:
    assert line(replace(LAST, drafts="unknown")) == line(LAST)


@pytest.mark.parametrize(
    ("drafted", "rounds", "said"),
    [
        (80, 80, "1 draft a round"),
        (240, 80, "3 drafts a round"),
        (200, 80, "2.5 drafts a round"),
        (78, 80, "1 draft a round"),
    ],
)
def test_one_draft_and_several(drafted: int, rounds: int, said: str) -> None:
    stats = replace(LAST, drafted=drafted, accepted=9, rounds=rounds)
    assert said in [text for _, text in summary_parts(stats, "stop")]


@pytest.mark.parametrize(
    ("plain", "deviation", "said"),
    [
        (2.84, 0.05, "1.42x plain (measured)"),
        (2.84, 0.2, "about 1.4x plain (measured)"),  # timed steps differ by 7 %
        (2.84, 0.8, None),  # by 28 %
        (9.0, 0.0, "2.64x plain (measured)"),  # a round brought no more than that
    ],
)
def test_a_factor_is_as_exact_as_it_is_known_and_never_more_than_there_can_be(
    plain: float, deviation: float, said: str | None
) -> None:
    stats = replace(LAST, plain_seconds=plain, plain_deviation=deviation)
    shown = [text for _, text in summary_parts(stats, "stop") if "plain" in text]
    assert shown == ([said] if said else [])
    assert (stats.as_json()["speedup"] is None) == (said is None)


def test_a_short_reply_has_no_factor_anywhere() -> None:
    short = replace(LAST, decoded=63, rounds=24)
    assert "plain" not in line(short)
    assert "plain" not in fit(status_parts(short), 1000)
    found = short.as_json()
    assert (found["speedup"], found["speedup_error"], found["speedup_basis"]) == (
        None, None, "none",
    )  # fmt: skip
    assert "1.42x plain" in line(replace(short, decoded=64))


def test_in_exact_mode_the_factor_says_which_plain_decoding_it_is_over() -> None:
    exact = replace(LAST, compared_with="exact plain")
    assert "1.42x plain in exact mode (measured)" in line(exact)
    assert "1.42x plain (measured)" in line(exact + LAST), "of both kinds, each over its own"


def test_without_an_accepted_draft_nothing_can_have_been_gained() -> None:
    none = replace(LAST, decoded=80, accepted=0, plain_seconds=2.5, compared_seconds=2.0)
    assert none.speedup == 1.0


def test_one_and_many() -> None:
    assert counted(1, "token") == "1 token"
    assert counted(0, "token") == "0 tokens"
    assert counted(2, "reply", "replies") == "2 replies"


def test_a_reply_too_short_or_too_uneven_for_a_factor_does_not_change_that_of_the_session() -> None:
    short = replace(LAST, decoded=20, rounds=7, plain_seconds=9.0, compared_seconds=1.0)
    uneven = replace(LAST, plain_seconds=9.0, compared_seconds=1.0, plain_deviation=5.0)
    for other in (short, uneven):
        for total in (LAST + other, other + LAST, other + LAST + other):
            assert total.speedup == LAST.speedup
    assert (short + short + short + short).speedup is None


def test_drafts_of_a_session_were_used_if_any_reply_used_them() -> None:
    plain = replace(LAST, drafts="unprofitable")
    assert (LAST + plain).drafts == (plain + LAST).drafts == "used"
    assert (replace(LAST, drafts="off") + plain).drafts == "unprofitable"


def test_no_speed_is_told_where_nobody_said_how_many_tokens_it_were() -> None:
    unknown = Stats(decode_seconds=2.0)
    assert line(unknown) == fit(status_parts(unknown), 1000) == ""
