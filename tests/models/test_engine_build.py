"""Which build of llama.cpp is chosen on made-up machines, and what is said where one is missing."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from support.machines import Machine

from gemma_mtp.models.build import wheels
from gemma_mtp.models.build.advice import ways
from gemma_mtp.models.build.choice import choose
from gemma_mtp.models.build.installation import Installation
from gemma_mtp.models.build.system import System, platform_tag
from gemma_mtp.models.cards import cards

RELEASE = "0.3.36"
RTX = "NVIDIA GeForce RTX 3060, 8.6"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    for name in ("CUDACXX", "VULKAN_SDK"):
        monkeypatch.delenv(name, raising=False)
    return made


def nvidia(machine: Machine) -> None:
    machine.nvidia(RTX)
    machine.nvcc()


def two_cards(machine: Machine) -> None:
    machine.nvidia("NVIDIA RTX A4000, 8.6", "NVIDIA GeForce RTX 4090, 8.9")
    machine.nvcc()


def off_the_path(machine: Machine) -> None:
    machine.nvidia(RTX)
    machine.nvcc()
    folder = machine.root / "usr/local/cuda/bin"
    folder.mkdir(parents=True)
    (machine.bin / "nvcc").rename(folder / "nvcc")


def an_old_driver(machine: Machine) -> None:
    """One that does not know what compute_cap is."""
    machine.tool("nvidia-smi", 'case "$*" in *=name\\ *) echo "Quadro P400" ;; *) exit 1 ;; esac')
    machine.nvcc()


def radeon_with_all(machine: Machine) -> None:
    machine.radeon()
    machine.rocm()
    machine.vulkan()


def radeon_with_vulkan(machine: Machine) -> None:
    machine.radeon()
    machine.vulkan()


def nvidia_with_vulkan(machine: Machine) -> None:
    machine.nvidia(RTX)
    machine.vulkan()


def mac(machine: Machine) -> None:
    machine.tool("uname", "echo Darwin")


CUDA = "-DGGML_CUDA=on -DCMAKE_CUDA_ARCHITECTURES="


@pytest.mark.parametrize(
    ("made", "arguments", "reason"),
    [
        (nvidia, f"{CUDA}86-real", "NVIDIA GeForce RTX 3060 with CUDA 12.4"),
        (two_cards, f"{CUDA}86-real;89-real", "NVIDIA RTX A4000 with CUDA 12.4"),
        (
            off_the_path,
            f"{CUDA}86-real -DCMAKE_CUDA_COMPILER=ROOT/usr/local/cuda/bin/nvcc",
            "NVIDIA GeForce RTX 3060 with CUDA 12.4",
        ),
        (an_old_driver, "-DGGML_CUDA=on", "Quadro P400 with CUDA 12.4"),
        (
            radeon_with_all,
            "-DGGML_HIP=on -DCMAKE_HIP_COMPILER=/opt/rocm/llvm/bin/clang++ -DGPU_TARGETS=gfx1102",
            "AMD Radeon RX 7600 with ROCm",
        ),
        (radeon_with_vulkan, "-DGGML_VULKAN=on", "AMD Radeon RX 7600 with Vulkan"),
        (nvidia_with_vulkan, "-DGGML_VULKAN=on", "NVIDIA GeForce RTX 3060 with Vulkan"),
        (mac, "", "Apple's GPU (Metal), which is the default here"),
    ],
)
def test_the_best_build_that_the_tools_here_can_make(
    made: Callable[[Machine], None], arguments: str, reason: str, machine: Machine
) -> None:
    made(machine)
    found = choose(System(machine.root)).build
    assert found.arguments == arguments.replace("ROOT", str(machine.root))
    assert found.reason == reason


def no_cards(machine: Machine) -> None:
    """A machine for building, in a container: compilers of all kinds."""
    machine.nvcc()
    machine.vulkan()
    machine.tool("hipcc")


def a_card_of_the_host(machine: Machine) -> None:
    """A container sees the host's PCI devices and no device files."""
    machine.pci("0x1002", memory=16 << 30)
    machine.vulkan()
    machine.rocm()
    (machine.root / "dev/kfd").unlink()


def a_silent_driver(machine: Machine) -> None:
    machine.tool("nvidia-smi", "echo Failed to initialize NVML", status=9)
    machine.nvcc()


def a_card_without_a_driver(machine: Machine) -> None:
    machine.pci("0x10de")
    machine.nvcc()


def a_screen(machine: Machine) -> None:
    machine.pci("0x1234")
    machine.file("dev/dri/renderD128")
    machine.vulkan()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (no_cards, "since no graphics card was found that it can use"),
        (a_screen, "since no graphics card was found that it can use"),
        (a_card_of_the_host, "since no driver answers for an AMD card"),
        (a_silent_driver, "since no driver answers for an NVIDIA card"),
        (a_card_without_a_driver, "since no driver answers for an NVIDIA card"),
    ],
)
def test_compilers_without_a_card_change_nothing(
    made: Callable[[Machine], None], why: str, machine: Machine
) -> None:
    made(machine)
    found = choose(System(machine.root))
    assert (found.build.kind, found.build.arguments, found.lacks) == ("CPU", "", ())
    assert found.build.reason == f"the CPU, {why}"


def test_graphics_of_a_processor_are_nothing_to_wait_for(machine: Machine) -> None:
    machine.pci("0x8086", "0000:00:02.0")
    machine.file("dev/dri/renderD128")
    assert choose(System(machine.root)).build.reason == (
        "the CPU; Intel's graphics in the processor would often be no faster"
    )


def an_old_compiler(machine: Machine) -> None:
    machine.nvidia("NVIDIA GeForce RTX 5070, 12.0", cuda="13.0")
    machine.nvcc("11.8", "60 70 75 80 86 89 90")


def a_compiler_that_dropped_the_card(machine: Machine) -> None:
    machine.nvidia("NVIDIA GeForce GTX 1070, 6.1", cuda="13.0")
    machine.nvcc("13.0", "75 80 86 89 90 100 120")


def a_compiler_that_is_newer_than_the_driver(machine: Machine) -> None:
    machine.nvidia(RTX, cuda="12.4")
    machine.nvcc("13.0", "75 80 86 89 90 100 120")


def an_old_card_where_packages_are_new(machine: Machine) -> None:
    machine.nvidia("NVIDIA GeForce GTX 1070, 6.1", cuda="13.0")
    machine.file("etc/os-release", "ID=arch\n")


def radeon_on_debian_12(machine: Machine) -> None:
    machine.radeon()
    machine.file("etc/os-release", "ID=debian\nVERSION_CODENAME=bookworm\n")


def old_headers(machine: Machine) -> None:
    machine.radeon()
    machine.vulkan(version=239)


def no_compiler(machine: Machine) -> None:
    machine.nvidia(RTX)


@pytest.mark.parametrize(
    ("made", "missing", "remedy"),
    [
        (
            no_compiler,
            "the CPU meanwhile: to use NVIDIA GeForce RTX 3060, CUDA's compiler (nvcc) is missing",
            "sudo apt install nvidia-cuda-toolkit",
        ),
        (
            an_old_compiler,
            "the CPU meanwhile: to use NVIDIA GeForce RTX 5070, CUDA's compiler here (11.8) is too "
            "old",
            "install the CUDA toolkit from https://developer.nvidia.com/cuda-downloads",
        ),
        (
            a_compiler_that_dropped_the_card,
            "the CPU meanwhile: to use NVIDIA GeForce GTX 1070, CUDA's compiler here (13.0) is too "
            "new",
            "install the CUDA toolkit 12 from https://developer.nvidia.com/cuda-toolkit-archive",
        ),
        (
            a_compiler_that_is_newer_than_the_driver,
            "the CPU meanwhile: to use NVIDIA GeForce RTX 3060, CUDA's compiler here (13.0) is too "
            "new for the driver, which knows CUDA 12.4",
            "install the CUDA toolkit 12 from https://developer.nvidia.com/cuda-toolkit-archive",
        ),
        (
            an_old_card_where_packages_are_new,
            "the CPU meanwhile: to use NVIDIA GeForce GTX 1070, CUDA's compiler (nvcc) is missing",
            "install the CUDA toolkit 12 from https://developer.nvidia.com/cuda-toolkit-archive",
        ),
        (
            radeon_on_debian_12,
            "the CPU meanwhile: to use AMD Radeon RX 7600, Vulkan's shader compiler (glslc) is "
            "missing",
            "install the Vulkan SDK from https://vulkan.lunarg.com",
        ),
        (
            Machine.radeon,
            "the CPU meanwhile: to use AMD Radeon RX 7600, Vulkan's shader compiler (glslc) is "
            "missing",
            "sudo apt install libvulkan-dev glslc spirv-headers",
        ),
        (
            old_headers,
            "the CPU meanwhile: to use AMD Radeon RX 7600, Vulkan's headers here (1.3.239) are too "
            "old",
            "install the Vulkan SDK from https://vulkan.lunarg.com",
        ),
    ],
)
def test_a_card_without_its_compiler_is_named_with_what_is_missing(
    made: Callable[[Machine], None], missing: str, remedy: str, machine: Machine
) -> None:
    machine.file("etc/os-release", 'ID=linuxmint\nID_LIKE="ubuntu debian"\n')
    made(machine)
    found = choose(System(machine.root))
    assert (found.build.kind, found.build.reason) == ("CPU", missing)
    assert found.lacks[0].remedy == remedy


# --- builds that are ready to install --------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "card", "folders"),
    [
        ((12, 4), (8, 6), ["cu124", "cu123", "cu122", "cu121", "cu118"]),
        ((12, 9), (12, 0), ["cu125", "cu124", "cu123", "cu122", "cu121"]),  # 11.8 knows it not
        ((13, 1), (8, 6), ["cu130", "cu125", "cu124", "cu123", "cu122", "cu121", "cu118"]),
        ((13, 0), (6, 1), ["cu125", "cu124", "cu123", "cu122", "cu121", "cu118"]),  # 13 dropped it
        ((12, 4), (5, 2), []),
    ],
)
def test_wheels_that_driver_and_card_can_run(
    driver: tuple[int, int], card: tuple[int, int], folders: list[str]
) -> None:
    assert [wheel.folder for wheel in wheels.for_cuda(driver, card)] == folders


def pages(monkeypatch: pytest.MonkeyPatch, **there: str) -> list[str]:
    """An index with these folders, each with wheels of one release; returns what is asked."""
    asked: list[str] = []

    def opened(url: str, timeout: float) -> io.BytesIO:
        folder = url.removeprefix(wheels.INDEX).split("/")[1]
        asked.append(folder)
        if folder not in there:
            raise urllib.error.HTTPError(url, 404, "Not Found", None, None)  # type: ignore[arg-type]
        name = f"llama_cpp_python-{there[folder]}-py3-none-manylinux2014{platform_tag()}"
        return io.BytesIO(f'<a href="https://x/{name}">{name}</a>'.encode())

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    return asked


def advised(machine: Machine, folder: Path, ask: bool = True) -> list[str]:
    return ways(choose(System(machine.root)), Installation(folder, folder), RELEASE, ask)


def test_two_ways_out_for_a_driver_without_a_compiler(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.nvidia(RTX)
    asked = pages(monkeypatch, cu124="0.3.35", cu122=RELEASE)
    assert advised(machine, tmp_path) == [
        "A build with CUDA is ready to install:",
        f"  {tmp_path}/bin/python -m pip install --force-reinstall --extra-index-url "
        f"{wheels.INDEX}/cu122 --only-binary llama-cpp-python llama-cpp-python==0.3.36 "
        "nvidia-cuda-runtime-cu12 nvidia-cublas-cu12",
        "Or build it for the card, with CUDA:",
        "  install the CUDA toolkit 12 from https://developer.nvidia.com/cuda-toolkit-archive",
        f'  CMAKE_ARGS="-DGGML_CUDA=on" {tmp_path}/bin/python -m pip install --no-deps '
        "--no-cache-dir --force-reinstall --no-binary llama-cpp-python llama-cpp-python==0.3.36",
    ]
    assert asked == ["cu124", "cu123", "cu122"]


def test_vulkan_where_no_build_for_cuda_is_ready(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.nvidia(RTX)
    pages(monkeypatch, vulkan=RELEASE)
    assert advised(machine, tmp_path)[0] == "A build with Vulkan is ready to install:"


def test_where_the_index_has_nothing_only_building_is_left(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.nvidia(RTX)
    pages(monkeypatch)
    assert advised(machine, tmp_path)[0] == "To build it for the card, with CUDA:"


def test_without_a_network_nothing_is_claimed(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.radeon()
    asked = pages(monkeypatch, vulkan=RELEASE)
    may = "A build with Vulkan may be ready to install"
    assert advised(machine, tmp_path, ask=False)[0] == f"{may}; its index was not asked:"
    assert asked == []

    def unreachable(url: str, timeout: float) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    assert advised(machine, tmp_path)[0] == f"{may}; its index did not answer:"


# --- how it was installed --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "command"),
    [
        ("checkout", 'CMAKE_ARGS="-DA" ROOT/scripts/chat doctor'),
        ("pip", 'CMAKE_ARGS="-DA" ENV/bin/python -m pip install --no-deps --no-cache-dir'),
        ("uv", 'CMAKE_ARGS="-DA" uv pip install --python ENV/bin/python --no-deps --no-cache'),
        ("pipx", 'CMAKE_ARGS="-DA" pipx runpip gemma-mtp install --no-deps --no-cache-dir'),
    ],
)
def test_the_command_is_that_of_the_way_it_was_installed(
    way: str, command: str, tmp_path: Path
) -> None:
    root, env = tmp_path, tmp_path / (".venv" if way == "checkout" else "env")
    env.mkdir()
    (env / "pyvenv.cfg").write_text("home = /usr\nuv = 0.9\n" if way == "uv" else "home = /usr\n")
    if way == "pipx":
        (env / "pipx_metadata.json").write_text("{}")
    (root / "scripts").mkdir()
    (root / "scripts" / "chat").write_text("")
    here = Installation(env, root)
    assert here.way == way
    wanted = command.replace("ENV", str(env)).replace("ROOT", str(root))
    assert here.build("-DA", RELEASE).startswith(wanted)


def test_what_tools_and_files_say_does_nothing_to_a_screen(machine: Machine) -> None:
    machine.tool("nvidia-smi", r"printf 'A \033[31mcard\007, 8.6\n'")
    machine.nvcc()
    information = machine.file("proc/driver/nvidia/gpus/0/information")
    information.write_bytes(b"Model: \x1b]0;title\x07\n")
    system = System(machine.root)
    assert choose(system).build.reason.isprintable()
    (machine.bin / "nvidia-smi").unlink()
    assert all(card.name.isprintable() for card in cards(system))
