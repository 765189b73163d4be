"""Which word is the model: the rule in the docstring of `cli.positionals`, as a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fakes import FakeNames

from gemma_mtp.cli.positionals import Words, read_words
from gemma_mtp.errors import ModelNotAvailable, UsageError
from gemma_mtp.text import clean


@pytest.mark.parametrize(
    ("first", "second", "model", "prompt"),
    [
        (None, None, None, None),
        ("e2b", None, "e2b", None),
        ("E2B", None, "E2B", None),
        ("e2b", "hi", "e2b", "hi"),
        ("e2b", "e4b", "e2b", "e4b"),
        ("unsloth/gemma-4-E2B-it-GGUF", None, "unsloth/gemma-4-E2B-it-GGUF", None),
        ("e2b:q8_0", None, "e2b:q8_0", None),
        ("model.gguf", None, "model.gguf", None),
        ("MODEL.GGUF", "hi", "MODEL.GGUF", "hi"),
        ("/tmp/x.gguf", None, "/tmp/x.gguf", None),
        ("hi", None, None, "hi"),
        ("why?", None, None, "why?"),
        ("tin", None, None, "tin"),
        ("42", None, None, "42"),
        ("time", None, None, "time"),
        ("many", None, None, "many"),
        ("hello", None, None, "hello"),
        ("b", None, None, "b"),
        ("tiny?", None, None, "tiny?"),
        ("e3b?", None, None, "e3b?"),
        ("why is the sky blue", None, None, "why is the sky blue"),
        ("Summarise:", None, None, "Summarise:"),
        ("why: is it so", None, None, "why: is it so"),
        ("either/or, which one", None, None, "either/or, which one"),
        ("what can read a .gguf", None, None, "what can read a .gguf"),
        ("and/or", None, None, "and/or"),
        ("1/2", None, None, "1/2"),
        ("雨", None, None, "雨"),
        ("", None, None, ""),
    ],
)
def test_words(
    first: str | None, second: str | None, model: str | None, prompt: str | None
) -> None:
    assert read_words(first, second, FakeNames()) == Words(model, prompt)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("tinny", "tiny"),
        ("tino", "tiny"),
        ("e3b", "e2b"),
        ("26b-a4", "26b-a4b"),
        ("26ba4b", "26b-a4b"),
        ("32b", "31b"),
        ("12", "12b"),
        ("e2b:", "e2b"),
    ],
)
def test_a_slip_is_an_error_rather_than_a_question(word: str, near: str) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        read_words(word, None, FakeNames())
    assert near in caught.value.hint
    assert f'"{word}"' in caught.value.hint  # how to ask it nevertheless


@pytest.mark.parametrize("word", ["/help", "./notes", "~/nothing/here"])
def test_a_path_without_a_file_is_neither_model_nor_question(word: str) -> None:
    with pytest.raises(ModelNotAvailable, match="There is no file") as caught:
        read_words(word, None, FakeNames())
    assert f'gemma-mtp run tiny "{word}"' in caught.value.hint


@pytest.mark.parametrize("word", ["nosuch", "llama3", "qwen2.5"])
def test_a_chat_is_opened_with_a_model_rather_than_with_a_word(word: str) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        read_words(word, None, FakeNames(), chat=True)
    assert f'gemma-mtp chat tiny "{word}"' in caught.value.hint
    assert read_words(word, None, FakeNames()).prompt == word


@pytest.mark.parametrize("text", ["hi", "why?", "tell me", "雨"])
def test_a_chat_may_be_opened_with_a_message(text: str) -> None:
    assert read_words(text, None, FakeNames(), chat=True).prompt == text


def test_two_words_need_a_model_first() -> None:
    with pytest.raises(ModelNotAvailable, match="hello") as caught:
        read_words("hello", "world", FakeNames())
    assert "quotes" in caught.value.hint
    with pytest.raises(ModelNotAvailable) as caught:
        read_words("nosuch", "hello world", FakeNames())
    assert "quotes" not in caught.value.hint
    with pytest.raises(ModelNotAvailable) as caught:
        read_words("tinny", "world", FakeNames())
    assert "tiny" in caught.value.hint


def test_a_gguf_with_a_space_is_a_model_only_if_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "my model.gguf"
    path.touch()
    assert read_words(str(path), None, FakeNames()).model == str(path)
    assert read_words("my model.gguf", None, FakeNames()).prompt == "my model.gguf"


@pytest.mark.parametrize("word", ["cat.png", "./x.webp", "~/x.gif", "'cat.jpeg'", "a.png ./b.JPG"])
def test_a_prompt_that_is_nothing_but_pictures_is_refused(word: str) -> None:
    for first, second in ((word, None), ("e2b", word)):
        with pytest.raises(UsageError, match="not supported yet") as raised:
            read_words(first, second, FakeNames())
        assert raised.value.hint == "With words around it, it is sent as text."


def test_a_picture_with_a_space_in_its_name_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a cat.png"
    path.touch()
    with pytest.raises(UsageError, match=r"a cat\.png is an image"):
        read_words(str(path), None, FakeNames())


@pytest.mark.parametrize(
    "prompt", ["how do I open cat.png", "./a.png to ./b.jpg", "How do I convert ./pic.png to JPEG"]
)
def test_talk_about_a_picture_is_not_a_picture(prompt: str) -> None:
    assert read_words(prompt, None, FakeNames()).prompt == prompt


def test_clean_text_holds_nothing_a_tokenizer_refuses() -> None:
    assert clean("a\ud800b\udce9\x00c") == "a\ufffdb\ufffd\ufffdc"
    assert clean("\ufeffa\r\nb😀") == "a\nb😀"
    clean("\udc80").encode()
