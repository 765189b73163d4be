"""What `ps` says of an engine, in words."""

from __future__ import annotations

import pytest

from gemma_mtp.api import (
    DeviceChoice,
    DeviceOptions,
    DeviceShare,
    Duel,
    LoadOptions,
    PairInfo,
    Placement,
    to_json,
)
from gemma_mtp.cli.engine import _facts

IDLE = {
    "pid": 7,
    "memory_bytes": 4_300_000_000,
    "file_bytes": 2_600_000_000,
    "model": "e2b",
    "loading": None,
    "options": to_json(LoadOptions()),
    "info": to_json(PairInfo("e2b", 8192, 2, 0, 60_000_000, 0, 10**9, 10**8)),
    "clients": [],
    "busy_for": None,
    "waiting": 0,
    "waiting_for": {},
    "seconds_left": 290.0,
}
CARD = DeviceShare("CUDA0", 5, 7_600_000_000, 8_000_000_000)
ON_GPU = to_json(
    PairInfo("e2b", 8192, 2, 5, 0, 0, 1, 1, placement=Placement(5, 36, (CARD,), drafter="CUDA0"))
)


LONGER = DeviceOptions(1024)
CHOSEN = to_json(
    PairInfo(
        *("e2b", 8192, 2, 5, 0, 0, 1, 1),
        device_choice=DeviceChoice(LONGER, (Duel(LONGER, DeviceOptions(), 1.5, 1.0, True),)),
    )
)


@pytest.mark.parametrize(
    ("changed", "label", "words"),
    [
        ({}, "context", "8192 tokens"),
        ({}, "runs on", "CPU, 2 threads"),
        ({"info": ON_GPU}, "runs on",
         "5 of 36 layers and the drafter on the GPU, 7.6 of 8.0 GB; 2 threads"),
        ({"info": CHOSEN}, "fastest",
         "1024 tokens of a prompt at once instead of 512 (reads 1.50 times as fast)"),
        ({"busy_for": "gemma-mtp run", "loading": {"model": "31b", "done": 1.4}}, "now",
         "is loaded for gemma-mtp run, what is fastest on the GPU is tried"),
        ({}, "memory", "4.3 GB (model files 2.6 GB, context 60 MB)"),
        ({}, "used by", "nobody"),
        ({"clients": ["gemma-mtp chat"] * 2 + ["gemma-mtp serve"]}, "used by",
         "gemma-mtp chat (2 times), gemma-mtp serve"),
        ({}, "now", "nothing to do"),
        ({"busy_for": "gemma-mtp run"}, "now", "writes a reply for gemma-mtp run"),
        ({"busy_for": "gemma-mtp run", "loading": {"model": "31b", "done": 0.4}}, "now",
         "is loaded for gemma-mtp run, 40 %"),
        ({"busy_for": "gemma-mtp run", "loading": {"model": "31b", "done": 0.4}}, "model", "31b"),
        ({"waiting_for": {"e2b": 1}}, "waiting", "1 request for e2b"),
        ({"waiting_for": {"e2b": 2, "12b": 1}}, "waiting",
         "2 requests for e2b, 1 request for 12b; those for one model together"),
        ({}, "stays", "4:50 min, if nobody asks for it"),
        ({"seconds_left": 7500.0}, "stays", "2:05 h, if nobody asks for it"),
        ({"seconds_left": None}, "stays", "until gemma-mtp stop"),
    ],
)  # fmt: skip
def test_ps_says_what_is_loaded_how_for_whom_and_until_when(
    changed: dict[str, object], label: str, words: str
) -> None:
    assert dict(_facts({**IDLE, **changed}))[label] == words


def test_options_of_loading_are_named_as_they_are_typed() -> None:
    options = to_json(LoadOptions(kv_type="q8_0", threads=2))
    facts = dict(_facts({**IDLE, "options": options}))
    assert facts["options"] == "--threads 2 --kv-type q8_0"
    assert "options" not in dict(_facts(IDLE))
