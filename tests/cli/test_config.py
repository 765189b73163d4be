"""config.toml: read strictly, edited gently, honoured by `chat` and `run`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import FakeEnvironment, invoke

from gemma_mtp import paths
from gemma_mtp.cli.environment import Environment
from gemma_mtp.errors import UsageError
from gemma_mtp.files import config_file


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
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
    assert "think           true" in invoke("config").stdout
    assert invoke("config", "--unset", "think").status == 0
    assert invoke("config", "think").stdout == "not set\n"
    assert invoke("config", "--json").stdout == (
        f'{{"file": "{file}", "settings": '
        '{"ctx": 16384, "gpu_layers": -1, "model": "Gemma4:12B"}}\n'
    )


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
    outcome = invoke(command, "hi", env=there)
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
