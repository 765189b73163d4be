"""What is free, as operating systems and containers state it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gemma_mtp.files import disk
from gemma_mtp.models import machine

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="how Linux says it")
MIB = 1 << 20


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A machine with 16000 MiB, 12000 of them free, and no container."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(
        f"MemTotal:       {16000 << 10} kB\nMemFree:         {1000 << 10} kB\n"
        f"MemAvailable:   {12000 << 10} kB\nHugePages_Total:       0\n"
    )
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/user/app\n")
    (tmp_path / "cgroup" / "user" / "app").mkdir(parents=True)
    return tmp_path


def limit(folder: Path, most: object, used: int, pages: int = 0) -> None:
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {pages}\nactive_file 0\n")


def look(system: Path) -> tuple[int | None, int | None]:
    return machine.memory(system / "proc", system / "cgroup")


@linux
def test_available_memory_counts_not_free_memory(system: Path) -> None:
    assert look(system) == (12000 * MIB, 16000 * MIB)


@linux
def test_a_container_sets_the_limit(system: Path) -> None:
    app = system / "cgroup" / "user" / "app"
    limit(app, 4000 * MIB, 3000 * MIB, pages=500 * MIB)
    assert look(system) == (1500 * MIB, 4000 * MIB)


@linux
def test_the_tightest_container_around_counts(system: Path) -> None:
    limit(system / "cgroup" / "user" / "app", "max", 3000 * MIB)
    limit(system / "cgroup" / "user", 8000 * MIB, 1000 * MIB)
    assert look(system) == (7000 * MIB, 8000 * MIB)


@linux
def test_a_container_that_is_larger_than_the_machine_changes_nothing(system: Path) -> None:
    limit(system / "cgroup" / "user", 64000 * MIB, 1000 * MIB)
    assert look(system) == (12000 * MIB, 16000 * MIB)


@linux
def test_the_older_kind_of_container(system: Path) -> None:
    (system / "proc" / "self" / "cgroup").write_text("4:memory:/docker/x\n")
    folder = system / "cgroup" / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(2000 * MIB))
    (folder / "memory.usage_in_bytes").write_text(str(500 * MIB))
    (folder / "memory.stat").write_text("inactive_file 0\n")
    assert look(system) == (1500 * MIB, 2000 * MIB)
    (folder / "memory.limit_in_bytes").write_text(str(9223372036854771712))
    assert look(system) == (12000 * MIB, 16000 * MIB)


@linux
def test_this_machine_has_memory_and_a_disk(tmp_path: Path) -> None:
    free, total = machine.memory()
    assert free is not None
    assert total is not None
    assert 0 < free <= total
    assert disk.free_bytes(tmp_path / "not" / "made" / "yet")


def test_what_a_mac_says() -> None:
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               10000.\n"
        "Pages active:                            300000.\n"
        "Pages inactive:                           20000.\n"
        "Pages speculative:                         1000.\n"
        "Pages wired down:                         90000.\n"
        "Pages purgeable:                            500.\n"
    )
    assert machine.mac_free(text) == 31500 * 16384
    assert machine.mac_free("nothing of the kind") is None
