"""Which word is the model: the rule in the docstring of `cli.positionals`, as a table."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support.drawn import png

from gemma_mtp.cli.positionals import Words, quoted, read_words
from gemma_mtp.errors import ModelNotAvailable, UsageError
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.text import clean

NAMES = load_catalogue()


def read(*typed: str, **more: str) -> Words:
    return read_words(typed, NAMES, **more)


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
    assert read(*(word for word in (first, second) if word is not None)) == Words(model, prompt)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("tinny", "tiny"),
        ("tino", "tiny"),
        ("e3b", "e2b"),
        ("26b-a4", "26b"),
        ("26ba4b", "26b"),
        ("32b", "31b"),
        ("12", "12b"),
        ("e2b:", "e2b"),
    ],
)
def test_a_slip_is_an_error_rather_than_a_question(word: str, near: str) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        read(word)
    assert near in caught.value.hint
    assert caught.value.hint.endswith(f" gemma-mtp run -p {word}")  # how to ask it nevertheless


@pytest.mark.parametrize("word", ["/help", "./notes", "~/nothing/here"])
def test_a_path_without_a_file_is_neither_model_nor_question(word: str) -> None:
    with pytest.raises(ModelNotAvailable, match="There is no file") as caught:
        read(word)
    assert f"gemma-mtp run -p {shlex.quote(word)}" in caught.value.hint


@pytest.mark.parametrize("word", ["nosuch", "falcons"])
def test_a_chat_is_opened_with_a_model_rather_than_with_a_word(word: str) -> None:
    with pytest.raises(ModelNotAvailable) as caught:
        read(word, command="chat")
    assert f"gemma-mtp chat -p {word}" in caught.value.hint
    assert read(word).prompt == word


@pytest.mark.parametrize("text", ["hi", "why?", "tell me", "雨"])
def test_a_chat_may_be_opened_with_a_message(text: str) -> None:
    assert read(text, command="chat").prompt == text


@pytest.mark.parametrize("word", ["llama3.2", "qwen2.5", "mistral", "gpt-oss"])
def test_another_familys_name_is_no_question(word: str) -> None:
    with pytest.raises(ModelNotAvailable, match="runs Gemma 4 only") as caught:
        read(word)
    assert caught.value.hint.endswith(f"To ask it as a question: gemma-mtp run -p {word}")


def test_words_after_a_model_are_one_prompt() -> None:
    assert read("e2b", "why", "is", "the sky", "blue?") == Words("e2b", "why is the sky blue?")
    assert read("gemma 4 e2b", "e2b", "hi") == Words("gemma 4 e2b", "e2b hi")


def test_of_several_words_the_first_is_a_model() -> None:
    for command in ("run", "chat"):
        with pytest.raises(ModelNotAvailable, match='no model called "hello"') as caught:
            read("hello", "world", command=command)
        assert caught.value.hint.endswith(f' gemma-mtp {command} "hello world"')
    with pytest.raises(ModelNotAvailable) as caught:
        read("tinny", "world")
    assert caught.value.hint.startswith("Did you mean tiny? ")


@pytest.mark.parametrize(
    ("typed", "flags", "model", "prompt"),
    [
        ("", {"named": "nosuch"}, "nosuch", None),
        ("hi", {"named": "tiny"}, "tiny", "hi"),
        ("e2b is what?", {"named": "tiny"}, "tiny", "e2b is what?"),
        ("e2b", {"prompt": "e3b"}, "e2b", "e3b"),
        ("nosuch", {"prompt": "hi"}, "nosuch", "hi"),
        ("", {"prompt": "e2b"}, None, "e2b"),
        ("", {"named": "tiny", "prompt": "hi"}, "tiny", "hi"),
    ],
)
def test_flags_say_which_is_which(
    typed: str, flags: dict[str, str], model: str | None, prompt: str | None
) -> None:
    assert read(*typed.split(), **flags) == Words(model, prompt)


def test_a_prompt_is_given_once() -> None:
    for flags in ({"prompt": "hi"}, {"named": "tiny", "prompt": "hi"}):
        with pytest.raises(UsageError, match="given twice"):
            read("e2b", "hello", **flags)


@pytest.mark.parametrize(
    ("text", "typed"),
    [("hi", "hi"), ("a b", '"a b"'), ("why?", "'why?'"), ('say "a"', "'say \"a\"'"),
     ("5 $ or 6", "'5 $ or 6'"), ("it's", "'it'\"'\"'s'")],
)  # fmt: skip
def test_texts_are_quoted_as_a_shell_needs_them(text: str, typed: str) -> None:
    assert quoted(text) == typed
    assert shlex.split(typed) == [text]


def test_a_gguf_with_a_space_is_a_model_only_if_it_exists(tmp_path: Path) -> None:
    path = tmp_path / "my model.gguf"
    path.touch()
    assert read(str(path)).model == str(path)
    assert read("my model.gguf").prompt == "my model.gguf"


@pytest.mark.parametrize("word", ["cat.png", "./x.webp", "~/x.gif", "'cat.jpeg'", "a.png ./b.JPG"])
def test_a_prompt_that_is_nothing_but_pictures_is_refused(word: str) -> None:
    for first, second in ((word, None), ("e2b", word)):
        with pytest.raises(UsageError, match=r" is a picture\.") as raised:
            read(*(word for word in (first, second) if word is not None))
        assert raised.value.hint.startswith("--image ")
        assert raised.value.hint.endswith(" shows it to the model.")


def test_a_picture_with_a_space_in_its_name_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a cat.png"
    path.write_bytes(png(8, 6))
    with pytest.raises(UsageError, match=r"a cat\.png is a picture"):
        read(str(path))


@pytest.mark.parametrize(
    "prompt", ["how do I open cat.png", "./a.png to ./b.jpg", "How do I convert ./pic.png to JPEG"]
)
def test_talk_about_a_picture_is_not_a_picture(prompt: str) -> None:
    assert read(prompt).prompt == prompt


def test_clean_text_holds_nothing_a_tokenizer_refuses() -> None:
    assert clean("a\ud800b\udce9\x00c") == "a\ufffdb\ufffd\ufffdc"
    assert clean("\ufeffa\r\nb😀") == "a\nb😀"
    clean("\udc80").encode()
