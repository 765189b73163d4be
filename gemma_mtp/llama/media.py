"""The image encoder: pictures become rows of numbers that take the place of tokens' embeddings.

Only here llama.cpp's libmtmd is used. Nothing is loaded before the first picture comes. The engine
asks how many positions a picture takes, and the prompt cache for its rows. Pictures that are
refused by `api.pictures` must not come here: what decodes them takes any size that a file claims.
"""

from __future__ import annotations

import ctypes
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any

import llama_cpp
import numpy as np

from gemma_mtp.api.pictures import turn_of
from gemma_mtp.errors import BadPair, GemmaMtpError, NoEngine, UsageError
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.devices import devices, handle
from gemma_mtp.llama.log import log, log_callback

KEPT_BYTES = 64 << 20  # of rows of pictures that were read; a picture has 2 to 6 MB
KEPT_SIZES = 4096  # pictures of which the number of positions is remembered
BYTES_PER_POSITION = 1 << 20  # of memory that a GPU should have free for what is computed
STEPS_AT_ONCE = 32  # of the encoder; a layer has some 40
FEWEST = 70  # positions that a picture takes by llama.cpp's rule, however small it is

# A folder that is not there. Where libmtmd cannot decode a file it would have ffmpeg try it as a
# film, in a process of its own.
_NO_FFMPEG = os.fsencode(os.path.join(os.sep, "nowhere"))


@dataclass(frozen=True)
class Picture:
    """A picture in a prompt, which takes positions and has no tokens: a segment of a transcript.

    Two of the same file are equal. `data` is that file; b"" once it was evaluated.
    """

    digest: str
    positions: int
    data: bytes = field(default=b"", compare=False, repr=False)


class ImageEncoder:
    """Reads pictures for one target, each as at most `most` positions.

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
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._kept: OrderedDict[str, Row] = OrderedDict()
        self._stopped: Callable[[], bool] = lambda: False
        self._steps = 0  # of the encoder, with the picture at hand
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
    def attends_both_ways(self) -> bool:
        """Whether each position of a picture looks at all of it, those behind it too, so that it
        has to be evaluated at once. Loads the encoder."""
        return bool(_mtmd().mtmd_decode_use_non_causal(self._load(), None))

    def picture(self, data: bytes, name: str) -> Picture:
        """A picture of this file. Raises UsageError, with a sentence about `name`, where it cannot
        be read, and BadPair for an encoder that cannot be used."""
        digest = sha256(data).hexdigest()
        positions = self._sizes.get(digest)
        if positions is None:
            with self._chunks(data, name) as chunks:
                positions = sum(_mtmd().mtmd_input_chunk_get_n_pos(c) for c in _images_of(chunks))
            if positions > self.most:
                raise UsageError(f"{name} is far too long and thin to be read.", "Cut it in parts.")
            self._sizes[digest] = positions
            while len(self._sizes) > KEPT_SIZES:
                self._sizes.popitem(last=False)
        return Picture(digest, positions, data)

    def rows(self, picture: Picture, stopped: Callable[[], bool] = lambda: False) -> Row | None:
        """What stands for a picture in the target: [positions, width of its embeddings]; None where
        `stopped` said so meanwhile.

        Raises GemmaMtpError where it cannot be computed.
        """
        rows = self._kept.pop(picture.digest, None)
        if rows is None:
            self._stopped, self._steps = stopped, 0
            rows = self._encoded(picture)
            if stopped():
                return None
        self._kept[picture.digest] = rows
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return rows

    def close(self) -> None:
        """Free it; it is loaded again when it is needed."""
        with self._using:
            if self._context is not None:
                _mtmd().mtmd_free(self._context)
            self._context, self.nbytes = None, 0

    def _go_on(self, _tensor: object, asks: bool, _data: object) -> bool:
        """llama.cpp asks before each step whether to stop behind it, and there, whether to go on.
        Where it stops is always the same: what it computes between stops may show in last bits."""
        if not asks:
            return not self._stopped()
        self._steps += 1
        return self._steps % STEPS_AT_ONCE == 0

    def _encoded(self, picture: Picture) -> Row:
        try:
            return self._encode(picture)
        except GemmaMtpError:
            if not self._gpus:
                raise
            self.close()  # a GPU may have no room left for what is computed with a picture
            self._gpus = ()
            return self._encode(picture)

    def _encode(self, picture: Picture) -> Row:
        mtmd, context = _mtmd(), self._load()
        with self._chunks(picture.data, "The picture") as chunks:
            chunk = next(_images_of(chunks))
            log.forget()
            log.taken()
            if mtmd.mtmd_encode_chunk(context, chunk) != 0:
                raise GemmaMtpError(f"llama.cpp could not encode a picture: {log.why()}.")
            width = llama_cpp.llama_model_n_embd_inp(self._model)
            found = ctypes.cast(mtmd.mtmd_get_output_embd(context), ctypes.POINTER(ctypes.c_float))
            rows = np.ctypeslib.as_array(found, shape=(picture.positions, width)).copy()
        self.nbytes += sum(log.taken().values())  # buffers that the first picture needed
        return rows

    @contextmanager
    def _chunks(self, data: bytes, name: str) -> Iterator[Any]:
        """A picture as libmtmd has it, decoded and resized, between the marks around it."""
        mtmd = _mtmd()
        chunks = mtmd.mtmd_input_chunks_init()
        try:
            with self._using:
                self._cut(data, name, chunks)
            yield chunks
        finally:
            mtmd.mtmd_input_chunks_free(chunks)

    def _cut(self, data: bytes, name: str, chunks: Any) -> None:
        """Put a picture into `chunks`, which need neither its file nor the encoder afterwards."""
        mtmd, context = _mtmd(), self._load()
        options = mtmd.mtmd_helper_init_opt_default()
        options.video_params.ffmpeg_bin_dir = _NO_FFMPEG
        buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
        log.forget()
        bitmap = mtmd.mtmd_helper_bitmap_init_from_buf(context, buffer, len(data), False, options)
        if not bitmap:
            raise UsageError(f"{name} is damaged, or of a kind that cannot be read here.")
        bitmap = _upright(bitmap, turn_of(data))
        try:
            marker = mtmd.mtmd_default_marker()
            text = mtmd.mtmd_input_text(marker, len(marker), False, True)
            bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
            if mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), bitmaps, 1) != 0:
                raise UsageError(f"{name} cannot be read: {log.why()}.")
        finally:
            mtmd.mtmd_bitmap_free(bitmap)

    def _load(self) -> Any:
        with self._using:
            if self._context is None:
                self._context = self._loaded()
                self.nbytes = self._size
            return self._context

    def _loaded(self) -> Any:
        mtmd = _mtmd()
        params = mtmd.mtmd_context_params_default()
        params.device = self._device()
        params.use_gpu = params.device is not None
        params.n_threads, params.print_timings, params.warmup = self._threads, False, False
        params.image_min_tokens, params.image_max_tokens = min(FEWEST, self.most // 4), self.most
        params.cb_eval = self._on_step
        log.forget()
        context = mtmd.mtmd_init_from_file(os.fsencode(self.path), self._model, params)
        if not context:
            raise BadPair(
                f"llama.cpp cannot load the image encoder {self.path.name}: {log.why()}.",
                "Text works without it.",
            )
        if not mtmd.mtmd_support_vision(context) or mtmd.mtmd_decode_use_mrope(context):
            mtmd.mtmd_free(context)
            raise BadPair(f"{self.path.name} is no image encoder for this model.")
        return context

    def _device(self) -> int | None:
        """The GPU that computes; None for the CPU."""
        needed = self._size + BYTES_PER_POSITION * self.most
        rooms = [(free, name) for name, _, _, free, _ in devices() if name in self._gpus]
        free, name = max(rooms, default=(0, ""))
        return handle(name) if free >= needed else None


def _images_of(chunks: Any) -> Iterator[Any]:
    mtmd = _mtmd()
    for number in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, number)
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
            yield chunk


def _upright(bitmap: Any, turn: int) -> Any:
    """The picture as it was seen by who held the camera, in place of `bitmap`."""
    if turn == 1:
        return bitmap
    mtmd = _mtmd()
    size = int(mtmd.mtmd_bitmap_get_ny(bitmap)), int(mtmd.mtmd_bitmap_get_nx(bitmap)), 3
    start = ctypes.cast(mtmd.mtmd_bitmap_get_data(bitmap), ctypes.POINTER(ctypes.c_uint8))
    pixels = np.ctypeslib.as_array(start, shape=size)
    if turn in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if turn >= 5:
        pixels = pixels.transpose(1, 0, 2)
    pixels = pixels.copy()
    mtmd.mtmd_bitmap_free(bitmap)
    raw = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    return mtmd.mtmd_bitmap_init(pixels.shape[1], pixels.shape[0], raw)


_FOLDER = "MTMD_CPP_LIB"  # by which llama-cpp-python is told where libmtmd lies
_library: Any = None


def _mtmd() -> Any:
    """libmtmd, which lies beside the llama.cpp that is used. Raises NoEngine where it does not."""
    global _library
    if _library is None:
        os.environ.setdefault(_FOLDER, os.path.dirname(llama_cpp.llama_cpp._lib._name))
        try:
            from llama_cpp import mtmd_cpp
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            raise NoEngine(f"This llama.cpp cannot read pictures: {error}.") from error
        mtmd_cpp.mtmd_helper_log_set(log_callback, ctypes.c_void_p(0))
        _library = mtmd_cpp
    return _library
