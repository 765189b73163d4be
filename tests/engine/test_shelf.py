"""Conversations that take turns evaluate only what is new, and no text shows that they did."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.pairs import TINY
from support.replies import Conversation, evaluated

from gemma_mtp.api import LoadOptions
from gemma_mtp.decoding.transcript import Transcript, of_tokens
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.shelf import Shelf, Shelved
from gemma_mtp.engine.snapshots import Snapshots
from gemma_mtp.llama import load_pair

LONG = "Tell me a long story about a dog and a cat who went to the sea. " * 12


def new_engine() -> Engine:
    return Engine(load_pair(TINY, LoadOptions(context=4096, threads=1)))


@pytest.fixture
def engine() -> Iterator[Engine]:
    loaded = new_engine()
    yield loaded
    loaded.close()


class Talk(Conversation):
    """One conversation with an engine that others use as well."""

    def __init__(self, engine: Engine, begins: str) -> None:
        super().__init__(engine, begins, tokens=120)


def test_two_conversations_in_turn_evaluate_what_one_alone_does(engine: Engine) -> None:
    alone = new_engine()
    talks = [Talk(engine, f"Speaker {n}. {LONG}") for n in "AB"]
    single = Talk(alone, f"Speaker A. {LONG}")
    counts = []
    for turn in range(4):
        texts = [talk.ask(f"Question {turn}: what then?") for talk in talks]
        counts.append((evaluated(texts[0]), evaluated(single.ask(f"Question {turn}: what then?"))))
    alone.close()
    assert counts[0][0] > 150
    assert all(in_turn == by_itself < 150 for in_turn, by_itself in counts[1:])


def test_the_text_is_that_of_a_conversation_that_was_never_set_aside(engine: Engine) -> None:
    alone = new_engine()
    talk, other = Talk(engine, f"Speaker A. {LONG}"), Talk(engine, f"Speaker B. {LONG}")
    single = Talk(alone, f"Speaker A. {LONG}")
    for turn, draft in enumerate((0, 3, 7)):
        end = talk.ask("And then?", draft)
        assert end.token_ids == single.ask("And then?", 3).token_ids, turn
        other.ask("What about you?", 1)
    alone.close()


def test_what_goes_back_to_its_beginning_goes_back_as_one_alone_does(engine: Engine) -> None:
    alone = new_engine()
    talk, other = Talk(engine, f"Speaker A. {LONG}"), Talk(engine, f"Speaker B. {LONG}")
    single = Talk(alone, f"Speaker A. {LONG}")
    counts = []
    for each in (talk, single):
        for turn in range(3):
            each.ask(f"Question {turn}: what then?")
        each.messages = each.messages[:3]
        if each is talk:
            other.ask("And then?")
        counts.append(evaluated(each.ask("Something else, please.")))
    alone.close()
    assert counts[0] == counts[1] < 250


def test_without_room_nothing_is_set_aside_and_all_is_evaluated(engine: Engine) -> None:
    engine.cache.shelf.limit = 1000
    talk, other = Talk(engine, f"Speaker A. {LONG}"), Talk(engine, f"Speaker B. {LONG}")
    talk.ask("And then?")
    other.ask("And then?")
    assert len(engine.cache.shelf) == 0
    assert evaluated(talk.ask("And now?")) > 250


def test_a_copy_that_cannot_be_put_back_is_evaluated_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk, other = Talk(engine, f"Speaker A. {LONG}"), Talk(engine, f"Speaker B. {LONG}")
    talk.ask("And then?")
    other.ask("And then?")
    monkeypatch.setattr("gemma_mtp.llama.window_cells.restore_all", lambda context, state: False)
    assert evaluated(talk.ask("And now?")) > 250


class Copy:
    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


def shelved(ids: list[int], nbytes: int = 10) -> Shelved:
    return Shelved(of_tokens(ids), Copy(nbytes), Snapshots(0))  # type: ignore[arg-type]


def kept(shelf: Shelf) -> list[list[int]]:
    return [each.transcript.ids for each in shelf._kept]


def test_the_oldest_go_when_there_is_no_room() -> None:
    shelf = Shelf(limit=25)
    for ids in ([1, 2], [3, 4], [5, 6]):
        shelf.put(shelved(ids))
    assert kept(shelf) == [[3, 4], [5, 6]]
    shelf.put(shelved([7], nbytes=26))
    assert kept(shelf) == []


def test_a_conversation_that_went_on_takes_the_place_of_its_beginning() -> None:
    shelf = Shelf(limit=100)
    for ids in ([1, 2], [1, 9], [1, 2, 3]):
        shelf.put(shelved(ids))
    assert kept(shelf) == [[1, 9], [1, 2, 3]]


def test_the_one_with_most_of_a_prompt_is_found() -> None:
    shelf = Shelf(limit=100)
    several = [shelved([1, 2, 3]), shelved([1, 2, 4, 5]), shelved([9])]
    for each in several:
        shelf.put(each)
    assert shelf.best(of_tokens([1, 2, 4, 6])) == (3, several[1])
    assert shelf.best(of_tokens([7]))[0] == 0
    assert Shelf(100).best(Transcript()) == (0, None)
