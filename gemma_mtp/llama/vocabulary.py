"""Token ids and the bytes they stand for. Knows a model file's vocabulary, no context."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import llama_cpp

from gemma_mtp.errors import GemmaMtpError

MARK = re.compile(r"<\|[^\s<>]{1,40}>|<[^\s<>|]{1,40}\|>")  # such as <|turn> and <turn|>
_ADDED = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
TURN = "<|turn><turn|>"  # what a file without a template is used with


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

    def text(self, token: int) -> str:
        """The token as the file spells it, e.g. "<bos>"; "" for an id that is none, such as that of
        an end of text that a file does not have. llama.cpp ends the process over those."""
        if not 0 <= token < self.size:
            return ""
        return str(llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def id_of(self, text: str) -> int | None:
        """The id of a special token spelled `text`, or None if it is not one token here."""
        ids = self.tokenize(text, special=True)
        return ids[0] if len(ids) == 1 else None

    def warnings(self, template: str) -> tuple[str, ...]:
        """What should be said about this vocabulary to someone who uses it with `template`."""
        marks = dict.fromkeys(MARK.findall(template or TURN))
        split = [mark for mark in marks if self.id_of(mark) is None]
        found = []
        if split:
            found.append(
                f"In this file {', '.join(split)} {'is' if len(split) == 1 else 'are'} ordinary "
                "text. The model was trained with single tokens there, so expect nonsense."
            )
        if not self.end_of_generation:
            found.append("This file has no token that ends a reply: only a limit ends one.")
        return tuple(found)

    def piece(self, token: int, special: bool = False) -> bytes:
        """Bytes the token adds to a text; b"" for control tokens unless `special`."""
        # A buffer of its own, since two threads may ask at a time.
        buffer = ctypes.create_string_buffer(256)
        n = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, special)
        if n < 0:
            buffer = ctypes.create_string_buffer(-n)
            n = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, -n, 0, special)
        return buffer.raw[:n]

    def is_control(self, token: int) -> bool:
        """Whether it is a mark and no text, also where the file only says that it was added."""
        if llama_cpp.llama_vocab_is_control(self._vocab, token):
            return True
        added = llama_cpp.llama_vocab_get_attr(self._vocab, token) & _ADDED
        return bool(added) and MARK.fullmatch(self.text(token)) is not None

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Ids of `text`; nothing is added. `special`: control tokens in the text are recognised."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        ids = (llama_cpp.llama_token * room)()
        n = llama_cpp.llama_tokenize(self._vocab, data, len(data), ids, room, False, special)
        if n < 0:
            raise GemmaMtpError("llama.cpp could not tokenize this text.")
        return ids[:n]
