"""Whether exact mode holds on the devices of a pair, of which GPUs may round as they like.

`loading` asks once, when a pair of which a part is on a GPU was loaded.
"""

from __future__ import annotations

from gemma_mtp.api import MAX_WIDTH
from gemma_mtp.decoding.row_probe import same_rows
from gemma_mtp.engine.cost_measuring import SOME_TEXT
from gemma_mtp.llama.target import LlamaTarget

BEFORE = 16  # tokens behind which rows are compared


def is_exact(target: LlamaTarget) -> bool:
    """Whether a row has the same bits at every width; the cache is empty before and afterwards."""
    text = target.vocabulary.tokenize(SOME_TEXT * 4, special=False)
    target.decode([target.vocabulary.bos, *text[:BEFORE]], 0, 1)
    same = same_rows(target, text[BEFORE : BEFORE + MAX_WIDTH], BEFORE + 1)
    target.rewind(0)
    return same
