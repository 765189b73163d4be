"""Presets are found by their names, read as config.toml is, and hold in the order that is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma_mtp.api import Message
from gemma_mtp.errors import ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.models import inventory, presets, store
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.presets import Kept, kept_of
from gemma_mtp.options import Options

DATA = {
    "from": "tiny",
    "temperature": 0.25,
    "ctx": 512,
    "stop": ["<end>", "AI:"],
    "think_budget": 40,
    "draft": "off",
    "keep_alive": "1h",
    "system": 'Two lines,\none with "quotes" and a \\ in it.\n',
    "message": [
        {"role": "user", "content": "Hello\nthere"},
        {"role": "assistant", "content": "Hi"},
    ],
}


pytestmark = pytest.mark.usefixtures("synthetic_pair")


@pytest.fixture
def shop() -> store.Store:
    return store.Store(load_catalogue())


def test_what_is_kept_is_read_again(home: Path) -> None:
    kept = kept_of("pirate:v2", DATA)
    path = presets.keep(kept)
    assert path == home / "config" / "presets" / "pirate@v2.toml"
    assert presets.find("Pirate:V2") == presets.find("pirate:v2:latest") == kept
    assert presets.names() == ["pirate:v2"]
    values = dict(kept.preset.values)
    assert (values["think"], values["think_budget"], values["draft"]) == (True, 40, 0)
    assert (values["keep_alive"], values["stop"]) == (3600, ("<end>", "AI:"))
    assert presets.kept_of("other", presets.as_data(kept)) == kept.called("other")


def test_a_name_becomes_files_and_settings(shop: store.Store) -> None:
    presets.keep(kept_of("pirate", DATA))
    files = shop.resolve("pirate")
    assert (files.name, files.called) == ("tiny", "pirate")
    assert [m.role for m in files.opening] == ["user", "assistant"]
    found = files.fill(Options().configured(temperature=0.5, top_k=3).with_values(context=1024))
    assert (found.temperature, found.top_k, found.context) == (0.25, 3, 1024)
    assert found.system is not None
    assert found.system.startswith("Two lines,\n")
    plain = shop.resolve("tiny").fill(found)
    assert (plain.temperature, plain.system, plain.stop) == (0.5, None, ())
    assert files.bare == shop.resolve("tiny").bare  # so that an engine loads neither anew


def test_a_preset_whose_model_is_not_here_says_which_pull_brings_it(shop: store.Store) -> None:
    presets.keep(Kept(presets.Preset("mine"), "12b"))
    with pytest.raises(NotPulled) as caught:
        shop.resolve("mine")
    assert caught.value.name == "12b"
    assert "mine is a preset of 12b" in str(caught.value)
    assert caught.value.hint == "gemma-mtp pull 12b"
    assert shop.meant("mine").name == "12b"  # which is what `pull mine` fetches


def test_a_name_near_that_of_a_preset_is_a_slip(shop: store.Store) -> None:
    presets.keep(kept_of("pirate", DATA))
    with pytest.raises(ModelNotAvailable) as caught:
        shop.resolve("pirat")
    assert "pirate" in caught.value.hint


@pytest.mark.parametrize("name", ["e2b", "gemma4:e2b", "gemma4", "E2B:latest", "gemma-4-12b-it"])
def test_a_name_that_means_a_model_is_refused(shop: store.Store, name: str) -> None:
    with pytest.raises(UsageError, match="is the name of a model"):
        shop.preset("tiny", name)


@pytest.mark.parametrize("name", ["", "a b", "../x", "owner/name", "x.gguf", "-x", "a:b:c", "ä"])
def test_what_can_be_no_name_is_refused(shop: store.Store, name: str) -> None:
    with pytest.raises(UsageError):
        shop.preset("tiny", name)


def test_a_preset_of_a_preset_is_a_copy(shop: store.Store) -> None:
    presets.keep(kept_of("pirate", DATA))
    copy = shop.preset("pirate", "corsair").changed({"temperature": 0.75})
    assert (copy.model, copy.name) == ("tiny", "corsair")
    assert dict(copy.preset.values)["temperature"] == 0.75
    assert dict(copy.preset.values)["context"] == 512


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('from = "tiny"\ntemprature = 1', "temperature"),
        ('from = "tiny"\ntemperature = 1000', "temperature must be"),
        ("temperature = 1", "from must name a model"),
        ('from = "tiny"\nvi = true', "A preset has no setting"),
        ('from = "tiny"\n[[message]]\nrole = "user"\ncontent = "x"', "end with one of the assist"),
        ('from = "tiny"\n[[message]]\nrole = "tool"\ncontent = "x"', "user or assistant"),
        ("from = ", "is not valid TOML"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(
    home: Path, shop: store.Store, text: str, said: str
) -> None:
    folder = home / "config" / "presets"
    folder.mkdir(parents=True)
    (folder / "bad.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        shop.resolve("bad")
    assert str(folder / "bad.toml") in str(caught.value)
    assert said in f"{caught.value} {caught.value.hint}"
    assert presets.names() == ["bad"]
    assert inventory.of_presets(shop) == []  # others can still be listed


def test_presets_are_listed_with_the_files_of_their_model(shop: store.Store) -> None:
    presets.keep(kept_of("pirate", DATA))
    presets.keep(Kept(presets.Preset("mine"), "12b"))
    mine, pirate = inventory.of_presets(shop)
    assert (mine.ready, mine.preset_of, mine.files) == (False, "12b", ())
    assert (pirate.ready, pirate.preset_of) == (True, "tiny")
    assert {file.role for file in pirate.files} == {"target", "drafter"}
    assert presets.of_model("12b") == ["mine"]
    with pytest.raises(UsageError):  # the files are the model's
        inventory.remove(pirate)


def test_messages_of_one_side_in_a_row_are_one(shop: store.Store) -> None:
    said = [("user", "a"), ("user", "b"), ("assistant", "c")]
    message = [{"role": role, "content": text} for role, text in said]
    kept = kept_of("x", {"from": "tiny", "message": message})
    found = [(m.role, m.content) for m in kept.preset.messages]
    assert found == [("user", "a\n\nb"), ("assistant", "c")]
    assert all(isinstance(m, Message) for m in kept.preset.messages)


@pytest.mark.parametrize("text", ["x" * 20_000, "many\n" * 40_000])
def test_what_could_not_be_read_again_is_not_written(text: str) -> None:
    with pytest.raises(UsageError, match="may take 128 KiB"):
        presets.keep(kept_of("long", {"from": "tiny", "system": text}))
    assert presets.names() == []


@pytest.mark.parametrize("name", ["a\0b.gguf", "\udcff.gguf"])
def test_a_drafter_that_can_be_no_file_here_is_one_that_is_not_there(name: str) -> None:
    presets.keep(presets.kept_of("odd", {"from": "tiny", "drafter": name}))
    with pytest.raises(ModelNotAvailable):
        store.Store(load_catalogue()).resolve("odd")
