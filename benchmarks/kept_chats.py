"""What a state on the disk brings: the first token of `chat --continue` with and without it.

    python benchmarks/kept_chats.py [MODEL] [--sentences 250] [--repeat 3]

A long conversation, of about 16 tokens a sentence with Gemma's vocabulary, is saved, and gone on
with by one message, each time by a process of its own that loads the model anew: once without a
state and `--repeat` times with the one before. It prints the seconds to the first token (from the
prompt on, the model being loaded), those of the whole command, the tokens that were evaluated, and
the size of the state.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

from gemma_mtp.api import Message, Turn
from gemma_mtp.conversations.archive import Archive
from gemma_mtp.models import chat_states
from gemma_mtp.paths import state_dir

SENTENCE = "The dog and the cat went to the sea, and there they saw a boat. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="tiny")
    parser.add_argument("--drafter")
    parser.add_argument("--sentences", type=int, default=250)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["GEMMA_MTP_HOME"] = home
        archive = Archive(state_dir() / "chats.db")
        said = Message.text("user", SENTENCE * args.sentences)
        reply = Message.text("assistant", "I see.")
        archive.add([Turn(said, (reply,), reason="stop")], model=args.model)
        drafter = ("--drafter", args.drafter) if args.drafter else ()
        runs = [go_on(args.model, *drafter) for _ in range(1 + args.repeat)]
        without, *others = runs
        found = {name: median(run[name] for run in others) for name in without}
        print(
            json.dumps(
                {
                    "without": without,
                    "with": found,
                    "ratio": round(without["first_token"] / found["first_token"], 1),
                    "state_bytes": sum(chat_states.sizes().values()),
                },
                indent=2,
            )
        )


def go_on(model: str, *options: str) -> dict[str, float]:
    """Seconds to the first token and of the command, and tokens evaluated before the reply."""
    words = ("chat", model, "--continue", "-p", "And then?", "--max-tokens", "8", *options)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gemma_mtp", *words, "--keep-chats", "on", "--seed", "1"],
        env={**os.environ, "GEMMA_MTP_KEEP_ALIVE": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    seconds = time.perf_counter() - started
    archive = Archive(state_dir() / "chats.db")
    latest = archive.latest()
    assert latest is not None
    stats = archive.read(latest).turns[-1].stats
    assert stats is not None
    return {
        "first_token": round(stats.ttft_seconds, 4),
        "command": round(seconds, 2),
        "evaluated": stats.prompt_tokens - stats.cached_tokens,
        "prompt": stats.prompt_tokens,
    }


if __name__ == "__main__":
    main()
