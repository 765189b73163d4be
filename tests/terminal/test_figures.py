"""Figures in words: `/stats` fits a small window, and one thing is not called several."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemma_mtp.api import PairInfo, Stats
from gemma_mtp.terminal.figures import report, status_parts, summary_parts
from gemma_mtp.text import counted

INFO = PairInfo("e2b", 8192, 1, 0, 60 << 20, 0, 10**7, 10**6)
LAST = Stats(
    prompt_tokens=18,
    cached_tokens=1,
    completion_tokens=212,
    rounds=80,
    decoded=211,
    drafted=240,
    accepted=131,
    accepted_histogram=(10, 20, 19, 31),
    ttft_seconds=0.25,
    decode_seconds=2.0,
    draft_seconds=0.4,
    verify_seconds=1.2,
    sampling_seconds=0.2,
    plain_seconds=2.84,
    compared_seconds=2.0,
    speedup_basis="measured",
)
ONE_REPLY = """\
          last reply
read      18 tokens
 cached   1 token
written   212 tokens
first     after 0.25 s
speed     106 tok/s
speedup   1.42x measured
drafted   240, k=3
 accepted 55 %
rounds    80 of 2.6
time      2.00 s
 draft    20 %
 verify   60 %
 sampling 10 %
accepted  in rounds
 0        10             █████
 1        20             █████████
 2        19             █████████
 3        31             ██████████████
e2b, 1 thread
KV cache 63 MB, drafter 0 bytes"""


def test_one_reply() -> None:
    assert report(LAST, LAST, 1, INFO, 40) == ONE_REPLY.split("\n")


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_session_fits_a_small_window(width: int) -> None:
    long = [400, *[20] * 16]
    last = LAST + Stats(accepted_histogram=tuple(long))
    lines = report(last, last + last, 2, INFO, width)
    assert len(lines) <= 22
    assert max(map(len, lines)) < width
    assert lines[0].split("  ")[-1].strip() == "2 replies"
    assert any(line.startswith(" 4+") and "260" in line for line in lines)  # 13 times 20


def test_a_reply_without_drafts_is_plain() -> None:
    plain = Stats(rounds=3, decoded=3, decode_seconds=1.0)
    for parts in (status_parts, lambda stats: summary_parts(stats, "stop")):
        assert "plain" in [text for _, text in parts(plain)]
        assert "k=3" in [text for _, text in parts(LAST)]


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
    in_report = [line for line in report(stats, stats, 1, INFO, 80) if line.startswith("speedup")]
    wanted = said.replace(" plain (", " ").rstrip(")") if said else ""
    assert in_report == ([f"speedup   {wanted}"] if said else [])
    assert (stats.as_json()["speedup"] is None) == (said is None)


def test_in_exact_mode_the_factor_says_which_plain_decoding_it_is_over() -> None:
    exact = replace(LAST, compared_with="exact plain")
    assert "1.42x exact plain (measured)" in [text for _, text in summary_parts(exact, "stop")]
    both = [text for _, text in summary_parts(exact + LAST, "stop")]
    assert "1.42x plain (measured)" in both, "replies of both kinds, each over its own"


def test_without_an_accepted_draft_nothing_can_have_been_gained() -> None:
    none = replace(LAST, decoded=80, accepted=0, plain_seconds=2.5, compared_seconds=2.0)
    assert none.speedup == 1.0


def test_nothing_said_yet() -> None:
    assert report(None, Stats(), 0, INFO, 80)[0] == "nothing was said yet"


def test_plain_decoding_says_why_and_shows_no_drafts() -> None:
    info = PairInfo("e2b", 8192, 2, 0, 0, 0, 1, 0, "no drafter is here.")
    lines = report(Stats(completion_tokens=1), Stats(), 1, info, 80)
    assert lines[-1] == "plain decoding: no drafter is here."
    assert not [line for line in lines if "drafted" in line or "in rounds" in line]


def test_one_and_many() -> None:
    assert counted(1, "token") == "1 token"
    assert counted(0, "token") == "0 tokens"
    assert counted(2, "reply", "replies") == "2 replies"


def test_a_reply_too_short_for_a_factor_does_not_change_that_of_the_session() -> None:
    short = replace(LAST, plain_seconds=9.0, compared_seconds=1.0, speedup_basis="none")
    for total in (LAST + short, short + LAST, short + LAST + short):
        assert total.speedup == LAST.speedup
    assert (short + short).speedup is None
