"""Which of two drafters was kept for a target, remembered by the contents of all three files.

The engine tells what it found out; whoever loads the pair again, or shows it, asks. Losing that
costs another try, so nothing here ever fails.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.decoding.drafter_score import Score
from gemma_mtp.files import json_file
from gemma_mtp.models import contents


def settled(files: PairFiles) -> tuple[PairFiles, Score | None]:
    """The pair with the drafter that was kept, and the score that decided it; as it is where that
    is not known yet, or where there is nothing to choose from."""
    score = _recall(files)
    if score is None:
        return files, None
    kept = replace(files, rival=None, rival_of="")
    if score.second_is_better:
        kept = replace(kept, drafter=files.rival, drafter_of=files.rival_of)
    return kept, score


def remember(files: PairFiles, score: Score) -> None:
    """Keep what came of trying both drafters."""
    if key := _key(files):
        json_file.keep(_place(), {**json_file.read(_place()), key: asdict(score)})


def _recall(files: PairFiles) -> Score | None:
    key = _key(files) if files.rival else ""
    found = json_file.read(_place()).get(key) if key else None
    numbers: Any = [found.get(name) for name in asdict(Score())] if isinstance(found, dict) else []
    score = Score(*numbers) if all(type(number) is int for number in numbers) else Score()
    return score if score.is_decided else None


def _key(files: PairFiles) -> str:
    """The contents of target, drafter and rival, in this order; "" where one cannot be read."""
    named = [path for path in (files.target, files.drafter, files.rival) if path]
    try:
        return " ".join(contents.sampled(path) for path in named)
    except OSError:
        return ""


def _place() -> Path:
    return paths.cache_dir() / "drafters.json"
