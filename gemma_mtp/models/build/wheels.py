"""Builds of llama-cpp-python that are ready to install, in the index that its author keeps.

It has a folder for each kind of build; which of them have the release that is needed changes, so
that the folder is asked. `choice` and `doctor` do.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote

from gemma_mtp.models.build.system import platform_tag

INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
CUDA = ((13, 2), (13, 0), (12, 5), (12, 4), (12, 3), (12, 2), (12, 1), (11, 8))
"""Of which CUDA there are folders, newest first (README.md of llama-cpp-python 0.3.36)."""
OLDEST_CARD = {13: (7, 5), 12: (6, 0), 11: (6, 0)}  # what the builds for a CUDA can run on
NEWEST_CARD = {11: (8, 9)}  # those of later ones hold code that newer cards translate
SECONDS = 5.0  # for an answer


class Wheel(NamedTuple):
    """A folder of the index, and the packages that a build from there needs beside it."""

    folder: str
    beside: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"{INDEX}/{self.folder}"


VULKAN = Wheel("vulkan")


def for_cuda(driver: tuple[int, int], capability: tuple[int, int] | None) -> list[Wheel]:
    """Those that a driver and a card can run, best first. `driver` is the newest CUDA that the
    driver knows. The CUDA libraries are not in these wheels, but packages of NVIDIA's have them."""
    found = []
    for version in CUDA:
        major, minor = version
        card = capability or (8, 6)
        newest = NEWEST_CARD.get(major, card)
        if version <= driver and OLDEST_CARD[major] <= card <= newest:
            found.append(Wheel(f"cu{major}{minor}", _libraries(major)))
    return found


def _libraries(major: int) -> tuple[str, ...]:
    ending = "" if major >= 13 else f"-cu{major}"
    exact = f"=={major}.*" if major >= 13 else ""
    return tuple(f"nvidia-{name}{ending}{exact}" for name in ("cuda-runtime", "cublas"))


def has(wheel: Wheel, release: str) -> bool | None:
    """Whether the index has this release for this machine; None where it gives no answer."""
    try:
        with urllib.request.urlopen(f"{wheel.url}/llama-cpp-python/", timeout=SECONDS) as answer:
            page = unquote(answer.read(4_000_000).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return False if error.code == 404 else None
    except (OSError, ValueError):
        return None
    names = re.findall(rf"llama_cpp_python-{re.escape(release)}-[\w.-]+\.whl", page)
    return any(name.endswith(platform_tag()) for name in names)
