"""Presets in a chat: whose system prompt and settings hold, and how conversations begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.talk import Talk

from gemma_mtp import paths
from gemma_mtp.cli.environment import Environment
from gemma_mtp.models import presets
from gemma_mtp.models.presets import kept_of
from gemma_mtp.options import Options

FIRST = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Ahoy"},
]
OPENING = [("user", "Hi"), ("assistant", "Ahoy")]
ARR, BE = ("system", "Arr."), ("system", "Be Mario.")


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talk:
    """A chat with the built-in model, two presets of it, and the real store."""
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    presets.keep(kept_of("pirate", {"from": "tiny", "system": "Arr.", "temperature": 0.25,
                                    "ctx": 512, "message": FIRST}))  # fmt: skip
    presets.keep(kept_of("mario", {"from": "tiny", "system": "Be Mario.", "top_k": 3}))
    made = Talk()
    made.chat.options = Options().configured(temperature=0.5)
    made.env.resolve = Environment().resolve  # type: ignore[method-assign]
    return made


def test_a_new_conversation_begins_as_the_preset_says(talk: Talk) -> None:
    talk.run("/model pirate", "hello")
    assert talk.said[:4] == [ARR, *OPENING, ("user", "hello")]
    assert talk.engine.requests[-1].sampling.temperature == 0.25
    assert talk.env.loaded[-1][1].context == 512
    assert talk.env.used[-1] == talk.chat.model == "pirate"


def test_clear_comes_back_to_its_first_turns(talk: Talk) -> None:
    talk.run("/model pirate", "hello", "/clear")
    assert talk.said == [ARR, *OPENING]


def test_another_model_takes_them_away_while_nothing_was_said(talk: Talk) -> None:
    talk.run("/model pirate", "/model mario")
    assert talk.said == [BE]
    assert (talk.chat.options.temperature, talk.chat.options.top_k) == (0.5, 3)
    talk.run("/model tiny")
    assert talk.said == []
    assert (talk.chat.options.top_k, talk.chat.options.context) == (64, None)


def test_what_was_said_stays_and_the_system_prompt_is_the_new_ones(talk: Talk) -> None:
    shown = talk.run("/model pirate", "hello", "/model mario")
    assert talk.said[:4] == [BE, *OPENING, ("user", "hello")]
    assert "The system prompt is another one from here on" in shown


def test_a_system_prompt_that_was_typed_stays(talk: Talk) -> None:
    talk.run("/model pirate", "/system Mine.", "/model mario")
    assert talk.said == [("system", "Mine.")]


def test_what_is_set_here_counts_more_until_it_is_taken_back(talk: Talk) -> None:
    talk.run("/model pirate", "/set temperature 0.75", "hello")
    assert talk.engine.requests[-1].sampling.temperature == 0.75
    talk.run("/set temperature default", "hello")
    assert talk.engine.requests[-1].sampling.temperature == 0.25


def test_a_saved_conversation_has_its_first_turns_and_a_title_of_its_own(talk: Talk) -> None:
    talk.run("/model pirate", "Which way to Tortuga?")
    assert talk.saved.title == "Which way to Tortuga?"
    assert [turn.user.content for turn in talk.saved.turns] == ["Hi", "Which way to Tortuga?"]
    assert talk.saved.model == "pirate"


def test_the_modelfile_says_what_create_makes_the_same_of(talk: Talk) -> None:
    shown = talk.run("/model pirate", "/set top_k 5", "/system Mine.", "/show modelfile")
    lines = shown.splitlines()
    for line in ("FROM tiny", "PARAMETER temperature 0.25", "PARAMETER num_ctx 512",
                 "PARAMETER top_k 5", 'SYSTEM """Mine."""', 'MESSAGE user """Hi"""'):  # fmt: skip
        assert line in lines


def test_a_preset_is_listed_and_shown(talk: Talk) -> None:
    assert " * pirate  preset of tiny\n" in talk.run("/model pirate", "/list")
    assert "preset of" in talk.run("/show info")
