"""Dependencies point one way, and each outside library has one place where it is imported."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gemma_mtp"

BASE = {"api", "errors", "options", "setting", "settings", "text"}
"""What every package may know: what goes in and comes out, what can be set and what can go wrong,
text made safe."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "text": set(),
    "paths": {"errors"},
    "api": {"errors", "options", "setting", "settings", "text"},
    "setting": {"errors", "text"},
    "settings": {"errors", "setting", "text"},
    "options": {"errors", "setting", "settings", "text"},
    "files": {*BASE},
    "decoding": {*BASE},
    "llama": {*BASE, "files"},
    "engine": {*BASE, "decoding", "llama"},
    "models": {*BASE, "files", "paths", "decoding", "llama"},
    "conversations": {*BASE, "files"},
    "resident": {*BASE, "files", "paths", "llama", "engine", "models"},
    "server": {*BASE, "files", "models", "resident"},
    "batch": {*BASE, "files", "server", "tools"},
    "remote": {*BASE},
    "tools": {*BASE, "files", "paths"},
    "terminal": {*BASE, "files"},
    "measure": {*BASE, "decoding", "engine", "models", "terminal"},
    "chat": {*BASE, "files", "models", "conversations", "terminal", "tools"},
    "cli": {
        *(*BASE, "files", "paths", "decoding", "llama", "engine", "models"),
        *("conversations", "resident", "server", "batch", "remote", "tools"),
        *("terminal", "measure", "chat"),
    },
    "library": {*BASE, "files", "models", "paths", "resident", "remote"},
    "__main__": {"cli"},
    "__init__": {"library"},
}
"""A package, or a module at the top, and the others it may import."""

LIBRARIES = {
    "llama_cpp": {"llama"},
    "numpy": {"llama", "decoding", "engine", "measure"},
    "kagglehub": {"models/pull/kaggle_library.py"},
    "kagglesdk": {"models/pull/kaggle_library.py"},
    "requests": {"models/pull/kaggle_library.py"},
    "huggingface_hub": {"models/pull/hub.py"},
    "platformdirs": {"paths.py"},
    "prompt_toolkit": {"terminal"},
    "rich": {"terminal"},
    "pygments": {"terminal"},
    "typer": {"cli"},
    "click": {"cli"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "pydantic": {"server", "batch/openai.py", "library/forms.py"},
    "uvicorn": {"server/run.py", "server/connections.py"},
    "httpx": {"remote"},
    "llguidance": {
        *("engine/grammar.py", "engine/matchers.py", "engine/json_schema/formats.py"),
    },
    "mcp": {"tools/connection.py"},
    "jinja2": {"engine/template_rendering.py"},
}
"""A library and the packages, or the files, that may import it."""

FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """The package a file lies in, or the name of a module at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Dotted names of everything a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            found.add(module)
            if module.startswith("gemma_mtp"):
                found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def known(path: Path) -> set[str]:
    """The packages of ours, and modules at the top, that a file imports."""
    parts = [name.split(".") for name in imports(path)]
    return {p[1] for p in parts if p[0] == "gemma_mtp" and len(p) > 1 and p[1] != "__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_lies_in_a_package_and_imports_what_that_may(path: Path) -> None:
    package = name_of(path)
    assert package in MAY_IMPORT, f"{package} is no package of the table"
    assert known(path) - {package} <= MAY_IMPORT[package]


def test_no_two_packages_import_each_other() -> None:
    """Not even by way of others: the table can be put in an order."""
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


def test_the_table_allows_nothing_that_is_not_used() -> None:
    for package, allowed in MAY_IMPORT.items():
        used: set[str] = set()
        for path in FILES:
            used |= known(path) if name_of(path) == package else set()
        assert allowed - BASE <= used, package


def test_modules_of_models_and_files_import_in_one_direction() -> None:
    """Only `pull` knows `pull`, and the modules can be put in an order."""
    left = {
        ".".join(("gemma_mtp", *path.relative_to(PACKAGE).with_suffix("").parts)): imports(path)
        for path in FILES
        if name_of(path) in ("models", "files")
    }
    for module, names in left.items():
        if not module.startswith("gemma_mtp.models.pull."):
            assert not any(name.startswith("gemma_mtp.models.pull") for name in names), module
    left = {module: names & left.keys() for module, names in left.items()}
    while left:
        free = [module for module, needs in left.items() if not needs & left.keys()]
        assert free, f"these import each other: {sorted(left)}"
        for module in free:
            del left[module]


@pytest.mark.parametrize(("library", "places"), LIBRARIES.items())
def test_outside_libraries_have_one_place(library: str, places: set[str]) -> None:
    for path in FILES:
        if library in {name.split(".")[0] for name in imports(path)}:
            assert {name_of(path), path.relative_to(PACKAGE).as_posix()} & places, path


def test_verbs_reach_engine_disk_and_keyboard_through_the_chat() -> None:
    outer = {"gemma_mtp.models.store", "gemma_mtp.terminal.screen", "gemma_mtp.terminal.render"}
    for path in (PACKAGE / "chat" / "verbs").glob("*.py"):
        names = imports(path)
        assert not names & outer, path
        assert not any(name.startswith("gemma_mtp.terminal.prompt.chat_console") for name in names)


ALLOWED = {
    "unguarded(": {"output", "screen", "vt100", "tables"},
    ".write_raw(": {"vt100"},
    r"\x1b": {"escapes", "keyboard", "typed"},  # the program's own; the last two read only
    "ensure_ascii": {"text", "template_rendering", "config_file"},  # others use `json_text`
    "sys.__std": set(),
    "sys.stdout.buffer": {"template_rendering"},  # a pipe to this program
    "sys.stderr.buffer": set(),
    "os.write(sys.std": {"tty_modes"},  # one of two constants
    "os.write(1": set(),
    "os.write(2": set(),
    "/dev/tty": {"start"},  # in a comment
    "set_title": set(),
}


@pytest.mark.parametrize(("way", "known"), ALLOWED.items())
def test_text_for_a_screen_has_one_way_out(way: str, known: set[str]) -> None:
    """The streams of the process are guarded, so whatever writes to them is; these ways lead around
    that guard, and whoever takes one cares for the text itself."""
    found = {p.stem for p in FILES if way in p.read_text(encoding="utf-8")}
    assert found <= known


def test_questions_are_asked_with_harmless_words() -> None:
    """The prompt of `input` goes to the terminal directly."""
    calls = {
        ast.unparse(node.args[0])
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "input"
    }
    assert calls == {"harmless(f'{question} ')", "PROMPT", "CONTINUED"}
