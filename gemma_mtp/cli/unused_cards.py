"""Graphics cards that this llama.cpp cannot use, and the commands that mend it. `findings` asks."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator, Set
from pathlib import Path

from gemma_mtp.cli.finding import Finding
from gemma_mtp.models.build.advice import ways
from gemma_mtp.models.build.choice import choose
from gemma_mtp.models.build.installation import PACKAGE, Installation
from gemma_mtp.models.build.system import System
from gemma_mtp.models.cards import Card, cards, driven_by_nvidia

DEVICE_FILES = ("dev/dri/renderD*", "dev/kfd")
"""What a program opens to compute on a card of AMD's or Intel's."""


def unused_cards(
    sees_one: bool, backends: Set[str], release: str, offline: bool, system: System | None = None
) -> Iterator[Finding]:
    """A finding for each card that is not used, and what to do about it, once.

    `sees_one` says whether llama.cpp sees a card, `backends` what it was built for; `release` is
    that of llama-cpp-python. Unless `offline`, an index is asked for a build that is ready.
    """
    system = system or System()
    found = cards(system)
    if not found and not sees_one:
        yield Finding("GPU", "no graphics card is here; models run on the CPU")
    usable = (card for card in found if card.backends & backends and not card.integrated)
    used = next(usable, None) if sees_one else None
    hint = None
    for card in sorted(found, key=lambda card: card.integrated):
        if card.backends & backends:
            if not sees_one:
                yield _unseen(card, system)
            continue
        if sees_one and card.integrated:
            continue  # what is used is the better one
        if used and card.maker != "NVIDIA":  # no build that is proposed here would use both
            yield Finding("GPU", f"{card.name}, not used: this llama.cpp was built for {used.name}")
            continue
        hint = _mended(card, system, release, offline) if hint is None else ""
        # What is built into a processor is often no faster than the processor itself.
        problem = f"This llama.cpp cannot use {card.name}." if card.is_worth_it else ""
        yield Finding(
            "GPU", f"{card.name}, not used: this llama.cpp was not built for it", problem, hint
        )


def built_anew() -> str:
    """The command that gives an installation whose llama.cpp cannot be loaded one that can."""
    needs = importlib.metadata.requires("gemma-mtp") or []
    release = next(need.partition("==")[2] for need in needs if need.startswith(PACKAGE))
    build = choose().build
    command = Installation().build(build.arguments, release, anew=True)
    return f"Build it for {build.reason} (minutes):\n  {command}"


def _unseen(card: Card, system: System) -> Finding:
    """llama.cpp was built for a card, and sees none."""
    value = f"{card.name}, not used: its driver shows llama.cpp no device"
    hint = (
        "See whether the driver is installed and fits the card; nvidia-smi or vulkaninfo lists "
        "what it knows."
    )
    if card.maker in ("AMD", "Intel") and (closed := _closed(system)):
        hint = f"You may not open {closed}. Give yourself the right, then log in again:\n"
        hint += "  sudo usermod -aG render,video $USER"
    return Finding("GPU", value, f"llama.cpp was built for {card.name} and cannot use it.", hint)


def _closed(system: System) -> Path | None:
    """A card's file that this user may not open."""
    files = [file for pattern in DEVICE_FILES for file in system.root.glob(pattern)]
    return next((file for file in files if not os.access(file, os.R_OK | os.W_OK)), None)


def _without_driver(option: str, until: str) -> str:
    return (
        "Its driver does not answer: install it, or start the machine anew after an update,"
        f" {until} (in a container: start that with {option}); then run gemma-mtp doctor again."
    )


def _mended(card: Card, system: System, release: str, offline: bool) -> str:
    """The commands after which it is used."""
    if card.maker == "NVIDIA" and not driven_by_nvidia(system):
        return _without_driver("--gpus all", "until nvidia-smi lists the card")
    if card.maker in ("AMD", "Intel") and not system.first(DEVICE_FILES[0]):
        return _without_driver("--device /dev/dri", "until /dev/dri/renderD128 is there")
    choice, here = choose(system), Installation()
    lines: list[str] = []
    if choice.build.kind != "CPU":
        lines = [f"Build it for {choice.build.reason} (minutes):"]
        lines += [f"  {here.build(choice.build.arguments, release)}"]
    lines += ways(choice, here, release, ask=not offline)
    return "\n".join(lines)
