"""A step leaves a whole file or none, whatever ends it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import wait_until

from gemma_mtp.errors import BadPair, Cancelled, GemmaMtpError
from gemma_mtp.models.convert.step import CHILD, run_step, unfinished

WRITES = """
import sys, time
with open(sys.argv[1], "wb") as file:
    for size in range(4):
        file.write(b"x" * 1000)
        file.flush()
        time.sleep(float(sys.argv[2]))
"""
IS_SEEN = """
import os, sys, time
with open(sys.argv[1], "wb") as file:
    file.write(b"x" * 1000)
    file.flush()
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.01)
    file.write(b"x" * 3000)
"""
FAILS = "import sys; open(sys.argv[1], 'w').write('half'); sys.exit('no such weights')"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def script(out: Path, text: str, *words: str) -> list[str]:
    file = out.parent / "step.py"
    file.write_text(text)
    return [str(file), str(unfinished(out)), *words]


def accepted(path: Path) -> None:
    """The check of a file that is as it should be."""


def left(out: Path) -> set[str]:
    return {path.name for path in out.parent.iterdir()} - {"step.py"}


def test_a_step_tells_how_far_its_file_is(
    out: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    seen: list[tuple[str, str, int, int]] = []
    go_on = tmp_path_factory.mktemp("seen") / "part"

    def progress(doing: str, file: str, done: int, total: int) -> bool:
        seen.append((doing, file, done, total))
        if done:
            go_on.touch()
        return True

    run_step("writing", script(out, IS_SEEN, str(go_on)), out, 4000, progress, accepted)
    assert out.stat().st_size == 4000
    assert left(out) == {"model.gguf"}
    assert ("writing", "model.gguf", 1000, 4000) in seen
    assert seen[-1] == ("writing", "model.gguf", 4000, 4000)


def test_a_step_that_is_stopped_leaves_nothing(out: Path) -> None:
    with pytest.raises(Cancelled):
        run_step("writing", script(out, WRITES, "60"), out, 4000,
                 lambda doing, file, done, total: done == 0, accepted)  # fmt: skip
    assert left(out) == set()


def test_a_step_that_fails_says_why_and_leaves_nothing(out: Path) -> None:
    with pytest.raises(GemmaMtpError, match="no such weights"):
        run_step("writing", script(out, FAILS), out, 4000, lambda *event: True, accepted)
    assert left(out) == set()


def test_a_file_that_is_not_right_gets_no_name(out: Path) -> None:
    out.write_text("the model as it was")

    def refused(path: Path) -> None:
        raise BadPair("It has other tensors.")

    with pytest.raises(BadPair):
        run_step("writing", script(out, WRITES, "0"), out, 4000, lambda *event: True, refused)
    assert out.read_text() == "the model as it was"
    assert left(out) == {"model.gguf"}


def test_a_step_ends_with_the_command_that_started_it(out: Path) -> None:
    words = [*CHILD, str(unfinished(out)), *script(out, WRITES, "60")]
    starter = f"import subprocess, sys, time\nsubprocess.Popen({words!r}, stdin=subprocess.PIPE)\n"
    command = subprocess.Popen([sys.executable, "-c", starter + "time.sleep(60)"])
    wait_until(unfinished(out).exists)
    command.kill()
    command.wait()
    wait_until(lambda: not unfinished(out).exists())
    assert left(out) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="the system itself keeps others off there")
def test_two_commands_never_write_one_file(out: Path) -> None:
    first = script(out, WRITES, "60")
    told: list[str] = []

    def second(doing: str, file: str, done: int, total: int) -> bool:
        if not done:
            return True  # the first has not begun
        before = unfinished(out).stat().st_ino
        with pytest.raises(GemmaMtpError) as caught:
            run_step("writing", first, out, 4000, lambda *event: True, accepted)
        told.append(str(caught.value))
        assert unfinished(out).stat().st_ino == before
        return False

    with pytest.raises(Cancelled):
        run_step("writing", first, out, 4000, second, accepted)
    assert told == ["model.gguf is being written by another command."]
    assert left(out) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(out: Path) -> None:
    (out.parent / "mine").write_text("words")
    unfinished(out).symlink_to(out.parent / "mine")
    run_step("writing", script(out, WRITES, "0"), out, 4000, lambda *event: True, accepted)
    assert (out.parent / "mine").read_text() == "words"
    assert left(out) == {"model.gguf", "mine"}
