"""Recordings in a prompt: read as by the programs of llama.cpp, and with all that holds of text and
of pictures."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.disk import Disk
from support.encoder import picture, write_encoder
from support.own_route import MARKER, OwnRoute
from support.pairs import TINY
from support.sounds import flac, mp3, tune, wav

from gemma_mtp.api import (
    Audio,
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
from gemma_mtp.errors import DoesNotFit, GemmaMtpError, NoEngine, UsageError
from gemma_mtp.llama import mtmd
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.hearing import EARLIEST, LONGEST, parts_of
from gemma_mtp.llama.media import Embedded, Encoder
from gemma_mtp.models.gguf import read_header

WIDTH = 448  # of the built-in target's embeddings
CAT = picture(200, 150)
BELL, BIRD = wav(2.5), wav(1.7, 44100, 9)
KINDS = [("gemma4v", "gemma4a"), ("gemma4uv", "gemma4ua")]  # as of E2B and E4B, and as of 12B


def new_engine(files: PairFiles) -> Engine:
    return load(files, LoadOptions(context=2048, threads=1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PairFiles:
    path = tmp_path_factory.mktemp("encoder") / "mmproj.gguf"
    return replace(TINY, encoder=write_encoder(path, WIDTH, sound="gemma4a"))


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
    def made(part: str | bytes) -> Text | Image | Audio:
        if isinstance(part, str):
            return Text(part)
        return Image(part, "") if part.startswith(b"\x89PNG") else Audio(part, "")

    return Message("user", tuple(map(made, parts)))


def ask(*messages: Message, greedy: bool = True, **fields: object) -> Request:
    sampling = Sampling(temperature=0.0 if greedy else 0.8, repeat_penalty=1.0)
    known = {"seed": 3, "draft": 3, "max_tokens": 30, "ignore_end": True, "exact": True}
    return Request(messages, sampling, **{**known, **fields})  # type: ignore[arg-type]


def reply(engine: Engine, request: Request) -> End:
    *_, end = engine.reply(request)
    assert isinstance(end, End)
    return end


def places(engine: Engine, request: Request) -> list[int | list[int]]:
    """Token ids, and in a list how many positions each picture and part of a recording takes."""
    found: list[int | list[int]] = []
    for segment in engine.prompts.of(request).segments():
        found += segment.ids if isinstance(segment, Tokens) else [[segment.positions]]
    return found


ASKED = says("What is ", BELL, " and ", CAT, " and ", BIRD, "? Tell me.")


@pytest.mark.parametrize(("sight", "sound"), KINDS)
def test_tokens_and_text_are_those_of_llama_cpps_own_programs(
    tmp_path: Path, sight: str, sound: str
) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH, sight, sound=sound)
    engine, own = new_engine(replace(TINY, encoder=encoder)), OwnRoute(TINY.target, encoder)
    for message, data in (
        (ASKED, [BELL, CAT, BIRD]),
        (says("Hear ", mp3(1.0), " and ", flac(1.2)), [mp3(1.0), flac(1.2)]),
    ):
        request = ask(message, exact=False)
        text = "".join(piece.text for piece in engine.prompts.pieces(request))
        for marks in ("<|image><image|>", "<|audio><audio|>"):
            text = text.replace(marks, MARKER)
        assert places(engine, request) == own.parts(text, data)
        found = list(own.reply(text, data, 30))
        assert list(reply(engine, request).token_ids) == [token for token, _ in found]
    own.close()
    engine.close()


def test_an_encoder_of_nothing_but_sound(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH, kind="", sound="gemma4a")
    engine = new_engine(replace(TINY, encoder=encoder))
    assert (engine.info.images, engine.info.audio) == (False, True)
    assert reply(engine, ask(says("What is ", BELL, "?"), max_tokens=3)).token_ids
    with pytest.raises(UsageError, match="a picture in this message"):
        reply(engine, ask(ASKED))
    engine.close()


def test_an_encoder_of_nothing_but_pictures(tmp_path: Path) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH)
    engine = new_engine(replace(TINY, encoder=encoder, no_audio="E2B hears."))
    assert (engine.info.images, engine.info.audio) == (True, False)
    with pytest.raises(UsageError, match="a recording in this message") as no:
        reply(engine, ask(says("What is ", BELL, "?")))
    assert no.value.hint == "E2B hears."
    with pytest.raises(UsageError, match="in an earlier message"):
        reply(engine, ask(says(BELL), Message.text("assistant", "A bell."), says("And now?")))
    engine.close()


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1e30])
def test_an_encoder_that_computes_no_numbers_leaves_the_text(
    tmp_path: Path, files: PairFiles, weight: float
) -> None:
    assert files.encoder is not None
    damaged = tmp_path / "mmproj.gguf"
    data, header = bytearray(files.encoder.read_bytes()), read_header(files.encoder)
    for name in ("mm.input_projection.weight", "mm.a.input_projection.weight"):
        tensor = header.tensors[name]
        start, count = header.data_offset + tensor.offset, tensor.elements
        data[start : start + tensor.bytes] = np.full(count, weight, "<f4").tobytes()
    damaged.write_bytes(data)
    engine = new_engine(replace(TINY, encoder=damaged))
    for shown in (BELL, CAT):
        with pytest.raises(GemmaMtpError, match=r"encoder mmproj\.gguf computed no usable numbers"):
            reply(engine, ask(says("What is ", shown, "?")))
    assert reply(engine, ask(says("Hello."), max_tokens=3)).token_ids
    engine.close()


def test_without_libmtmd_text_goes_on(files: PairFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mtmd, "_library", None)
    monkeypatch.delattr("llama_cpp.mtmd_cpp", raising=False)
    monkeypatch.setitem(sys.modules, "llama_cpp.mtmd_cpp", None)
    engine = new_engine(files)
    assert reply(engine, ask(says("Hello."), max_tokens=3)).token_ids
    with pytest.raises(NoEngine, match=r"This llama\.cpp cannot read pictures and recordings"):
        reply(engine, ask(says("What is ", BELL, "?")))
    engine.close()


def test_the_recordings_show_in_the_text(engine: Engine) -> None:
    """Else none of these tests says anything."""
    texts = {reply(engine, ask(says("What is ", each, "?"))).token_ids for each in (BELL, BIRD)}
    assert len(texts) == 2


def test_drafts_and_what_is_cached_do_not_show_in_the_text(engine: Engine, fresh: Engine) -> None:
    for greedy in (True, False):
        plain = reply(engine, ask(ASKED, greedy=greedy, draft=0))
        drafted = reply(fresh, ask(ASKED, greedy=greedy))
        again = reply(engine, ask(ASKED, greedy=greedy))
        assert plain.token_ids == drafted.token_ids == again.token_ids
        assert again.stats.drafted > again.stats.accepted > 0 or not greedy
        assert again.stats.cached_tokens >= again.stats.prompt_tokens - 1


def test_a_chat_goes_on_behind_a_recording_without_reading_it_again(
    engine: Engine, fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reply(engine, ask(ASKED))
    monkeypatch.setattr(Encoder, "_encode", lambda *args: 1 / 0)
    later = ask(ASKED, first.message, says("And this? ", BELL, " Well?"), says("Or that?"))
    end = reply(engine, later)
    monkeypatch.undo()
    assert end.stats.cached_tokens > first.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


def test_another_recording_in_its_place_is_read(engine: Engine) -> None:
    reply(engine, ask(says("What is ", BELL, "?")))
    end = reply(engine, ask(says("What is ", wav(2.5, seed=5), "?")))
    assert end.stats.cached_tokens < 20


def test_counting_does_not_run_the_encoder(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "_encode", lambda *args: 1 / 0)
    count = engine.count(ask(ASKED))
    monkeypatch.undo()
    assert reply(engine, ask(ASKED)).stats.prompt_tokens == count


def test_a_rewind_never_leaves_half_a_recording(engine: Engine) -> None:
    asked = ask(says("What is ", BELL, "?"))
    reply(engine, asked)
    cache, before = engine.cache, next(engine.prompts.of(asked).segments())
    assert cache.rewind(before.positions + 40) == before.positions
    cache.target.decode(cache.tokens[:1], before.positions, 1)


def test_a_recording_is_read_in_pieces_where_a_picture_is_not(
    engine: Engine, fresh: Engine
) -> None:
    """So that there is no larger ring for it, and what came before holds in exact mode."""
    told = reply(engine, ask(says("Tell me a long story about a dog. " * 40)))
    assert engine.pair.encoder is not None
    long = wav(28)  # 700 positions, more than a batch has
    later = ask(says("Tell me a long story about a dog. " * 40), told.message, says("And ", long))
    at_once = engine.pair.target.most_at_once
    end = reply(engine, later)
    assert engine.pair.target.most_at_once == at_once < 700
    assert end.stats.cached_tokens > told.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


def test_a_reply_is_stopped_while_a_recording_is_encoded(
    engine: Engine, fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Event()
    encode = Encoder._encode

    def stop(self: Encoder, segment: Embedded) -> Row:
        cancel.set()
        return encode(self, segment)

    monkeypatch.setattr(Encoder, "_encode", stop)
    # What it stops at may be any numbers, which say nothing about the file.
    monkeypatch.setattr("gemma_mtp.llama.media.LARGEST", 0.0)
    request = ask(says("What is ", BELL, "?"))
    *_, end = engine.reply(request, cancel)
    assert isinstance(end, End)
    assert (end.reason, end.token_ids) == ("cancelled", ())
    monkeypatch.undo()
    assert reply(engine, request).token_ids == reply(fresh, request).token_ids


def test_a_chat_with_a_long_recording_is_kept_on_the_disk(files: PairFiles, fresh: Engine) -> None:
    disk, keep = Disk(), Keeping("chat", 10**9)
    options = LoadOptions(context=2048, threads=1)
    asked = says("What is ", wav(33), CAT, "?")
    engine = load(files, options, states=disk)
    first = reply(engine, ask(asked, keep=keep))
    engine.close()
    later = ask(asked, first.message, says("And now?"), keep=keep)
    engine = load(files, options, states=disk)
    end = reply(engine, later)
    engine.close()
    assert end.stats.cached_tokens > first.stats.prompt_tokens - 5
    assert end.token_ids == reply(fresh, later).token_ids


# --- long ones -------------------------------------------------------------------------------


def spoken(seconds: float, *pauses: float) -> np.ndarray:
    samples = tune(seconds).astype(np.float32) / 32768
    for at in pauses:
        samples[round(at * 16000) :][:3200] *= 0.01
    return samples


def test_where_a_long_recording_is_cut() -> None:
    assert list(parts_of(spoken(30))) == [(0, LONGEST)]
    cuts = [end / 16000 for _, end in parts_of(spoken(75, 10, 26, 49.3))]
    assert cuts == pytest.approx([26.1, 49.4, 75], abs=0.1)


@pytest.mark.parametrize("seconds", [30.0001, 30.9, 31, 60.00007, 1800])
def test_no_part_is_longer_than_gemma_was_trained_with_and_none_too_short(seconds: float) -> None:
    samples = np.ones(round(seconds * 16000), np.float32)
    samples[-16000:] = 0  # the best place, and too late
    parts = list(parts_of(samples))
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == len(samples)
    assert all(16000 <= end - start <= LONGEST for start, end in parts)
    assert all(end - start >= EARLIEST for start, end in parts[:-1])


@pytest.mark.parametrize(("sight", "sound"), KINDS)
def test_a_long_recording_is_several(tmp_path: Path, sight: str, sound: str) -> None:
    """Each between its own marks, as several that are given one by one."""
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH, sight, sound=sound)
    engine = new_engine(replace(TINY, encoder=encoder))
    whole = tune(40)
    spans = list(parts_of(whole.astype(np.float32) / 32768))
    assert len(spans) == 2
    apart = [wav(data=whole[start:end].tobytes()) for start, end in spans]
    long, short = ask(says("What is ", wav(40), "?")), ask(says("What is ", *apart, "?"))
    assert places(engine, long) == places(engine, short)
    assert engine.count(long) == pytest.approx(1040, abs=10)
    ends = []
    for request in (long, short):
        engine.cache.rewind(0)
        ends.append(reply(engine, request).token_ids)
    assert ends[0] == ends[1]
    engine.close()


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"Hello.", "The recording is no recording that can be read here."),
        (wav()[:40], "The recording is damaged."),
        (flac()[:42] + b"nothing" * 50, "The recording is "),
        (b"OggS" + bytes(40), "The recording is an OGG recording (Opus or Vorbis), which"),
    ],
)
def test_what_is_no_recording_is_refused(engine: Engine, data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        reply(engine, ask(says("What is ", data, "?")))
    assert str(refused.value).startswith(said)
    reply(engine, ask(says("Hello."), max_tokens=3))


def test_hours_are_refused_before_they_are_decoded(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these files has a few kilobytes, and claims half an hour."""
    monkeypatch.setattr(Encoder, "segments", lambda *args: 1 / 0)
    bomb = flac(samples=16000 * 1700)
    with pytest.raises(DoesNotFit, match="about 85000 tokens") as refused:
        reply(engine, ask(says("What is ", bomb, bomb, "?")))
    assert (refused.value.tokens, refused.value.size) == (85000, 2048)


@pytest.mark.parametrize("sound", ["gemma4a", "gemma4ua"])
def test_numbers_that_are_none_do_no_harm(tmp_path: Path, sound: str) -> None:
    encoder = write_encoder(tmp_path / "mmproj.gguf", WIDTH, sound=sound)
    engine = new_engine(replace(TINY, encoder=encoder))
    floats = np.array([np.nan, np.inf, -np.inf, 1e38, 0.5] * 4000, "<f4").tobytes()
    end = reply(engine, ask(says("What is ", wav(tag=3, depth=32, data=floats), "?")))
    row = engine.cache.last_row
    assert isinstance(row, np.ndarray)
    assert np.isfinite(row).all()
    assert len(end.token_ids) == 30
    engine.close()


@pytest.mark.slow
def test_no_damaged_recording_ends_the_process() -> None:
    program = Path(__file__).parents[2] / "benchmarks" / "fuzz_recordings.py"
    found = subprocess.run(
        [sys.executable, program, "--count", "300", "--seed", "5"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "heard" in found.stdout
