"""Of two drafters that fit, both guess the same tokens, and the better one is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.pairs import TINY
from weakened import noisy_weights

from gemma_mtp import paths
from gemma_mtp.api import End, LoadOptions, Message, PairFiles, Request, Sampling, Stats
from gemma_mtp.decoding.drafter_score import ENOUGH, Score
from gemma_mtp.decoding.outcome import Proposal, Round
from gemma_mtp.decoding.plain_steps import Step
from gemma_mtp.engine.counting import with_round
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.engine.two_drafters import TwoDrafters
from gemma_mtp.models import tried
from gemma_mtp.resident import pairs

OPTIONS = LoadOptions(context=1024, threads=1)
TALE = Request(
    (Message.text("user", "Tell me a story."),), Sampling(temperature=1.0), seed=3, draft=3,
    max_tokens=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert TINY.drafter is not None
    return noisy_weights(TINY.drafter, tmp_path_factory.mktemp("weak") / "weak.gguf", 0.9)


pytestmark = pytest.mark.usefixtures("home")


def files(weak: Path, first: str) -> PairFiles:
    """The built-in pair with the good drafter or the weak one first, and the other as its rival."""
    assert TINY.drafter is not None
    both = [TINY.drafter, weak] if first == "good" else [weak, TINY.drafter]
    return replace(TINY, drafter=both[0], rival=both[1], rival_of="another")


@pytest.fixture
def opened() -> Iterator[list[Engine]]:
    engines: list[Engine] = []
    yield engines
    for engine in engines:
        engine.close()


def replies(engine: Engine, request: Request = TALE, most: int = 12) -> list[End]:
    """Replies until a drafter is chosen, `most` at the most."""
    ends: list[End] = []
    while not engine.info.drafter_choice and len(ends) < most:
        ends += [
            event
            for event in engine.reply(replace(request, seed=len(ends)))
            if isinstance(event, End)
        ]
    return ends


@pytest.mark.parametrize("first", ["good", "weak"])
def test_the_better_one_is_kept_and_it_is_said_once(
    weak: Path, first: str, opened: list[Engine]
) -> None:
    given, kept = files(weak, first), list[Score]()
    engine = load(given, OPTIONS, two_drafters=TwoDrafters(given, kept.append))
    opened.append(engine)
    ends = replies(engine)
    [score] = kept
    assert score.tokens == ENOUGH
    assert score.second_is_better == (first == "weak")
    assert max(score.first, score.second) > 70 > 40 > min(score.first, score.second)
    assert [end.warning for end in ends[:-1]] == [""] * (len(ends) - 1)
    assert ends[-1].warning == engine.info.drafter_choice == score.said(*given.drafter_names)
    assert engine.pair.rival is None
    assert engine.info.drafter_of == ("another" if first == "weak" else "")
    after = next(event for event in engine.reply(TALE) if isinstance(event, End))
    assert after.warning == ""
    assert after.stats.acceptance_rate is not None
    assert after.stats.acceptance_rate > 0.7


@pytest.mark.parametrize("request_", [TALE, replace(TALE, draft="auto")], ids=["fixed", "auto"])
def test_the_text_of_exact_mode_is_the_same_before_while_and_after(
    weak: Path, opened: list[Engine], request_: Request
) -> None:
    plain = load(replace(TINY, drafter=None), OPTIONS)
    opened.append(plain)
    given = files(weak, "weak")
    engine = load(given, OPTIONS, two_drafters=TwoDrafters(given))
    opened.append(engine)
    for seed in range(4):
        asked = replace(request_, seed=seed, exact=True)
        texts = [
            next(event.token_ids for event in each.reply(asked) if isinstance(event, End))
            for each in (plain, engine)
        ]
        assert texts[0] == texts[1]
    assert engine.info.drafter_choice


def test_where_no_drafts_are_wanted_nothing_is_tried(weak: Path, opened: list[Engine]) -> None:
    given = files(weak, "weak")
    two = TwoDrafters(given)
    opened.append(load(given, OPTIONS, two_drafters=two))
    replies(opened[0], replace(TALE, draft=0), most=1)
    replies(opened[0], replace(TALE, synthetic_acceptance=0.5), most=1)
    assert two.score == Score()


def test_a_larger_context_keeps_both_drafters(weak: Path, opened: list[Engine]) -> None:
    given, kept = files(weak, "weak"), list[Score]()
    engine = load(given, OPTIONS, two_drafters=TwoDrafters(given, kept.append))
    opened.append(engine)
    replies(engine, most=1)
    engine.enlarge(2048)
    replies(engine)
    assert kept[0].second_is_better


def test_a_rival_that_cannot_be_loaded_is_done_without(
    tmp_path: Path, opened: list[Engine]
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    given = replace(TINY, rival=broken)
    opened.append(load(given, OPTIONS, two_drafters=TwoDrafters(given)))
    end = replies(opened[0], most=1)[0]
    assert end.warning == ""
    assert end.stats.accepted


def test_what_was_found_is_remembered_by_contents(weak: Path, tmp_path: Path) -> None:
    given = files(weak, "weak")
    engine = pairs.load(given, OPTIONS, lambda share: True)
    replies(engine)
    said = engine.info.drafter_choice
    engine.close()
    assert said
    moved = tmp_path / "moved.gguf"
    moved.write_bytes(given.target.read_bytes())
    again = replace(given, target=moved)
    found, score = tried.settled(again)
    assert score is not None
    assert (found.drafter, found.rival, found.drafter_of) == (TINY.drafter, None, "another")
    engine = pairs.load(again, OPTIONS, lambda share: True)
    try:
        assert engine.pair.rival is None
        assert (engine.info.drafter_choice, engine.info.drafter_of) == (said, "another")
    finally:
        engine.close()
    moved.write_bytes(given.target.read_bytes()[:-4096] + bytes(4096))
    assert tried.settled(again) == (again, None)


def test_measuring_tries_nothing(weak: Path, opened: list[Engine]) -> None:
    opened.append(pairs.load(files(weak, "weak"), OPTIONS, lambda share: True, measuring=True))
    assert opened[0].pair.rival is None


def test_damage_of_what_is_remembered_means_another_try(weak: Path) -> None:
    given = files(weak, "good")
    tried.remember(given, Score(100, 60, 60))
    assert tried.settled(given)[0].drafter == given.drafter
    place = paths.cache_dir() / "drafters.json"
    place.write_text(place.read_text().replace("100", '"many"'))
    assert tried.settled(given) == (given, None)


def test_guesses_count_whether_they_are_verified_or_not(weak: Path, opened: list[Engine]) -> None:
    """With a fixed draft length all guesses are verified, the first wrong one among them."""
    opened.append(load(replace(TINY, drafter=weak), OPTIONS))
    stats = next(e for e in opened[0].reply(TALE) if isinstance(e, End)).stats
    assert stats.right == stats.accepted
    rejected = stats.rounds - (stats.accepted_histogram + (0,) * 4)[3]
    assert stats.right < stats.guesses <= stats.right + rejected


def test_a_single_guess_that_is_not_verified_is_judged_by_the_next_token() -> None:
    stats = Stats()
    for guess in (7, 8):
        proposals = [Proposal("mtp", [guess], [0.5], matched=int(guess == 7)),
                     Proposal("lookup", [7, 7], [0.5, 0.5], matched=1, free=True)]  # fmt: skip
        done = Round([7], proposals, "", 0, 0, 1, 0.1, 1.0, 1.0, 0.0)
        stats = with_round(stats, done, 1.1, 1, Step(1.0, 0.0, "none"), "used")
    assert (stats.guesses, stats.right, stats.drafted) == (2, 1, 0)
