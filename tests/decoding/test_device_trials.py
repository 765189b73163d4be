"""Which options of a device win, on invented timings."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gemma_mtp.api import DeviceChoice, DeviceOptions
from gemma_mtp.decoding.device_trials import LONGEST_PIECE, MARGIN, Timing, choose, ladders

START = DeviceOptions()
NOTHING_LEFT = 10**6  # trials


class Device:
    """A device of which `reading` and `writing` are known, as factors of the usual seconds, for
    what its options have: a piece, flash attention or none, a "list" or a "row"."""

    def __init__(
        self,
        *,
        reading: dict[object, float] | None = None,
        writing: dict[object, float] | None = None,
        token: float = 0.0005,
        slowdown: Callable[[int], float] = lambda trial: 1.0,
        trials: int = NOTHING_LEFT,
        without_room: tuple[int, ...] = (),
    ) -> None:
        self.reading, self.writing = reading or {}, writing or {}
        self.token, self.slowdown, self.trials = token, slowdown, trials
        self.without_room = without_room
        self.timed: list[DeviceOptions] = []

    def time(self, options: DeviceOptions) -> Timing | None:
        if len(self.timed) >= self.trials or options.piece in self.without_room:
            return None
        busy = self.slowdown(len(self.timed))
        self.timed.append(options)
        reading, writing = self.token * busy, 0.05 * busy
        for key in (options.piece, options.flash_attention, "list" if options.shortlist else "row"):
            reading *= self.reading.get(key, 1.0)
            writing *= self.writing.get(key, 1.0)
        return Timing(reading, writing)

    def choice(self, *, chooses_attention: bool = True) -> DeviceChoice:
        return choose(START, ladders(chooses_attention), self.time)


def test_where_all_are_alike_the_usual_ones_stay() -> None:
    choice = Device().choice()
    assert choice.options == START
    assert not any(duel.won for duel in choice.duels)


def test_candidates_are_chosen_there_where_writing_gains_by_it_whatever_reading_seems_to() -> None:
    choice = Device(writing={"list": 0.95}, reading={"list": 1.2}).choice()
    assert choice.options == DeviceOptions(shortlist=True)
    assert not Device(writing={"list": 0.98}, reading={"list": 0.5}).choice().options.shortlist


def test_longer_pieces_are_tried_as_long_as_they_are_faster() -> None:
    parted = {1024: 0.55, 2048: 0.3}  # weights are copied to the card once for each piece
    assert Device(reading=parted).choice().options.piece == 2048
    assert Device(reading={1024: 0.55, 2048: 0.54}).choice().options.piece == 1024
    whole = Device(reading={1024: 1.0, 2048: 0.1})
    assert whole.choice().options.piece == 512
    assert not any(options.piece == 2048 for options in whole.timed)


def test_what_a_longer_piece_seems_to_gain_in_writing_is_noise_and_what_it_costs_there_counts() -> (
    None
):
    assert Device(writing={1024: 0.5}, reading={1024: 1.15}).choice().options.piece == 512
    assert Device(writing={1024: 1.2}, reading={1024: 0.8}).choice().options.piece == 512
    assert Device(writing={1024: 1.02}, reading={1024: 0.8}).choice().options.piece == 1024


def test_a_piece_that_ctrl_c_would_wait_for_too_long_is_not_taken() -> None:
    slow = LONGEST_PIECE / 1024 / 0.5
    assert Device(reading={1024: 0.49}, token=slow).choice().options.piece == 1024
    assert Device(reading={1024: 0.51}, token=slow).choice().options.piece == 512


def test_what_has_no_room_is_out_and_what_comes_after_is_tried() -> None:
    device = Device(reading={1024: 0.5, 2048: 0.1}, writing={False: 0.8}, without_room=(1024, 2048))
    assert device.choice().options == DeviceOptions(flash_attention=False)


def test_what_is_set_by_the_user_is_not_timed() -> None:
    device = Device(writing={False: 0.5})
    assert device.choice(chooses_attention=False).options.flash_attention is None
    assert all(options.flash_attention is None for options in device.timed)


@pytest.mark.parametrize(
    ("reading", "writing", "wins"),
    [
        (0.80, 1.00, True),
        (0.92, 1.00, False),  # for a prompt alone that is too little
        (1.00, 0.93, True),
        (1.10, 0.88, True),  # written text is waited for each time
        (0.90, 1.10, False),
        (0.50, 1.10, True),
        (0.99, 0.99, False),
    ],
)
def test_reading_counts_a_third_and_writing_two_thirds(
    reading: float, writing: float, wins: bool
) -> None:
    device = Device(reading={False: reading}, writing={False: writing})
    choice = device.choice()
    assert (choice.options.flash_attention is False) == wins
    duel = next(duel for duel in choice.duels if duel.tried.flash_attention is False)
    assert (duel.reading, duel.writing) == pytest.approx((1 / reading, 1 / writing))
    assert duel.won == wins


def test_a_machine_that_gets_faster_meanwhile_decides_nothing() -> None:
    warming = Device(slowdown=lambda trial: 1.5 if trial == 0 else 1.0)
    choice = warming.choice()
    assert choice.options == START
    assert not any(duel.won for duel in choice.duels)


def test_noise_seldom_changes_the_choice() -> None:
    """Timings of which most are within 1 % of the truth, as medians on a quiet card are."""
    changed = 0
    for seed in range(300):
        noise = random.Random(seed)
        device = Device(slowdown=lambda trial, noise=noise: noise.gauss(1, 0.01))  # type: ignore[misc]
        changed += device.choice().options != START
    assert changed <= 3
    found = 0
    for seed in range(300):
        noise = random.Random(seed)
        better = {1024: 1 / MARGIN**6}  # twice the margin, in reading alone
        device = Device(reading=better, slowdown=lambda trial, noise=noise: noise.gauss(1, 0.01))  # type: ignore[misc]
        found += device.choice().options.piece > 512
    assert found >= 290


def test_when_the_time_is_over_only_what_was_confirmed_is_taken() -> None:
    for trials, piece in ((0, 512), (1, 512), (2, 512), (3, 512), (4, 2048)):
        device = Device(reading={1024: 0.5, 2048: 0.3}, trials=trials)
        assert device.choice().options.piece == piece
        assert len(device.timed) == trials
