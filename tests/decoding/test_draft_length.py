"""The controller on invented cost curves: no engine, no clock."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from controllers.replay import SOURCES, played

from gemma_mtp.decoding.costs import CostBook, Costs
from gemma_mtp.decoding.draft_length import LONGEST, AutoDraft
from gemma_mtp.decoding.draft_policy import FixedDraft
from gemma_mtp.decoding.outcome import Proposal

DRAFT_STEP = 0.12  # plain steps, as all costs here
SMOOTH = [1.0 + 0.1 * i for i in range(9)]  # a dense model on a GPU
GROUPS_OF_FOUR = [1.0, 2.05, 2.86, 1.86, 2.72, 3.70, 4.00, 3.01, 4.16]  # Q4_0 on two cores
CHEAP_ONLY_AT_EIGHT = [1.0, 2.64, 2.99, 3.09, 5.05, 5.54, 6.20, 3.81, 6.03]  # Q8_0 there
HOPELESS = [1.0 + 0.9 * i for i in range(9)]
CURVES = (SMOOTH, GROUPS_OF_FOUR, CHEAP_ONLY_AT_EIGHT, HOPELESS)


@dataclass
class Machine:
    """Plays rounds: `costs` by width, each draft right with a chance of its own."""

    costs: list
    seed: int = 0
    noise: float = 0.03
    stalls: float = 0.0
    rebuild: float = 0.03
    tokens: int = 0
    seconds: float = 0.0
    rounds: list = field(default_factory=list)

    def __post_init__(self):
        self.random = np.random.default_rng(self.seed)

    def play(self, policy, tokens, chance, min_width=1, level=1.0):
        """Rounds until so many tokens more; `chance()` gives (right, confidence) of a draft."""
        end = self.tokens + tokens
        while self.tokens < end:
            self.round(policy, chance, min_width, level)
        return self

    def round(self, policy, chance, min_width, level):
        longest = policy.begin(SOURCES, 8, min_width, 100)
        drafts = []
        while len(drafts) < longest:
            drafts.append(chance(self.random))
            if len(drafts) < longest and not policy.go_on([c for _, c in drafts]):
                break
        confidences = [c for _, c in drafts]
        kept, width = policy.verify(confidences)
        assert max(min_width, kept + 1) <= width <= 9
        assert kept <= len(drafts)
        right = int(np.cumprod([r for r, _ in drafts]).sum()) if drafts else 0
        seconds = self.cost(self.costs[width - 1], level)
        seconds *= 5 if self.random.random() < self.stalls else 1
        seconds += self.rebuild if self.rounds and self.rounds[-1].width != width else 0.0
        drafting = self.cost(DRAFT_STEP * len(drafts), level)
        done = played(
            *(len(drafts), kept, min(right, kept + 1), width, min(right, kept) + 1, confidences),
            *(drafting, seconds),
        )
        policy.record(done)
        self.rounds.append(done)
        self.tokens += min(right, kept) + 1
        self.seconds += drafting + seconds

    def cost(self, plain_steps, level):
        return plain_steps * level * (1 + self.noise * abs(self.random.normal()))

    @property
    def rate(self):
        return self.tokens / self.seconds


def uninformed(acceptance):
    """Confidence that says nothing."""
    return lambda random: (random.random() < acceptance, random.random())


def informed(acceptance):
    """Confidence that tells easy tokens from hard ones."""

    def chance(random):
        confidence = random.beta(2 * acceptance, 2 * (1 - acceptance))
        return random.random() < confidence, confidence

    return chance


def knowing(costs):
    """A controller that has measured the curve."""
    book = CostBook()
    book.learn(Costs(dict(enumerate(costs, 1)), DRAFT_STEP, 0.0, 100))
    return AutoDraft(book)


def best_fixed(costs, chance, **machine):
    return max(
        Machine(costs, **machine).play(FixedDraft(k), 2000, chance).rate for k in range(LONGEST + 1)
    )


@pytest.mark.parametrize("costs", CURVES)
@pytest.mark.parametrize("acceptance", [0.2, 0.5, 0.75])
@pytest.mark.parametrize("kind", [uninformed, informed])
def test_it_comes_close_to_the_best_fixed_length_or_beats_it(costs, acceptance, kind):
    chance = kind(acceptance)
    rates = [Machine(costs, seed=s).play(knowing(costs), 2000, chance).rate for s in range(4)]
    assert np.mean(rates) > 0.96 * best_fixed(costs, chance)


def test_confidence_that_tells_easy_from_hard_beats_every_fixed_length():
    chance = informed(0.75)
    for costs in (SMOOTH, GROUPS_OF_FOUR):
        rates = [Machine(costs, seed=s).play(knowing(costs), 2000, chance).rate for s in range(4)]
        assert np.mean(rates) > 1.02 * best_fixed(costs, chance)


@pytest.mark.parametrize("costs", CURVES)
def test_learning_the_curve_costs_little(costs):
    for acceptance in (0.2, 0.75):
        chance = informed(acceptance)
        rate = Machine(costs, seed=1).play(AutoDraft(), 2000, chance).rate
        assert rate > 0.93 * best_fixed(costs, chance)


def test_it_finds_the_cheap_width_beyond_the_dear_ones():
    machine = Machine(GROUPS_OF_FOUR).play(AutoDraft(), 3000, uninformed(0.85))
    late = [r.width for r in machine.rounds[-200:]]
    assert np.mean([w in (4, 8) for w in late]) > 0.85


def test_a_short_draft_is_padded_to_a_cheaper_width():
    policy = knowing(GROUPS_OF_FOUR)
    machine = Machine(GROUPS_OF_FOUR).play(policy, 1000, uninformed(0.9))
    policy.begin(SOURCES, 8, 1, 100)
    while policy.trying:  # that round would time some width, whatever is drafted
        machine.round(policy, uninformed(0.9), 1, 1.0)
        policy.begin(SOURCES, 8, 1, 100)
    assert policy.verify([0.99, 0.99]) == (2, 4)


@pytest.mark.parametrize("kind", [uninformed, informed])
@pytest.mark.parametrize("rebuild", [0.25, 0.6])
def test_where_a_graph_takes_long_to_build_the_width_stays(rebuild, kind):
    """A fast card: the first round of a width takes a quarter of a plain step longer, or more."""
    runs = [Machine(SMOOTH, s, rebuild=rebuild) for s in range(4)]
    for machine in runs:
        machine.play(knowing(SMOOTH), 2000, kind(0.75))
        widths = [r.width for r in machine.rounds]
        assert np.mean([a != b for a, b in pairwise(widths)]) < 0.1
    assert np.mean([m.rate for m in runs]) > 0.95 * best_fixed(SMOOTH, kind(0.75), rebuild=rebuild)


def test_a_short_draft_is_padded_where_building_another_graph_would_take_longer():
    policy = knowing(SMOOTH)
    machine = Machine(SMOOTH, rebuild=0.6).play(policy, 1000, uninformed(0.9))
    policy.begin(SOURCES, 8, 1, 100)
    while policy.trying:
        machine.round(policy, uninformed(0.9), 1, 1.0)
        policy.begin(SOURCES, 8, 1, 100)
    kept, width = policy.verify([0.99])
    assert kept == 1
    assert width == machine.rounds[-1].width > 2


def test_it_stops_drafting_when_nothing_pays_and_looks_again_now_and_then():
    machine = Machine(GROUPS_OF_FOUR).play(knowing(GROUPS_OF_FOUR), 1500, uninformed(0.2))
    late = machine.rounds[300:]
    assert np.mean([r.drafted == 0 for r in late]) > 0.9
    assert any(r.drafted for r in late)


def test_it_does_not_look_again_where_no_text_is_easy_enough():
    machine = Machine(HOPELESS).play(knowing(HOPELESS), 1500, uninformed(0.4))
    assert np.mean([r.drafted > 0 for r in machine.rounds]) < 0.01


def test_it_notices_that_the_text_has_become_easy():
    policy, machine = knowing(GROUPS_OF_FOUR), Machine(GROUPS_OF_FOUR)
    machine.play(policy, 1500, uninformed(0.1)).play(policy, 1500, uninformed(0.92))
    assert np.mean([r.kept >= 3 for r in machine.rounds[-100:]]) > 0.8


def test_a_machine_that_gets_slower_does_not_confuse_it():
    """Old measurements of other widths would otherwise look better and better."""
    policy, machine = knowing(GROUPS_OF_FOUR), Machine(GROUPS_OF_FOUR)
    for level in np.linspace(1, 3, 40):
        machine.play(policy, 60, uninformed(0.85), level=level)
    widths = [r.width for r in machine.rounds[60:]]
    assert np.mean([w in (4, 8) for w in widths]) > 0.85


@pytest.mark.parametrize("acceptance", [0.8, 0.85])
def test_a_plain_step_that_was_measured_wrong_is_put_right(acceptance):
    """Another program was busy then, or is now: what pays has to be found out again."""
    near = [1.0, 1.9, 2.3, 2.4, 3.2, 4.0, 4.8, 4.9, 5.5]
    chance = uninformed(acceptance)
    rates = [
        Machine(near, seed=seed).play(knowing([0.8, *near[1:]]), 700, chance).rate
        for seed in range(8)
    ]
    assert np.mean(rates) > 0.95 * best_fixed(near, chance)


def test_stalls_do_not_drive_it_from_the_best_width():
    chance = uninformed(0.85)
    machine = Machine(GROUPS_OF_FOUR, stalls=0.03).play(knowing(GROUPS_OF_FOUR), 3000, chance)
    assert machine.rate > 0.93 * best_fixed(GROUPS_OF_FOUR, chance, stalls=0.03)


def test_overconfidence_is_seen_through():
    machine = Machine(GROUPS_OF_FOUR)
    machine.play(knowing(GROUPS_OF_FOUR), 1500, lambda random: (random.random() < 0.2, 0.97))
    assert np.mean([r.kept == 0 for r in machine.rounds[200:]]) > 0.9


def test_exact_mode_never_uses_width_one():
    machine = Machine(SMOOTH).play(AutoDraft(), 600, uninformed(0.3), min_width=2)
    assert min(r.width for r in machine.rounds) == 2


@pytest.mark.parametrize("known", [(), (1,), (4,), (1, 8)])
def test_nor_at_the_end_of_a_reply_whatever_is_known_of_the_widths(known):
    book = CostBook()
    book.learn(Costs({w: SMOOTH[w - 1] for w in known}, DRAFT_STEP, 0.0, 100))
    policy = AutoDraft(book)
    for limit in (0, 1, 2, 3):
        longest = policy.begin(SOURCES, limit, 2, 100)
        kept, width = policy.verify([0.9] * longest)
        assert kept < width
        assert 2 <= width <= max(limit + 1, 2)


def test_a_round_of_unknown_cost_does_not_upset_the_rate():
    """A first reply that ends at once has a width that was never timed."""
    policy = AutoDraft()
    policy.begin(SOURCES, 0, 1, 100)
    policy.verify([])
    for width in (1, 4):
        for _ in range(4):
            policy.curve.verified(width, GROUPS_OF_FOUR[width - 1], changed=False)
    policy.curve.drafted(1, DRAFT_STEP)
    easy = Machine(GROUPS_OF_FOUR).play(policy, 600, uninformed(0.95))
    policy.begin(SOURCES, 8, 1, 100)
    assert policy._value.rate > 1.2
    assert easy.rate > 1.2


def test_the_survey_goes_on_after_a_width_that_was_not_allowed_for_a_while():
    policy = AutoDraft()
    machine = Machine(SMOOTH)
    for _ in range(4):  # 4 is timed; then comes 1
        machine.round(policy, uninformed(0.5), 1, 1.0)
    machine.play(policy, 400, uninformed(0.5), min_width=2)
    assert {2, 4} < set(policy.curve.widths)


def test_the_first_round_of_a_reply_is_not_taken_for_the_cost_of_its_width():
    def cost_after(announced):
        policy, machine = knowing(SMOOTH), Machine(SMOOTH, noise=0.0)
        machine.play(policy, 200, uninformed(0.95))
        width = machine.rounds[-1].width
        before = policy.curve.verify(width)
        if announced:
            policy.new_reply()
        longest = policy.begin(SOURCES, 8, 1, 100)
        policy.verify([0.5] * longest)
        policy.record(played(0, 0, 0, width, 1, [], 0.0, 3 * before))
        return policy.curve.verify(width) / before

    assert cost_after(announced=True) == pytest.approx(1)
    assert cost_after(announced=False) > 1.02


def test_it_settles():
    machine = Machine(GROUPS_OF_FOUR).play(knowing(GROUPS_OF_FOUR), 4000, uninformed(0.85))
    late = [r.width for r in machine.rounds[-400:]]
    assert sum(a != b for a, b in pairwise(late)) < 60


def test_room_for_less_than_a_draft_is_respected():
    policy = knowing(SMOOTH)
    for limit in (0, 1, 2):
        longest = policy.begin(SOURCES, limit, 1, 100)
        assert longest <= limit
        kept, width = policy.verify([0.9] * longest)
        assert kept < width <= limit + 1


def test_no_room_is_respected_while_a_width_is_being_timed():
    policy, machine = AutoDraft(), Machine(SMOOTH)
    while not machine.rounds or machine.rounds[-1].width == 1:
        machine.round(policy, uninformed(0.9), 1, 1.0)
    assert policy.begin(SOURCES, 8, 1, 100) == 3
    assert policy.verify([0.9] * 3) == (3, 4)
    assert policy.begin(SOURCES, 0, 1, 100) == 0
    assert policy.verify([]) == (0, 1)


def agreeing(policy, right, rounds=60, drafted=0):
    """Rounds that find seven tokens in the text, of which `right` are what the target chose."""
    found = [1 - 1 / (9 + i) for i in range(LONGEST)]
    takes = []
    for _ in range(rounds):
        longest = policy.begin(SOURCES, 8, 1, 100)
        choice = policy.take([Proposal("lookup", found, found, free=True)])
        takes.append(choice.kept if choice else 0)
        kept, width = choice[1:] if choice else policy.verify([0.5] * min(drafted, longest))
        tokens = min(right, kept) + 1
        cost = GROUPS_OF_FOUR[width - 1]
        policy.record(
            played(0, kept, 0, width, tokens, [], 0.0, cost, tuple(found), min(right, tokens))
        )
    return takes


def test_what_is_found_in_the_text_is_taken_once_it_has_proved_right():
    takes = agreeing(knowing(GROUPS_OF_FOUR), right=LONGEST)
    assert takes[0] == 0, "nothing is believed unseen"
    assert set(takes[30:]) == {LONGEST}


def test_what_is_found_but_wrong_is_left_alone_and_costs_nothing():
    assert set(agreeing(knowing(GROUPS_OF_FOUR), right=0)) == {0}


def test_as_much_is_taken_of_what_is_found_as_tends_to_be_right():
    assert set(agreeing(knowing(GROUPS_OF_FOUR), right=3, rounds=120)[60:]) == {3}


def test_a_copy_that_goes_wrong_is_given_up():
    policy = knowing(GROUPS_OF_FOUR)
    agreeing(policy, right=LONGEST, rounds=100)
    takes = agreeing(policy, right=0, rounds=60)
    assert sum(take > 0 for take in takes) < 20
    assert set(takes[-20:]) == {0}


def test_a_fixed_length_is_fixed():
    machine = Machine(SMOOTH).play(FixedDraft(5), 200, uninformed(0.2))
    assert {(r.kept, r.width) for r in machine.rounds} == {(5, 6)}
