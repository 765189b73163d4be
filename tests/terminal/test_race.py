"""A race, recorded with an invented clock and shown on a terminal emulator."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from support.window import Window

from gemma_mtp.api import End, Event, Message, Prefill, Stats, TextDelta
from gemma_mtp.terminal.race import Recording, record, verdict
from gemma_mtp.terminal.race_view import replay
from gemma_mtp.terminal.screen import Screen


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1


def recording(text: str, seconds: float, *, drafted: bool = False) -> Recording:
    """The words of `text`, each after the same time."""
    words = [word + " " for word in text.split(" ")]
    pieces = tuple((seconds * (i + 1), w, drafted and i % 2 == 1) for i, w in enumerate(words))
    stats = Stats(drafts="used", drafted=9) if drafted else Stats()
    return Recording(pieces, stats, "".join(words), "stop")


def watch(
    window: Window, left: Recording, right: Recording, **settings: object
) -> tuple[list[list[str]], Time]:
    """Every frame of a show, and its clock."""
    time = Time()
    frames: list[list[str]] = []
    screen = window.screen()

    def sleep(seconds: float) -> None:
        frames.append(window.rows)
        time.sleep(seconds)

    replay(screen, left, right, clock=time.clock, sleep=sleep, **settings)  # type: ignore[arg-type]
    return frames, time


def test_a_recording_starts_when_the_prompt_is_read() -> None:
    time = Time()

    def events() -> Iterator[Event]:
        yield Prefill(0, 9, 0)
        time.sleep(5)
        yield Prefill(9, 9, 0)
        time.sleep(1)
        yield TextDelta("one ")
        time.sleep(2)
        yield TextDelta("two", drafted=True)
        yield End("stop", Message.text("assistant", "one two"), "", (1, 2), 7, Stats(decoded=2))

    made = record(events(), time.clock)
    assert made.pieces == ((1.0, "one ", False), (3.0, "two", True))
    assert (made.text, made.seconds, made.reason) == ("one two", 3.0, "stop")
    assert made.stats.decoded == 2


TEXT = "one two three four five six seven eight nine ten"


def test_a_thought_and_its_answer_stay_apart() -> None:
    events: list[Event] = [TextDelta("I greet", thought=True), TextDelta(" back.", thought=True)]
    events += [TextDelta("Hi"), TextDelta(" there.")]
    assert record(events).text == "I greet back.\n\nHi there."


def test_side_by_side_in_real_time() -> None:
    window = Window(120)
    frames, time = watch(window, recording(TEXT, 0.2), recording(TEXT, 0.1, drafted=True))
    assert time.now - 100 == pytest.approx(2.0, abs=0.06)
    halfway = next(f for f in frames if f[2].endswith("nine"))
    assert "four" in halfway[2].split("│")[0]
    assert "five" not in halfway[2].split("│")[0]
    assert " tok/s" in halfway[-1].split("│")[1]
    assert window.rows[0] == "Green: equal in both. Bold: different."
    assert window.rows[1].split() == ["plain", "│", "with", "drafts"]
    assert window.rows[2].split("│")[0].strip().startswith("one two")
    assert window.rows[-4:] == [
        "plain: 10 tokens in 2.00 s, 5.0 tok/s",
        "with drafts: 10 tokens in 1.00 s, 10.0 tok/s",
        "The texts are equal: 10 tokens.",
        "Too short to compare the speeds: 10 tokens.",
    ]
    assert sum("with drafts" in row for row in window.rows) == 2  # no frame was left behind


def test_a_long_race_leaves_all_of_it_in_the_scrollback() -> None:
    text = " ".join(f"word{i}" for i in range(400))
    window = Window(80)
    frames, _ = watch(window, recording(text, 0.01), recording(text, 0.005))
    assert all(len(frame) <= 24 for frame in frames)
    rows = window.rows
    for side in (0, 1):
        words = " ".join(row.split("│")[side] for row in rows if "│" in row).split()
        assert [word for word in words if word.startswith("word")] == text.split()
    assert sum(row.startswith("plain   ") for row in rows) == 1


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (
            TEXT.replace("four", "4"),
            "The texts differ from token 4 on: a near-tie, or gemma-mtp verify finds out.",
        ),
        (
            TEXT + " eleven",
            "The texts differ from token 11 on: a near-tie, or gemma-mtp verify finds out.",
        ),
    ],
)
def test_different_texts(right: str, said: str) -> None:
    window = Window(80)
    watch(window, recording(TEXT, 0.1), recording(right, 0.1))
    assert window.rows[-1] == said


def marks(window: Window, side: int) -> dict[str, str]:
    """How the words in one column look."""
    found: dict[str, str] = {}
    for y, row in enumerate(window.emulator.display):
        bar = row.find("│")
        start, end = (0, bar) if side == 0 else (bar + 1, len(row))
        for word in row[start:end].split() if bar >= 0 else ():
            cell = window.emulator.buffer[y][row.index(word, start)]
            found[word] = "bold" if cell.bold else cell.fg
    return found


def moments(
    window: Window, left: Recording, right: Recording, **env: str
) -> list[tuple[dict[str, str], dict[str, str]]]:
    """The marks in both columns at every frame, and in the end."""
    time = Time()
    found: list[tuple[dict[str, str], dict[str, str]]] = []

    def sleep(seconds: float) -> None:
        found.append((marks(window, 0), marks(window, 1)))
        time.sleep(seconds)

    replay(window.screen(**env), left, right, clock=time.clock, sleep=sleep)
    return [*found, (marks(window, 0), marks(window, 1))]


def test_text_is_marked_as_equal_once_both_have_it() -> None:
    seen = moments(Window(80), recording(TEXT, 0.2), recording(TEXT, 0.1))
    halfway = next(m for m in seen if "nine" in m[1])
    assert halfway[0]["one"] == halfway[1]["one"] == halfway[1]["four"] == "green"
    assert halfway[1]["six"] == halfway[1]["nine"] == "default"  # the other may yet say it
    last = seen[-1]
    assert {last[side][word] for side in (0, 1) for word in TEXT.split()} == {"green"}


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}])
def test_what_differs_is_marked_from_there_on(env: dict[str, str]) -> None:
    other = TEXT.replace("four", "4")
    last = moments(Window(80), recording(TEXT, 0.2), recording(other, 0.1), **env)[-1]
    equal = "default" if env else "green"
    assert last[0]["three"] == last[1]["three"] == equal
    for word in ("five", "ten"):
        assert last[0][word] == last[1][word] == "bold"
    assert last[0]["four"] == last[1]["4"] == "bold"


def test_what_goes_on_after_the_other_ended_differs() -> None:
    right = recording(TEXT + " eleven", 0.1)
    assert moments(Window(80), recording(TEXT, 0.1), right)[-1][1]["eleven"] == "bold"
    stopped = replace(recording(TEXT, 0.1), reason="cancelled")
    assert moments(Window(80), stopped, right)[-1][1]["eleven"] == "default"


def test_a_narrow_window_shows_two_texts_that_differ_under_their_names() -> None:
    window = Window(40, 30)
    watch(window, recording(TEXT, 0.2), recording(TEXT.replace("four", "4"), 0.1))
    rows = window.rows
    first, second = rows.index("plain:"), rows.index("with drafts:")
    assert " ".join(rows[first + 1 : second]) == TEXT
    assert rows[second + 1].startswith("one two three 4 five")
    assert window.styles["ten"].endswith("bold")


def test_a_narrow_window_shows_bars_and_the_text_once() -> None:
    window = Window(40)
    frames, _ = watch(window, recording(TEXT, 0.2), recording(TEXT, 0.1))
    assert all(len(frame) <= 2 for frame in frames)
    assert frames[21][0].count("█") < frames[21][1].count("█")
    assert " ".join(window.rows).count("seven") == 1
    assert all(len(row) < 40 for row in window.rows)
    assert window.rows[-1] == "The texts are equal: 10 tokens."


def test_it_can_be_stopped_and_be_slower() -> None:
    asked = iter([False, False, True])
    window = Window(80)
    frames, _ = watch(
        window, recording(TEXT, 0.2), recording(TEXT, 0.1), stopped=lambda: next(asked)
    )
    assert len(frames) == 2
    assert "ten" in window.rows[3]  # what there is to see is shown all the same
    window = Window(80)
    _, time = watch(window, recording(TEXT, 0.2), recording(TEXT, 0.1), factor=0.5)
    assert time.now - 100 == pytest.approx(4.0, abs=0.06)
    assert window.rows[0] == "In slow motion: 2 times as long as it took."


def test_without_a_terminal_only_the_outcome() -> None:
    out = io.StringIO()
    time = Time()
    screen = Screen(out, out, {})
    replay(screen, recording(TEXT, 1), recording(TEXT, 2), clock=time.clock, sleep=time.sleep)
    assert not time.slept
    assert out.getvalue().startswith(TEXT + "\nplain: 10 tokens in 10.00 s")
    assert "\x1b" not in out.getvalue()


def test_drafted_tokens_can_be_tinted() -> None:
    window = Window(80)
    watch(window, recording(TEXT, 0.2), recording(TEXT, 0.1, drafted=True), highlight=True)
    assert "\x1b[4;32mtwo " in window.getvalue() or "\x1b[4;32mtwo" in window.getvalue()


def test_control_characters_in_a_reply_do_nothing() -> None:
    window = Window(80)
    bad = Recording(((0.1, "a\x1b[2Jb", False),), Stats(), "a\x1b[2Jb", "stop")
    watch(window, bad, bad)
    assert "\x1b[2J" not in window.getvalue()


LONG = " ".join(f"word{i}" for i in range(80))


def outcome(left: Recording, right: Recording, *, built_in: bool = False) -> str:
    """What a race ends with."""
    lines = verdict(left, right, ("plain", "with drafts"), built_in=built_in)
    assert lines[2].startswith("The texts are equal")
    return lines[3]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.05, "Drafts made it 2.00 times as fast as plain decoding."),
        (0.102, "Drafts made no clear difference to the speed."),
        (0.2, "Drafts slowed it down, to 0.50 times the speed of plain decoding."),
    ],
)
def test_a_race_says_what_drafts_did(seconds: float, said: str) -> None:
    assert outcome(recording(LONG, 0.1), recording(LONG, seconds, drafted=True)) == said


@pytest.mark.parametrize("words", [1, 10, 63])
def test_a_short_race_has_no_factor(words: int) -> None:
    text = " ".join(LONG.split()[:words])
    said = outcome(recording(text, 0.1), recording(text, 0.05, drafted=True))
    count = "1 token" if words == 1 else f"{words} tokens"
    assert said == f"Too short to compare the speeds: {count}."


def stretched(one: Recording, stretch: Callable[[float], float]) -> Recording:
    """The same, with each moment moved."""
    return replace(one, pieces=tuple((stretch(t), *rest) for t, *rest in one.pieces))


def test_a_race_on_a_busy_machine_has_no_factor_or_a_rough_one() -> None:
    drafted = recording(LONG, 0.05, drafted=True)
    uneven = stretched(recording(LONG, 0.1), lambda t: t + t * t / 2)
    assert outcome(uneven, drafted) == (
        "The timings differ too much to compare the speeds: other programs were busy."
    )
    rather = stretched(recording(LONG, 0.1), lambda t: t + t * t / 50)
    assert outcome(rather, drafted).startswith("Drafts made it about 2.3 times as fast")


def test_a_race_that_says_something_else_than_the_reply_measured_has_no_factor() -> None:
    """Each ran evenly, but the machine was busy during one of the two."""
    drafted = recording(LONG, 0.05, drafted=True)
    stats = Stats(
        decoded=80, rounds=30, drafted=90, accepted=50, decode_seconds=4.0,
        plain_seconds=5.6, compared_seconds=4.0, speedup_basis="measured", drafts="used",
    )  # fmt: skip
    assert stats.speedup == pytest.approx(1.4)
    said = outcome(recording(LONG, 0.1), replace(drafted, stats=stats))
    assert said.startswith("The timings differ too much to compare the speeds")


def test_a_race_without_drafts_says_why_and_has_no_factor() -> None:
    left, right = recording(LONG, 0.1), recording(LONG, 0.05)
    right = replace(right, stats=Stats(drafts="unprofitable", drafted=2, accepted=1))
    said = outcome(left, right)
    assert said == "Drafts were left out: they cost more time here than they bring."
    assert outcome(left, right, built_in=True).startswith(said + " This toy ")
