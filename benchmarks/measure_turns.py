"""What a turn of a long chat has to evaluate, and how long the first token takes.

    .venv/bin/python benchmarks/measure_turns.py [TARGET.gguf DRAFTER.gguf] [--turns 10]
        [--reply 200]
    .venv/bin/python benchmarks/measure_turns.py --prepare [--template FILE.jinja]

One chat is held twice, with snapshots of the cache and without. After turns 2 and 10 (or the last)
three things are done: the reply is written again (regen), the message before the last is worded
differently (edit), and the chat goes on with a last reply whose beginning was cut off, as a
template cuts off thoughts (stripped). Prints for each how many tokens were evaluated and the time
to the first token, and what one snapshot takes.

With `--prepare` one chat is held instead, in which every second turn is prepared in the background
while nobody waits, as in a chat where the person reads and types, and the others are not. Prints
what each turn has to evaluate, its time to first token, and the ratio of the medians. `--template`
takes the place of the chat template in the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from time import perf_counter

from gemma_mtp.api import End, LoadOptions, Message, PairFiles, Request, Stats
from gemma_mtp.engine.engine import Engine
from gemma_mtp.llama import load_pair
from gemma_mtp.models.store import BUILTIN_FOLDER

TOPICS = ("fox", "robot", "garden", "river", "whale", "mountain", "teacher", "ship", "cat", "star")


def say(engine: Engine, messages: list[Message], tokens: int, seed: int = 1) -> End:
    """One reply of exactly so many tokens."""
    request = Request(tuple(messages), seed=seed, max_tokens=tokens, ignore_end=True)
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


def prepare(engine: Engine, messages: list[Message]) -> tuple[float, float]:
    """As while the person reads and types; seconds until it was under way, and until it ended."""
    started = perf_counter()
    engine.prepare(Request(tuple(messages), seed=1))
    begun = perf_counter() - started
    engine.background.wait()
    return begun, perf_counter() - started


def chat(engine: Engine, turns: int, tokens: int) -> dict[str, Stats]:
    """Statistics by what was done."""
    found: dict[str, Stats] = {}
    messages: list[Message] = []
    for turn in range(1, turns + 1):
        topic = TOPICS[turn % len(TOPICS)]
        messages.append(Message.text("user", f"Tell me a long story about a {topic}, please."))
        end = say(engine, messages, tokens)
        if turn in (2, turns):
            found[f"turn {turn}"] = end.stats
            end = say(engine, messages, tokens, seed=2)
            found[f"turn {turn}, regen"] = end.stats
        messages.append(end.message)
        prepare(engine, messages)
    edited = Message.text("user", "Tell me something else.")
    end = say(engine, [*messages[:-2], edited], tokens)
    found[f"turn {turns}, edit"] = end.stats
    cut = Message.text("assistant", end.message.content[len(end.message.content) // 2 :])
    stripped = [*messages[:-2], edited, cut, Message.text("user", "Why?")]
    found[f"turn {turns + 1}, stripped"] = say(engine, stripped, 1).stats
    return found


def prepared_and_not(engine: Engine, turns: int, tokens: int) -> None:
    """One chat, prepared before every second turn; the first turn counts as neither."""
    found: dict[bool, list[float]] = {True: [], False: []}
    messages: list[Message] = []
    for turn in range(1, turns + 1):
        prepared = turn % 2 == 0
        begun, spent = prepare(engine, messages) if prepared else (0.0, 0.0)
        topic = TOPICS[turn % len(TOPICS)]
        messages.append(Message.text("user", f"Tell me a long story about a {topic}, please."))
        end = say(engine, messages, tokens)
        messages.append(end.message)
        stats = end.stats
        if turn > 1:
            found[prepared].append(stats.ttft_seconds)
        print(
            f"turn {turn:2}  prompt {stats.prompt_tokens:5}"
            f"  evaluated {stats.prompt_tokens - stats.cached_tokens:4}"
            f"  first token {1000 * stats.ttft_seconds:7.1f} ms"
            + (f"  prepared in {spent:.3f} s, begun in {1000 * begun:.1f} ms" if spent else "")
        )
    ratio = median(found[False]) / median(found[True])
    print(f"first token without preparing: {ratio:.2f} times as late")


def cost_of_a_snapshot(engine: Engine) -> str:
    """Bytes of one, and the time to take it and to go back to it."""
    target, length = engine.pair.target, len(engine.cache.tokens)
    taken, restored, size = [], [], 0
    for _ in range(5):
        started = perf_counter()
        saved = target.save(complete=False)
        taken.append(perf_counter() - started)
        if saved is None:
            return "this pair has none"
        size = saved.nbytes
        started = perf_counter()
        target.restore(saved, length)
        restored.append(perf_counter() - started)
    times = " ms, to restore it ".join(f"{1000 * median(t):.2g}" for t in (taken, restored))
    return f"{size / 2**20:.2f} MiB; to take it {times} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--reply", type=int, default=200, help="tokens of each reply")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--ctx", type=int)
    parser.add_argument("--template", type=Path, help="another chat template")
    parser.add_argument("--prepare", action="store_true", help="with and without preparing")
    args = parser.parse_args()
    target, drafter = args.files or (
        BUILTIN_FOLDER / "tiny-target.gguf",
        BUILTIN_FOLDER / "tiny-drafter.gguf",
    )
    options = LoadOptions(args.ctx, threads=args.threads)
    pair = load_pair(PairFiles("measured", target, drafter), options)
    if args.template:
        pair.chat_template = args.template.read_text(encoding="utf-8")
    engine = Engine(pair)
    if args.prepare:
        prepared_and_not(engine, args.turns, args.reply)
    else:
        with_and_without_snapshots(engine, args.turns, args.reply)
    engine.close()


def with_and_without_snapshots(engine: Engine, turns: int, tokens: int) -> None:
    """The same chat twice, and what differs."""
    results = []
    for limit in (engine.cache.snapshots.limit, 0):
        engine.cache.rewind(0)
        engine.cache.snapshots.limit = limit
        results.append(chat(engine, turns, tokens))
    print(f"{'':20}  prompt   evaluated: with  without   first token, ms: with  without")
    for name, stats in results[0].items():
        pair = (stats, results[1][name])
        counts = [s.prompt_tokens - s.cached_tokens for s in pair]
        times = [1000 * s.ttft_seconds for s in pair]
        print(
            f"{name:20}  {stats.prompt_tokens:6} {counts[0]:16} {counts[1]:8}"
            f"  {times[0]:20.1f} {times[1]:8.1f}"
        )
    print(f"one snapshot: {cost_of_a_snapshot(engine)}")


if __name__ == "__main__":
    main()
