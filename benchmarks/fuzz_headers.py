"""Damages the headers of a small pair, loads each in a process of its own, and counts the deaths.

    python benchmarks/fuzz_headers.py [--count 2000] [--seed 1] [--memory 4] [--keep FOLDER]

Every mutated file is checked as at a start of the program; what passes is loaded and writes a few
tokens. A refusal is a success, a reply as well; a process that ends by a signal is a failure, and
so are an exception that is no sentence and a reply that takes longer than `--seconds`. A mutation
depends on the seed and its number only: `--only N` repeats one of them.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import gguf_writer as writer  # noqa: E402
from support.gguf_writer import INT32, Metadata, Tensors, Typed  # noqa: E402
from support.loadable_pair import ONES, TOKENS, Parts, pair, written  # noqa: E402

from gemma_mtp.api import LoadOptions, Message, PairFiles, Request, Sampling  # noqa: E402
from gemma_mtp.engine import loading  # noqa: E402
from gemma_mtp.errors import GemmaMtpError  # noqa: E402
from gemma_mtp.models import gguf, pair_check  # noqa: E402
from gemma_mtp.models.gguf_writer import SIZES  # noqa: E402

NUMBERS = (0, 1, 2, 3, 5, 7, 31, 255, 256, 4096, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
FRACTIONS = (0.0, -1.0, 1.0, 0.5, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"))
TEXTS = ("", "none", "no_vocab", "llama", "bert", "gpt2", "t5", "rwkv", "plamo2", "gemma4\0", "x\0")
OPTIONAL_KEYS = (
    ("attention.causal", False),
    ("pooling_type", 1),
    ("nextn_predict_layers", 1),
    ("expert_count", 4),
    ("expert_used_count", 2),
    ("expert_group_count", 2),
    ("embedding_length_out", 64),
    ("rope.scaling.type", "yarn"),
    ("rope.scaling.factor", 0.0),
    ("attention.shared_kv_layers", 3),
    ("final_logit_softcapping", 0.0),
)
GENERAL_KEYS = (
    ("general.alignment", 8),
    ("general.file_type", 7),
    ("split.count", 2),
    ("tokenizer.ggml.pre", "llama-bpe"),
    ("tokenizer.ggml.add_eos_token", True),
    ("tokenizer.ggml.eot_token_id", 2**31),
    ("tokenizer.ggml.padding_token_id", 9999),
    ("tokenizer.ggml.suppress_tokens", Typed(INT32, [9999, 5])),
)
EXTRA_TENSORS = ("{}.scale", "{}.input_scale", "{}.bias", "{}.lora_a")


def other_value(chance: random.Random, value: Any) -> Any:
    """Another value, most often of the same type."""
    if isinstance(value, Typed):
        changed = _other_list(chance, value.value)
        return Typed(value.kind, changed) if chance.random() < 0.8 else changed
    if chance.random() < 0.15:
        return chance.choice([1, 2**32 - 1, 0.5, "text", True, [1], [0.5], [True, False]])
    if isinstance(value, list):
        return _other_list(chance, value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value + chance.choice((-1, 1, 8, value))) % 2**32
        return chance.choice((*NUMBERS, near, near))
    return chance.choice(FRACTIONS if isinstance(value, float) else TEXTS)


def _other_list(chance: random.Random, value: list[Any]) -> list[Any]:
    changed = list(value)
    where = chance.randrange(max(len(changed), 1))
    kind = chance.randrange(5)
    if kind == 0:
        del changed[where:]
    elif kind == 1:
        changed += changed[:1]
    elif changed and isinstance(changed[where], str):
        changed[where] = chance.choice(("", changed[0], changed[where] + "\0x", "\0", "é" * 300))
    elif changed and isinstance(changed[where], int) and not isinstance(changed[where], bool):
        changed[where] = min(chance.choice(NUMBERS), 2**31 - 1)
    elif changed and isinstance(changed[where], bool):
        changed[where] = not changed[where]
    return changed


def change_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    key = chance.choice(list(metadata))
    metadata[key] = other_value(chance, metadata[key])


def spread_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    """A number for every layer, one of them another."""
    numbers = [key for key, value in metadata.items() if type(value) in (int, list)]
    key = chance.choice(numbers)
    value = metadata[key]
    values = list(value) if isinstance(value, list) else [value] * chance.choice((2, 4, 4, 4))
    if type(values[0]) is int:
        values[chance.randrange(len(values))] = chance.choice((0, 1, 2, 3, 4, 8, 2**31 - 1))
        metadata[key] = values


def drop_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    del metadata[chance.choice(list(metadata))]


def add_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    arch = chance.choice(("gemma4", "gemma4-assistant"))
    own = [(f"{arch}.{key}", value) for key, value in OPTIONAL_KEYS]
    key, value = chance.choice([*own, *GENERAL_KEYS])
    metadata[key] = value if chance.random() < 0.5 else other_value(chance, value)


def rename_key(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    """The same key again with a null byte behind it, before or after the real one."""
    key = chance.choice(list(metadata))
    rest = {k: metadata.pop(k) for k in list(metadata)}
    if chance.random() < 0.5:
        metadata[f"{key}\0"] = other_value(chance, rest[key])
    metadata |= rest
    metadata.setdefault(f"{key}\0", other_value(chance, rest[key]))


def change_type(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    name = chance.choice(list(tensors))
    shape, _ = tensors[name]
    kinds = [kind for kind, (block, _) in SIZES.items() if shape[0] % block == 0]
    tensors[name] = shape, chance.choice(kinds)


def change_shape(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    name = chance.choice(list(tensors))
    shape, kind = list(tensors[name][0]), tensors[name][1]
    shape[chance.randrange(len(shape))] = chance.choice((0, 1, 2, 32, 64, 256, 2 * shape[0]))
    if chance.random() < 0.2:
        shape.append(chance.choice((0, 1, 2)))
    tensors[name] = tuple(shape), kind if shape[0] % SIZES[kind][0] == 0 else 0


def drop_tensor(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    del tensors[chance.choice(list(tensors))]


def add_tensor(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    source = chance.choice(list(tensors))
    name = chance.choice(EXTRA_TENSORS).format(source.removesuffix(".weight"))
    if chance.random() < 0.4:
        name = chance.choice(("output.weight", "blk.0.attn_qkv.weight", "blk.2.attn_k.weight",
                              "blk.3.attn_v.weight", "blk.0.ffn_up_exps.weight", "x"))  # fmt: skip
    shape = chance.choice(((1,), (4,), (64,), tensors[source][0], (64, len(TOKENS))))
    tensors[name] = shape, chance.choice((0, 0, 1, 24, 26))


def rename_tensor(chance: random.Random, metadata: Metadata, tensors: Tensors) -> None:
    name = chance.choice(list(tensors))
    tensors[chance.choice((f"{name}\0", f"{name}x", "output.weight"))] = tensors.pop(name)


MUTATIONS: tuple[Callable[[random.Random, Metadata, Tensors], None], ...] = (
    *(change_key, change_key, change_key, spread_key, drop_key, add_key, add_key, rename_key),
    *(change_type, change_type, change_shape, drop_tensor, add_tensor, add_tensor, rename_tensor),
)


def mutated(parts: Parts, chance: random.Random, path: Path) -> str:
    """Write a damaged file; what was done to it."""
    metadata, tensors = dict(parts[0]), dict(parts[1])
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        mutation = chance.choice(MUTATIONS)
        done.append(mutation.__name__)
        mutation(chance, metadata, tensors)
    alignment = metadata.get("general.alignment", 32)
    good = type(alignment) is int and 0 < alignment <= 4096
    writer.write(path, metadata, tensors, alignment=alignment if good else 32, fill=ONES)
    if chance.random() < 0.25:
        done.append("bytes")
        _change_bytes(chance, path)
    return " ".join(done)


def _change_bytes(chance: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    end = min(len(data), 16_000)  # the header, more or less
    for _ in range(chance.choice((1, 1, 2, 4))):
        data[chance.randrange(end)] = chance.choice((0, 1, 2, 4, 8, 255, chance.randrange(256)))
    path.write_bytes(data)


def use(target: Path, drafter: Path, chance: random.Random) -> str:
    """Check, load and write, as the program does."""
    try:
        pair_check.check_pair(gguf.read_header(target), gguf.read_header(drafter))
    except GemmaMtpError:
        return "refused"
    kind = chance.choice(("f16", "f16", "q8_0", "bf16"))
    flash = chance.choice(("auto", "auto", "on")) if kind == "f16" else "auto"
    options = LoadOptions(threads=1, kv_type=kind, flash_attn=flash)
    loaded = None
    try:
        loaded = loading.load(PairFiles("fuzz", target, drafter), options)
        messages = (Message.text("user", "a ab c"),)
        request = Request(messages, Sampling(), seed=1, draft=2, max_tokens=4)
        list(loaded.reply(request))
    except GemmaMtpError as error:
        return f"refused by llama.cpp: {error}" if loaded is None else f"no reply: {error}"
    return "replied"


def in_a_child(work: Callable[[], str], gigabytes: int, seconds: int) -> str:
    """What `work` said in a process of its own, or how that process ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        _limit(gigabytes, seconds)
        try:
            said = work()
        except BaseException:
            said = "exception " + " ".join(traceback.format_exc().splitlines()[-3:])
        os.write(write, said.encode("utf-8", "replace")[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        said = stream.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"died by {signal.Signals(os.WTERMSIG(status)).name}"
    return said


def _limit(gigabytes: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    if gigabytes:
        resource.setrlimit(resource.RLIMIT_AS, (gigabytes << 30, gigabytes << 30))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)  # the words of an assertion
    os.environ["GGML_NO_BACKTRACE"] = "1"


def outcome(said: str) -> str:
    """One word or two, for the count."""
    return said.partition(":")[0].partition(" Trace")[0] if "died" not in said else said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one mutation")
    parser.add_argument("--memory", type=int, default=4, help="gigabytes; 0 is no limit")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="where files that kill are kept")
    arguments = parser.parse_args()
    outcomes = run(arguments)
    for what, count in outcomes.most_common():
        print(f"{count:6} {what}")
    return int(any(what.startswith(("died", "exception")) for what in outcomes))


def run(arguments: argparse.Namespace) -> Counter[str]:
    """Count the outcomes, naming the bad ones as they come."""
    outcomes: Counter[str] = Counter()
    target, drafter = pair()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        good = written(folder, target, drafter)
        assert good.drafter is not None
        numbers = range(arguments.count) if arguments.only is None else [arguments.only]
        for number in numbers:
            chance = random.Random(f"{arguments.seed}/{number}")
            role = int(chance.random() < 0.25)
            path = folder / f"mutated-{number}.gguf"
            done = mutated((target, drafter)[role], chance, path)
            pair_files = (good.target, path) if role else (path, good.drafter)
            said = in_a_child(
                lambda pair_files=pair_files, chance=chance: use(*pair_files, chance),  # type: ignore[misc]
                arguments.memory,
                arguments.seconds,
            )
            outcomes[outcome(said)] += 1
            if said.startswith(("died", "exception")) or arguments.only is not None:
                print(f"{number}: {('target', 'drafter')[role]}, {done}: {said}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / path.name).write_bytes(path.read_bytes())
            path.unlink()
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
