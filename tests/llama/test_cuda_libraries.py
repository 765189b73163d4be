"""CUDA's libraries as pip installs them are found by a llama.cpp that was built for CUDA."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("cc"), reason="builds libraries of Linux"
)

FILE = Path(__file__).parents[2] / "gemma_mtp" / "llama" / "cuda_libraries.py"
LOAD = """
import ctypes, runpy, sys
sys.path.insert(0, {site!r})
if {first}:
    print(len(runpy.run_path({file!r})["preload"]()))
ctypes.CDLL({backend!r})
"""


def library(file: Path, *needs: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    options = ["-Wl,--no-as-needed", f"-Wl,-soname,{file.name}", "-x", "c", "/dev/null"]
    subprocess.run(["cc", "-shared", "-o", file, *options, "-x", "none", *needs], check=True)


def test_they_are_loaded_before_llama_cpp_asks_for_them(tmp_path: Path) -> None:
    cuda, lib = tmp_path / "nvidia" / "cu13" / "lib", tmp_path / "llama_cpp" / "lib"
    runtime, light, blas = (cuda / f"lib{n}.so.13" for n in ("cudart", "cublasLt", "cublas"))
    library(runtime)
    library(light)
    library(blas, light)
    library(lib / "libggml-cuda.so", runtime, blas)
    (lib.parent / "__init__.py").write_text("")

    def load(first: bool) -> subprocess.CompletedProcess[str]:
        """In a process whose llama.cpp is the one made here."""
        backend = str(lib / "libggml-cuda.so")
        program = LOAD.format(site=str(tmp_path), first=first, file=str(FILE), backend=backend)
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert "cannot open shared object" in load(first=False).stderr
    found = load(first=True)
    assert (found.stdout, found.stderr) == ("3\n", "")
