"""What is remembered of a chat's speed, and what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gemma_mtp.api import Stats
from gemma_mtp.models import speeds

pytestmark = pytest.mark.usefixtures("home")


def chat(tokens: int) -> Stats:
    return Stats(
        decoded=tokens,
        decode_seconds=2.0,
        plain_seconds=3.0,
        compared_seconds=2.0,
        speedup_basis="measured",
        rounds=20,
        drafted=50,
    )


def test_the_last_chat_of_each_model_is_remembered() -> None:
    speeds.remember("tiny", chat(100))
    speeds.remember("12b", chat(64))
    speeds.remember("tiny", chat(200))
    assert speeds.recall("tiny") == {
        "tokens_per_second": 100.0, "speedup": 1.5, "guessed_right": None, "draft_length": 2.5,
        "paid": None, "tokens": 200,
    }  # fmt: skip
    assert speeds.recall("12b") is not None
    assert speeds.recall("e2b") is None


def test_a_few_words_say_nothing() -> None:
    speeds.remember("tiny", chat(63))
    assert speeds.recall("tiny") is None


def test_a_speedup_over_the_plain_decoding_of_exact_mode_is_not_one_over_plain_decoding() -> None:
    speeds.remember("tiny", replace(chat(100), compared_with="exact plain"))
    found = speeds.recall("tiny")
    assert found is not None
    assert found["speedup"] is None


def test_the_draft_length_that_paid_is_that_of_rounds_with_drafts() -> None:
    used = replace(chat(100), drafts="used", accepted_histogram=(2, 3, 5))
    speeds.remember("tiny", used)
    assert speeds.paid("tiny") == 5
    speeds.remember("tiny", replace(used, drafts="unprofitable"))
    assert speeds.paid("tiny") == 0
    speeds.remember("tiny", replace(used, drafts="off"))
    assert speeds.paid("tiny") is None
    assert speeds.paid("e2b") is None


def test_a_damaged_file_or_folder_is_no_error(home: Path) -> None:
    file = home / "state" / "speeds.json"
    file.parent.mkdir()
    file.write_text("{broken")
    assert speeds.recall("tiny") is None
    speeds.remember("tiny", chat(100))
    assert speeds.recall("tiny") is not None
    file.unlink()
    file.mkdir()
    speeds.remember("tiny", chat(100))
    assert speeds.recall("tiny") is None
