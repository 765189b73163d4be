"""Which models hear recordings, as headers and the catalogue say, and what is said where one does
not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma_mtp.models import encoder_check
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.details import details
from gemma_mtp.models.encoder_check import HEARING, parts_in, what_brings_hearing
from gemma_mtp.models.gguf_writer import head
from gemma_mtp.models.machine import this_machine
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

PULL = "gemma-mtp pull it"


@pytest.mark.parametrize(("said", "found"), [({"clip.has_audio_encoder": True}, True), ({}, False)])
def test_the_header_of_an_encoder_says_it(
    tmp_path: Path, said: dict[str, bool], found: bool
) -> None:
    encoder = tmp_path / "mmproj-F16.gguf"
    encoder.write_bytes(head({"general.architecture": "clip", **said}, {}))
    assert ("audio" in parts_in(encoder)) == found
    brings = "" if found else f"mmproj-F16.gguf is for pictures alone. {HEARING}"
    assert what_brings_hearing(encoder, PULL, None) == brings


@pytest.mark.parametrize(
    ("name", "brings"), [("e2b", PULL), ("e4b", PULL), ("12b", PULL), ("26b", HEARING),
                         ("31b", HEARING), ("nobody/knows", PULL)]
)  # fmt: skip
def test_without_an_encoder_the_catalogue_says_whether_one_would_hear(
    name: str, brings: str
) -> None:
    assert what_brings_hearing(None, PULL, load_catalogue().find(name)) == brings


@pytest.mark.parametrize(
    ("name", "reads"), [("e2b", ["pictures", "recordings"]), ("31b", ["pictures"])]
)
def test_show_says_what_a_model_reads(name: str, reads: list[str]) -> None:
    found = details(Store(load_catalogue()), name, this_machine, Options())
    assert found["reads"] == reads


def test_an_encoder_that_is_gone_does_not_hear(tmp_path: Path) -> None:
    assert not parts_in(tmp_path / "gone.gguf")
    assert encoder_check.EXAMPLE in HEARING
