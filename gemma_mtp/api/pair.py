"""A pair: its files, and what it turned out to be."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gemma_mtp.api.device_options import ON_CPU_CHOICE, DeviceChoice
from gemma_mtp.api.messages import Message
from gemma_mtp.api.placement import ON_CPU, Placement
from gemma_mtp.api.preset import Preset
from gemma_mtp.options import Options
from gemma_mtp.settings import MAX_DRAFT, Sampling

DEFAULT_CONTEXT = 8192
ROOM_TO_REPLY = 256  # tokens that a context should have free after what it is made larger for

MAX_WIDTH = MAX_DRAFT + 1  # rows that one round checks at the most


# Snapshots of the cache may take so many bytes together, or this fraction (1/16) of the model's own
# size, whichever is more.
SNAPSHOT_BYTES, SNAPSHOT_SHARE = 256 << 20, 16
# Copies of the cache for conversations that take turns, likewise.
SHELF_BYTES, SHELF_SHARE = 512 << 20, 8


@dataclass(frozen=True)
class PairFiles:
    """A pair on disk; of a split model, the first part.

    `encoder` is the GGUF with the image encoder ("mmproj"); without one no pictures are read, and
    `no_encoder` says what brings one. It may have one for recordings, too; where it has none,
    `no_audio` says what helps.

    `drafter` None: this target has no drafter here, decode plainly; `no_drafter` may say why, as
    the rest of a sentence. `sampling` is what is recommended for this model. `note` is a sentence
    about the choice of these files, where it is not obvious. `published` is what else came with the
    model from where it was pulled, `preset` what the user keeps under the name that was asked for.

    `drafter_of` is the name of the model that the drafter was made for, where that is another one
    ("" for the target's own). `rival` is a drafter that fits as well, where nothing says which of
    the two was trained as the target was: what each guesses right decides, and `rival_of` is whose
    it is.
    """

    name: str
    target: Path
    drafter: Path | None
    no_drafter: str = ""
    sampling: Sampling = Sampling()
    note: str = ""
    drafter_of: str = ""
    rival: Path | None = None
    rival_of: str = ""
    published: Preset = Preset()
    preset: Preset | None = None
    encoder: Path | None = None
    no_encoder: str = field(default="", compare=False)
    no_audio: str = field(default="", compare=False)

    @property
    def called(self) -> str:
        """The name that was asked for: that of a preset, else the model's own."""
        return self.preset.name if self.preset else self.name

    @property
    def models(self) -> tuple[Path, ...]:
        """The target, and the drafter if there is one."""
        return (self.target, self.drafter) if self.drafter else (self.target,)

    @property
    def opening(self) -> tuple[Message, ...]:
        """The messages that each conversation begins with."""
        own = self.preset.messages if self.preset else ()
        return own or self.published.messages

    def lacks(self, key: str) -> str:
        """What helps where this pair understands no pictures ("images"), or no recordings
        ("audio"); "" where it does."""
        return self.no_audio if key == "audio" else "" if self.encoder else self.no_encoder

    @property
    def bare(self) -> PairFiles:
        """As an engine loads it: what only replies are told by is left out."""
        return replace(self, sampling=Sampling(), note="", published=Preset(), preset=None)

    @property
    def drafter_names(self) -> tuple[str, str]:
        """What to call the drafter and its rival: whose it is, its name, or where it lies."""
        named = (self.drafter, self.drafter_of), (self.rival, self.rival_of)
        first, second = (f"that of {of}" if of else path.name if path else "" for path, of in named)
        return (first, second) if first != second else (str(self.drafter), str(self.rival))

    def fill(self, options: Options) -> Options:
        """The options with what comes with this model, where nothing else counts more."""
        recommended = {**asdict(self.sampling), **dict(self.published.values)}
        return options.for_model(recommended, dict(self.preset.values) if self.preset else {})


@dataclass(frozen=True)
class PairInfo:
    """What a loaded pair turned out to be; sizes in bytes.

    `threads` are the most that evaluate; with `adaptive_threads` fewer while others use processors.
    `plain_reason` says why there is no speculation ("" when there is); `warnings` are sentences
    about what is wrong with a pair that can be used. `exact_slowdown` is how many times as long a
    token takes in exact mode without drafts, once that has been measured. `context_limit` is the
    longest context that the model was trained with, in tokens; 0 where that is not known.
    `server` is the address of the server that has it, "" on this machine; it may not say how large
    the context is, which is 0 then.
    `gpu_layers` of the target are on GPUs, the output counted as one; `placement` says more, with
    the bytes that llama.cpp announced where it did.
    `state_bytes` is what the conversation in the cache would take on the disk.
    `drafter_of` is the model that the drafter was made for, where that is another one.
    `exact_holds`: the same tokens have the same logits at every draft length, which is looked at
    where a GPU computes.
    `device_choice` says how it is evaluated where that differs by device, and why.
    `images`: it reads pictures; `audio`: it reads recordings. `encoder_bytes` is what reading them
    takes, 0 before the first one. `no_images` and `no_audio` say what helps where it does not.
    `drafter_choice` is a sentence about which of two drafters was kept, and why.
    """

    name: str
    context_size: int
    threads: int
    gpu_layers: int
    target_kv_bytes: int
    drafter_kv_bytes: int
    target_parameters: int
    drafter_parameters: int
    plain_reason: str = ""
    adaptive_threads: bool = False
    warnings: tuple[str, ...] = ()
    exact_slowdown: float | None = None
    context_limit: int = 0
    server: str = ""
    state_bytes: int = 0
    drafter_of: str = ""
    drafter_choice: str = ""
    placement: Placement = ON_CPU
    exact_holds: bool = True
    device_choice: DeviceChoice = ON_CPU_CHOICE
    images: bool = False
    encoder_bytes: int = 0
    no_images: str = ""
    audio: bool = False
    no_audio: str = ""

    def larger_context(self, tokens: int = 0) -> int | None:
        """A context size to ask for, so that `tokens` and a reply fit: today's, doubled as often as
        that takes. None where the model holds no more, or not that much."""
        size = 2 * self.context_size
        while size < tokens + ROOM_TO_REPLY:
            size *= 2
        size = min(size, self.context_limit or size)
        return size if size > max(tokens, self.context_size) else None
