"""The one printer: events of a reply become text, progress and a line of figures.

Knows what the figures mean and how they are worded, but neither the engine nor the keyboard, and
leaves cursor and columns to `screen`.
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.events import End, Event, FinishReason, Prefill, Progress, Stats, Text
from gemma_mtp.options import PairInfo
from gemma_mtp.screen import Screen, fit

PATIENCE = 0.3  # seconds; progress that is over sooner would only flicker
STATUS_INTERVAL = 0.1  # seconds between two status lines, so that the figures can be read

_REASONS: dict[FinishReason, str] = {
    "stop": "",
    "length": "token limit",
    "context": "context full",
    "cancelled": "stopped",
}


class Printer:
    """Shows what happens on a `Screen`. `answers` off keeps the answer off it (`run --json`)."""

    def __init__(
        self,
        screen: Screen,
        *,
        answers: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.screen = screen
        self._answers = answers
        self._clock = clock
        self._since = clock()
        self._next_status = 0.0
        self._held = ""  # line ends of the answer that nothing has followed yet
        self._part = ""  # "thought" or "answer", whichever is being written
        self.said = ""  # the answer so far
        # In a chat thoughts stand with the answer; in `run` they are a note.
        self._chat = screen.text is screen.notes

    def begin(self) -> None:
        """Something that may take long starts now."""
        self._since = self._clock()
        self._held = self._part = self.said = ""

    def loading(self, fraction: float) -> None:
        """Progress of loading a pair."""
        self._waiting(f"loading {fraction:.0%}".replace("%", " %"))

    def show(self, event: Event) -> None:
        """One event of a reply."""
        if isinstance(event, Text):
            self._text(event)
        elif isinstance(event, Prefill):
            if event.done < event.total:
                self._waiting(f"reading prompt {event.done}/{event.total}")
        elif isinstance(event, Progress):
            self._status(event.stats)
        else:
            self.finish()

    def finish(self) -> None:
        """End the reply's last line; harmless when that was done already."""
        self.screen.transient("")
        if self._part:
            answered = self._part == "answer"
            self.screen.write("\n", note=not answered and not self._chat)
        self._held = self._part = ""

    def _text(self, event: Text) -> None:
        if not event.thought:
            self.said += event.text
        if event.thought and not self._thoughts_shown:
            return
        if not event.thought and not self._answers:
            return
        part = "thought" if event.thought else "answer"
        piece = event.text
        if part != self._part:
            self._change(part)
            piece = piece.lstrip("\n")
        whole = self._held + piece
        visible = whole.rstrip("\n")
        self._held = whole[len(visible) :]
        if visible:
            self._write(visible, part)

    @property
    def _thoughts_shown(self) -> bool:
        return self._chat or self.screen.live

    def _change(self, part: str) -> None:
        """Set thought and answer apart, also where dim text cannot be shown."""
        before, self._part, self._held = self._part, part, ""
        if part == "thought":
            self._write("\n\nthinking: " if before else "thinking: ", part)
        elif before:
            self._write("\n\n" if self.screen.dims else "\n\nanswer: ", "thought")

    def _write(self, text: str, part: str) -> None:
        thought = part == "thought"
        self.screen.write(text, dim=thought, note=thought and not self._chat)

    def _waiting(self, line: str) -> None:
        if self._clock() - self._since > PATIENCE:
            self.screen.transient(line)

    def _status(self, stats: Stats) -> None:
        now = self._clock()
        if now < self._next_status or not self.screen.text_shown or not self._answers:
            return
        self._next_status = now + STATUS_INTERVAL
        self.screen.transient(" " + fit(status_parts(stats), self.screen.width - 2))

    def line(self, text: str, *, dim: bool = False) -> None:
        """A whole line that is not part of a reply."""
        self.screen.transient("")
        if not self.screen.at_line_start and self._chat:
            self.screen.write("\n", note=True)
        for row in self._rows(text):
            self.screen.write(row + "\n", dim=dim, note=True)

    def _rows(self, text: str) -> list[str]:
        """On a terminal, break between words; indented lines go on indented."""
        if not self.screen.live:
            return [text]
        indent = "    " if text.startswith(" ") else ""
        rows = textwrap.wrap(text, self.screen.width, subsequent_indent=indent)
        return rows or [text]

    def error(self, error: GemmaMtpError) -> None:
        """An error inside a chat, which goes on."""
        self.line(str(error))
        if error.hint:
            self.line(error.hint, dim=True)

    def summary(self, end: End) -> None:
        """The one line below a reply."""
        width = self.screen.width if self.screen.live else 1000
        self.line(fit(summary_parts(end.stats, end.reason), width), dim=True)


def number(value: float) -> str:
    """Three figures are enough for a rate."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share in whole per cent."""
    return f"{value * 100:.0f} %"


def status_parts(stats: Stats) -> list[tuple[int, str]]:
    """What the line below a growing reply says, each part with its importance."""
    parts = [(9, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        parts.append((8, f"{stats.speedup:.1f}x"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    parts.append((4, f"k={stats.draft_length}"))
    return [*parts, (5, _context(stats))]


def summary_parts(stats: Stats, reason: FinishReason) -> list[tuple[int, str]]:
    """What is said after a reply."""
    parts = [(7, f"{number(stats.tokens_per_second)} tok/s")] if stats.decode_seconds else []
    if stats.speedup is not None:
        parts.append((8, f"{stats.speedup:.2f}x plain ({stats.speedup_basis})"))
    if stats.acceptance_rate is not None:
        parts.append((6, f"accepted {percent(stats.acceptance_rate)}"))
    if stats.drafted and stats.mean_accepted_length is not None:
        parts.append((4, f"{stats.mean_accepted_length:.1f} tokens a round"))
    if stats.rounds:
        parts.append((3, f"k={stats.draft_length}"))
    parts.append((5, _context(stats)))
    if _REASONS[reason]:
        parts.append((9, _REASONS[reason]))
    return parts


def _context(stats: Stats) -> str:
    return f"ctx {stats.context_used}/{stats.context_size}"


def report(last: Stats | None, total: Stats, replies: int, info: PairInfo, width: int) -> list[str]:
    """The lines of `/stats`."""
    lines = ["last reply"] if last else ["nothing was said yet"]
    if last:
        lines += _figures(last) + _histogram(last.accepted_histogram, width)
    if replies > 1:
        lines += [f"session, {replies} replies", *_figures(total)]
        lines += _histogram(total.accepted_histogram, width)
    kv = f"target {_bytes(info.target_kv_bytes)}, drafter {_bytes(info.drafter_kv_bytes)}"
    lines += [f"pair {info.name}", f"  KV cache   {kv}", f"  threads    {info.threads}"]
    if info.plain_reason:
        lines.append(f"  plain      {info.plain_reason}")
    return lines


def _figures(stats: Stats) -> list[str]:
    rate, length = stats.acceptance_rate, stats.mean_accepted_length
    lines = [
        f"  tokens     {stats.completion_tokens} written, {stats.prompt_tokens} read "
        f"({stats.cached_tokens} from the cache)"
    ]
    if stats.decode_seconds:
        lines.append(f"  speed      {number(stats.tokens_per_second)} tok/s")
    if stats.speedup is not None:
        lines.append(f"  speedup    {stats.speedup:.2f}x plain ({stats.speedup_basis})")
    if rate is not None:
        lines.append(f"  accepted   {percent(rate)} ({stats.accepted} of {stats.drafted} drafted)")
    if length is not None:
        lines.append(f"  rounds     {stats.rounds}, {length:.1f} tokens each")
    lines.append(f"  first      {stats.ttft_seconds:.2f} s to the first token")
    return lines + _time_split(stats)


def _time_split(stats: Stats) -> list[str]:
    """Where the time of the rounds went."""
    if stats.decode_seconds <= 0:
        return []
    known = {
        "draft": stats.draft_seconds,
        "verify": stats.verify_seconds,
        "sampling": stats.sampling_seconds,
    }
    known["other"] = max(stats.decode_seconds - sum(known.values()), 0.0)
    shares = (f"{name} {percent(time / stats.decode_seconds)}" for name, time in known.items())
    return [f"  time       {stats.decode_seconds:.2f} s: {', '.join(shares)}"]


def _histogram(rounds: list[int], width: int) -> list[str]:
    """One bar for each number of accepted drafts."""
    if not any(rounds):
        return []
    room = max(min(width - 24, 40), 4)
    lines = ["  drafts accepted, rounds"]
    for accepted, count in enumerate(rounds):
        bar = "█" * round(room * count / max(rounds)) or ("▏" if count else "")
        lines.append(f"  {accepted:3} {count:6}  {bar}".rstrip())
    return lines


def _bytes(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count else "0"
