"""The encoder: pictures and recordings become rows of numbers that take the place of tokens'
embeddings.

Only here and in `mtmd` llama.cpp's libmtmd is used. Nothing is loaded before the first picture or
recording comes. The engine asks how many positions one takes, and the prompt cache for its rows.
"""

from __future__ import annotations

import ctypes
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any

import llama_cpp
import numpy as np

from gemma_mtp.api import Audio, Media
from gemma_mtp.errors import BadPair, GemmaMtpError, NoEngine, UsageError
from gemma_mtp.llama import mtmd
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.devices import devices, handle
from gemma_mtp.llama.hearing import parts_of
from gemma_mtp.llama.log import log
from gemma_mtp.llama.mtmd import library

KEPT_BYTES = 64 << 20  # of rows that were computed; a picture or 30 seconds have 2 to 12 MB
KEPT_SIZES = 4096  # files of which the number of positions is remembered
BYTES_PER_POSITION = 1 << 20  # of memory that a GPU should have free for what is computed
OF_SOUND = 750  # positions that a part of a recording takes at the most
# What is computed of larger numbers is none, and stays in the cache: no text would come any more.
LARGEST = 65504.0  # of half precision, which the target's matrices are multiplied in
STEPS_AT_ONCE = 32  # of the encoder; a layer has some 40
FEWEST = 70  # positions that a picture takes by llama.cpp's rule, however small it is

Span = tuple[int, int]
"""The first sample of a part of a recording, and the one behind its last."""


@dataclass(frozen=True)
class Embedded:
    """A picture, or a part of a recording, in a prompt: it takes positions and has no tokens. A
    segment of a transcript.

    Two with the same content are equal: `digest` is that of the file, with the part's `span`.
    `data` is the file; b"" once it was evaluated. `at_once`: each of its positions looks at all of
    them, those behind it too, so that it has to be evaluated at once.
    """

    digest: str
    positions: int
    data: bytes = field(default=b"", compare=False, repr=False)
    span: Span | None = field(default=None, compare=False)
    at_once: bool = field(default=False, compare=False)


class Encoder:
    """Reads pictures and recordings for one target, each picture as at most `most` positions.

    Two threads may ask for positions at a time; only one for rows.
    """

    def __init__(
        self, path: Path, model: Any, threads: int, most: int, gpus: Sequence[str] = ()
    ) -> None:
        """On the one of `gpus` that has most memory free, if that is enough, else the CPU."""
        self.path, self.most = path, most
        self._size = path.stat().st_size if path.is_file() else 0  # loading says what is missing
        self._model, self._threads, self._gpus = model, threads, gpus
        self._context: Any = None
        self._using = RLock()  # one thread may count positions while another frees it
        self._known: OrderedDict[str, list[Embedded]] = OrderedDict()
        self._kept: OrderedDict[str, Row] = OrderedDict()
        self._heard: tuple[bytes, Row] | None = None  # a recording that is being read, decoded
        self._stopped: Callable[[], bool] = lambda: False
        self._steps = 0  # of the encoder, with what is at hand
        # ctypes frees a callback that nothing refers to.
        self._on_step = llama_cpp.ggml_backend_sched_eval_callback(self._go_on)
        self.nbytes = 0  # that it takes now; 0 until it is loaded

    @property
    def is_loaded(self) -> bool:
        return self._context is not None

    @property
    def identity(self) -> list[int]:
        """Tells it from other encoders, of the same model with other weights too."""
        return [self._size, self.most]

    @property
    def reads(self) -> tuple[bool, bool]:
        """Whether it has a part for pictures, and one for recordings, as its header says. One that
        has neither is taken for one of pictures; loading it says what is wrong, as it does
        where libmtmd is missing."""
        try:
            found = library().mtmd_get_cap_from_file(os.fsencode(self.path))
        except NoEngine:
            return True, True
        return found.inp_vision or not found.inp_audio, found.inp_audio

    def segments(self, part: Media, name: str) -> list[Embedded]:
        """What stands for a picture or a recording, of which a long one has several parts. Raises
        UsageError, with a sentence about `name`, where it cannot be read, and BadPair for an
        encoder that cannot be used."""
        digest = sha256(part.data).hexdigest()
        known = self._known.get(digest)
        if known is None:
            found = self._sounds if isinstance(part, Audio) else self._picture
            known = self._known[digest] = list(found(part.data, digest, name))
            while len(self._known) > KEPT_SIZES:
                self._known.popitem(last=False)
        return [replace(segment, data=part.data) for segment in known]

    def rows(self, segment: Embedded, stopped: Callable[[], bool] = lambda: False) -> Row | None:
        """What stands for it in the target: [positions, width of its embeddings]; None where
        `stopped` said so meanwhile.

        Raises GemmaMtpError where it cannot be computed.
        """
        rows = self._kept.pop(segment.digest, None)
        if rows is None:
            self._stopped, self._steps = stopped, 0
            rows = self._encoded(segment)
            if stopped():
                return None
        self._kept[segment.digest] = rows
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return rows

    def close(self) -> None:
        """Free it; it is loaded again when it is needed."""
        with self._using:
            if self._context is not None:
                library().mtmd_free(self._context)
            self._context, self._heard, self.nbytes = None, None, 0

    def _picture(self, data: bytes, digest: str, name: str) -> Iterator[Embedded]:
        found = self._measured(digest, lambda: mtmd.picture_of(self._load(), data, name), name)
        if found.positions > self.most:
            raise UsageError(f"{name} is far too long and thin to be read.", "Cut it in parts.")
        yield found

    def _sounds(self, data: bytes, digest: str, name: str) -> Iterator[Embedded]:
        with self._using:
            samples = self._samples(data, name)
        for start, end in parts_of(samples):
            part = samples[start:end]
            found = self._measured(f"{digest} {start}-{end}", partial(mtmd.sound_of, part), name)
            yield replace(found, span=(start, end))

    def _measured(self, digest: str, bitmap: Callable[[], Any], name: str) -> Embedded:
        with self._using, self._chunks(bitmap, name) as chunks:
            found = list(mtmd.media_of(chunks))
            positions = sum(library().mtmd_input_chunk_get_n_pos(chunk) for chunk in found)
            at_once = bool(library().mtmd_decode_use_non_causal(self._load(), found[0]))
        return Embedded(digest, positions, at_once=at_once)

    def _samples(self, data: bytes, name: str) -> Row:
        if self._heard is None or self._heard[0] != data:
            self._heard = data, mtmd.samples_of(self._load(), data, name)
        return self._heard[1]

    def _go_on(self, _tensor: object, asks: bool, _data: object) -> bool:
        """llama.cpp asks before each step whether to stop behind it, and there, whether to go on.
        Where it stops is always the same: what it computes between stops may show in last bits."""
        if not asks:
            return not self._stopped()
        self._steps += 1
        return self._steps % STEPS_AT_ONCE == 0

    def _encoded(self, segment: Embedded) -> Row:
        try:
            return self._encode(segment)
        except GemmaMtpError:
            if not self._gpus:
                raise
            self.close()  # a GPU may have no room left for what is computed
            self._gpus = ()
            return self._encode(segment)

    def _encode(self, segment: Embedded) -> Row:
        with self._chunks(lambda: self._bitmap(segment), "What is shown") as chunks:
            (chunk,) = mtmd.media_of(chunks)
            log.forget()
            log.taken()
            if library().mtmd_encode_chunk(self._context, chunk) != 0:
                noun = "picture" if segment.span is None else "recording"
                raise GemmaMtpError(f"llama.cpp could not encode a {noun}: {log.why()}.")
            shape = segment.positions, llama_cpp.llama_model_n_embd_inp(self._model)
            start = library().mtmd_get_output_embd(self._context)
            found = ctypes.cast(start, ctypes.POINTER(ctypes.c_float))
            rows = np.ctypeslib.as_array(found, shape=shape).copy()
        usable = (np.abs(rows) < LARGEST).all()  # false for NaN
        if not usable and not self._stopped():  # else it was left half computed
            raise GemmaMtpError(
                f"The encoder {self.path.name} computed no usable numbers.",
                "The file is probably damaged; text works without it.",
            )
        self.nbytes += sum(log.taken().values())  # buffers that the first one needed
        return rows

    def _bitmap(self, segment: Embedded) -> Any:
        if segment.span is None:
            return mtmd.picture_of(self._load(), segment.data, "The picture")
        start, end = segment.span
        samples = self._samples(segment.data, "The recording")
        if end == len(samples):
            self._heard = None  # it has many megabytes, and is hardly read again
        return mtmd.sound_of(samples[start:end])

    @contextmanager
    def _chunks(self, bitmap: Callable[[], Any], name: str) -> Iterator[Any]:
        """A picture or a part of a recording as libmtmd reads it, between the marks around it."""
        chunks = library().mtmd_input_chunks_init()
        try:
            with self._using:
                context = self._load()
                mtmd.cut(context, bitmap(), chunks, name)
            yield chunks
        finally:
            library().mtmd_input_chunks_free(chunks)

    def _load(self) -> Any:
        with self._using:
            if self._context is None:
                self._context = self._loaded()
                self.nbytes = self._size
            return self._context

    def _loaded(self) -> Any:
        params = library().mtmd_context_params_default()
        params.device = self._device()
        params.use_gpu = params.device is not None
        params.n_threads, params.print_timings, params.warmup = self._threads, False, False
        params.image_min_tokens, params.image_max_tokens = min(FEWEST, self.most // 4), self.most
        params.cb_eval = self._on_step
        log.forget()
        context = library().mtmd_init_from_file(os.fsencode(self.path), self._model, params)
        if not context:
            raise BadPair(
                f"llama.cpp cannot load the encoder {self.path.name}: {log.why()}.",
                "Text works without it.",
            )
        if library().mtmd_decode_use_mrope(context):
            library().mtmd_free(context)
            raise BadPair(f"{self.path.name} is no encoder for this model.")
        return context

    def _device(self) -> int | None:
        """The GPU that computes; None for the CPU."""
        needed = self._size + BYTES_PER_POSITION * max(self.most, OF_SOUND)
        rooms = [(free, name) for name, _, _, free, _ in devices() if name in self._gpus]
        free, name = max(rooms, default=(0, ""))
        return handle(name) if free >= needed else None
