"""Made-up machines: tools on a PATH that answer as those of NVIDIA and AMD do, and files."""

from __future__ import annotations

from pathlib import Path


class Machine:
    """Files below `root`, as a system has them, and tools in `bin`."""

    def __init__(self, folder: Path, tools: Path | None = None) -> None:
        self.root, self.bin = folder / "system", tools or folder / "tools"
        self.root.mkdir()
        self.bin.mkdir(exist_ok=True)

    def tool(self, name: str, answer: str = "", status: int = 0) -> None:
        """A program; `answer` is the body of a shell script."""
        file = self.bin / name
        file.write_text(f"#!/bin/sh\n{answer}\nexit {status}\n")
        file.chmod(0o755)

    def file(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def nvidia(self, *cards: str, cuda: str = "12.4") -> None:
        """NVIDIA's driver with cards such as "NVIDIA GeForce RTX 3060, 8.6"."""
        lines = "\n".join(f'echo "{card}"' for card in cards)
        header = f'echo "| Driver Version: 550.54   CUDA Version: {cuda} |"'
        self.tool("nvidia-smi", f'case "$*" in *compute_cap*) {lines} ;; "") {header} ;; esac')

    def nvcc(self, release: str = "12.4", architectures: str = "75 80 86 89 90") -> None:
        known = " ".join(f"compute_{number}" for number in architectures.split())
        version = f'echo "Cuda compilation tools, release {release}, V{release}.1"'
        self.tool("nvcc", f'case "$1" in --version) {version} ;; *) echo {known} ;; esac')

    def pci(self, vendor: str, address: str = "0000:03:00.0", memory: int | None = None) -> None:
        folder = f"sys/bus/pci/devices/{address}"
        self.file(f"{folder}/class", "0x030000\n")
        self.file(f"{folder}/vendor", f"{vendor}\n")
        if memory is not None:
            self.file(f"{folder}/mem_info_vram_total", f"{memory}\n")

    def radeon(self) -> None:
        self.pci("0x1002", memory=16 << 30)
        self.file("dev/dri/renderD128")
        line = '0000:03:00.0 "VGA compatible controller" "AMD/ATI" "Navi 33 [Radeon RX 7600]" -rc1'
        self.tool("lspci", f"echo '{line}'")

    def vulkan(self, version: int = 290) -> None:
        """All that building with Vulkan takes."""
        self.tool("glslc")
        self.file("usr/lib/x86_64-linux-gnu/libvulkan.so")
        self.file("usr/share/cmake/SPIRV-Headers/SPIRV-HeadersConfig.cmake")
        complete = f"VK_MAKE_API_VERSION(0, 1, {4 if version >= 300 else 3}, VK_HEADER_VERSION)"
        self.file(
            "usr/include/vulkan/vulkan_core.h",
            f"#define VK_HEADER_VERSION {version}\n#define VK_HEADER_VERSION_COMPLETE {complete}\n",
        )

    def rocm(self) -> None:
        self.tool("hipcc")
        self.tool("hipconfig", "echo /opt/rocm/llvm/bin")
        self.file("dev/kfd")
        self.file("opt/rocm/lib/cmake/hipblas/hipblas-config.cmake")
        nodes = "sys/class/kfd/kfd/topology/nodes"
        self.file(f"{nodes}/0/properties", "cpu_cores_count 16\ngfx_target_version 0\n")
        self.file(f"{nodes}/1/properties", "cpu_cores_count 0\ngfx_target_version 110002\n")
