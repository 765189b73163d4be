"""Which width is timed next, on invented curves."""

import pytest

from gemma_mtp.decoding.allowance import Allowance
from gemma_mtp.decoding.costs import CostCurve
from gemma_mtp.decoding.width_probes import (
    BUDGET_PER_ROUND,
    FIRST_BUDGET,
    PROBE_INTERVAL,
    PROBE_ROUNDS,
    Outlook,
    WidthProbes,
)

DRAFT_STEP = 0.1
HALF_RIGHT = [0.5**i for i in range(1, 8)]  # chances of the first 1, 2, ... drafts


def timed(costs):
    """A curve on which all widths were timed, those not given as hopeless."""
    curve = CostCurve()
    for width, seconds in {**dict.fromkeys(range(1, 9), 9.0), **costs}.items():
        for _ in range(4):
            curve.verified(width, seconds, changed=False)
    curve.drafted(1, DRAFT_STEP)
    return curve


def run(curve, rounds, rate=1.0, in_use=1, chances=HALF_RIGHT, probes=None, at_best=None):
    """The widths that were timed over so many rounds, and what that lost in tokens."""
    probes, allowance = probes or WidthProbes(), Allowance()
    allowance.settle(100, 0.0)  # so that the budget alone decides
    widths = []
    lost = 0.0
    for _ in range(rounds):
        outlook = Outlook(curve, rate, chances, at_best or chances, DRAFT_STEP)
        width = probes.next(outlook, 1, 8, allowance)
        used = width or in_use
        if width is not None:
            widths.append(width)
            seconds = curve.verify(width) + (width - 1) * DRAFT_STEP
            lost += rate * seconds - 1 - sum(chances[: width - 1])
        curve.verified(used, curve.verify(used), changed=False)
    return widths, lost


def test_a_width_about_as_good_as_the_one_in_use_is_timed_often():
    widths, lost = run(timed({1: 1.0, 2: 1.41, 8: 9.0}), 1000)
    assert widths.count(2) > 1000 / (PROBE_INTERVAL + PROBE_ROUNDS) / 2
    assert lost < BUDGET_PER_ROUND * 1000 + FIRST_BUDGET


def test_a_width_that_cannot_win_is_left_alone():
    widths, _ = run(timed({1: 1.0, 8: 2.4}), 3000)
    assert 8 not in widths


@pytest.mark.parametrize("cost", [1.45, 1.5, 1.55])
def test_timing_again_costs_no_more_than_its_share(cost):
    widths, lost = run(timed({1: 1.0, 2: cost, 4: cost + 0.3}), 4000)
    assert widths
    assert lost <= BUDGET_PER_ROUND * 4000 + FIRST_BUDGET


def test_plain_decoding_is_timed_again_while_drafting_pays():
    easy = [0.8**i for i in range(1, 8)]
    rate = (1 + sum(easy[:3])) / (2.35 + 3 * DRAFT_STEP)
    assert rate > 1.1
    widths, lost = run(timed({1: 1.0, 4: 2.35}), 2000, rate, in_use=4, chances=easy)
    assert widths.count(1) >= 3 * PROBE_ROUNDS
    assert lost <= BUDGET_PER_ROUND * 2000 + FIRST_BUDGET


def test_costs_of_another_day_are_checked_soon():
    remembered = CostCurve.from_dict(timed({1: 1.0, 2: 1.5, 4: 1.9}).as_dict())
    widths, _ = run(remembered, 3 * PROBE_INTERVAL)
    assert widths


def test_what_is_found_in_the_text_makes_a_width_useful_but_does_not_pay_for_timing_it():
    """Rounds of the probes verify drafts, not what was found."""
    copying = [0.95**i for i in range(1, 8)]
    rate = (1 + sum(copying)) / 3.0
    widths, lost = run(timed({4: 1.5, 8: 3.0}), 1000, rate, in_use=8, at_best=copying)
    assert lost <= BUDGET_PER_ROUND * 1000 + FIRST_BUDGET
    assert len(widths) < 10
