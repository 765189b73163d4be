"""llama.cpp's own way from messages with pictures and recordings to a reply."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import mtmd_cpp as mtmd

MARKER = mtmd.mtmd_default_marker().decode()
CONTEXT, BATCH = 2048, 512


class OwnRoute:
    """A target and its encoder as llama.cpp's programs use them, one token at a time."""

    def __init__(self, target: Path, encoder: Path, most: int = 280) -> None:
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model: Any = llama_cpp.llama_model_load_from_file(os.fsencode(target), params)
        self.vocabulary: Any = llama_cpp.llama_model_get_vocab(self.model)
        own = mtmd.mtmd_context_params_default()
        own.use_gpu, own.warmup, own.print_timings, own.n_threads = False, False, False, 1
        own.image_max_tokens = most
        self.encoder: Any = mtmd.mtmd_init_from_file(os.fsencode(encoder), self.model, own)

    def close(self) -> None:
        mtmd.mtmd_free(self.encoder)
        llama_cpp.llama_model_free(self.model)

    def chunks(self, text: str, pictures: Sequence[bytes]) -> Any:
        """The prompt, in which a marker stands for each picture and recording."""
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * len(pictures))()
        for number, data in enumerate(pictures):
            buffer = (ctypes.c_uint8 * len(data)).from_buffer_copy(data)
            bitmaps[number] = mtmd.mtmd_helper_bitmap_init_from_buf(
                self.encoder, buffer, len(data), False
            )
        chunks: Any = mtmd.mtmd_input_chunks_init()
        raw = text.encode()
        said = mtmd.mtmd_input_text(raw, len(raw), False, True)
        code = mtmd.mtmd_tokenize(self.encoder, chunks, ctypes.byref(said), bitmaps, len(pictures))
        assert code == 0
        return chunks

    def parts(self, text: str, pictures: Sequence[bytes]) -> list[int | list[int]]:
        """Its token ids, and in a list how many positions each picture or recording takes."""
        found: list[int | list[int]] = []
        chunks = self.chunks(text, pictures)
        for number in range(mtmd.mtmd_input_chunks_size(chunks)):
            chunk = mtmd.mtmd_input_chunks_get(chunks, number)
            if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                count = ctypes.c_size_t()
                ids = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                found += ids[: count.value]
            else:
                found.append([mtmd.mtmd_input_chunk_get_n_pos(chunk)])
        return found

    def reply(self, text: str, pictures: Sequence[bytes], length: int) -> Iterator[tuple[int, Any]]:
        """The token that is most likely at each place, and the logits there."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = CONTEXT, BATCH, BATCH
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.n_threads = params.n_threads_batch = 1
        context: Any = llama_cpp.llama_init_from_model(self.model, params)
        place = llama_cpp.llama_pos(0)
        chunks = self.chunks(text, pictures)
        code = mtmd.mtmd_helper_eval_chunks(
            self.encoder, context, chunks, 0, 0, BATCH, True, ctypes.byref(place)
        )
        assert code == 0
        size = llama_cpp.llama_vocab_n_tokens(self.vocabulary)
        for _ in range(length):
            pointer = llama_cpp.llama_get_logits_ith(context, -1)
            row = np.ctypeslib.as_array(pointer, shape=(size,)).copy()
            token = int(row.argmax())
            yield token, row
            one = (llama_cpp.llama_token * 1)(token)
            assert llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(one, 1)) == 0
        llama_cpp.llama_free(context)
