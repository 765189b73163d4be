"""Dependencies point one way, and the heavy ones have one importer each."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gemma_mtp"
TERMINAL = {"rich", "prompt_toolkit", "typer"}
ENGINE_SIDE = (
    *("engine", "llama", "ring", "amx", "threads", "session", "speculative", "sampling"),
    *("draft_length", "baseline", "events", "options", "errors", "streaming", "template"),
    *("gguf", "pairing", "shape", "memory"),
)


def imports(path):
    """Top-level names of everything a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found.add(f"gemma_mtp.{module}".rstrip(".") if node.level else module)
            if module in ("", "gemma_mtp"):
                found |= {f"gemma_mtp.{alias.name}" for alias in node.names}
    return found


def importers(library):
    return {
        path.stem
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == library for name in imports(path))
    }


def test_one_module_touches_llama_cpp_and_one_the_hub():
    assert importers("llama_cpp") == {"llama"}
    assert importers("huggingface_hub") == {"hub"}


@pytest.mark.parametrize("module", ENGINE_SIDE)
def test_the_engine_side_knows_no_terminal_network_or_command_line(module):
    names = imports(PACKAGE / f"{module}.py")
    assert not {n.split(".")[0] for n in names} & (TERMINAL | {"huggingface_hub", "platformdirs"})
    outer = {
        "cli",
        "repl",
        "commands",
        "render",
        "screen",
        "oneshot",
        "arguments",
        "store",
        "world",
    }
    assert not {n.removeprefix("gemma_mtp.") for n in names} & outer


@pytest.mark.parametrize(
    ("module", "known"),
    [
        ("shape", set()),
        ("memory", {"shape", "options"}),
        ("fit", {"catalogue", "machine", "memory", "options"}),
        ("machine", set()),
    ],
)
def test_what_fits_is_arithmetic(module, known):
    names = {n for n in imports(PACKAGE / f"{module}.py") if n.startswith("gemma_mtp.")}
    assert {n.removeprefix("gemma_mtp.") for n in names} == known


@pytest.mark.parametrize("module", ["speculative", "sampling", "draft_length", "baseline", "ring"])
def test_the_core_is_pure(module):
    names = imports(PACKAGE / f"{module}.py")
    inner = {n for n in names if n.startswith("gemma_mtp")}
    assert inner <= {"gemma_mtp.sampling", "gemma_mtp.events", "gemma_mtp.errors"}
