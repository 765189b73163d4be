"""What `/stats` shows: figures that fit a small window, and a sentence that says what came of
drafts."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest

from gemma_mtp.api import Drafted, DraftUse, PairInfo, Stats
from gemma_mtp.terminal.stats_report import report

INFO = PairInfo("e2b", 8192, 1, 0, 60 << 20, 0, 10**7, 10**6)
LAST = Stats(
    prompt_tokens=18,
    cached_tokens=1,
    completion_tokens=212,
    rounds=80,
    decoded=211,
    drafted=240,
    accepted=131,
    sources=(Drafted("mtp", 240, 131),),
    accepted_histogram=(10, 20, 19, 31),
    ttft_seconds=0.25,
    decode_seconds=2.0,
    draft_seconds=0.4,
    verify_seconds=1.2,
    sampling_seconds=0.2,
    plain_seconds=2.84,
    compared_seconds=2.0,
    speedup_basis="measured",
    drafts="used",
)
ONE_REPLY = """\
             last reply
prompt       18 tokens, 1 cached
first token  after 0.25 s
written      212 tokens in 2.00 s
  drafts     20 % of the time
  model      60 % of the time
speed        106 tok/s
speedup      1.42x measured
accepted     55 % of 240 drafts
each round   3 drafts, 2.6 tokens
rounds by accepted drafts
  none █████████▎                    10
  1    ██████████████████▋           20
  2    █████████████████▊            19
  3    █████████████████████████████ 31
e2b, 1 thread, KV cache 63 MB
Drafts made it 1.42 times as fast as plain decoding."""


def said(stats: Stats, *, built_in: bool = False, info: PairInfo = INFO) -> str:
    return report(stats, stats, 1, info, 80, built_in=built_in)[-1]


BORROWED = replace(INFO, drafter_of="e2b")


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (
            replace(LAST, drafts="unprofitable", drafted=3, accepted=0, guesses=50, right=14),
            "they cost more time here than they bring. Looking for some took 20 % of the time. The "
            "drafter is that of e2b, not one made for this model: 28 % of its 50 guesses were "
            "right. /draft auto leaves drafts out until they pay.",
        ),
        (
            replace(LAST, drafts="unprofitable", drafted=0, draft_seconds=0.0, guesses=3),
            "The drafter is that of e2b, not one made for this model. /draft auto leaves drafts "
            "out until they pay.",
        ),
        (
            replace(LAST, plain_seconds=1.4, guesses=200, right=50),
            "to 0.70 times the speed of plain decoding. The drafter is that of e2b, not one made "
            "for this model: 25 % of its 200 guesses were right. /draft auto leaves drafts out "
            "where they do not pay.",
        ),
        (replace(LAST, guesses=200, right=50), "Drafts made it 1.42 times as fast"),
    ],
)
def test_a_drafter_of_another_model_is_named_where_it_does_not_pay(
    stats: Stats, words: str
) -> None:
    shown = report(stats, stats, 1, BORROWED, 80)
    assert words in shown[-1]
    assert ("The drafter is" in shown[-1]) == ("The drafter is" in words)
    assert shown[-2].startswith("e2b, drafter of e2b, ")
    assert "The drafter is" not in said(stats)  # its own


def test_which_of_two_drafters_was_kept_is_shown_as_well() -> None:
    choice = "Of two drafters that fit, a guessed 70 of 100 tokens right and b 50; a is kept."
    shown = report(LAST, LAST, 1, replace(INFO, drafter_choice=choice), 80)
    assert shown[-1] == choice


def test_one_reply() -> None:
    assert report(LAST, LAST, 1, INFO, 40) == ONE_REPLY.split("\n")


@pytest.mark.parametrize("width", [40, 60, 100])
def test_a_session_fits_a_small_window(width: int) -> None:
    """With long drafts, several sources and other programs that took threads away."""
    last = replace(
        LAST,
        prompt_tokens=2034,
        cached_tokens=1990,
        sources=(Drafted("mtp", 200, 120), Drafted("lookup", 40, 11)),
        accepted_histogram=(400, *[20] * 16),
        threads=(0, 0, 3, 77),
        compared_with="exact plain",
    )
    info = replace(INFO, name="26b-a4b", threads=4)
    lines = report(last, last + last, 12, info, width)
    rows = [row for text in lines for row in textwrap.wrap(text, width) or [""]]
    assert len(rows) <= 24 - 2  # what is typed, and the bar below it
    assert all(len(line) < width for line in lines[:-2]), "the table and its bars are not broken"
    assert any(line.split()[:3] == ["3", "to", "16"] and "280" in line for line in lines)
    assert ("12 replies" in lines[0]) == (width == 100)
    assert "mostly 3 of 4 threads (2-3)" in lines[-2]


def test_every_source_of_drafts_has_a_row() -> None:
    sources = (Drafted("mtp", 200, 120), Drafted("lookup", 39, 10), Drafted("forced", 1, 1))
    last = replace(LAST, sources=sources)
    lines = report(last, last, 1, INFO, 80)
    assert "accepted     55 % of 240 drafts" in lines
    at = lines.index("  drafter    60 % of 200")
    assert lines[at + 1 : at + 3] == ["  copied     26 % of 39", "  forced     100 % of 1"]
    copied = replace(LAST, sources=(Drafted("lookup", 240, 131),))
    assert "  copied     55 % of 240" in report(copied, copied, 1, INFO, 80)


@pytest.mark.parametrize("use", ["off", "no-drafter", "unprofitable", "trying"])
def test_a_plain_reply_shows_no_time_spent_on_drafts_and_no_rounds(use: DraftUse) -> None:
    plain = replace(LAST, drafts=use, drafted=0, accepted=0, accepted_histogram=(), sources=())
    lines = report(plain, plain, 1, INFO, 80)
    assert lines[:6] == [
        "             last reply",
        "prompt       18 tokens, 1 cached",
        "first token  after 0.25 s",
        "written      212 tokens in 2.00 s",
        "speed        106 tok/s",
        "e2b, 1 thread, KV cache 63 MB",
    ]


def test_one_draft_is_not_several() -> None:
    one = replace(LAST, drafted=1, accepted=1, sources=(Drafted("mtp", 1, 1),))
    assert "accepted     100 % of 1 draft" in report(one, one, 1, INFO, 80)


def test_nothing_said_yet() -> None:
    assert report(None, Stats(), 0, INFO, 80) == [
        "Nothing was said yet.",
        "e2b, 1 thread, KV cache 63 MB",
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Drafts made it 1.42 times as fast as plain decoding."),
        ({"plain_deviation": 0.2}, "Drafts made it about 1.4 times as fast as plain decoding."),
        (
            {"plain_seconds": 1.6, "plain_deviation": 0.3},
            "Drafts slowed it down, to about 0.8 times the speed of plain decoding.",
        ),
        (
            {"plain_seconds": 2.08, "plain_deviation": 0.3},
            "Drafts made no clear difference to the speed.",
        ),
        ({"plain_seconds": 2.02}, "Drafts made no clear difference to the speed."),
        (
            {"plain_seconds": 1.2},
            "Drafts slowed it down, to 0.60 times the speed of plain decoding.",
        ),
        (
            {"speedup_basis": "none", "compared_seconds": 0.0},
            "Too few plain steps were timed to tell what drafts brought.",
        ),
        ({"decoded": 63}, "The reply was too short to tell what drafts brought."),
        ({"plain_deviation": 0.8}, "The timings differ too much to tell what drafts brought."),
        (
            {"compared_with": "exact plain"},
            "Drafts made it 1.42 times as fast as plain decoding. In exact mode plain decoding is "
            "slower.",
        ),
        (
            {"drafts": "trying"},
            "Drafts were only tried out, to measure what they cost and bring here.",
        ),
        (
            {"drafts": "unprofitable"},
            "Drafts were left out: they cost more time here than they bring. Looking for some took "
            "20 % of the time.",
        ),
        (
            {"drafts": "trying", "drafted": 0},
            "No drafts were used yet: what they cost and bring here is to be measured first.",
        ),
        ({"drafts": "off"}, "The last reply was written without drafts."),
    ],
)
def test_a_sentence_says_what_came_of_drafts(changes: dict[str, object], expected: str) -> None:
    assert said(replace(LAST, **changes)) == expected  # type: ignore[arg-type]


def test_where_the_chat_drafts_nothing_it_is_said_how_to_change_that() -> None:
    plain = replace(LAST, drafts="off", drafted=0)
    shown = report(plain, plain, 1, INFO, 80, off=True)
    assert shown[-1] == "Drafts are off; /draft auto uses them where they pay."


def test_without_a_drafter_the_sentence_says_why() -> None:
    plain = replace(LAST, drafts="no-drafter", drafted=0)
    info = replace(INFO, plain_reason="no drafter is here.")
    assert said(plain, info=info) == "There are no drafts: no drafter is here."


def test_of_the_toy_it_is_said_why_drafts_do_not_pay_and_where_to_see_more() -> None:
    plain = replace(LAST, drafts="unprofitable", draft_seconds=0.0)
    slower = replace(LAST, plain_seconds=1.2)
    for stats in (plain, slower):
        why = said(stats, built_in=True)
        assert why.startswith(said(stats) + " This toy lies in the processor's cache")
        assert "gemma-mtp bench --shape e2b" in why
    assert said(LAST, built_in=True) == said(LAST)
