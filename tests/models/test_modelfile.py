"""What of a Modelfile becomes a preset, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma_mtp.errors import UsageError
from gemma_mtp.models import modelfile
from gemma_mtp.models.presets import as_data

WHOLE = '''# one of Ollama's examples
FROM gemma4:e2b
# sets the temperature
PARAMETER temperature 0.5
parameter num_ctx 4096
PARAMETER num_predict -1
PARAMETER repeat_last_n -1
PARAMETER stop "<end>"
PARAMETER stop AI:
PARAMETER mirostat 0
PARAMETER mirostat_tau 5.0
PARAMETER num_batch 64
SYSTEM """
You are Mario.
# Answer "in character".
"""
TEMPLATE """{{ if .System }}{{ .System }}{{ end }}
{{ .Prompt }}"""
LICENSE MIT
MESSAGE user Hi
MESSAGE assistant "It's a me,
Mario"
'''


def test_the_useful_part_becomes_a_preset() -> None:
    read = modelfile.read(WHOLE, "mario", Path("/models"))
    assert as_data(read.kept) == {
        "from": "gemma4:e2b",
        "ctx": 4096,
        "repeat_last_n": 1 << 20,
        "stop": ["<end>", "AI:"],
        "system": 'You are Mario.\n# Answer "in character".',
        "temperature": 0.5,
        "message": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "It's a me,\nMario"},
        ],
    }
    assert [note.partition(" ")[0] for note in read.notes] == ["TEMPLATE", "LICENSE", "Left"]
    assert read.notes[2].endswith("mirostat_tau, num_batch.")


def test_what_nothing_here_is_like_is_named() -> None:
    read = modelfile.read("FROM e2b\nPARAMETER mirostat 2\nADAPTER x.gguf", "x", Path("/"))
    assert "mirostat" in " ".join(read.notes)
    assert "ADAPTER is left out" in " ".join(read.notes)


def test_files_are_looked_for_beside_the_modelfile(tmp_path: Path) -> None:
    text = "FROM ./target.gguf\nFROM mmproj.gguf\nDRAFT drafter.gguf\n"
    kept = modelfile.read(text, "x", tmp_path).kept
    assert (kept.model, kept.drafter) == (
        str(tmp_path / "target.gguf"),
        tmp_path / "drafter.gguf",
    )


def test_a_system_message_joins_the_system_prompt() -> None:
    text = "FROM e2b\nSYSTEM One.\nMESSAGE system Two.\nMESSAGE user a\nMESSAGE assistant b"
    kept = modelfile.read(text, "x", Path("/")).kept
    assert dict(kept.preset.values)["system"] == "One.\n\nTwo."
    assert len(kept.preset.messages) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("PARAMETER temperature 1", "no FROM"),
        ("FROM e2b\nFORM e2b", 'Line 2 of the Modelfile: "FORM"'),
        ("FROM e2b\nPARAMETER temprature 1", "temperature"),
        ("FROM e2b\nPARAMETER temperature hot", "Line 2 of the Modelfile: temperature must be"),
        ("FROM e2b\nPARAMETER temperature", "needs a name and a value"),
        ('FROM e2b\nSYSTEM """open', "quotes that never close"),
        ("FROM e2b\nMESSAGE robot hi", "needs system, user or assistant"),
        ("FROM e2b\nMESSAGE user hi", "end with one of the assistant's"),
        ("FROM", "Line 1 of the Modelfile: FROM needs the name of a model"),
        ("FROM e2b\nDRAFT", "Line 2 of the Modelfile: DRAFT needs"),
        ("FROM ~nobody-at-all/x.gguf", "there is no user of that name"),
        ("FROM e2b\nDRAFT ~nobody-at-all/x.gguf", "Line 2 of the Modelfile: ~nobody-at-all"),
    ],
)
def test_what_makes_no_sense_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        modelfile.read(text, "x", Path("/"))
    assert said in f"{caught.value} {caught.value.hint}"


def test_what_can_be_no_path_is_taken_for_a_name() -> None:
    for name in ("a" * 300, "a\0b"):
        assert modelfile.read(f"FROM {name}", "x", Path("/")).kept.model == name


def test_a_folder_is_no_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(UsageError) as caught:
        modelfile.read("FROM ./weights", "x", tmp_path)
    assert "gemma-mtp convert" in caught.value.hint


def test_a_preset_written_as_a_modelfile_is_the_same_again() -> None:
    kept = modelfile.read(WHOLE, "mario", Path("/")).kept
    kept = kept.changed({"keep_alive": "1h", "draft": "auto", "think": True, "kv_type": "q8_0"})
    text = modelfile.written(kept)
    assert "PARAMETER num_ctx 4096\n" in text
    assert modelfile.read(text, "mario", Path("/")).kept == kept
