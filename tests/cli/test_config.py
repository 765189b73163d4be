"""config.toml: read strictly, edited gently, honoured by `chat` and `run`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.fakes import FakeEnvironment, invoke
from support.terminal import Terminal

from gemma_mtp import paths
from gemma_mtp.api import PairFiles, Sampling
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import UsageError
from gemma_mtp.files import config_file


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    monkeypatch.delenv("GEMMA_MTP_KEEP_ALIVE", raising=False)
    return paths.config_file()


class Configured(FakeEnvironment):
    """With the settings of the file."""

    settings = Environment.settings


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_no_file_means_no_settings(file: Path) -> None:
    assert config_file.read(file) == {}


def test_numbers_may_be_written_as_people_write_them(file: Path) -> None:
    put(file, 'temperature = 1\ndraft = 3\nthink = true\nunheard_of = 1\nmodel = "12b"')
    assert config_file.read(file) == {
        "temperature": 1.0,
        "draft": 3,
        "think": True,
        "model": "12b",
    }
    assert config_file.unknown(file) == ["unheard_of"]


@pytest.mark.parametrize(
    "line", ['ctx = "8192"', "ctx = true", "ctx = 1.5", "think = 1", "top_p = []"]
)
def test_a_value_of_another_kind_is_named(file: Path, line: str) -> None:
    put(file, line)
    with pytest.raises(UsageError, match=f"{line.split()[0]} must be"):
        config_file.read(file)


def test_an_edit_leaves_the_rest_alone(file: Path) -> None:
    text = '# mine\nctx = 4096  # enough\n\nmodel = "e2b"\n[later]\nctx = 1\n'
    put(file, text)
    config_file.write(file, "ctx", 8192)
    config_file.write(file, "system", 'Say "hi".\nBriefly.')
    assert file.read_text() == (
        '# mine\nctx = 8192\n\nmodel = "e2b"\n'
        'system = "Say \\"hi\\".\\nBriefly."\n[later]\nctx = 1\n'
    )
    assert config_file.read(file)["system"] == 'Say "hi".\nBriefly.'
    config_file.write(file, "ctx", None)
    config_file.write(file, "system", None)
    assert file.read_text() == '# mine\n\nmodel = "e2b"\n[later]\nctx = 1\n'


def test_what_cannot_be_edited_safely_is_left_alone(file: Path) -> None:
    text = 'system = """\nctx = 1\n"""\nctx = 2\n'
    put(file, text)
    with pytest.raises(UsageError, match="cannot be edited here"):
        config_file.write(file, "ctx", 3)
    assert file.read_text() == text


def test_settings_from_the_command_line(file: Path) -> None:
    assert invoke("config", "ctx", "16384").status == 0
    assert invoke("config", "gpu_layers", "-1").status == 0
    assert invoke("config", "think", "true").status == 0
    assert invoke("config", "model", "Gemma4:12B").status == 0
    assert config_file.read(file) == {
        "ctx": 16384,
        "gpu_layers": -1,
        "think": True,
        "model": "Gemma4:12B",
    }
    assert invoke("config", "ctx").stdout == "16384\n"
    shown = invoke("config").stdout
    assert "model           config.toml  Gemma4:12B\n" in shown
    assert "think           config.toml  true\n" in shown
    assert "threads         built in     chosen for this machine\n" in shown
    done = invoke("config", "--unset", "think")
    assert (done.status, done.stdout) == (0, "")
    now = "What holds now: false (built in).\n"
    assert done.stderr == f"gemma-mtp: think is out of {file}. {now}"
    again = invoke("config", "--unset", "think").stderr
    assert again == f"gemma-mtp: think is not in {file}. {now}"
    assert invoke("config", "think").stdout == "false\n"
    everything = json.loads(invoke("config", "--json").stdout)
    assert everything["file"] == str(file)
    assert everything["settings"].keys() == config_file.KEYS.keys()
    assert everything["settings"]["ctx"] == {"value": 16384, "origin": "config.toml"}
    assert json.loads(invoke("config", "seed", "--json").stdout) == {
        "seed": {"value": None, "origin": "built in"}
    }


def test_a_setting_goes_by_the_names_that_people_know(file: Path) -> None:
    for typed, word in (("num-ctx", "4096"), ("GPU-Layers", "3"), ("context", "8192")):
        assert invoke("config", typed, word).status == 0
    assert config_file.read(file) == {"ctx": 8192, "gpu_layers": 3}
    assert invoke("config", "num_ctx").stdout == "8192\n"
    assert invoke("config", "--unset", "num_gpu").status == 0
    assert config_file.read(file) == {"ctx": 8192}
    assert "Did you mean temperature?" in invoke("config", "temprature", "1").stderr
    assert "Did you mean temperature?" in invoke("config", "--unset", "temprature").stderr


class Used(FakeEnvironment):
    """The model used last has a sampling of its own."""

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        return PairFiles("12b", Path("t.gguf"), None, sampling=Sampling(temperature=0.25))


def test_what_holds_may_come_from_the_model(file: Path) -> None:
    put(file, "top_k = 9")
    shown = invoke("config", env=Used()).stdout
    assert "model           used last    12b\n" in shown
    assert "temperature     12b          0.25\n" in shown
    assert "top_k           config.toml  9\n" in shown


def test_what_a_variable_says_counts_more_than_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke("config", "keep_alive", "off").status == 0
    assert file.read_text() == 'keep_alive = "off"\n'
    assert "keep_alive      config.toml  off\n" in invoke("config").stdout
    monkeypatch.setenv("GEMMA_MTP_KEEP_ALIVE", "1h")
    assert invoke("config", "keep_alive").stdout == "1h\n"
    assert "GEMMA_MTP_KEEP_ALIVE  1h\n" in invoke("config").stdout


def test_all_wrong_values_are_named_at_once(file: Path) -> None:
    put(file, "ctx = 3\nthink = 1\nmarkdown = false\ntop_p = 7.0\n")
    outcome = invoke("config")
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        f"gemma-mtp: In {file}, 3 settings make no sense.\n"
        "  ctx must be a whole number between 256 and 1048576, not 3.\n"
        "  think must be true or false, not 1.\n"
        "  top_p must be a number above 0 and at most 1, not 7.0.\n"
    )
    for name in ("ctx", "think"):
        assert invoke("config", "--unset", name).status == 0
    assert invoke("config").stderr == (
        f"gemma-mtp: In {file}, top_p must be a number above 0 and at most 1, not 7.0.\n"
    )


@pytest.mark.parametrize("columns", [100, 60, 40])
def test_what_holds_is_shown_whole_on_any_window(
    columns: int, file: Path, open_terminal: Callable[..., Terminal]
) -> None:
    put(file, 'system = "Answer briefly, in whole sentences, and name what you are not sure of."')
    home = {"GEMMA_MTP_HOME": str(file.parent.parent)}
    shown = open_terminal("config", columns=columns, rows=90, real=True, **home)
    shown.until(lambda: any(line.startswith("overflow") for line in shown.lines))
    text = " ".join(" ".join(shown.lines).split())
    assert "Answer briefly, in whole sentences, and name what you are not sure of." in text
    assert "temperature built in 1.0" in text
    assert b"\x1b[2moverflow" in shown.raw
    assert b"\x1b[2msystem" not in shown.raw


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["ctx", "3"], 2, "ctx must be a whole number between"),
        (["ctx", "much"], 2, "ctx must be a whole number"),
        (["draft", "fast"], 2, "draft must be auto"),
        (["size", "3"], 2, 'There is no setting "size"'),
        (["size"], 2, 'There is no setting "size"'),
        (["--unset", "size"], 2, 'There is no setting "size"'),
        (["model", "e9b"], 4, 'There is no model called "e9b"'),
    ],
)
def test_settings_that_make_no_sense(
    words: list[str], status: int, sentence: str, file: Path
) -> None:
    outcome = invoke("config", *words)
    assert outcome.status == status
    assert sentence in outcome.stderr
    assert not file.exists()


def test_chat_and_run_honour_settings_and_the_command_line_wins(file: Path) -> None:
    put(file, 'ctx = 512\nthreads = 3\ntemperature = 0.25\nthink = true\nsystem = "Be brief."\n')
    for command in ("run", "chat"):
        there = Configured()
        assert invoke(command, "hi", "--threads", "1", "--no-think", env=there).status == 0
        loaded, request = there.loaded[0][1], there.engine.requests[0]
        assert (loaded.context, loaded.threads) == (512, 1)
        assert (request.sampling.temperature, request.think) == (0.25, False)
        assert request.messages[0].content == "Be brief."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "top_p = 7.0",
            "In {file}, top_p must be a number above 0 and at most 1, not 7.0.",
        ),
        (
            'flash_attn = "off"\nkv_type = "q8_0"',
            "In {file}, kv_type q8_0 needs flash attention, which is off.",
        ),
    ],
)
def test_a_setting_out_of_range_stops_before_loading(line: str, said: str, file: Path) -> None:
    put(file, line)
    there = Configured()
    outcome = invoke("run", "hi", env=there)
    assert (outcome.status, outcome.stdout, there.loaded) == (2, "", [])
    assert outcome.stderr == f"gemma-mtp: {said.format(file=file)}\n"
    assert "--" not in outcome.stderr


def test_a_setting_that_is_typed_is_called_as_it_is_typed(file: Path) -> None:
    put(file, 'flash_attn = "off"')
    outcome = invoke("run", "hi", "--kv-type", "q8_0", env=Configured())
    assert outcome.stderr == ("gemma-mtp: --kv-type q8_0 needs flash attention, which is off.\n")


@pytest.mark.parametrize("command", ["run", "chat"])
def test_slips_of_the_pen_are_named_where_the_settings_are_used(command: str, file: Path) -> None:
    put(file, "temprature = 0.5\nctx = 512")
    there = Configured()
    outcome = invoke(command, "tiny", "hi", env=there)
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    assert outcome.stderr == (
        f"gemma-mtp: {file} has settings that mean nothing: temprature. Did you mean temperature?\n"
    )
    assert there.loaded[0][1].context == 512
    assert invoke("config", "--unset", "temprature").status == 0
    assert file.read_text() == "ctx = 512"


class Broken(FakeEnvironment):
    def settings(self) -> dict[str, object]:
        raise UsageError("config.toml is not valid TOML.")


def test_help_does_not_need_the_settings() -> None:
    assert invoke("run", "--help", env=Broken()).status == 0
    assert invoke("run", "hi", env=Broken()).status == 2


def test_a_file_of_mcp_servers_is_kept_by_its_whole_path_since_chats_begin_in_other_folders(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("servers.json").write_text('{"mcpServers": {}}')
    assert invoke("config", "mcp", "servers.json").status == 0
    assert config_file.read(file)["mcp"] == str(tmp_path / "servers.json")
    Path("servers.json").write_text("{}")
    outcome = invoke("config", "mcp", "servers.json")
    assert (outcome.status, "names no MCP servers" in outcome.stderr) == (2, True)
    assert invoke("config", "mcp", "none").status == 0
