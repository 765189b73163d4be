"""What drafts that a schema forces bring on other machines, by the costs that these have.

    python benchmarks/forced_drafts.py [--seeds 3]

The built-in pair writes answers held to a schema, and each round is charged what it takes by a cost
curve (`controllers/curves.py`), so that the load of this machine does not count: tokens for a plain
step with the forced drafts and without them. The drafter is taken as it is, and made worse.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from controllers.curves import CURVES, Curve  # noqa: E402
from structured import PERSON  # noqa: E402
from weakened import weakened_pair  # noqa: E402

from gemma_mtp.api import Grammar, LoadOptions, Message, PairFiles, Request, Sampling  # noqa: E402
from gemma_mtp.decoding.costs import FROM_MEMORY  # noqa: E402
from gemma_mtp.decoding.draft_length import AutoDraft  # noqa: E402
from gemma_mtp.decoding.forced import Forced  # noqa: E402
from gemma_mtp.decoding.outcome import Round  # noqa: E402
from gemma_mtp.decoding.round import Speculator  # noqa: E402
from gemma_mtp.engine import loading  # noqa: E402

STEP = 0.01  # seconds that a plain step is taken to need
SIGMAS = (0.0, 0.3)  # noise on the drafter's weights


class Charged(AutoDraft):
    """The controller, told of the costs on a curve in place of what a clock says."""

    def __init__(self, curve: Curve) -> None:
        super().__init__(guess=FROM_MEMORY)
        self.charged, self._on, self._width_before = 0.0, curve, 1

    def record(self, done: Round) -> None:
        rebuild = self._on.rebuild if done.width != self._width_before else 0.0
        self._width_before = done.width
        drafting, verifying = self._on.draft_step * done.drafted, self._on.cost(done.width)
        self.charged += drafting + verifying + rebuild
        done.draft_seconds, done.sampling_seconds = STEP * drafting, 0.0
        done.verify_seconds = STEP * (verifying + rebuild)
        super().record(done)


def tokens_a_step(pair: PairFiles, curve: Curve, forced: bool, seeds: int) -> float:
    """Of the replies with these seeds, after one that warms up."""
    loaded = loading.load(pair, LoadOptions(context=2048))
    policy = loaded.drafting.auto = Charged(curve)
    written = 0
    with _costs(curve, forced):
        for seed in range(-1, seeds):
            if seed == 0:
                policy.charged, written = 0.0, 0
            request = Request(
                (Message.text("user", "Tell me about somebody."),),
                Sampling(temperature=1.0),
                Grammar("json_schema", json.dumps(PERSON)),
                seed=max(seed, 0),
                exact=False,
                draft="auto",
                max_tokens=250,
            )
            *_, end = loaded.reply(request)
            written += end.stats.decoded
    loaded.close()
    return written / policy.charged


@contextmanager
def _costs(curve: Curve, forced: bool) -> Iterator[None]:
    def plain_step(rounds: Speculator) -> float:
        return STEP * curve.cost(rounds.min_width)

    def nothing(*asked: Any) -> Iterator[tuple[int, float]]:
        return iter(())

    with (
        patch.object(Speculator, "time_plain_step", plain_step),
        patch.object(Forced, "propose", Forced.propose if forced else nothing),
    ):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for sigma in SIGMAS:
            pair = weakened_pair(Path(folder), sigma)
            for curve in CURVES:
                found = [tokens_a_step(pair, curve, forced, args.seeds) for forced in (True, False)]
                print(
                    f"noise {sigma}  {curve.name:12} forced {found[0]:5.2f}  "
                    f"without {found[1]:5.2f}  ratio {found[0] / found[1]:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
