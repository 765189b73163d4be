"""The documentation against the program: links, command lines, options, paths and lists."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from gemma_mtp.chat import verbs
from gemma_mtp.cli import flags
from gemma_mtp.cli.app import app
from gemma_mtp.errors import ExitStatus
from gemma_mtp.files.config_file import KEYS
from gemma_mtp.measure.bench import published
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.options import SETTINGS
from gemma_mtp.paths import HOME_VARIABLE
from gemma_mtp.resident.keep import BUILD_SERVERS
from gemma_mtp.terminal.figures import MEANINGS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference.md"
CODE = ROOT / "docs" / "code.md"
BENCHMARKS = ROOT / "benchmarks" / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), BENCHMARKS]
MOST = 9000  # bytes of the README

EVERY: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
COMMANDS = {name: command for name, command in EVERY.items() if not command.hidden}
"""Those that help lists; the others are the same under the names of other programs."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
OTHER_PROGRAMS = ("pip ", "uv ", "apt ", "cmake ", "hf ", "python ", "git ", "docker ")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", text_of(page))


def spans_of(page: Path) -> list[str]:
    return SPAN.findall(prose_of(page))


def anchors(page: Path) -> set[str]:
    """What a link into a page may end with, as GitHub names headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return {*plain, *re.findall(r'<a id="([^"]+)">', text_of(page))}


def command_lines(page: Path) -> Iterator[str]:
    """Every call of gemma-mtp on a page, by that name or by scripts/chat, without its name."""
    blocks = [body for kind, body in FENCE.findall(text_of(page)) if kind == "sh"]
    lines = [line for body in blocks for line in body.splitlines()]
    for line in [*lines, *(span.replace("\\|", "|") for span in spans_of(page))]:
        for part in re.split(r"[|;]|&&", without_brackets(line)):
            if found := re.search(r"(?:^|\s)(?:\./)?(gemma-mtp|scripts/chat)(?:\s+|$)(.*)", part):
                yield re.split(r"\s[<>]", found[2])[0]


def without_brackets(line: str) -> str:
    """What stands in brackets may be left out, and may be written."""
    return re.sub(r"[\[\]]", "", line)


def parse(line: str) -> None:
    """Read a command line as the program does, short of doing it."""
    words = shlex.split(line, comments=True)
    if not words or words[0] in ("COMMAND", "--version", "--help"):
        return
    command = COMMANDS[words.pop(0)]
    while words and words[0] in vars(command).get("commands", {}):
        command = vars(command)["commands"][words.pop(0)]
    if "--help" not in words:
        command.make_context(command.name, words)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    for target in targets:
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_relative_to(ROOT), target
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pages
def test_command_lines_are_ones_that_the_program_takes(page: Path) -> None:
    for line in command_lines(page):
        parse(line)


def test_many_command_lines_were_checked() -> None:
    assert sum(len(list(command_lines(page))) for page in PAGES) > 50
    with pytest.raises(KeyError):
        parse("chatt e2b")
    with pytest.raises(Exception, match="No such option: --plot"):
        parse("bench e2b --plot speed.svg")


def options(commands: dict[str, Any]) -> set[str]:
    """Every option of these commands and of those below them."""
    found = {"--help", "--version"}
    for command in commands.values():
        for option in command.params:
            found |= {*option.opts, *option.secondary_opts}
        found |= options(vars(command).get("commands", {}))
    return found


@pages
def test_options_that_are_named_exist(page: Path) -> None:
    known = options(COMMANDS) | {f"--{name.replace('_', '-')}" for name in flags.OTHER_NAMES}
    for span in spans_of(page):
        ours = not span.startswith(OTHER_PROGRAMS) and ".py" not in span and page != BENCHMARKS
        for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span) if ours else ():
            if name not in known:
                assert used_by_a_benchmark(name), f"{name} in {span}"


def used_by_a_benchmark(option: str) -> bool:
    return any(f'"{option}"' in text_of(file) for file in (ROOT / "benchmarks").glob("*.py"))


def paths_in(text: str) -> list[str]:
    """Files and folders of this project that a text names."""
    folders = r"(?:benchmarks|scripts|docs|tests|gemma_mtp)/"
    found = re.findall(rf"(?<![\w./-]){folders}[\w./-]*\w", text)
    return [name for name in found if name != "benchmarks/NAME.py"]


@pages
def test_paths_that_are_named_exist(page: Path) -> None:
    assert [name for name in paths_in(text_of(page)) if not (ROOT / name).exists()] == []


def test_paths_that_the_code_names_exist() -> None:
    files = [ROOT / "models.toml", ROOT / "scripts" / "_setup.sh"]
    for folder in ("gemma_mtp", "benchmarks", "scripts"):
        files += (ROOT / folder).rglob("*.py")
    lost = {
        name for file in files for name in paths_in(text_of(file)) if not (ROOT / name).exists()
    }
    assert lost == set()


def test_every_program_that_measures_is_listed() -> None:
    named = {span.split()[0].rstrip("/") for span in spans_of(BENCHMARKS)}
    files = {file.name for file in (ROOT / "benchmarks").glob("*.py")}
    assert files <= named
    assert {name for name in named if name.endswith(".py")} <= {*files, ".venv/bin/python"}


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda f: f.stem)
def test_programs_that_measure_find_what_they_import(file: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])  # some add folders to it
    for library in re.findall(r"^import (gguf|torch)$", text_of(file), re.MULTILINE):
        pytest.importorskip(library)
    importlib.import_module(file.stem)


def test_options_of_programs_that_measure_exist() -> None:
    for span in spans_of(BENCHMARKS):
        program, *words = span.split()
        if program.endswith(".py") and program != ".venv/bin/python":
            source = text_of(ROOT / "benchmarks" / program)
            assert all(f'"{word}"' in source for word in words if word.startswith("--")), span


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= MOST


def test_the_readme_begins_with_a_picture_of_a_chat() -> None:
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text_of(README))
    assert images[0] == "docs/chat.svg"


def test_the_readme_has_the_figures_that_bench_shows() -> None:
    assert published.table() in text_of(README)


def test_the_readme_lists_the_models() -> None:
    names = [entry.name.split(":")[0] for entry in load_catalogue().entries]
    listed = re.findall(r"^\| `(\w+)` \|", text_of(README), re.MULTILINE)
    assert listed == list(dict.fromkeys(names))


def section(heading: str) -> str:
    """What stands below a heading of the reference."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(REFERENCE), re.M | re.S)
    assert found, heading
    return found[1]


def test_the_reference_lists_every_command() -> None:
    listed = re.findall(r"^\| `gemma-mtp ([\w-]+)", section("Commands"), re.MULTILINE)
    assert listed == list(COMMANDS)


def test_the_script_for_a_chat_passes_every_command_on() -> None:
    listed = re.search(r"^    (run .*)\)$", text_of(ROOT / "scripts" / "chat"), re.MULTILINE)
    assert listed
    assert {*listed[1].split(" | ")} == {*EVERY, "--version"}


def test_the_reference_says_what_takes_json() -> None:
    without = {name for name, found in COMMANDS.items() if "--json" not in options({name: found})}
    assert without == {"chat", "completion", "help", "serve", "stop"}
    assert "All but `chat`, `completion`, `help`, `serve` and `stop` take" in section("Commands")


def test_the_reference_lists_every_verb() -> None:
    assert verbs.table() in section("In a chat")


def test_the_figures_are_explained_in_the_words_of_the_chat() -> None:
    rows = "".join(f"| {figure} | {means} |\n" for figure, means in MEANINGS)
    assert rows in section("What the figures mean")


def test_the_reference_lists_every_exit_status() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", section("Exit statuses"), re.MULTILINE)
    listed = [int(number) for row in rows for number in row.split(",")]
    assert listed == [*ExitStatus, 129, 143]  # the latter two are those of a signal


def test_the_reference_lists_every_option_of_chat_and_run_and_every_key() -> None:
    text = section("Settings")
    missing = [row for row in flags.table().splitlines() if row not in text]
    assert not missing, "docs/reference.md lacks these rows:\n" + "\n".join(missing)
    for command in ("chat", "run"):
        named = [(o.opts[0], *o.secondary_opts) for o in COMMANDS[command].params]
        named = [ways for ways in named if ways[0].startswith("--")]
        assert [ways for ways in named if not any(f"`{way}" in text for way in ways)] == []
    assert set(re.findall(r"\| `(\w+)` \|", text)) == set(KEYS) - {"model"}
    assert "`model`" in text


def test_the_reference_names_the_variable_for_all_folders() -> None:
    assert f"`{HOME_VARIABLE}`" in section("Environment variables")


def test_the_reference_names_every_variable_that_the_program_reads() -> None:
    read = r'''(?:environ|env)(?:\.get\(|\[|\.setdefault\()"([A-Z_]+)"'''
    names = {
        name
        for file in (ROOT / "gemma_mtp").rglob("*.py")
        for name in re.findall(read, text_of(file))
    }
    assert len(names) > 3
    names |= {known.variable for known in SETTINGS.values() if known.variable} | {*BUILD_SERVERS}
    text = section("Environment variables")
    assert {name for name in names if f"`{name}`" not in text} <= {"PATH", "PYTHONPATH"}


def test_the_map_names_every_package_and_nothing_that_is_not_there() -> None:
    package = ROOT / "gemma_mtp"
    folders = {file.parent.name for file in package.glob("*/__init__.py")}
    top = {file.name for file in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    rows = re.findall(r"^\| `([\w./]+)`", section_of_code("The map"), re.MULTILINE)
    assert {row.rstrip("/") for row in rows} == folders | top
    for span in spans_of(CODE):
        if re.fullmatch(r"[a-z_]+(?:/[a-z_]+)*/[a-z_]+\.py", span):
            assert (package / span).exists() or (ROOT / span).exists(), span


def section_of_code(heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of(CODE), re.M | re.S)
    assert found, heading
    return found[1]
