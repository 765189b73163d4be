"""Draft lengths as `bench` and `verify` are given them, such as "off,1,3,auto".

They are kept as they were written, since results are listed under these words.
"""

from __future__ import annotations

from gemma_mtp.options import SETTINGS
from gemma_mtp.settings import DraftSetting


def draft_setting(word: str) -> DraftSetting:
    """A draft length as the engine takes it. Raises UsageError for what is none."""
    setting: DraftSetting = SETTINGS["draft"].parse(word, "--draft")
    return setting


def read_drafts(words: str) -> tuple[str, ...]:
    """The draft lengths of a list, each once. Raises UsageError for what is none."""
    drafts: dict[DraftSetting, str] = {}
    for word in (word.strip() for word in words.split(",")):
        drafts.setdefault(draft_setting(word), word)
    return tuple(drafts.values())
