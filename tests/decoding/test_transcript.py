"""Positions and token ids, where some positions have none."""

from dataclasses import dataclass
from random import Random

import pytest

from gemma_mtp.decoding.transcript import Tokens, Transcript, of_tokens


@dataclass(frozen=True)
class Picture:
    """Takes positions, and has no token ids."""

    name: str
    positions: int


CAT, DOG = Picture("cat", 4), Picture("dog", 4)


def prompt(*segments):
    return Transcript(Tokens(tuple(s)) if isinstance(s, tuple) else s for s in segments)


def test_a_position_is_no_index_behind_a_picture():
    transcript = prompt((1, 2), CAT, (3, 4, 5))
    assert (transcript.end, transcript.ids) == (9, [1, 2, 3, 4, 5])
    assert transcript.tokens(6) == [3, 4, 5]
    assert transcript.tokens(0, 7) == [1, 2, 3]
    assert transcript.tokens(7, 8) == [4]
    transcript.append(6)
    assert transcript.tokens(9) == [6]


def test_pieces_end_where_a_picture_begins_and_a_picture_is_one():
    transcript = prompt((1, 2), CAT, (3, 4, 5))
    assert transcript.piece(0, 8) == Tokens((1, 2))
    assert transcript.piece(2, 3) == CAT
    assert transcript.piece(6, 8) == Tokens((3, 4))
    assert of_tokens(range(9)).piece(4, 6) == Tokens((4, 5))


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (((1, 2, 3),), ((1, 2, 4),), 2),
        (((1, 2), CAT, (3, 4)), ((1, 2), CAT, (3, 5)), 7),
        (((1, 2), CAT, (3,)), ((1, 2), DOG, (3,)), 2),
        (((1, 2), CAT), ((1, 2), CAT), 6),
        (((1, 2), CAT), ((1, 2),), 2),
        (((1, 2), CAT, (3,)), ((1, 2, 3),), 2),
        (((1, 9), CAT, (3,)), ((1, 2), CAT, (3,)), 1),
        ((CAT, DOG), (CAT, CAT), 4),
        ((), ((1,),), 0),
    ],
)
def test_what_two_have_in_common_ends_at_the_first_difference(one, other, shared):
    assert prompt(*one).shared(prompt(*other)) == shared
    assert prompt(*other).shared(prompt(*one)) == shared


def test_a_picture_is_forgotten_as_a_whole():
    for end in (3, 5):
        transcript = prompt((1, 2), CAT, (3, 4, 5))
        transcript.cached = 8
        transcript.truncate(end)
        assert (transcript.end, transcript.cached, transcript.ids) == (2, 2, [1, 2])
    transcript = prompt((1, 2), CAT, (3, 4, 5))
    transcript.cached = 8
    transcript.truncate(7)
    assert (transcript.end, transcript.cached, transcript.ids) == (7, 7, [1, 2, 3])
    transcript.truncate(99)
    assert transcript.end == 7


def test_whatever_is_done_it_is_as_if_its_parts_had_been_written_down_one_by_one():
    random = Random(3)
    for _ in range(300):
        transcript, places = Transcript(), []
        for number in range(random.randrange(1, 30)):
            if random.random() < 0.3 and places:
                end = random.randrange(len(places) + 1)
                transcript.truncate(end)
                while end and end < len(places) and places[end - 1] is places[end]:
                    end -= 1
                del places[end:]
            elif random.random() < 0.3:
                picture = Picture(str(number), random.randrange(1, 5))
                transcript.extend(picture)
                places += [picture] * picture.positions
            else:
                transcript.append(number)
                places.append(number)
            assert transcript.end == len(places)
            assert transcript.ids == [place for place in places if isinstance(place, int)]
            start = random.randrange(len(places) + 1)
            inside = start and start < len(places) and places[start - 1] is places[start]
            if not inside:
                tokens = [place for place in places[start:] if isinstance(place, int)]
                assert transcript.tokens(start) == tokens
