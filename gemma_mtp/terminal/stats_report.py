"""What `/stats` shows: the figures of the last reply and of the session, and what they come to.

The verb calls it with the width of the window; all of it fits into 24 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from gemma_mtp.api import PairInfo, Stats
from gemma_mtp.terminal.figures import average, drafts_used, factor
from gemma_mtp.terminal.outcome import borrowed, explained
from gemma_mtp.terminal.tables import Table, bars, plain_lines
from gemma_mtp.text import byte_size, counted, number, percent

WIDEST = 60  # columns of a picture; a wider one says no more
BARS = 4  # the rounds with the most accepted drafts are one bar together
SOURCES = {"mtp": "drafter", "lookup": "copied"}  # what is counted by another name has its own

Cell = Callable[[Stats], str]


def report(
    last: Stats | None,
    total: Stats,
    replies: int,
    info: PairInfo,
    width: int,
    *,
    off: bool = False,
    built_in: bool = False,
) -> list[str]:
    """The lines of `/stats`: the last reply and, after several, the session next to it, if a window
    of `width` columns has room for both. `off`: the chat drafts nothing; `built_in`: this is
    the toy pair."""
    if last is None:
        return ["Nothing was said yet.", _pair(Stats(), info)]
    session = replace(total, ttft_seconds=total.ttft_seconds / replies)
    both = {"last reply": last, counted(replies, "reply", "replies"): session}
    found = plain_lines(_table(both))
    if replies == 1 or max(map(len, found)) >= width:
        found = plain_lines(_table({"last reply": last}), width - 1)
    if drafts_used(last) and any(last.accepted_histogram):
        picture = plain_lines(bars(_bars(last.accepted_histogram)), min(width, WIDEST) - 1)
        found += ["rounds by accepted drafts", *picture]
    drafter = borrowed(info.drafter_of, total)
    why = explained(last, info.plain_reason, off=off, built_in=built_in, drafter=drafter)
    return [*found, _pair(total, info), *filter(None, (why, info.drafter_choice))]


def _table(shown: Mapping[str, Stats]) -> Table:
    """A column for each of these; a row for each figure that one of them has."""
    cells = [
        (label, *(cell(stats) for stats in shown.values()))
        for label, cell in _figures([*shown.values()])
    ]
    return Table(("", *shown), [row for row in cells if any(row[1:])])


def _figures(shown: Sequence[Stats]) -> list[tuple[str, Cell]]:
    return [
        ("prompt", _prompt),
        ("first token", lambda stats: f"after {stats.ttft_seconds:.2f} s"),
        ("written", _written),
        ("  drafts", lambda stats: _share(stats, stats.draft_seconds)),
        ("  model", lambda stats: _share(stats, stats.verify_seconds)),
        ("speed", _speed),
        ("speedup", _speedup),
        ("accepted", lambda stats: _accepted(stats.accepted, stats.drafted, " drafts")),
        *_sources(shown),
        ("each round", _round),
    ]


def _prompt(stats: Stats) -> str:
    cached = f", {stats.cached_tokens} cached" if stats.cached_tokens else ""
    return counted(stats.prompt_tokens, "token") + cached


def _written(stats: Stats) -> str:
    time = f" in {stats.decode_seconds:.2f} s" if stats.decode_seconds else ""
    return counted(stats.completion_tokens, "token") + time


def _share(stats: Stats, seconds: float) -> str:
    """Where the time went, if drafts had a part in it; else all of it went to the model."""
    known = stats.decode_seconds and drafts_used(stats)
    return f"{percent(seconds / stats.decode_seconds)} of the time" if known else ""


def _speed(stats: Stats) -> str:
    return f"{number(stats.tokens_per_second)} tok/s" if stats.tokens_per_second else ""


def _speedup(stats: Stats) -> str:
    return f"{factor(stats)} {stats.speedup_basis}" if stats.speedup is not None else ""


def _accepted(accepted: int, drafted: int, noun: str = "") -> str:
    noun = noun.removesuffix("s") if drafted == 1 else noun
    return f"{percent(accepted / drafted)} of {drafted}{noun}" if drafted else ""


def _sources(shown: Sequence[Stats]) -> list[tuple[str, Cell]]:
    """A row for each source of drafts, unless the drafter was the only one."""
    names = dict.fromkeys(count.source for stats in shown for count in stats.sources)
    if [*names] in ([], ["mtp"]):
        return []
    return [(f"  {SOURCES.get(name, name)}", partial(_of_source, name)) for name in names]


def _of_source(name: str, stats: Stats) -> str:
    found = [count for count in stats.sources if count.source == name]
    return "".join(_accepted(count.accepted, count.drafted) for count in found)


def _round(stats: Stats) -> str:
    """What a round drafted and brought on average; of plain rounds there is nothing to say."""
    length = stats.mean_accepted_length
    if length is None or not drafts_used(stats):
        return ""
    return f"{average(stats.draft_length, 'draft')}, {average(length, 'token')}"


def _bars(rounds: Sequence[int]) -> list[tuple[str, float, str]]:
    """In how many rounds with a draft none, 1, 2 and more drafts were accepted."""
    short, long = rounds[: BARS - 1], rounds[BARS - 1 :]
    labels = ["none", *map(str, range(1, len(short)))]
    if long:
        labels.append(f"{BARS - 1} to {len(rounds) - 1}" if len(long) > 1 else str(BARS - 1))
    counts = [*short, *([sum(long)] if long else [])]
    return [(label, count, str(count)) for label, count in zip(labels, counts, strict=True)]


def _pair(total: Stats, info: PairInfo) -> str:
    if info.server:
        return f"{info.name}, at {info.server}"
    size = byte_size(info.target_kv_bytes + info.drafter_kv_bytes)
    drafter = f", drafter of {info.drafter_of}" if info.drafter_of else ""
    return f"{info.name}{drafter}, {_threads(total, info)}, KV cache {size}"


def _threads(total: Stats, info: PairInfo) -> str:
    """How many evaluated rounds: fewer than there are while other programs were busy as well."""
    used = [count for count, rounds in enumerate(total.threads) if rounds]
    if not used or used == [info.threads]:
        return counted(info.threads, "thread")
    if len(used) == 1:
        return f"{used[0]} of {counted(info.threads, 'thread')}"
    mostly = max(used, key=total.threads.__getitem__)
    return f"mostly {mostly} of {counted(info.threads, 'thread')} ({used[0]}-{used[-1]})"
