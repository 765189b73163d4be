"""llama.cpp's libmtmd: what its calls are, and what a picture or a recording is to it.

`media` encodes with it. Files come here that `api.pictures` and `api.recordings` let through: what
decodes them takes any size that a file claims.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import Any

import llama_cpp
import numpy as np

from gemma_mtp.api.pictures import turn_of
from gemma_mtp.api.recordings import check_recording, plain_file
from gemma_mtp.errors import NoEngine, UsageError
from gemma_mtp.llama.batch import Row
from gemma_mtp.llama.log import log, log_callback

SAMPLE_RATE = 16_000  # of what Gemma 4's encoders hear
LOUDEST = 8.0  # times full scale: what goes beyond, as a file of floats can, would drown the rest
# Zeros behind a file: where an MP3 begins with a frame about all others, miniaudio reads on.
_BEHIND = 4096

# A folder that is not there. Where libmtmd cannot decode a file it would have ffmpeg try it as a
# film, in a process of its own.
_NO_FFMPEG = os.fsencode(os.path.join(os.sep, "nowhere"))

_FOLDER = "MTMD_CPP_LIB"  # by which llama-cpp-python is told where libmtmd lies
_library: Any = None


def library() -> Any:
    """libmtmd, which lies beside the llama.cpp that is used. Raises NoEngine where it does not."""
    global _library
    if _library is None:
        os.environ.setdefault(_FOLDER, os.path.dirname(llama_cpp.llama_cpp._lib._name))
        try:
            from llama_cpp import mtmd_cpp
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            raise NoEngine(
                f"This llama.cpp cannot read pictures and recordings: {error}."
            ) from error
        mtmd_cpp.mtmd_helper_log_set(log_callback, ctypes.c_void_p(0))
        _library = mtmd_cpp
    return _library


def picture_of(context: Any, data: bytes, name: str) -> Any:
    """A picture as libmtmd has it, upright; the caller frees it. Raises UsageError, with a sentence
    about `name`."""
    return _upright(_decoded(context, data, name), turn_of(data))


def samples_of(context: Any, data: bytes, name: str) -> Row:
    """A recording as numbers, SAMPLE_RATE of them a second. Raises UsageError, with a sentence
    about `name`."""
    mtmd = library()
    check_recording(data, name)  # whoever asks: what is claimed is allocated
    bitmap = _decoded(context, plain_file(data), name)
    try:
        count = mtmd.mtmd_bitmap_get_n_bytes(bitmap) // 4 if _is_sound(bitmap) else 0
        if count < 2:
            raise UsageError(f"{name} is damaged: there is no sound in it.")
        start = ctypes.cast(mtmd.mtmd_bitmap_get_data(bitmap), ctypes.POINTER(ctypes.c_float))
        samples = np.ctypeslib.as_array(start, shape=(count,)).copy()
    finally:
        mtmd.mtmd_bitmap_free(bitmap)
    np.nan_to_num(samples, copy=False, nan=0.0)
    return np.clip(samples, -LOUDEST, LOUDEST, out=samples)


def sound_of(samples: Row) -> Any:
    """So many samples as libmtmd has them; the caller frees it."""
    raw = np.ascontiguousarray(samples, dtype=np.float32)
    pointer = raw.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return library().mtmd_bitmap_init_from_audio(len(raw), pointer)


def cut(context: Any, bitmap: Any, chunks: Any, name: str) -> None:
    """Put a picture or a recording into `chunks`, between the marks around it; they need neither
    its file nor the encoder afterwards. Frees `bitmap`."""
    mtmd = library()
    log.forget()
    try:
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(marker, len(marker), False, True)
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        if mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), bitmaps, 1) != 0:
            raise UsageError(f"{name} cannot be read: {log.why()}.")
    finally:
        mtmd.mtmd_bitmap_free(bitmap)


def media_of(chunks: Any) -> Iterator[Any]:
    """Those that are no text."""
    mtmd = library()
    for number in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, number)
        if mtmd.mtmd_input_chunk_get_type(chunk) != mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            yield chunk


def _decoded(context: Any, data: bytes, name: str) -> Any:
    mtmd = library()
    options = mtmd.mtmd_helper_init_opt_default()
    options.video_params.ffmpeg_bin_dir = _NO_FFMPEG
    buffer = (ctypes.c_uint8 * (len(data) + _BEHIND)).from_buffer_copy(data + bytes(_BEHIND))
    log.forget()
    bitmap = mtmd.mtmd_helper_bitmap_init_from_buf(context, buffer, len(data), False, options)
    if not bitmap:
        raise UsageError(f"{name} is damaged, or of a kind that cannot be read here.")
    return bitmap


def _is_sound(bitmap: Any) -> bool:
    return bool(library().mtmd_bitmap_is_audio(bitmap))


def _upright(bitmap: Any, turn: int) -> Any:
    """The picture as it was seen by who held the camera, in place of `bitmap`."""
    if turn == 1:
        return bitmap
    mtmd = library()
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
