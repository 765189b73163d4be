"""What goes into the engine and what comes out: plain, serialisable data.

Lines go down as a `Request`, events come up; nothing here knows llama.cpp or a terminal.
"""

from gemma_mtp.api.device_options import (
    CPU_PIECE,
    DECIDED,
    GPU_PIECE,
    ON_CPU_CHOICE,
    ON_CPU_OPTIONS,
    SHORTLIST,
    TRYING_SECONDS,
    DeviceChoice,
    DeviceOptions,
    Duel,
)
from gemma_mtp.api.events import (
    End,
    Event,
    Loading,
    Prefill,
    Progress,
    TextDelta,
    ToolCallDelta,
    Waiting,
)
from gemma_mtp.api.json_data import from_json, to_json
from gemma_mtp.api.messages import (
    Audio,
    Image,
    Media,
    Message,
    Part,
    Role,
    Text,
    Thought,
    ToolCall,
    ToolResult,
    Turn,
)
from gemma_mtp.api.pair import (
    DEFAULT_CONTEXT,
    MAX_WIDTH,
    ROOM_TO_REPLY,
    SHELF_BYTES,
    SHELF_SHARE,
    SNAPSHOT_BYTES,
    SNAPSHOT_SHARE,
    PairFiles,
    PairInfo,
)
from gemma_mtp.api.placement import ON_CPU, DeviceShare, Placement
from gemma_mtp.api.preset import Preset
from gemma_mtp.api.replies import Replies
from gemma_mtp.api.request import Grammar, Keeping, Request
from gemma_mtp.api.stats import (
    ENOUGH_TO_COMPARE,
    Drafted,
    DraftUse,
    FinishReason,
    PlainKind,
    SpeedupBasis,
    Stats,
    add_drafted,
    comparable,
)
from gemma_mtp.api.tools import Tool, ToolChoice, ToolMode
from gemma_mtp.settings import MAX_DRAFT, DraftSetting, LoadOptions, Sampling
