"""What goes into the engine and what comes out: plain, serialisable data.

Lines go down as a `Request`, events come up; nothing here knows llama.cpp or a terminal.
"""

from gemma_mtp.api.engine import Engine
from gemma_mtp.api.events import End, Event, Prefill, Progress, Text
from gemma_mtp.api.messages import Message, Turn
from gemma_mtp.api.pair import (
    CPU_PIECE,
    DEFAULT_CONTEXT,
    GPU_PIECE,
    KV_TYPES,
    MAX_WIDTH,
    SNAPSHOT_BYTES,
    SNAPSHOT_SHARE,
    LoadOptions,
    PairFiles,
    PairInfo,
)
from gemma_mtp.api.request import MAX_DRAFT, DraftSetting, Request, Sampling
from gemma_mtp.api.stats import (
    TOO_NOISY,
    Drafted,
    FinishReason,
    PlainKind,
    SpeedupBasis,
    Stats,
    add_drafted,
)

__all__ = [
    "CPU_PIECE",
    "DEFAULT_CONTEXT",
    "GPU_PIECE",
    "KV_TYPES",
    "MAX_DRAFT",
    "MAX_WIDTH",
    "SNAPSHOT_BYTES",
    "SNAPSHOT_SHARE",
    "TOO_NOISY",
    "DraftSetting",
    "Drafted",
    "End",
    "Engine",
    "Event",
    "FinishReason",
    "LoadOptions",
    "Message",
    "PairFiles",
    "PairInfo",
    "PlainKind",
    "Prefill",
    "Progress",
    "Request",
    "Sampling",
    "SpeedupBasis",
    "Stats",
    "Text",
    "Turn",
    "add_drafted",
]
