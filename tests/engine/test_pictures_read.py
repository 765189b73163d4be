"""Pictures in a prompt: read as by the programs of llama.cpp, and with all that holds of text:
drafts, a cache, exact mode, snapshots and states on the disk."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from support.disk import Disk
from support.encoder import picture, png, write_encoder
from support.own_route import MARKER, OwnRoute
from support.pairs import TINY, with_template

from gemma_mtp.api import (
    DeviceOptions,
    End,
    Image,
    Keeping,
    LoadOptions,
    Message,
    PairFiles,
    Request,
    Sampling,
    Text,
)
from gemma_mtp.decoding.transcript import Tokens
from gemma_mtp.engine.engine import Engine
from gemma_mtp.engine.loading import load
from gemma_mtp.errors import BadPair, DoesNotFit, UsageError
from gemma_mtp.llama import mtmd
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.loaded_pair import LoadedPair
from gemma_mtp.llama.media import Embedded, Encoder

WIDTH = 448  # of the built-in target's embeddings
CAT, DOG = picture(200, 150), picture(120, 90, seed=5)
STORY = "Tell me a long story about a dog and a cat who went to the sea. " * 20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PairFiles:
    path = tmp_path_factory.mktemp("encoder") / "mmproj.gguf"
    return replace(TINY, encoder=write_encoder(path, WIDTH))


def new_engine(files: PairFiles, **options: object) -> Engine:
    return load(files, LoadOptions(context=2048, threads=1, **options))  # type: ignore[arg-type]


@pytest.fixture
def engine(files: PairFiles) -> Iterator[Engine]:
    loaded = new_engine(files)
    yield loaded
    loaded.close()


@pytest.fixture
def fresh(files: PairFiles) -> Iterator[Engine]:
    loaded = new_engine(files)
    yield loaded
    loaded.close()


def says(*parts: str | bytes) -> Message:
    return Message("user", tuple(Text(p) if isinstance(p, str) else Image(p, "") for p in parts))


def ask(*messages: Message, greedy: bool = True, **fields: object) -> Request:
    sampling = Sampling(temperature=0.0 if greedy else 0.8, repeat_penalty=1.0)
    known = {"seed": 3, "draft": 3, "max_tokens": 30, "ignore_end": True, "exact": True}
    return Request(messages, sampling, **{**known, **fields})  # type: ignore[arg-type]


def reply(engine: Engine, request: Request) -> End:
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


ASKED = says("What is ", CAT, " and ", DOG, "? Tell me.")


@pytest.mark.parametrize("kind", ["gemma4v", "gemma4uv"])
def test_tokens_and_text_are_those_of_llama_cpps_own_programs(tmp_path: Path, kind: str) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH, kind)
    engine, own = new_engine(replace(TINY, encoder=encoder)), OwnRoute(TINY.target, encoder)
    request = ask(ASKED, exact=False)
    text = "".join(piece.text for piece in engine.prompts.pieces(request))
    text = text.replace("<|image><image|>", MARKER)
    parts: list[int | list[int]] = []
    for segment in engine.prompts.of(request).segments():
        parts += segment.ids if isinstance(segment, Tokens) else [[segment.positions]]
    assert parts == own.parts(text, [CAT, DOG])

    found = list(own.reply(text, [CAT, DOG], 30))
    end = reply(engine, request)
    assert list(end.token_ids) == [token for token, _ in found]
    row = engine.cache.last_row
    assert row is not None
    own.close()
    engine.close()


def test_the_pictures_show_in_the_text(engine: Engine) -> None:
    """Else none of these tests says anything."""
    texts = {
        reply(engine, ask(says("What is ", data, "?"))).token_ids for data in (CAT, DOG, picture())
    }
    assert len(texts) == 3


def test_drafts_and_what_is_cached_do_not_show_in_the_text(engine: Engine, fresh: Engine) -> None:
    for greedy in (True, False):
        plain = reply(engine, ask(ASKED, greedy=greedy, draft=0))
        drafted = reply(fresh, ask(ASKED, greedy=greedy))
        again = reply(engine, ask(ASKED, greedy=greedy))
        assert plain.token_ids == drafted.token_ids == again.token_ids
        assert again.stats.drafted > again.stats.accepted > 0 or not greedy
        assert again.stats.cached_tokens >= again.stats.prompt_tokens - 1


def test_a_chat_goes_on_behind_a_picture_without_reading_it_again(
    engine: Engine, fresh: Engine
) -> None:
    first = reply(engine, ask(ASKED))
    later = ask(ASKED, first.message, says("And this? ", DOG, " Well?"), says("Or that?"))
    end = reply(engine, later)
    assert end.stats.cached_tokens > first.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


def test_another_picture_in_its_place_is_read(engine: Engine) -> None:
    reply(engine, ask(says("What is ", CAT, "?")))
    end = reply(engine, ask(says("What is ", picture(200, 150, seed=9), "?")))
    assert end.stats.cached_tokens < 20
    same = reply(engine, ask(says("What is ", bytes(bytearray(CAT)), "?")))
    assert same.stats.cached_tokens == same.stats.prompt_tokens - 1  # from the shelf


def test_a_picture_is_encoded_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    reply(engine, ask(says("What is ", CAT, "?")))
    monkeypatch.setattr(Encoder, "_encode", lambda *args: 1 / 0)
    reply(engine, ask(says("Now, what is ", CAT, "? And ", CAT, "?")))


def test_a_reply_is_stopped_while_a_picture_is_encoded(
    engine: Engine, fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Event()
    encode = Encoder._encode

    def stop(self: Encoder, seen: Embedded) -> Row:
        cancel.set()
        return encode(self, seen)

    monkeypatch.setattr(Encoder, "_encode", stop)
    request = ask(says("What is ", CAT, "?"))
    *_, end = engine.reply(request, cancel)
    assert isinstance(end, End)
    assert (end.reason, end.token_ids) == ("cancelled", ())
    encoder = engine.pair.encoder
    assert encoder is not None
    steps = encoder._steps
    monkeypatch.undo()
    assert reply(engine, request).token_ids == reply(fresh, request).token_ids
    assert 0 < steps < encoder._steps


def test_a_rewind_never_leaves_half_a_picture(engine: Engine) -> None:
    """Neither in what is written down nor in the cache, which would refuse what comes then."""
    asked = ask(says("What is ", DOG, "?"))
    reply(engine, asked)
    cache, before = engine.cache, next(engine.prompts.of(asked).segments())
    assert cache.rewind(before.positions + 40) == before.positions
    cache.target.decode(cache.tokens[:1], before.positions, 1)


def test_a_text_before_the_first_picture_is_kept_and_exact_mode_holds(
    engine: Engine, fresh: Engine
) -> None:
    """For the picture the context is made anew, with a larger ring of the sliding window."""
    told = reply(engine, ask(says(STORY)))
    ring = engine.cache.target.ring_size
    later = ask(says(STORY), told.message, ASKED)
    end = reply(engine, replace(later, exact=False))
    assert engine.cache.target.ring_size > ring
    assert end.stats.cached_tokens > told.stats.prompt_tokens - 5
    end = reply(engine, later)
    assert end.stats.cached_tokens == 0
    assert end.token_ids == reply(fresh, later).token_ids
    assert reply(engine, later).stats.cached_tokens > 0


def test_in_exact_mode_a_text_does_not_show_that_there_was_a_picture_before(
    engine: Engine, fresh: Engine
) -> None:
    """To its last bits: for a picture the sliding window has a larger ring."""
    known = "the sea river lake dog cat runs over green hills and tells stories about ships"
    words = " ".join(Random(2).choices(known.split(), k=500))

    def same(exact: bool) -> bool:
        rows = []
        for each in (engine, fresh):
            each.cache.rewind(0)
            reply(each, ask(says(words), max_tokens=1, exact=exact))
            assert each.cache.last_row is not None
            rows.append(np.array(each.cache.last_row))
        return np.array_equal(*rows)

    reply(engine, ask(ASKED))
    assert not same(exact=False)
    assert same(exact=True)
    assert reply(engine, ask(ASKED)).token_ids == reply(fresh, ask(ASKED)).token_ids


def test_a_short_text_before_the_first_picture_is_kept_in_exact_mode_too(engine: Engine) -> None:
    told = reply(engine, ask(says("Hello.")))
    end = reply(engine, ask(says("Hello."), told.message, ASKED))
    assert end.stats.cached_tokens > told.stats.prompt_tokens - 5


def test_a_chat_of_text_never_loads_the_encoder(engine: Engine) -> None:
    at_once = engine.pair.target.most_at_once
    reply(engine, ask(says("Hello.")))
    assert engine.pair.encoder is not None
    assert not engine.pair.encoder.is_loaded
    assert engine.info.images
    assert engine.info.encoder_bytes == 0
    assert engine.pair.target.most_at_once == at_once
    reply(engine, ask(ASKED))
    assert engine.info.encoder_bytes > 800_000


def test_counting_does_not_run_the_encoder(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "_encode", lambda *args: 1 / 0)
    count = engine.count(ask(ASKED))
    monkeypatch.undo()
    assert reply(engine, ask(ASKED)).stats.prompt_tokens == count


def test_where_each_position_looks_back_only_a_picture_is_read_in_pieces(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As E2B and E4B read them: the rows are the same, whatever the pieces."""
    monkeypatch.setattr(mtmd.library(), "mtmd_decode_use_non_causal", lambda *given: False)
    rows = []
    for piece in (64, 512):
        engine.cache.rewind(0)
        engine.pair.widen(piece)
        engine.pair.target.piece_size = piece
        reply(engine, ask(ASKED, max_tokens=1))
        assert engine.cache.last_row is not None
        rows.append(engine.cache.last_row.copy())
    assert np.abs(rows[0] - rows[1]).max() < 0.05


def test_what_is_prepared_while_nobody_asks_may_have_pictures(engine: Engine) -> None:
    first = reply(engine, ask(ASKED))
    talk = ask(ASKED, first.message)
    engine.prepare(talk)
    engine.background.wait()
    end = reply(engine, replace(talk, messages=(*talk.messages, says("And now?"))))
    assert end.stats.prompt_tokens - end.stats.cached_tokens < 30


def test_a_chat_with_pictures_is_kept_on_the_disk(files: PairFiles, fresh: Engine) -> None:
    disk, keep = Disk(), Keeping("chat", 10**9)
    options = LoadOptions(context=2048, threads=1)
    engine = load(files, options, states=disk)
    first = reply(engine, ask(ASKED, keep=keep))
    engine.close()
    later = ask(ASKED, first.message, says("And now?"), keep=keep)
    engine = load(files, options, states=disk)
    end = reply(engine, later)
    engine.close()
    assert end.stats.cached_tokens > first.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


def test_a_longer_context_keeps_a_chat_with_pictures(engine: Engine, fresh: Engine) -> None:
    first = reply(engine, ask(ASKED))
    engine.enlarge(4096)
    later = ask(ASKED, first.message, says("And this? ", DOG))
    end = reply(engine, later)
    assert end.stats.cached_tokens > first.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


def test_without_memory_for_a_picture_text_goes_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = reply(engine, ask(says("Hello.")))
    whole, make = engine.pair.target.most_at_once, LoadedPair._make_contexts

    def narrow(pair: LoadedPair, size: int, device: DeviceOptions, at_once: int) -> None:
        if at_once > whole:
            raise DoesNotFit("no memory")
        make(pair, size, device, at_once)

    monkeypatch.setattr(LoadedPair, "_make_contexts", narrow)
    with pytest.raises(DoesNotFit, match="There is no memory to read a picture") as refused:
        reply(engine, ask(ASKED))
    assert "--image-tokens" in refused.value.hint
    end = reply(engine, ask(says("Hello."), told.message, says("Well?")))
    assert end.stats.cached_tokens > 0


def test_a_template_without_a_system_turn_keeps_the_picture(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH)
    source = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('') }}"
        "{% endif %}<|turn>{{ m.role }}\n{{ m.content | trim }}<turn|>\n{% endfor %}<|turn>model\n"
    )
    engine = new_engine(replace(with_template(tmp_path, source), encoder=encoder))
    system = Message.text("system", "Be brief.")
    for said in (says(CAT, " What?"), says("What is ", CAT)):
        pieces = engine.prompts.pieces(ask(system, said))
        text = "".join("(cat)" if piece.medium else piece.text for piece in pieces)
        assert "user\nBe brief.\n\n" in text
        assert "<|image>(cat)<image|>" in text
        assert engine.prompts.of(ask(system, said)).has_others
    engine.close()


def test_a_template_that_takes_messages_apart_has_no_place_for_pictures(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH)
    source = "{{ bos_token }}{% for m in messages %}{{ m.content | replace('.', ';') }}{% endfor %}"
    engine = new_engine(replace(with_template(tmp_path, source), encoder=encoder))
    with pytest.raises(BadPair, match="pictures and recordings have no place"):
        engine.count(ask(says("What is ", CAT, "? Tell me.")))
    engine.close()


@pytest.mark.parametrize(
    ("turn", "upright"),
    [
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: np.rot90(p, 2)),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
        (8, lambda p: np.rot90(p)),
    ],
)
def test_a_photograph_is_seen_upright(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    turn: int,
    upright: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    encoder = engine.pair.encoder
    assert encoder is not None
    seen = np.random.default_rng(1).integers(0, 255, (96, 132, 3)).astype(np.uint8)
    turned = upright(seen)
    wanted = encoder.rows(
        *encoder.segments(Image(png(turned.tobytes(), turned.shape[1], turned.shape[0]), ""), "")
    )
    monkeypatch.setattr(mtmd, "turn_of", lambda data: turn)
    found = encoder.rows(*encoder.segments(Image(png(seen.tobytes(), 132, 96), ""), ""))
    assert np.array_equal(found, wanted)


def test_an_encoder_is_not_freed_while_another_thread_counts_positions(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is freed and loaded again where a GPU turns out to be too small."""
    encoder = engine.pair.encoder
    assert encoder is not None
    freeing = threading.Thread(target=encoder.close)

    def seen(bitmap: object, turn: int) -> object:
        freeing.start()
        freeing.join(0.1)
        assert encoder.is_loaded
        return bitmap

    monkeypatch.setattr(mtmd, "_upright", seen)
    assert encoder.segments(Image(CAT, ""), "")[0].positions > 0
    freeing.join()
    assert not encoder.is_loaded


# --- what is refused -------------------------------------------------------------------------

DAMAGED = CAT[:60] + bytes(len(CAT) - 60)
CUT = b"GIF89a" + struct.pack("<HHBBB", 40, 30, 0, 0, 0)
HUGE = png(b"\0" * 30, 60_000, 60_000)
THIN = png(bytes(range(3)) * 20_000, 1, 20_000)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The picture is no picture that can be read here."),
        (b"RIFF\0\0\0\0WEBPVP8 ", "The picture is a WebP picture, which cannot be read here."),
        (CAT[:20], "The picture is damaged: its file does not say how large it is."),
        (DAMAGED, "The picture is damaged: it holds something else than its pixels."),
        (CUT, "The picture is damaged, or of a kind that cannot be read here."),
        (HUGE, "The picture has 60000 x 60000 pixels, and 67108864 are the most."),
        (THIN, "The picture is far too long and thin to be read."),
    ],
)
def test_what_is_no_picture_is_refused(engine: Engine, data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        reply(engine, ask(says("What is ", data, "?")))
    assert str(refused.value) == said
    reply(engine, ask(says("Hello."), max_tokens=3))


def test_which_picture_is_refused_is_said(engine: Engine) -> None:
    for data in (DAMAGED, b"Hello."):
        with pytest.raises(UsageError, match=r"^Picture 2 of 2 is "):
            reply(engine, ask(says("What is ", CAT), says("and ", data, "?")))


def test_a_pair_without_an_encoder_says_how_to_get_it() -> None:
    engine = new_engine(replace(TINY, no_encoder="gemma-mtp pull tiny"))
    assert not engine.info.images
    with pytest.raises(UsageError, match=r"in this message.* no image encoder here") as refused:
        engine.count(ask(ASKED))
    with pytest.raises(UsageError, match="in an earlier message"):
        engine.count(ask(ASKED, Message.text("assistant", "A cat."), says("And now?")))
    assert refused.value.hint == "gemma-mtp pull tiny"
    engine.close()


def test_an_encoder_of_another_model_is_refused_and_text_goes_on(tmp_path: Path) -> None:
    other = write_encoder(tmp_path / "mmproj.gguf", 512)
    for path in (other, TINY.target, tmp_path / "gone.gguf"):
        engine = new_engine(replace(TINY, encoder=path))
        with pytest.raises(BadPair, match=r"llama\.cpp cannot load the encoder"):
            reply(engine, ask(ASKED))
        reply(engine, ask(says("Hello."), max_tokens=3))
        engine.close()
