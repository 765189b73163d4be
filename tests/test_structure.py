"""Dependencies point one way, and the heavy ones have one importer each."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gemma_mtp"
TERMINAL = {"rich", "prompt_toolkit", "typer"}
CORE = (
    *("speculative", "proposer", "sampling", "draft_length", "worth", "survey", "costs"),
    *("acceptance", "timing", "baseline", "ring", "lookup"),
)
ENGINE_SIDE = (
    *CORE,
    *(
        "engine",
        "reply",
        "background",
        "snapshots",
        "session",
        "amx",
        "threads",
        "events",
        "options",
    ),
    *("errors", "streaming", "template", "rendering", "template_process", "length"),
    *("gguf", "pairing", "shape", "memory"),
    *(f"llama/{path.stem}" for path in sorted((PACKAGE / "llama").glob("*.py"))),
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
    folders = {p.parent for p in PACKAGE.rglob("*.py") if imports(p) & {"llama_cpp"}}
    assert folders == {PACKAGE / "llama"}
    assert importers("huggingface_hub") == {"hub"}


@pytest.mark.parametrize("module", ENGINE_SIDE)
def test_the_engine_side_knows_no_terminal_network_or_command_line(module):
    names = imports(PACKAGE / f"{module}.py")
    assert not {n.split(".")[0] for n in names} & (TERMINAL | {"huggingface_hub", "platformdirs"})
    inside = {n.removeprefix("gemma_mtp.") for n in names}
    assert not inside & {"cli", "render", "screen", "oneshot", "arguments", "store", "world"}
    assert not any(n.startswith(("chat", "markdown", "pull", "bench")) for n in inside)


@pytest.mark.parametrize(
    ("module", "known"),
    [
        ("shape", set()),
        ("memory", {"shape", "options", "snapshots"}),
        ("fit", {"catalogue", "machine", "memory", "options"}),
        ("machine", set()),
    ],
)
def test_what_fits_is_arithmetic(module, known):
    names = {n for n in imports(PACKAGE / f"{module}.py") if n.startswith("gemma_mtp.")}
    assert {n.removeprefix("gemma_mtp.") for n in names} == known


@pytest.mark.parametrize("module", CORE)
def test_the_core_is_pure(module):
    names = imports(PACKAGE / f"{module}.py")
    inner = {n for n in names if n.startswith("gemma_mtp")}
    assert inner <= {f"gemma_mtp.{name}" for name in (*CORE, "events", "errors")}
    assert "llama_cpp" not in names


PURE_CHAT = {
    "turns": {"events"},
    "conversation": {"chat.turns", "events"},
    "overflow": set(),
    "comparison": {"chat.turns", "figures"},
    "parameters": {"arguments", "errors"},
}


@pytest.mark.parametrize(("module", "known"), PURE_CHAT.items())
def test_what_a_chat_decides_is_pure(module, known):
    names = imports(PACKAGE / "chat" / f"{module}.py")
    assert {n.removeprefix("gemma_mtp.") for n in names if n.startswith("gemma_mtp.")} == known
    assert not names & {"os", "pathlib", "sys", "time"}


def test_verbs_reach_engine_disk_and_keyboard_through_the_chat():
    outer = {"engine", "world", "store", "cli", "screen", "render", "chat.keyboard"}
    for path in (PACKAGE / "chat" / "verbs").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not {n.removeprefix("gemma_mtp.") for n in imports(path)} & outer, path
        assert "prompt_toolkit" not in source


def test_only_the_keyboard_draws_its_line():
    keyboard = {"keyboard", "device", "history", "keys", "layout", "line", "menu", "picker"}
    assert importers("prompt_toolkit") <= keyboard


ALLOWED = {
    "unguarded(": {"output", "screen", "device"},
    ".write_raw(": {"device"},
    r"\x1b": {"screen", "device", "modes", "clipboard"},  # sequences of the program's own
    "ensure_ascii": {"output", "rendering", "config"},  # others leave JSON to `json_text`
    "sys.__std": set(),
    "sys.stdout.buffer": {"rendering"},  # a pipe to this program
    "sys.stderr.buffer": set(),
    "os.write(sys.std": {"modes"},  # one of two constants
    "os.write(1": set(),
    "os.write(2": set(),
    "/dev/tty": {"start"},  # in a comment
    "set_title": set(),
}


@pytest.mark.parametrize(("way", "known"), ALLOWED.items())
def test_text_for_a_screen_has_one_way_out(way, known):
    """The streams of the process are guarded, so whatever writes to them is; these ways lead around
    that guard, and whoever takes one cares for the text itself."""
    found = {p.stem for p in PACKAGE.rglob("*.py") if way in p.read_text(encoding="utf-8")}
    assert found <= known


def test_questions_are_asked_with_harmless_words():
    """The prompt of `input` goes to the terminal directly."""
    calls = {
        ast.unparse(node.args[0])
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "input"
    }
    assert calls == {"harmless(f'{question} ')", "prompt", "CONTINUED"}
