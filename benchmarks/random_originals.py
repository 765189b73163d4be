"""Writes a small Gemma 4 and its assistant with random weights, as Google publishes them.

    python benchmarks/random_originals.py FOLDER VOCABULARY [--shape small|shared|experts]

Makes FOLDER/SHAPE and FOLDER/SHAPE-assistant with `transformers`: safetensors, config.json and a
tokenizer.json of Gemma's real vocabulary. VOCABULARY is `models/ggml-vocab-gemma-4.gguf` of
llama.cpp, which the source distribution of llama-cpp-python holds under vendor/llama.cpp. Needs
what `gemma-mtp[convert]` installs.

The shapes are those of the published sizes made small: `small` has keys that are values in full
layers as 12B has, `shared` layers that share a cache and a table of per-layer embeddings as E2B,
`experts` a mixture of them as 26B-A4B. So that drafts are sometimes right, a few hundred tokens are
likelier than the others, to target and assistant alike.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import (
    Gemma4AssistantConfig,
    Gemma4AssistantForCausalLM,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    GenerationConfig,
)

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from real_vocabulary import tokenizer

WIDTH, DRAFTER_WIDTH = 64, 32
PATTERN = ["sliding_attention"] * 3 + ["full_attention"]
COMMON = 300  # tokens that are likelier than the others
SHAPES: dict[str, dict[str, Any]] = {
    "small": {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "num_key_value_heads": 2},
    "shared": {"num_kv_shared_layers": 4, "use_double_wide_mlp": True,
               "hidden_size_per_layer_input": 16, "num_key_value_heads": 1},
    "experts": {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2,
                "moe_intermediate_size": 32, "num_key_value_heads": 2,
                "attention_k_eq_v": True, "num_global_key_value_heads": 1},
}  # fmt: skip
BOTH: dict[str, Any] = {
    "hidden_size_per_layer_input": 0, "head_dim": 32, "global_head_dim": 64, "sliding_window": 24,
    "max_position_embeddings": 4096, "num_attention_heads": 4,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    args = parser.parse_args()
    for place in write(args.folder, args.vocabulary, args.shape, args.dtype):
        print(place)


def write(folder: Path, vocabulary: Path, shape: str, dtype: str = "float32") -> tuple[Path, Path]:
    """The folders of the target and of its assistant."""
    torch.manual_seed(4)
    words = {key: v.value for key, v in tokenizer(vocabulary.read_bytes()).items()}
    own = {**BOTH, **SHAPES[shape]}
    size = len(words["tokenizer.ggml.tokens"])
    config = Gemma4TextConfig(
        vocab_size=size, vocab_size_per_layer_input=size, hidden_size=WIDTH, intermediate_size=128,
        num_hidden_layers=8, layer_types=PATTERN * 2, final_logit_softcapping=30.0, **own,
    )  # fmt: skip
    target = Gemma4ForCausalLM(config)
    assistant = Gemma4AssistantForCausalLM(assistant_config(config, own))
    randomise(target)
    randomise(assistant)
    prefer_common_tokens(target, assistant)
    places = folder / shape, folder / f"{shape}-assistant"
    for model, place in zip((target, assistant), places, strict=True):
        shutil.rmtree(place, ignore_errors=True)
        model.generation_config = GenerationConfig(bos_token_id=2, eos_token_id=[1, 106, 50])
        model.to(getattr(torch, dtype)).save_pretrained(place)
        write_tokenizer(place, words)
    return places


def assistant_config(target: Any, own: dict[str, Any]) -> Gemma4AssistantConfig:
    """Three sliding layers and a full one, which read the target's cache."""
    kept = ("attention_k_eq_v", "num_global_key_value_heads", "num_key_value_heads")
    text = Gemma4TextConfig(
        vocab_size=target.vocab_size, vocab_size_per_layer_input=0, hidden_size=DRAFTER_WIDTH,
        intermediate_size=64, num_hidden_layers=4, num_kv_shared_layers=4, layer_types=PATTERN,
        **{**BOTH, **{key: own[key] for key in kept if key in own}},
    )  # fmt: skip
    return Gemma4AssistantConfig(text_config=text, backbone_hidden_size=target.hidden_size)


def randomise(model: torch.nn.Module) -> None:
    """Weights of a size at which every part of a layer matters."""
    with torch.no_grad():
        for name, weights in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith("layer_scalar"):
                weights.uniform_(0.6, 1.0)
            elif not weights.is_floating_point() or "rotary" in name or "embed_scale" in name:
                continue
            elif "post_feedforward" in name or "post_per_layer" in name:
                weights.uniform_(0.05, 0.15)  # llama.cpp computes GELU in 16 bits
            elif "post_attention" in name:
                weights.uniform_(0.2, 0.5)
            elif weights.dim() < 2:
                weights.uniform_(0.7, 1.3)
            else:
                weights.normal_(0.0, weights.shape[-1] ** -0.5)


def prefer_common_tokens(target: Any, assistant: Any) -> None:
    """Give every hidden state a direction, and a few tokens more of it than the others have."""
    with torch.no_grad():
        common = torch.randperm(target.config.vocab_size - 300)[:COMMON] + 300
        liking = torch.zeros(target.config.vocab_size)
        liking[common] = torch.rand(COMMON)
        for model in (target, assistant):
            table = model.get_input_embeddings().weight
            along = torch.nn.functional.normalize(torch.randn(table.shape[1]), dim=0)
            table.add_(torch.outer(0.5 + 3 * liking, along))
        along_target = torch.nn.functional.normalize(
            target.get_input_embeddings().weight[common].mean(0), dim=0
        )
        along_assistant = torch.nn.functional.normalize(
            assistant.get_input_embeddings().weight[common].mean(0), dim=0
        )
        both = torch.cat([along_target, along_target])
        assistant.pre_projection.weight.add_(torch.outer(3 * along_assistant, both))
        assistant.post_projection.weight.add_(torch.outer(3 * along_target, along_assistant))


def write_tokenizer(place: Path, words: dict[str, Any]) -> None:
    """tokenizer.json and what stands beside it, from the vocabulary of a GGUF."""
    tokens, kinds = words["tokenizer.ggml.tokens"], words["tokenizer.ggml.token_type"]
    added = [
        {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": kind == 3}
        for number, (text, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind in (3, 4)
    ]  # fmt: skip
    model = {
        "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True,
        "ignore_merges": False, "vocab": {text: number for number, text in enumerate(tokens)},
        "merges": [pair(merge) for merge in words["tokenizer.ggml.merges"]],
    }  # fmt: skip
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    decoder = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
               {"type": "ByteFallback"}, {"type": "Fuse"}]  # fmt: skip
    whole = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": space, "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoder}, "model": model,
    }  # fmt: skip
    special = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>",
               "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
    about = {"tokenizer_class": "GemmaTokenizer", "model_max_length": 10**30, **special}
    (place / "tokenizer.json").write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    (place / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    template = words.get("tokenizer.chat_template", "")
    (place / "chat_template.jinja").write_text(template, encoding="utf-8")


def pair(merge: str) -> list[str]:
    """The two halves of a merge, which may themselves hold no space but the one between."""
    left, _, right = merge.partition(" ")
    return [left, right]


if __name__ == "__main__":
    main()
