"""Trains the built-in tiny target and its drafter from scratch and writes both as GGUF.

    python scripts/tiny/train.py --out DIR            # the full run, about an hour on two cores
    python scripts/tiny/train.py --out DIR --quick    # a smoke test of every stage

Everything is seeded and the number of steps is fixed, so the schedule does not depend on the
speed of the machine. DIR keeps the tokenizer, the encoded corpus and checkpoints: a run that was
stopped goes on where its last checkpoint was written. requirements.txt lists what it needs.
"""

from __future__ import annotations

import argparse
import ctypes
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import corpus
import tokenizer as tokenizers
import torch
import torch._dynamo.config
import torch._inductor.config
from data import Data, Encoder
from export import total_size, write_drafter, write_target
from plan import QUICK, Cycle, Plan
from shapes import DRAFTER, TARGET
from stage import say
from train_drafter import train_drafter
from train_target import train_target
from weights import Weights


def prepare_process() -> None:
    """Set what the processes of the training team inherit."""
    # A pool of threads would not survive a fork, nor would a pool of compilers end with it.
    torch.set_num_threads(1)
    torch._inductor.config.compile_threads = 1
    torch._dynamo.config.recompile_limit = 64  # layers differ in kind, mode and shape
    if sys.platform == "linux":
        # Large blocks that are freed and mapped anew cost more than the sums done in them.
        threshold, trim = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
        library = ctypes.CDLL(None)
        if hasattr(library, "mallopt"):
            library.mallopt(threshold, 32 << 20)
            library.mallopt(trim, 2**31 - 1)


def prepare_data(plan: Plan, out: Path) -> Data:
    """Write the corpus, train the tokenizer on part of it and encode everything."""
    token_path, data_path = out / "tokenizer.json", out / "corpus.pickle"
    if token_path.exists() and data_path.exists():
        with data_path.open("rb") as file:
            return Data(tokenizers.Tokenizer.load(token_path), *pickle.load(file))
    say(f"writing {plan.chats} chats")
    texts = [corpus.render(chat) for chat in corpus.conversations(plan.seed, plan.chats)]
    held = [corpus.render(chat) for chat in corpus.held_out(plan.seed + 1, plan.held_out)]
    tokenizer = tokenizers.train(texts[: plan.tokenizer_chats], TARGET.vocab)
    if len(tokenizer.tokens) != TARGET.vocab:
        raise SystemExit(f"the tokenizer has {len(tokenizer.tokens)} tokens, not {TARGET.vocab}")
    encoder = Encoder(tokenizer)
    data = Data(
        tokenizer,
        [encoder.document(text) for text in texts],
        [encoder.document(text) for text in held],
    )
    tokenizer.save(token_path)
    with data_path.open("wb") as file:
        pickle.dump((data.training, data.held_out), file)
    sizes = sorted(len(document.tokens) for document in data.training)
    say(
        f"{sum(sizes) / 1e6:.2f}M tokens, chats of {sizes[len(sizes) // 2]} tokens (median), "
        f"{sizes[len(sizes) * 99 // 100]} (99 %), {sizes[-1]} (longest)"
    )
    return data


def export(out: Path, data: Data, target: Weights, drafter: Weights) -> None:
    """Write both models."""
    paths = out / "tiny-target.gguf", out / "tiny-drafter.gguf"
    write_target(paths[0], target, TARGET, data.tokenizer)
    write_drafter(paths[1], drafter, DRAFTER, TARGET, data.tokenizer)
    say(f"wrote {paths[0]} and {paths[1]}, {total_size(*paths):,} bytes")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the built-in tiny model pair.")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything written")
    parser.add_argument("--quick", action="store_true", help="a few steps of each stage")
    parser.add_argument("--steps", type=int, help="steps of the target")
    parser.add_argument("--drafter-steps", type=int, help="steps of the drafter")
    parser.add_argument("--only-target", action="store_true", help="stop before the drafter")
    return parser.parse_args()


def main() -> None:
    """Run all stages."""
    options = arguments()
    plan = QUICK if options.quick else Plan()
    if options.steps:
        plan = replace(plan, target=(Cycle(options.steps),))
    if options.drafter_steps:
        plan = replace(plan, drafter=(Cycle(options.drafter_steps),))
    prepare_process()
    options.out.mkdir(parents=True, exist_ok=True)
    data = prepare_data(plan, options.out)
    target = train_target(plan, options.out, data)
    if not options.only_target:
        export(options.out, data, target, train_drafter(plan, options.out, data, target))


if __name__ == "__main__":
    main()
