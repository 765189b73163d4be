"""Which tensors the part of an encoder holds that hears, as llama.cpp reads them.

`encoder_check` asks. Reads no file.
"""

from __future__ import annotations

from gemma_mtp.models.encoder_rules import MOST_WIDE
from gemma_mtp.models.gguf_header import Header
from gemma_mtp.models.header_keys import refuse
from gemma_mtp.models.tensor_rules import Rule, check_rules

UNIFIED = "gemma4ua"  # that of 12B, which has no layers
FRAME = 640  # samples of a position: what that of 12B multiplies by a matrix
KERNEL, TAPS = 3, 5  # sizes of the convolutions that llama.cpp computes, of both axes and of time
MOST_BINS = 256  # of frequencies, by llama.cpp's own rule
MOST_CHANNELS = 512  # of a convolution, for each of 100,000 places; Gemma 4's have 128 at most
KERNEL_TYPES = ("F32", "F16")  # llama.cpp unfolds sound in no other

CONFORMER = (
    Rule("a.conv1d.0.weight", "kernel kernel one first"),
    Rule("a.conv1d.1.weight", "kernel kernel first second"),
    *(Rule(f"a.conv1d.{n}.bias", "one one " + c, optional=True)
      for n, c in enumerate(("first", "second"))),
    Rule("a.conv1d.0.norm.weight", "first", optional=True),
    Rule("a.conv1d.1.norm.weight", "second", optional=True),
    Rule("a.input_projection.weight", "bands width"),
    Rule("a.input_projection.bias", "width", optional=True),
    Rule("a.pre_encode.out.weight", "width out"),
    Rule("a.pre_encode.out.bias", "out", optional=True),
    Rule("mm.a.soft_emb_norm.weight", "out", optional=True),
    Rule("mm.a.input_projection.weight", "out target"),
)  # fmt: skip
# Names in a layer follow "a.blk.N.".
LAYER = (
    *(Rule(f"{norm}.weight", "width")
      for norm in ("ffn_norm", "ffn_norm_1", "attn_pre_norm", "norm_conv", "conv_norm", "ln2")),
    *(Rule(f"{norm}.weight", "width", optional=True)
      for norm in ("ffn_post_norm", "ffn_post_norm_1", "attn_post_norm")),
    *(Rule(f"attn_{part}.weight", "width width") for part in ("q", "k", "v", "out", "k_rel")),
    Rule("attn_out.bias", "width", optional=True),
    Rule("per_dim_scale.weight", "head"),
    Rule("per_dim_k_scale.weight", "head", optional=True),
    *(Rule(f"ffn_up{part}.weight", "width wide") for part in ("", "_1")),
    *(Rule(f"ffn_down{part}.weight", "wide width") for part in ("", "_1")),
    Rule("conv_pw1.weight", "width two_width"),
    Rule("conv_dw.weight", "taps width"),
    Rule("conv_dw.bias", "width", optional=True),
    Rule("conv_pw2.weight", "width width"),
)  # fmt: skip
WITHOUT_LAYERS = (Rule("mm.a.input_projection.weight", "frame target"),)


def check_sounds(header: Header, kind: str) -> None:
    """Raise `BadPair` for a tensor that the part for recordings lacks, or has in a wrong form.
    `check_encoder_keys` was asked before."""
    sizes = {"one": 1, "frame": FRAME, "target": _of(header, "projection_dim")}
    if kind == UNIFIED:
        _check(header, WITHOUT_LAYERS, sizes)
        return
    heads, width = _of(header, "attention.head_count"), _of(header, "embedding_length")
    if not (heads and _of(header, "block_count")) or width % (2 * heads):
        raise refuse(header, f"has an unusable number of heads, {heads}, for a width of {width}.")
    sizes |= {"width": width, "two_width": 2 * width, "head": width // heads,
              "wide": _of(header, "feed_forward_length"), "kernel": KERNEL, "taps": TAPS,
              "first": _last(header, "a.conv1d.0.weight", 3),
              "second": _last(header, "a.conv1d.1.weight", 3),
              "out": _last(header, "a.pre_encode.out.weight", 1)}  # fmt: skip
    if max(sizes["first"], sizes["second"]) > MOST_CHANNELS or sizes["out"] > MOST_WIDE:
        raise refuse(header, "has convolutions of an unusable size.")
    bins = _of(header, "num_mel_bins")
    if bins > MOST_BINS:
        raise refuse(header, f"has an unusable num_mel_bins of {bins}.")
    sizes["bands"] = _halved(_halved(bins)) * sizes["second"]
    _check(header, CONFORMER, sizes)
    for number in (0, 1):
        if header.tensors[f"a.conv1d.{number}.weight"].type not in KERNEL_TYPES:
            raise refuse(header, "has a convolution in a type that no kernel can use.")
    for layer in range(_of(header, "block_count")):
        block = f"a.blk.{layer}."
        _check(header, LAYER, sizes, block)
        if header.tensors[f"{block}conv_dw.weight"].type != "F32":
            raise refuse(header, "has a convolution in a type that no kernel can use.")


def _check(header: Header, rules: tuple[Rule, ...], sizes: dict[str, int], block: str = "") -> None:
    for _ in check_rules(header, rules, sizes, block):
        pass


def _halved(bins: int) -> int:
    """What a convolution with a stride of 2 leaves."""
    return (bins - 1) // 2 + 1


def _last(header: Header, name: str, axis: int) -> int:
    """A size that only a tensor says; 0 where it does not, which fits no tensor."""
    tensor = header.tensors.get(name)
    return tensor.shape[axis] if tensor is not None and len(tensor.shape) > axis else 0


def _of(header: Header, name: str) -> int:
    return int(header.metadata[f"clip.audio.{name}"])
