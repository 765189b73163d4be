"""Times all widths of a loaded pair at once, for `bench`; the controller uses them from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gemma_mtp.api import Sampling
from gemma_mtp.decoding import cost_timing
from gemma_mtp.decoding.costs import Costs
from gemma_mtp.decoding.sampler import Sampler
from gemma_mtp.decoding.transcript import of_tokens
from gemma_mtp.engine.reply import SPARE_CELLS

if TYPE_CHECKING:
    from gemma_mtp.engine.engine import Engine

# What costs are measured with where nothing is cached yet: any text will do.
SHORT_CONTEXT = 256  # tokens
SOME_TEXT = "Every round drafts a few tokens, and the target checks all of them at once. "


def measure_costs(
    engine: Engine, max_width: int, repeats: int, progress: Callable[[float], bool]
) -> tuple[Costs, bool]:
    """Costs behind what is cached, and whether all were measured: `progress` gets 0..1 and answers
    whether to go on."""
    cache, target = engine.cache, engine.pair.target
    room = engine.info.context_size - max_width - SPARE_CELLS
    if not cache.tokens:
        text = target.vocabulary.tokenize(SOME_TEXT, special=False)
        ids = [target.vocabulary.bos, *text * SHORT_CONTEXT][: min(SHORT_CONTEXT, room)]
        for _ in cache.prefill(of_tokens(ids)):
            pass
    position = cache.rewind(min(cache.transcript.end, room))
    complete = True

    def go_on(fraction: float) -> bool:
        nonlocal complete
        complete = complete and progress(fraction)
        return complete

    engine.threads.writing.begin()
    engine.threads.use(engine.threads.writing.count)
    costs = cost_timing.measure_costs(
        target,
        engine.draft_model,
        Sampler(Sampling(), 0),
        (cache.tokens[-max_width:] * max_width)[:max_width],
        position,
        np.zeros(target.embedding_width, np.float32),
        min(max_width, target.widest(position, kept=0)),
        repeats,
        go_on,
    )
    return costs, complete
