"""What is shown of a reply, however its text is cut into tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest

from gemma_mtp.api import TextDelta
from gemma_mtp.engine.detokenizer import Channel, ReplyText

OPEN, CLOSE, END = 90, 91, 99
IDS = Channel(open_id=OPEN, close_id=CLOSE)
SPELLED = Channel()


class Pieces:
    """A vocabulary made up on the go: the nth distinct piece has the id 100 + n."""

    def __init__(self) -> None:
        self.known: list[bytes] = []

    def ids(self, pieces: Iterable[bytes | str | int]) -> list[int]:
        ids = []
        for piece in pieces:
            if isinstance(piece, int):
                ids.append(piece)
                continue
            data = piece.encode() if isinstance(piece, str) else piece
            if data not in self.known:
                self.known.append(data)
            ids.append(100 + self.known.index(data))
        return ids

    def piece(self, token_id: int) -> bytes:
        special = {OPEN: b"<|channel>", CLOSE: b"<channel|>", END: b"<turn|>"}
        return special[token_id] if token_id in special else self.known[token_id - 100]


def write(
    pieces: Sequence[bytes | str | int], stop: Sequence[str] = (), channel: Channel = IDS
) -> tuple[ReplyText, list[TextDelta], list[int]]:
    """The finished reply, its events, and the ids that were pushed."""
    vocabulary = Pieces()
    ids = vocabulary.ids(pieces)
    reply = ReplyText(vocabulary.piece, stop, channel, {END})
    events = [event for token_id in ids for event in reply.push(token_id)]
    events += reply.finish()
    assert reply.answer == "".join(e.text for e in events if not e.thought)
    assert reply.thought == "".join(e.text for e in events if e.thought)
    assert all(e.text for e in events)
    return reply, events, ids


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.sample(range(1, len(data)), rng.randint(0, min(len(data) - 1, 40))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def test_a_character_is_shown_when_its_last_byte_comes() -> None:
    vocabulary = Pieces()
    one, two, three = vocabulary.ids([b"a\xf0\x9f", b"\x98", b"\x80b"])
    reply = ReplyText(vocabulary.piece)
    assert reply.push(one) == [TextDelta("a")]
    assert reply.push(two, drafted=True) == []
    assert reply.push(three, drafted=True) == [TextDelta("😀b", drafted=True)]
    assert reply.finish() == []
    assert reply.answer_tokens == [one, two, three]


def test_a_reply_cut_within_a_character_ends_before_it_and_so_do_its_tokens() -> None:
    reply, _, ids = write([b"a", b"\xf0\x9f", b"\x98"])
    assert reply.answer == "a"
    assert reply.answer_tokens == ids[:1]


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        ([b"a\xf0\x9f", b"b"], "a\ufffdb"),
        ([b"a\xf0\x9f"], "a"),
        ([b"\xff\xfe"], "\ufffd\ufffd"),
        ([b"\xf0\x9f", END, b"\x98\x80"], "😀"),
        ([b"\xf0\x9f", OPEN, "thought\n", "t\n", CLOSE, b"b"], "\ufffdb"),
    ],
)
def test_bytes_that_cannot_be_completed_are_replaced_once(pieces: list[bytes], shown: str) -> None:
    assert write(pieces)[0].answer == shown


@pytest.mark.parametrize("channel", [IDS, SPELLED])
@pytest.mark.parametrize("seed", range(60))
def test_text_cut_anywhere_is_shown_whole(seed: int, channel: Channel) -> None:
    rng = random.Random(seed)
    alphabet = [
        "😀",
        "👩‍👩‍👧",
        "語",
        "e\u0301",
        "\u0334",
        "é",
        "a",
        " ",
        "\n",
        "<",
        "|",
        ">",
        "sto",
        "𝄞",
        "\x00",
    ]
    text = "".join(rng.choices(alphabet, k=rng.randint(1, 60)))
    reply, events, ids = write(cut(text.encode(), rng), ["stop!", "never"], channel)
    assert reply.answer == text
    assert reply.answer_tokens == ids
    assert not reply.stopped
    for event in events:
        assert event.text.encode().decode() == event.text
        assert "\ufffd" not in event.text


@pytest.mark.parametrize("seed", range(60))
def test_a_stop_string_cuts_at_the_same_place_however_tokens_fall(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choices("aab語c", k=30))
    stops = ["".join(rng.choices("ab語c", k=rng.randint(1, 5))) for _ in range(3)]
    expected = text[: min((text.find(s) for s in stops if s in text), default=len(text))]
    reply, _, ids = write(cut(text.encode(), rng), stops)
    assert reply.answer == expected
    assert reply.stopped == (expected != text)
    assert reply.answer_tokens in ([], ids[: len(reply.answer_tokens)])
    letters, _, ids = write(list(text), stops)
    assert letters.answer == expected
    assert letters.answer_tokens == ids[: len(expected)]


def test_what_may_begin_a_stop_string_is_held_back() -> None:
    vocabulary = Pieces()
    ids = vocabulary.ids(["one EN", "D", "ING two ", "END", "!", "never"])
    reply = ReplyText(vocabulary.piece, ["END!"])
    shown = [[event.text for event in reply.push(token_id)] for token_id in ids]
    assert shown == [["one "], [], ["ENDING two "], [], [], []]
    assert reply.stopped
    assert reply.finish() == []
    assert reply.answer == "one ENDING two "
    assert reply.answer_tokens == ids[:3]


def test_the_earliest_stop_string_wins_even_if_a_later_one_is_whole_first() -> None:
    for pieces in (["xabc"], ["xa", "b", "c"]):
        assert write(pieces, ["b", "abc"])[0].answer == "x"
    late = write(["xa", "b", "d"], ["b", "abc"])[0]
    assert (late.answer, late.stopped) == ("xa", True)
    at_the_end = write(["xa", "b"], ["b", "abc"])[0]
    assert (at_the_end.answer, at_the_end.stopped) == ("xa", True)


def test_a_stop_string_inside_a_token_leaves_no_ids() -> None:
    reply, _, _ = write(["one", " two"], [" t"])
    assert reply.answer_tokens == [reply.answer_tokens[0]]
    assert write(["one", " two"], ["two"])[0].answer_tokens == []


def spell(pieces: Iterable[str | int]) -> str:
    return "".join(
        {OPEN: "<|channel>", CLOSE: "<channel|>"}.get(p, "") if isinstance(p, int) else p
        for p in pieces
    )


@pytest.mark.parametrize(
    ("pieces", "thought", "answer"),
    [
        ([OPEN, "thought\n", "Hm.", "\n", CLOSE, "Yes."], "Hm.", "Yes."),
        ([OPEN, "thought", "\n", "a\n\nb\n\n", CLOSE, "\n", "Yes.\n"], "a\n\nb\n", "Yes.\n"),
        ([OPEN, "thought\n", CLOSE, "Yes."], "", "Yes."),
        ([OPEN, "thought", CLOSE, "Yes."], "", "Yes."),
        ([OPEN, "thought\n", "Hm\n"], "Hm\n", ""),
        ([OPEN, "thou"], "", ""),
        ([OPEN, "thought\n", "a STOP b", CLOSE, "c", "STOP", "d"], "a STOP b", "c"),
        (["a ", OPEN, "thought\n", "t\n", CLOSE, "b"], "t", "a b"),
        (["a", CLOSE, "\nb"], "", "a\nb"),
        (["ST", OPEN, "thought\n", "t\n", CLOSE, "OP"], "t", "STOP"),
        ([OPEN, "thought Let me see."], "Let me see.", ""),
        ([OPEN, "thought", "  ", "Hm.\nSo", CLOSE, "Yes."], "Hm.\nSo", "Yes."),
        ([OPEN, "thought \n", "Hm."], "Hm.", ""),
        ([OPEN, "Let me see.\nYes", CLOSE, "b"], "Let me see.\nYes", "b"),
        ([OPEN, "thoughts, then"], "thoughts, then", ""),
        ([OPEN, "Yes"], "Yes", ""),
        ([OPEN, "thought<b>", CLOSE, "a"], "<b>", "a"),
        ([OPEN, "an-internet-address-or-so\nb", CLOSE, "c"], "an-internet-address-or-so\nb", "c"),
        ([OPEN, CLOSE, "Yes."], "", "Yes."),
        ([OPEN, " thought\nt\n", CLOSE, "b"], "t", "b"),
    ],
)
def test_thoughts(pieces: list[str | int], thought: str, answer: str) -> None:
    reply, events, _ = write([*pieces, END], ["STOP"])
    assert (reply.thought, reply.answer) == (thought, answer)
    assert not any("channel" in event.text for event in events)
    for seed in range(20):
        spelled = spell(pieces)
        tokens = cut(spelled.encode(), random.Random(seed)) if seed else list(spelled)
        other, _, _ = write([*tokens, END], ["STOP"], SPELLED)
        assert (other.thought, other.answer) == (thought, answer)


@pytest.mark.parametrize("channel", [IDS, SPELLED])
@pytest.mark.parametrize(
    ("opened", "pieces", "thought", "answer"),
    [
        ("thought\n", ["Hm.", "\n", CLOSE, "Yes."], "Hm.", "Yes."),
        ("thought\n", ["Hm."], "Hm.", ""),
        ("thought\nWell. ", ["Hm.", CLOSE, "Yes."], "Hm.", "Yes."),
        ("", ["thought\n", "Hm.", CLOSE, "Yes."], "Hm.", "Yes."),
        ("thou", ["ght\n", "Hm.", CLOSE, "Yes."], "Hm.", "Yes."),
        ("thought", [" Hm.", CLOSE, "Yes."], "Hm.", "Yes."),
        ("thought\n", [CLOSE, "Yes."], "", "Yes."),
    ],
)
def test_a_thought_that_the_prompt_has_opened(
    opened: str, pieces: list[str | int], thought: str, answer: str, channel: Channel
) -> None:
    vocabulary = Pieces()
    ids = vocabulary.ids([*(pieces if channel is IDS else spell(pieces)), END])
    reply = ReplyText(vocabulary.piece, [], channel, {END})
    reply.open_thought(opened)
    events = [event for token_id in ids for event in reply.push(token_id)] + reply.finish()
    assert (reply.thought, reply.answer) == (thought, answer)
    assert "".join(event.text for event in events) == thought + answer


@pytest.mark.parametrize(
    "pieces", [[OPEN, "thought\n", "t", "\n", CLOSE], ["<|chan", "nel>", "t\n", "<channel", "|>"]]
)
def test_only_the_ids_of_the_answer_are_its_own(pieces: list[str | int]) -> None:
    channel = IDS if pieces[0] == OPEN else SPELLED
    reply, _, ids = write([*pieces, "An", "swer", END], channel=channel)
    assert reply.answer == "Answer"
    assert reply.answer_tokens == ids[-3:-1]
    led, _, ids = write([*pieces, "\n", "An", "swer", END], channel=channel)
    assert led.answer_tokens == ids[-3:-1]
    assert write([*pieces, "\nAn", "swer", END], channel=channel)[0].answer_tokens == []
    assert write([*pieces, END], channel=channel)[0].answer_tokens == []
    assert write([*pieces[:-1], END], channel=channel)[0].answer_tokens == []


def test_ids_around_a_thought_in_the_middle() -> None:
    reply, _, ids = write(["a", OPEN, "thought\n", "t", CLOSE, "b"])
    assert reply.answer_tokens == [ids[0], ids[-1]]


def test_marks_spelled_out_are_text_where_they_are_tokens() -> None:
    text = "Write <|channel>thought\nx<channel|> like this."
    reply, _, ids = write(list(text))
    assert (reply.answer, reply.thought) == (text, "")
    assert reply.answer_tokens == ids


def test_control_tokens_never_show() -> None:
    reply, _, ids = write(["a", END, b"", "b", END])
    assert reply.answer == "ab"
    assert reply.answer_tokens == [ids[0], ids[3]]


def test_an_unfinished_mark_is_text_in_the_end() -> None:
    reply, _, ids = write(["a <|chan"], channel=SPELLED)
    assert reply.answer == "a <|chan"
    assert reply.answer_tokens == ids


@pytest.mark.parametrize(
    ("pieces", "met"),
    [(["a", "STOP", "b"], "STOP"), (["a", "ST", "OP"], "STOP"), (["HALT"], "HALT"), (["a"], "")],
)
def test_the_stop_string_that_was_met_is_named(pieces, met):
    assert write(pieces, ["STOP", "HALT"])[0].stopped_at == met


@pytest.mark.parametrize(
    ("pieces", "of_the_thought"),
    [
        (["Yes", " .", END], 0),
        ([OPEN, "thought", "\n", "Hm", CLOSE, "\n", "Yes", END], 5),
        ([OPEN, "thought", "\n", "Hm"], 4),
    ],
)
def test_tokens_of_a_thought_are_counted_with_its_marks(pieces, of_the_thought):
    assert write(pieces)[0].thought_tokens == of_the_thought
