"""The only module that touches llama.cpp: load a pair, evaluate tokens, hand out rows.

Contexts here hold one sequence. The functions that make MTP work are not part of llama-cpp-python's
stable interface, so they are looked up when a pair is loaded, never assumed. Knows nothing of
sampling, rounds, templates or terminals.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import llama_cpp
import numpy as np
from llama_cpp import _ggml
from numpy.typing import NDArray

from gemma_mtp.amx import amx_refused
from gemma_mtp.errors import BadPair, Cancelled, DoesNotFit, GemmaMtpError, UsageError
from gemma_mtp.options import (
    CPU_PIECE,
    DEFAULT_CONTEXT,
    GPU_PIECE,
    MAX_WIDTH,
    LoadOptions,
    PairFiles,
    PairInfo,
)
from gemma_mtp.ring import Ring
from gemma_mtp.threads import usable_threads

_ext: Any = None
_ext_error = ""
try:
    from llama_cpp import llama_cpp_ext as _ext
except (ImportError, AttributeError) as error:  # an older release, or one with other symbols
    _ext_error = str(error)

NEEDED_VERSION = "0.3.36"
# Threads of a smaller model wait for each other longer than they compute; with other work on the
# machine, many times longer.
ONE_THREAD_PARAMETERS = 100_000_000
LOG_LEVEL_ERROR = 4  # ggml.h; not exported to Python
DEVICE_KINDS = ("cpu", "gpu", "igpu", "accel")  # in the order of ggml-backend.h
_Handle = ctypes.c_void_p

Row = NDArray[np.float32]
KV_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}


def versions() -> tuple[str, str]:
    """Versions of llama-cpp-python and of the llama.cpp inside it."""
    commit = _ggml.libggml.ggml_commit
    commit.restype = ctypes.c_char_p
    return llama_cpp.__version__, commit().decode()


def mtp_missing() -> str:
    """Why this llama-cpp-python cannot run MTP drafters, or "" when it can."""
    if _ext is None:
        return f"llama-cpp-python {llama_cpp.__version__} lacks MTP ({_ext_error})"
    fields = {name for name, *_ in llama_cpp.llama_context_params._fields_}
    if not {"ctx_type", "ctx_other"} <= fields or not hasattr(llama_cpp, "LLAMA_CONTEXT_TYPE_MTP"):
        return f"llama-cpp-python {llama_cpp.__version__} has no MTP context type"
    return ""


def devices() -> list[tuple[str, str, str, int, int]]:
    """llama.cpp's devices: name, description, kind ("cpu", "gpu", "igpu", "accel"), bytes free
    and in all. Starting a GPU's backend takes a moment."""
    lib = _ggml.libggml
    llama_cpp.llama_log_set(_log_callback, ctypes.c_void_p(0))
    _start_backend()
    lib.ggml_backend_dev_count.restype = ctypes.c_size_t
    lib.ggml_backend_dev_get.argtypes, lib.ggml_backend_dev_get.restype = [ctypes.c_size_t], _Handle
    for name in ("name", "description"):
        call = getattr(lib, f"ggml_backend_dev_{name}")
        call.argtypes, call.restype = [_Handle], ctypes.c_char_p
    lib.ggml_backend_dev_type.argtypes = [_Handle]
    size = ctypes.POINTER(ctypes.c_size_t)
    lib.ggml_backend_dev_memory.argtypes, lib.ggml_backend_dev_memory.restype = (
        [_Handle, size, size],
        None,
    )
    return [_device(lib.ggml_backend_dev_get(i)) for i in range(lib.ggml_backend_dev_count())]


def _device(handle: Any) -> tuple[str, str, str, int, int]:
    lib, free, total = _ggml.libggml, ctypes.c_size_t(), ctypes.c_size_t()
    lib.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    kind = lib.ggml_backend_dev_type(handle)
    return (
        lib.ggml_backend_dev_name(handle).decode(),
        lib.ggml_backend_dev_description(handle).decode("utf-8", "replace"),
        DEVICE_KINDS[kind] if kind < len(DEVICE_KINDS) else "other",
        free.value,
        total.value,
    )


def features() -> str:
    """What llama.cpp was compiled for and found, e.g. "CPU : AVX2 = 1 | AVX512 = 1"."""
    _start_backend()
    return str(llama_cpp.llama_print_system_info().decode())


class _Log:
    """Receives llama.cpp's log lines: to a file or stderr, and what we read out of them."""

    def __init__(self) -> None:
        self.stream: IO[str] | None = None
        self.kv_bytes = 0.0
        self.errors: list[str] = []

    def write(self, level: int, text: bytes, _user_data: object) -> None:
        line = text.decode("utf-8", "replace")
        # There is no call for the size of a KV cache; its allocation is announced in the log.
        if match := re.search(r"KV buffer size\s*=\s*([\d.]+) MiB", line):
            self.kv_bytes += float(match[1]) * 2**20
        if level == LOG_LEVEL_ERROR:
            self.errors = [*self.errors[-4:], line.strip()]
        if self.stream is not None:
            self.stream.write(line)
            self.stream.flush()

    def open(self, path: Path | None, verbose: bool) -> None:
        if self.stream not in (None, sys.stderr):
            self.stream.close()
        self.stream = None
        if verbose:
            self.stream = sys.stderr
        elif path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.stream = path.open("w", encoding="utf-8")
            except OSError:
                pass  # a log that cannot be written must not stop a chat

    def why(self) -> str:
        """The last error line, for a message."""
        return self.errors[-1] if self.errors else "llama.cpp gave no reason"


_log = _Log()
# ctypes frees a callback that nothing refers to, and llama.cpp would call into freed memory.
_log_callback = llama_cpp.llama_log_callback(_log.write)


class Vocabulary:
    """Token ids and the bytes they stand for."""

    def __init__(self, model: Any) -> None:
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self.size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.bos: int = llama_cpp.llama_vocab_bos(self._vocab)
        self.eos: int = llama_cpp.llama_vocab_eos(self._vocab)
        self.end_of_generation: frozenset[int] = frozenset(
            i for i in range(self.size) if llama_cpp.llama_vocab_is_eog(self._vocab, i)
        )
        self._buffer = ctypes.create_string_buffer(256)

    def text(self, token: int) -> str:
        """The token as the file spells it, e.g. "<bos>"."""
        return str(llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def id_of(self, text: str) -> int | None:
        """The id of a special token spelled `text`, or None if it is not one token here."""
        ids = self.tokenize(text, special=True)
        return ids[0] if len(ids) == 1 else None

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes the token adds to a text; b"" for control tokens unless `special`."""
        n = llama_cpp.llama_token_to_piece(self._vocab, token, self._buffer, 256, 0, special)
        if n < 0:
            self._buffer = ctypes.create_string_buffer(-n)
            n = llama_cpp.llama_token_to_piece(self._vocab, token, self._buffer, -n, 0, special)
        return self._buffer.raw[:n]

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Ids of `text`; nothing is added. `special`: control tokens in the text are recognised."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        ids = (llama_cpp.llama_token * room)()
        n = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, room, False, special)
        if n < 0:
            raise GemmaMtpError("llama.cpp could not tokenize this text.")
        return ids[:n]


class _Batch:
    """A llama_batch over arrays of our own, so that a call allocates nothing."""

    def __init__(self, size: int, embedding_width: int = 0) -> None:
        self.tokens = (llama_cpp.llama_token * size)()
        self.positions = (llama_cpp.llama_pos * size)()
        self.outputs = (ctypes.c_int8 * size)()
        self._counts = (ctypes.c_int32 * size)(*([1] * size))
        self._sequence = llama_cpp.llama_seq_id(0)
        pointer = ctypes.pointer(self._sequence)
        self._sequences = (ctypes.POINTER(llama_cpp.llama_seq_id) * size)(*([pointer] * size))
        self.embedding = (ctypes.c_float * (size * embedding_width))() if embedding_width else None
        self.struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self.tokens,
            embd=self.embedding,
            pos=self.positions,
            n_seq_id=self._counts,
            seq_id=self._sequences,
            logits=self.outputs,
        )


class _Rows:
    """NumPy views of rows that llama.cpp owns; a view is rebuilt only when the buffer has moved."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._address = 0
        self._view: Row = np.empty((0, width), np.float32)

    def at(self, pointer: Any, rows: int) -> Row:
        address = ctypes.cast(pointer, ctypes.c_void_p).value or 0
        if address != self._address or rows > len(self._view):
            array = np.ctypeslib.as_array(pointer, shape=(rows, self.width))
            self._address, self._view = address, array
        return self._view

    def row(self, pointer: Any) -> Row:
        view: Row = self.at(pointer, 1)[0]
        return view


def _evaluate(context: Any, batch: _Batch) -> None:
    code = llama_cpp.llama_decode(context, batch.struct)
    if code == 0:
        return
    if code == 1:
        raise DoesNotFit("The context is full.", "Start afresh with /clear, or use a larger --ctx.")
    raise GemmaMtpError(f"llama.cpp failed to evaluate a batch (code {code}): {_log.why()}.")


class LlamaTarget:
    """The target model with its KV cache; positions are 0-based tokens of the one sequence."""

    def __init__(self, model: Any, context: Any, piece_size: int) -> None:
        self.model, self.context = model, context
        self.vocabulary = Vocabulary(model)
        self.context_size: int = llama_cpp.llama_n_ctx(context)
        self.piece_size = piece_size
        self.embedding_width: int = llama_cpp.llama_model_n_embd_out(model)
        self._memory = llama_cpp.llama_get_memory(context)
        self._window: int = llama_cpp.llama_model_n_swa(model)
        # As llama.cpp sizes the cache of the sliding-window layers.
        cells = min(self.context_size, self._window + llama_cpp.llama_n_ubatch(context))
        self._ring = Ring(-(-cells // 256) * 256)
        self._batch = _Batch(max(piece_size, MAX_WIDTH))
        self._logits = _Rows(self.vocabulary.size)
        self._hidden = _Rows(self.embedding_width)

    def decode(self, tokens: Sequence[int], position: int, outputs: int) -> Row:
        """Evaluate `tokens` at `position`...; logits [outputs, vocabulary] of the last `outputs`.

        The rows are llama.cpp's own memory, valid until the next call.
        """
        batch, n = self._batch, len(tokens)
        for i in range(n):
            batch.tokens[i] = tokens[i]
            batch.positions[i] = position + i
            batch.outputs[i] = i >= n - outputs
        batch.struct.n_tokens = n
        _evaluate(self.context, batch)
        self._ring.add(position + n)
        self._first_output = n - outputs
        return self._logits.at(llama_cpp.llama_get_logits(self.context), outputs)

    def hidden(self, row: int) -> Row:
        """Final hidden state [embedding_width] of output `row` of the last `decode`."""
        index = self._first_output + row
        pointer = _ext.llama_get_embeddings_nextn_ith(self.context, index)
        return self._hidden.row(pointer)

    def rewind(self, length: int) -> int:
        """Forget positions from `length` on; returns how many positions are really left.

        The sliding-window layers keep only the window: rewinding further than that loses them, and
        then everything has to be evaluated again (0 is returned).
        """
        if length > 0:
            self.keep(length)
            oldest = llama_cpp.llama_memory_seq_pos_min(self._memory, 0)
            if 0 <= oldest <= max(0, length - self._window):
                return length
        llama_cpp.llama_memory_clear(self._memory, False)
        self._ring.clear()
        return 0

    def keep(self, length: int) -> None:
        """Forget positions from `length` on, a few at most: rejected drafts."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1)
        self._ring.cut(length)

    def widest(self, position: int) -> int:
        """The widest batch at `position` that leaves the cells in order whatever is rejected."""
        return self._ring.widest(position, MAX_WIDTH)

    @property
    def in_order(self) -> bool:
        """Whether the cache is laid out as it is after evaluating its tokens from the start."""
        return self._ring.in_order


class LlamaDrafter:
    """The drafter; its context owns no KV cache but reads the target's."""

    def __init__(self, model: Any, context: Any, embedding_width: int) -> None:
        self.model, self.context = model, context
        self._batch = _Batch(1, embedding_width)
        self._batch.struct.n_tokens = 1
        self._batch.outputs[0] = 1
        vocab = llama_cpp.llama_model_get_vocab(model)
        self._logits = _Rows(llama_cpp.llama_vocab_n_tokens(vocab))
        self._bytes = embedding_width * 4
        assert self._batch.embedding is not None
        self._input = ctypes.addressof(self._batch.embedding)

    def begin(self, hidden: Row, position: int) -> None:
        """Start a draft from the target's hidden state before `position`."""
        ctypes.memmove(self._input, hidden.ctypes.data, self._bytes)
        # Every step of one draft is evaluated at the same position: the drafter was trained so.
        self._batch.positions[0] = position

    def step(self, token: int) -> Row:
        """Logits [vocabulary] for the token after `token`; valid until the next call."""
        self._batch.tokens[0] = token
        _evaluate(self.context, self._batch)
        row = self._logits.row(llama_cpp.llama_get_logits(self.context))
        hidden = _ext.llama_get_embeddings_nextn_ith(self.context, 0)
        ctypes.memmove(self._input, hidden, self._bytes)
        return row


@dataclass
class LoadedPair:
    """A target ready to evaluate, its drafter if there is one, and what they turned out to be."""

    target: LlamaTarget
    drafter: LlamaDrafter | None
    chat_template: str
    info: PairInfo

    def close(self) -> None:
        """Free contexts before models, the drafter before the target it reads."""
        parts: list[LlamaDrafter | LlamaTarget] = [self.drafter] if self.drafter else []
        parts.append(self.target)
        for part in parts:
            llama_cpp.llama_free(part.context)
        for part in parts:
            llama_cpp.llama_model_free(part.model)


def load_pair(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool] = lambda fraction: True,
) -> LoadedPair:
    """Load target and drafter; `progress` is told 0..1 and answers whether to go on.

    Raises BadPair when llama.cpp refuses a file, DoesNotFit when a context cannot be made,
    Cancelled when `progress` says no.
    """
    _log.open(options.log_file, options.verbose)
    llama_cpp.llama_log_set(_log_callback, ctypes.c_void_p(0))
    _start_backend()
    missing = mtp_missing()
    with_drafter = files.drafter is not None and not missing
    undo: list[Callable[[], object]] = []
    try:
        loaded = _load(files, options, progress, undo, with_drafter)
    except BaseException:
        for free in reversed(undo):
            free()
        raise
    if missing:
        reason = f"{missing}; version {NEEDED_VERSION} is needed, so decoding is plain"
    else:
        reason = "" if with_drafter else "there is no drafter for this model"
    target, drafter, info = loaded
    template = llama_cpp.llama_model_chat_template(target.model, None)
    return LoadedPair(
        target,
        drafter,
        template.decode("utf-8", "replace") if template else "",
        PairInfo(**info, plain_reason=reason),
    )


def _load(
    files: PairFiles,
    options: LoadOptions,
    progress: Callable[[float], bool],
    undo: list[Callable[[], object]],
    with_drafter: bool,
) -> tuple[LlamaTarget, LlamaDrafter | None, dict[str, Any]]:
    gpu = bool(llama_cpp.llama_supports_gpu_offload())
    layers = options.gpu_layers if options.gpu_layers is not None else (-1 if gpu else 0)
    piece = GPU_PIECE if gpu and layers else CPU_PIECE

    # The target is nearly all of the bytes, so the drafter's share of the progress is its last bit.
    model = _load_model(files.target, layers, lambda f: progress(0.95 * f))
    undo.append(lambda: llama_cpp.llama_model_free(model))
    small = llama_cpp.llama_model_n_params(model) < ONE_THREAD_PARAMETERS
    threads = options.threads or (1 if small else usable_threads())
    params = _context_params(options, threads, piece)
    trained = llama_cpp.llama_model_n_ctx_train(model)
    if options.context and options.context > trained:
        raise UsageError(
            f"A context of {options.context} tokens is more than this model's {trained}.",
            f"Use --ctx {trained} or less.",
        )
    params.n_ctx = options.context or min(DEFAULT_CONTEXT, trained)
    context, target_kv = _new_context(model, params, "target")
    undo.append(lambda: llama_cpp.llama_free(context))
    target = LlamaTarget(model, context, piece)

    drafter, drafter_kv, drafter_parameters = None, 0, 0
    if with_drafter and files.drafter is not None:
        draft_model = _load_model(files.drafter, layers, lambda f: progress(0.95 + 0.05 * f))
        undo.append(lambda: llama_cpp.llama_model_free(draft_model))
        params = _context_params(options, threads, 1)
        params.n_ctx = llama_cpp.llama_n_ctx(context)
        params.ctx_type = llama_cpp.LLAMA_CONTEXT_TYPE_MTP
        params.ctx_other = context
        draft_context, drafter_kv = _new_context(draft_model, params, "drafter")
        undo.append(lambda: llama_cpp.llama_free(draft_context))
        _ext.llama_set_embeddings_nextn(context, True, True)
        _ext.llama_set_embeddings_nextn(draft_context, True, True)
        drafter = LlamaDrafter(draft_model, draft_context, target.embedding_width)
        drafter_parameters = llama_cpp.llama_model_n_params(draft_model)
    progress(1.0)
    info = {
        "name": files.name,
        "context_size": target.context_size,
        "threads": threads,
        "gpu_layers": layers,
        "target_kv_bytes": target_kv,
        "drafter_kv_bytes": drafter_kv,
        "target_parameters": llama_cpp.llama_model_n_params(model),
        "drafter_parameters": drafter_parameters,
    }
    return target, drafter, info


def _start_backend() -> None:
    """Let llama.cpp list its CPU buffer types now, while AMX is refused; the list is kept."""
    llama_cpp.llama_backend_init()
    list_types = getattr(_ggml.libggml, "_Z39ggml_backend_cpu_get_extra_buffer_typesv", None)
    if list_types is not None:
        list_types.restype = ctypes.c_void_p
        with amx_refused():
            list_types()


def _load_model(path: Path, gpu_layers: int, progress: Callable[[float], bool]) -> Any:
    stopped = False

    def on_progress(fraction: float, _user_data: object) -> bool:
        nonlocal stopped
        try:
            stopped = stopped or not progress(fraction)
        except BaseException:  # an exception cannot cross C; saying "stop" can
            stopped = True
        return not stopped

    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = gpu_layers
    params.progress_callback = llama_cpp.llama_progress_callback(on_progress)
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    if stopped:
        if model:
            llama_cpp.llama_model_free(model)
        raise Cancelled("Loading was stopped.")
    if not model:
        raise BadPair(
            f"llama.cpp cannot load {path.name}: {_log.why()}",
            "Run with --verbose to see its whole log.",
        )
    return model


def _context_params(options: LoadOptions, threads: int, piece: int) -> Any:
    for name in (options.cache_type_k, options.cache_type_v):
        if name not in KV_TYPES:
            raise UsageError(f"Unknown KV cache type {name!r}.", f"One of: {', '.join(KV_TYPES)}.")
    params = llama_cpp.llama_context_default_params()
    params.n_batch = params.n_ubatch = max(piece, MAX_WIDTH) if piece > 1 else 1
    # By default room for n_batch rows of 262k logits would be reserved.
    params.n_outputs_max = params.n_outputs_max_per_seq = MAX_WIDTH if piece > 1 else 1
    params.n_threads = params.n_threads_batch = threads
    params.type_k = KV_TYPES[options.cache_type_k]
    params.type_v = KV_TYPES[options.cache_type_v]
    params.swa_full = False
    params.no_perf = True
    params.flash_attn_type = {
        None: llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
        True: llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        False: llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[options.flash_attention]
    return params


def _new_context(model: Any, params: Any, whose: str) -> tuple[Any, int]:
    _log.kv_bytes = 0.0
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise DoesNotFit(
            f"llama.cpp could not make the {whose}'s context of {params.n_ctx} tokens: "
            f"{_log.why()}",
            "Try a smaller --ctx, or --kv-type q8_0.",
        )
    return context, int(_log.kv_bytes)
