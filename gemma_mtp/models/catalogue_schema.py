"""What a models.toml may say: every key, with its type and range.

`catalogue` holds the user's file against it, and a test the shipped one. Knows nothing of what is
made of it.
"""

from __future__ import annotations

import re
from typing import Any

from gemma_mtp.api import MAX_DRAFT
from gemma_mtp.errors import UsageError
from gemma_mtp.files import names
from gemma_mtp.files.schema import Check, Misfit, one_or_rows, rows, table, text, truth, whole
from gemma_mtp.setting import Setting, settings_of
from gemma_mtp.settings import Sampling

MOST_BYTES = 1 << 50  # of one file
MOST_PARTS = 1000  # of a split model

_WORD = text(64, names.WORD, "letters, digits and . _ + -, such as 12b")
_WIDTH, _COUNT, _LAYERS = whole(1, 1 << 20), whole(1, 4096), whole(1, 1024)


def _each(keys: str, check: Check) -> dict[str, Check]:
    return dict.fromkeys(keys.split(), check)


_DRAFTER = table(_each("width feed_forward", _WIDTH) | _each("heads", _COUNT),
                 {"layers": _LAYERS})  # fmt: skip
_SHAPE = table(
    {"layers": _LAYERS, "pattern": text(1024, r"[SF]+", "the letters S and F")}
    | _each("width feed_forward", _WIDTH)
    | _each("heads kv_heads_sliding kv_heads_full", _COUNT)
    | _each("window vocabulary", whole(1, 1 << 24)),
    {"values_are_keys": truth, "drafter": _DRAFTER}
    | _each("head_sliding head_full", _COUNT)
    | _each("shared experts experts_used", whole(0, 4096))
    | _each("feed_forward_shared per_layer expert_feed_forward", whole(0, 1 << 20)),
)

_REPO = text(200, re.compile(names.REPO, re.ASCII), "OWNER/REPO")
_ORIGINAL = table(_each("repo drafter", _REPO) | _each("draft", whole(1, MAX_DRAFT)), {})

_FILE = {"file": text(500), "quantization": _WORD}
_FILE_TOO = {  # of a split model those of all parts
    "sha256": one_or_rows(text(64), MOST_PARTS),
    "bytes": one_or_rows(whole(1, MOST_BYTES), MOST_PARTS),
}
_SOURCE = table(
    {
        "repo": _REPO,
        "drafter": table(_FILE, _FILE_TOO),
        "targets": rows(table({**_FILE, "tag": _WORD}, _FILE_TOO), most=100, least=1),
    },
    {
        "revision": text(100, r"[\w./-]+", "a commit, a branch or a tag"),
        "qat": truth,
        "mmproj": table(_FILE, _FILE_TOO),
    },
)


def _setting(known: Setting) -> Check:
    def check(value: Any, where: str) -> Any:
        try:
            return known.accept(value, where)
        except UsageError as error:
            raise Misfit(str(error).rstrip(".")) from error

    return check


SAMPLING = table({}, {known.name: _setting(known) for known in settings_of(Sampling)})
MODEL = table(
    {"name": _WORD, "source": rows(_SOURCE, most=100)},
    {
        "aliases": rows(_WORD, most=20),
        "title": text(100),
        "parameters": text(40),
        "context_length": whole(1, 1 << 24),
        "draft_range": rows(whole(0, MAX_DRAFT), most=2, least=2),
        "hears": truth,
        "original": _ORIGINAL,
        "shape": _SHAPE,
        "sampling": SAMPLING,
    },
)
DRAFTER = table({"model": _WORD, "repo": _REPO}, {"qat": truth})
OWN = table({}, {"model": rows(MODEL, most=200), "drafter": rows(DRAFTER, most=200)})
