"""What the file of an encoder may hold: its keys, and the tensors of the part that sees.

`encoder_check` asks; `encoder_sounds` has the tensors of the part that hears. libmtmd
(tools/mtmd/clip.cpp) ends the whole process over a key of another type and over a tensor of another
shape, so all that it reads of Gemma 4's encoders is declared. Reads no file.
"""

from __future__ import annotations

from math import isfinite

from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.header_keys import MAX_HEADS, MAX_SIZE, Key, check_keys, refuse
from gemma_mtp.models.tensor_rules import Rule, check_rules

UNIFIED = "gemma4uv"  # that of 12B, which has no layers
MOST_POSITIONS = 1120  # that a picture of Gemma 4 takes; all may lie in one row
CHANNELS = 3  # red, green and blue
KERNEL_TYPES = ("F32", "F16")  # of patches; llama.cpp unfolds pictures in no other
# What llama.cpp computes has room for 8192 steps, and it aborts beyond; a layer that hears has up
# to 140. Gemma 4's encoders have 27 layers at most.
MOST_LAYERS = 48
# Where there is no memory for what is computed, it ends the process, too, and a small file can ask
# for any number of gigabytes. Gemma 4's have a width of 5376 at most, and patches of 16, 3 a side.
MOST_WIDE = 1 << 14
MOST_PATCH, MOST_MERGED = 32, 4

KEYS = (
    Key("general.name", "str"),
    Key("general.description", "str"),
    Key("clip.has_vision_encoder", "bool"),
    Key("clip.has_audio_encoder", "bool"),
    Key("clip.has_gen_audio_encoder", "bool", choices=(False,)),
    Key("clip.projector_type", "str"),
    Key("clip.vision.projector_type", "str"),
    Key("clip.audio.projector_type", "str", choices=("gemma4a", "gemma4ua")),
    Key("clip.use_gelu", "bool"),
    Key("clip.use_silu", "bool"),
    Key("clip.minicpmv_query_num", "u32"),
    Key("clip.minicpmv_version", "i32"),
    # Those of this name it reads for either part.
    Key("clip.vision.mm_patch_merge_type", "str"),
    Key("clip.vision.image_grid_pinpoints", "[i32]"),
)
# Of either part, and of that for pictures and that for recordings alone; under "clip.PART.".
PART_KEYS = (
    Key("embedding_length", "u32", 1, MOST_WIDE, required=True),
    Key("feed_forward_length", "u32", 0, MOST_WIDE, required=True),
    Key("block_count", "u32", 0, MOST_LAYERS, required=True),
    Key("projection_dim", "u32", 1, MAX_SIZE, required=True),
    Key("attention.head_count", "u32", 0, MAX_HEADS, required=True),
    Key("attention.head_count_kv", "u32", 0, MAX_HEADS),
    Key("attention.head_dim", "u32", 0, MAX_SIZE),
    Key("attention.layer_norm_epsilon", "f32", 0, 1, required=True),
    Key("feature_layer", "[i32]"),
)
KEYS_OF = {
    "vision": (
        Key("image_size", "u32", 0, 8192, required=True),
        Key("patch_size", "u32", 1, MOST_PATCH, required=True),
        Key("projector.scale_factor", "u32", 1, MOST_MERGED),
        Key("image_mean", "[f32]"),
        Key("image_std", "[f32]"),
    ),
    "audio": (Key("num_mel_bins", "u32", 1, MAX_SIZE, required=True),),
}

TRANSFORMER = (
    Rule("v.patch_embd.weight", "side side channels width"),
    Rule("v.position_embd.weight", "width places axes"),
    Rule("v.std_bias", "width", optional=True),
    Rule("v.std_scale", "width", optional=True),
    Rule("mm.input_projection.weight", "width target"),
)
# Names in a layer follow "v.blk.N.".
LAYER = (
    *(Rule(f"{norm}.weight", "width") for norm in ("ln1", "ln2")),
    *(Rule(f"{norm}.weight", "width") for norm in ("attn_post_norm", "ffn_post_norm")),
    *(Rule(f"attn_{part}_norm.weight", "head") for part in "qk"),
    *(Rule(f"attn_{part}.weight", "width width") for part in ("q", "k", "v", "out")),
    *(Rule(f"ffn_{part}.weight", "width wide") for part in ("up", "gate")),
    Rule("ffn_down.weight", "wide width"),
    *(Rule(f"{scale}.weight", "width", optional=True) for scale in ("ls1", "ls2")),
    *(Rule(f"{norm}.bias", "width", optional=True) for norm in ("ln1", "ln2")),
    *(Rule(f"attn_{part}.bias", "width", optional=True) for part in ("q", "k", "v", "out")),
    *(Rule(f"ffn_{part}.bias", "wide", optional=True) for part in ("up", "gate")),
    Rule("ffn_down.bias", "width", optional=True),
)
# Numbers beyond which what goes into a matrix and comes out of it is cut.
LIMITS = ("input_min", "input_max", "output_min", "output_max")
WITHOUT_LAYERS = (
    Rule("v.patch_embd.weight", "pixels width"),
    Rule("v.patch_embd.bias", "width"),
    Rule("v.position_embd.weight", "width places axes"),
    Rule("mm.input_projection.weight", "width target"),
    *(Rule(f"v.patch_norm.1.{part}", "pixels") for part in ("weight", "bias")),
    *(Rule(f"v.patch_norm.{n}.{part}", "width") for n in (2, 3) for part in ("weight", "bias")),
)
# What llama.cpp would read in their place, and no encoder of Gemma 4 has.
FOREIGN = ("v.class_embd", "v.pre_ln.weight", "v.post_ln.weight", "v.patch_embd.weight.1")


def check_encoder_keys(header: Header) -> None:
    """Raise `BadPair` for a key that llama.cpp cannot use."""
    metadata = header.metadata
    check_keys(header, KEYS)
    for part in parts_of(header):
        check_keys(header, PART_KEYS + KEYS_OF[part], f"clip.{part}.")
        _check_heads(header, part)
    if metadata.get("clip.use_gelu") and metadata.get("clip.use_silu"):
        raise refuse(header, "asks for two activations at once.")
    for name in ("image_mean", "image_std") if "vision" in parts_of(header) else ():
        values = metadata.get(f"clip.vision.{name}") or []
        good = [v for v in values if isfinite(v) and (v > 0 or name == "image_mean")]
        if len(values) != CHANNELS or values != good:
            raise refuse(header, f"has an unusable {name}.")


def parts_of(header: Header) -> list[str]:
    """Which parts an encoder has: vision, audio or both."""
    return [part for part in KEYS_OF if header.metadata.get(f"clip.has_{part}_encoder") is True]


def _check_heads(header: Header, part: str) -> None:
    """The size of a head is told twice: llama.cpp believes either."""
    heads, width, size = (
        header.metadata.get(f"clip.{part}.{name}", 0)
        for name in ("attention.head_count", "embedding_length", "attention.head_dim")
    )
    if size and heads and heads * size != width:
        raise refuse(
            header, f"has heads of {size} numbers, {heads} of them for a width of {width}."
        )


def check_pictures(header: Header, kind: str) -> None:
    """Raise `BadPair` for a tensor that the part for pictures lacks, or has in a wrong form.
    `check_encoder_keys` was asked before."""
    sizes = _sizes(header, kind)
    if kind == UNIFIED:
        _check(header, WITHOUT_LAYERS, sizes)
        return
    heads, width = _of(header, "attention.head_count"), sizes["width"]
    theirs = header.metadata.get("clip.vision.attention.head_count_kv", heads)
    if not heads or theirs != heads or width % (4 * heads):
        raise refuse(header, f"has an unusable number of heads, {heads}, for a width of {width}.")
    _check(header, TRANSFORMER, sizes)
    if header.tensors["v.patch_embd.weight"].type not in KERNEL_TYPES:
        raise refuse(header, "has patches in a type that no kernel can use.")
    sizes["head"] = width // heads
    for layer in range(_of(header, "block_count")):
        block = f"v.blk.{layer}."
        _check(header, LAYER, sizes, block)
        scale = header.tensors.get(f"{block}out_scale.weight")
        if scale is not None and scale.shape not in ((1,), (sizes["width"],)):
            raise refuse(header, f"has a tensor {block}out_scale.weight of an unusable shape.")
    limits = [name for name in header.tensors if name.endswith(LIMITS)]
    _check(header, tuple(Rule(name, "one") for name in limits if not name.startswith("a.")), sizes)


def _check(header: Header, rules: tuple[Rule, ...], sizes: dict[str, int], block: str = "") -> None:
    for _ in check_rules(header, rules, sizes, block):
        pass
    foreign = FOREIGN if not block else (f"{block}attn_qkv.weight", f"{block}attn_qkv.bias")
    if found := [name for name in foreign if name in header.tensors]:
        raise refuse(header, f"has a tensor {found[0]!r}, which is not of Gemma 4's encoders.")


def _sizes(header: Header, kind: str) -> dict[str, int]:
    merge = header.metadata.get("clip.vision.projector.scale_factor", 3)  # as llama.cpp has it
    side = _of(header, "patch_size")
    table = header.tensors.get("v.position_embd.weight")
    places = table.shape[1] if table is not None and len(table.shape) > 1 else 0
    # A transformer merges what it has read; that of 12B reads parts of that size at once.
    if places < MOST_POSITIONS * (1 if kind == UNIFIED else merge):
        raise refuse(header, "has too few places for the parts of a picture.")
    return {
        "one": 1,
        "axes": 2,
        "channels": CHANNELS,
        "side": side,
        "pixels": CHANNELS * (side * merge) ** 2,
        "places": places,
        "width": _of(header, "embedding_length"),
        "wide": _of(header, "feed_forward_length"),
        "target": _of(header, "projection_dim"),
    }


def _of(header: Header, name: str) -> int:
    return int(header.metadata[f"clip.vision.{name}"])
