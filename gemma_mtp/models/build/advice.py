"""What to do so that llama.cpp can use a card, in lines with commands.

`doctor` and the set-up scripts show them.
"""

from __future__ import annotations

from gemma_mtp.models.build import wheels
from gemma_mtp.models.build.choice import Choice, Lack
from gemma_mtp.models.build.installation import Installation
from gemma_mtp.models.build.wheels import Wheel

BUILT_LATER = {"CUDA": "-DGGML_CUDA=on", "Vulkan": "-DGGML_VULKAN=on"}


def ways(choice: Choice, where: Installation, release: str, ask: bool = True) -> list[str]:
    """Lines that say how to get a build which is better than the one chosen; none where nothing is.

    `ask` says whether the index of builds that are ready may be asked for `release`.
    """
    if not choice.lacks:
        return []
    best = choice.lacks[0]
    lines = next((said for lack in choice.lacks if (said := _ready(lack, where, release, ask))), [])
    either = "Or" if lines else "To"
    lines.append(f"{either} build it for the card, with {best.kind}:")
    return [*lines, f"  {best.remedy}", f"  {_build(best, where, release)}"]


def _build(lack: Lack, where: Installation, release: str) -> str:
    # The scripts of a checkout choose anew when there are other tools.
    arguments = "" if where.way == "checkout" else BUILT_LATER[lack.kind]
    return where.build(arguments, release)


def _ready(lack: Lack, where: Installation, release: str, ask: bool) -> list[str]:
    """A build to install, if the index has one; where it cannot be asked, the likeliest."""
    unsure: Wheel | None = None
    why = "did not answer" if ask else "was not asked"
    for wheel in lack.wheels:
        there = wheels.has(wheel, release) if ask else None
        if there:
            said = f"A build with {lack.kind} is ready to install:"
            return [said, f"  {where.ready(wheel, release)}"]
        if there is None:
            unsure = unsure or wheel
            ask = False  # who did not answer once would make us wait for each
    if unsure is None:
        return []
    said = f"A build with {lack.kind} may be ready to install; its index {why}:"
    return [said, f"  {where.ready(unsure, release)}"]
