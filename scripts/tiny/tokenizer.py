"""Tokenizer of the built-in tiny model: trains, encodes and decodes a small Gemma 4 style BPE.

Spaces become U+2581, merges run inside one line, runs of newlines are pieces of their own,
and characters without a token fall back to byte tokens. Encoding gives the same ids as
llama.cpp does for a GGUF whose `tokenizer.ggml.model` is "gemma4".
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

SPACE = "\u2581"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
PAD_ID, EOS_ID, BOS_ID, UNK_ID = 0, 1, 2, 3

# Token text -> GGUF type, in id order. User-defined ones are shown to chat parsers.
SPECIAL: dict[str, int] = {
    "<pad>": CONTROL,
    "<eos>": CONTROL,
    "<bos>": CONTROL,
    "<unk>": UNKNOWN,
    "<mask>": CONTROL,
    "<|tool_response>": USER_DEFINED,
    "<tool_response|>": USER_DEFINED,
    "<|turn>": CONTROL,
    "<turn|>": CONTROL,
    "<|channel>": USER_DEFINED,
    "<channel|>": USER_DEFINED,
    "<|think|>": CONTROL,
    "<|tool_call>": USER_DEFINED,
    "<tool_call|>": USER_DEFINED,
    "<|tool>": CONTROL,
    "<tool|>": CONTROL,
    '<|"|>': USER_DEFINED,
}

NEWLINES = ["\n", "\n\n", "\n\n\n"]
# Quotation marks, dashes, some letters of European languages, arithmetic signs.
_SIGNS = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u2022é\u00d7÷äöüßàèñ→≤≥°€£"
CHARACTERS = [SPACE, "\t", *(chr(c) for c in range(0x21, 0x7F)), *_SIGNS]

# Whole words that must be one token, whatever the text they are learned from.
KEPT_WORDS = ["system", "user", "model", "thought"]

# As with the real models, an answer without a thought begins behind a mark that the history drops.
# They put an empty thought there, which this one was never trained on: it then ends 77 of 300
# held-out chats as the corpus does, without a mark 216, behind the mark that ends a thought 209.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- macro without_thoughts(text) -%}
    {%- set state = namespace(text='') -%}
    {%- for part in text.split('<channel|>') -%}
        {%- set state.text = state.text + part.split('<|channel>')[0] -%}
    {%- endfor -%}
    {{- state.text | trim -}}
{%- endmacro -%}
{%- set thinking = enable_thinking is defined and enable_thinking -%}
{%- set has_system = messages and messages[0]['role'] in ['system', 'developer'] -%}
{%- if thinking or has_system -%}
    {{- '<|turn>system\\n' -}}
    {%- if thinking -%}{{- '<|think|>\\n' -}}{%- endif -%}
    {%- if has_system -%}{{- messages[0]['content'] | trim -}}{%- endif -%}
    {{- '<turn|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if not (loop.first and has_system) -%}
        {%- if message['role'] in ['assistant', 'model'] -%}
            {{- '<|turn>model\\n' + without_thoughts(message['content']) -}}
        {%- elif message['role'] == 'developer' -%}
            {{- '<|turn>system\\n' + message['content'] | trim -}}
        {%- else -%}
            {{- '<|turn>' + message['role'] + '\\n' + message['content'] | trim -}}
        {%- endif -%}
        {{- '<turn|>\\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|turn>model\\n' -}}
    {%- if not thinking -%}{{- '<channel|>' -}}{%- endif -%}
{%- endif -%}
"""

_LINES = re.compile(r"[^\n]+|\n+")
# Merges never join a non-space with a following space, so a line may be encoded word by word.
_WORDS = re.compile(rf"{SPACE}*[^{SPACE}]+|{SPACE}+")
# What merges are learned inside of: words, single digits, runs of spaces, runs of signs.
_PIECES = re.compile(
    rf"{SPACE}?[^\W\d_]+(?:['\u2019][^\W\d_]+)*|{SPACE}?\d|{SPACE}{{2,}}|{SPACE}?[^\w{SPACE}]+|_|{SPACE}"
)
_SPECIAL = re.compile("|".join(re.escape(t) for t in sorted(SPECIAL, key=len, reverse=True)))


def _partition(text: str) -> list[str]:
    """Split text at special tokens the way llama.cpp does: longest tokens first."""
    parts = [text]
    for token in sorted(SPECIAL, key=len, reverse=True):
        if token not in text:
            continue
        divided: list[str] = []
        for part in parts:
            if part in SPECIAL:
                divided.append(part)
                continue
            for index, rest in enumerate(part.split(token)):
                if index:
                    divided.append(token)
                if rest:
                    divided.append(rest)
        parts = divided
    return parts


class Tokenizer:
    """Encodes and decodes text with a fixed token list and ranked merges."""

    def __init__(self, tokens: list[str], types: list[int], merges: list[str]) -> None:
        self.tokens = tokens
        self.types = types
        self.merges = merges
        self.ids = {token: index for index, token in enumerate(tokens)}
        self._ranks: dict[tuple[str, str], int] = {}
        for rank, merge in enumerate(merges):
            cut = merge.find(" ", 1)
            self._ranks.setdefault((merge[:cut], merge[cut + 1 :]), rank)
        self._bytes = [self.ids[f"<0x{value:02X}>"] for value in range(256)]
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the token ids of text; special tokens in it are recognised, none is added."""
        out: list[int] = []
        for part in _partition(text):
            if part in SPECIAL:
                out.append(self.ids[part])
                continue
            for line in _LINES.findall(part.replace(" ", SPACE)):
                if line[0] == "\n":
                    out.extend(self._encode_newlines(line))
                    continue
                for word in _WORDS.findall(line):
                    ids = self._cache.get(word)
                    if ids is None:
                        ids = self._cache[word] = self._encode_word(word)
                    out.extend(ids)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids, special tokens included."""
        out = bytearray()
        for index in ids:
            token = self.tokens[index]
            if self.types[index] == BYTE:
                out.append(int(token[3:5], 16))
            elif self.types[index] == NORMAL:
                out.extend(token.replace(SPACE, " ").encode())
            else:
                out.extend(token.encode())
        return out.decode("utf-8", errors="replace")

    def save(self, path: str | Path) -> None:
        """Write the tokenizer as JSON."""
        data = {"tokens": self.tokens, "types": self.types, "merges": self.merges}
        Path(path).write_text(json.dumps(data, ensure_ascii=False, indent=0), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a tokenizer that save() wrote."""
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return cls(data["tokens"], data["types"], data["merges"])

    def _encode_newlines(self, run: str) -> list[int]:
        if run in self.ids:
            return [self.ids[run]]
        return [self.ids["\n"]] * len(run)

    def _encode_word(self, word: str) -> list[int]:
        """Merge the lowest-ranked neighbours first, leftmost first among equals."""
        symbols = list(word)
        while len(symbols) > 1:
            best, where = None, -1
            for i in range(len(symbols) - 1):
                rank = self._ranks.get((symbols[i], symbols[i + 1]))
                if rank is not None and (best is None or rank < best):
                    best, where = rank, i
            if best is None:
                break
            symbols[where : where + 2] = [symbols[where] + symbols[where + 1]]
        out: list[int] = []
        for symbol in symbols:
            index = self.ids.get(symbol)
            if index is None:
                out.extend(self._bytes[value] for value in symbol.encode())
            else:
                out.append(index)
        return out


def train(texts: Iterable[str], size: int = 2048) -> Tokenizer:
    """Learn a tokenizer of `size` tokens from texts, which may hold special tokens."""
    tokens = list(SPECIAL)
    types = list(SPECIAL.values())
    tokens += [f"<0x{value:02X}>" for value in range(256)]
    types += [BYTE] * 256
    tokens += NEWLINES + CHARACTERS
    merges: list[str] = []
    known = set(tokens)

    def add(left: str, right: str) -> None:
        merges.append(f"{left} {right}")
        if left + right not in known:
            known.add(left + right)
            tokens.append(left + right)

    for digit in "0123456789":
        add(SPACE, digit)
    characters = set(CHARACTERS)
    words = _piece_counts(texts, characters)
    for word in KEPT_WORDS:
        words[word] += sum(words.values())
    for left, right in _learn(words):
        if len(tokens) >= size:
            break
        add(left, right)
    types += [NORMAL] * (len(tokens) - len(types))
    return Tokenizer(tokens, types, merges)


def _piece_counts(texts: Iterable[str], characters: set[str]) -> Counter[str]:
    """Count the pieces in which merges may be learned, without special tokens and rare signs."""
    words: Counter[str] = Counter()
    for text in texts:
        for line in _SPECIAL.sub("\n", text).replace(" ", SPACE).split("\n"):
            words.update(_WORDS.findall(line))
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for piece in _PIECES.findall(word):
            if len(piece) > 1 and not piece[-1].isdigit() and characters.issuperset(piece):
                pieces[piece] += count
    return pieces


def _learn(words: Counter[str]) -> Iterator[tuple[str, str]]:
    """Yield the most frequent neighbour pair again and again, each time merging it everywhere."""
    splits = [list(word) for word in words]
    counts = list(words.values())
    pairs: Counter[tuple[str, str]] = Counter()
    places: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for index, symbols in enumerate(splits):
        for pair in pairwise(symbols):
            pairs[pair] += counts[index]
            places[pair].add(index)
    while pairs:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        if pairs[best] < 2:
            return
        yield best
        for index in places.pop(best):
            old = splits[index]
            for pair in pairwise(old):
                pairs[pair] -= counts[index]
                if pairs[pair] <= 0:
                    del pairs[pair]
            new = splits[index] = _merge(old, best)
            for pair in pairwise(new):
                pairs[pair] += counts[index]
                places[pair].add(index)


def _merge(symbols: list[str], pair: tuple[str, str]) -> list[str]:
    """Return symbols with every occurrence of pair joined, from left to right."""
    out: list[str] = []
    i = 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out
