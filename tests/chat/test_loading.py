"""What a chat says about drafts before its first word."""

from __future__ import annotations

import pytest
from support.fakes import FakeEngine, FakeEnvironment

from gemma_mtp.chat.loading import what_mtp_does
from gemma_mtp.options import Options
from gemma_mtp.settings import MAX_DRAFT


class Known(FakeEnvironment):
    """A machine on which the last chat measured this speedup."""

    def __init__(self, speedup: float | None) -> None:
        super().__init__(FakeEngine())
        self.speedup = speedup

    def known_speedup(self, name: str) -> float | None:
        return self.speedup


@pytest.mark.parametrize(
    ("speedup", "draft", "said"),
    [
        (None, "auto", "MTP: a drafter proposes, the model checks; used if it pays."),
        (1.78, "auto", "Drafts made replies about 1.8 times as fast here."),
        (1.03, "auto", "Drafts have not paid here so far; auto keeps measuring."),
        (0.8, "auto", "Drafts have not paid here so far; auto keeps measuring."),
        (1.78, "off", "Drafts are off; /draft auto uses them where they pay."),
        (1.78, 1, "MTP: a drafter proposes 1 token, the model checks."),
        (None, MAX_DRAFT, "MTP: a drafter proposes 16 tokens, the model checks."),
    ],
)
def test_a_line_says_what_drafts_do_here(
    speedup: float | None, draft: str | int, said: str
) -> None:
    options = Options().with_values(draft=0 if draft == "off" else draft)
    assert what_mtp_does(Known(speedup), FakeEngine(), options) == said
    assert len(said) <= 60


def test_a_drafter_of_another_model_that_did_not_pay_is_named() -> None:
    engine = FakeEngine(drafter_of="e2b")
    whose = "The drafter is that of e2b, not one made for this model."
    found = what_mtp_does(Known(0.9), engine, Options())
    assert found == f"Drafts have not paid here so far; auto keeps measuring. {whose}"
    assert whose not in what_mtp_does(Known(1.9), engine, Options())


def test_without_a_drafter_there_is_nothing_to_say_about_mtp() -> None:
    engine = FakeEngine(plain_reason="no drafter is here")
    assert what_mtp_does(Known(1.8), engine, Options()) == ""
