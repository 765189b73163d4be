"""`run` and `chat` with `--image`: what is sent, what is asked for, and what cannot be shown."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.drawn import address, png
from support.fakes import FakeEngine, FakeEnvironment, invoke

from gemma_mtp.api import Image, Message, PairFiles, Text
from gemma_mtp.cli import fetch_encoder, find_pair
from gemma_mtp.cli.fetch_encoder import with_encoder
from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.files.media import PICTURE, Kind
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
from gemma_mtp.options import Options

DATA = png(8, 6)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.png").write_bytes(DATA)
    (tmp_path / "notes.md").write_text("Notes.")
    monkeypatch.chdir(tmp_path)


def sent(*words: str, stdin: bytes = b"") -> Message:
    engine = FakeEngine()
    outcome = invoke(*words, stdin=stdin, env=FakeEnvironment(engine))
    assert (outcome.status, outcome.stdout) == (0, "Hello there.\n")
    return engine.requests[-1].messages[-1]


CAT = Image(DATA, "image/png", "cat.png")


@pytest.mark.parametrize("command", ["run", "chat"])
def test_pictures_come_before_the_text(command: str) -> None:
    found = sent(command, "tiny", "What?", "--image", "cat.png", "--image", "cat.png")
    assert found == Message("user", (CAT, Text("What?")))


def test_files_and_piped_text_go_along() -> None:
    found = sent("run", "tiny", "--image", "cat.png", "-f", "notes.md", stdin=b"Piped.")
    assert found.images == (CAT,)
    assert found.content == '<file name="notes.md">\nNotes.\n</file>\n\nPiped.'


def test_a_picture_needs_no_prompt() -> None:
    assert sent("run", "tiny", "--image", "cat.png").parts == (CAT,)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--image", "nope.png"], 2, "nope.png cannot be read: No such file or directory."),
        (["--image", "notes.md"], 2, "notes.md is no picture that can be read here.\n  PNG,"),
        (["--image", ""], 2, "The name of a file is missing: it is empty."),
        (["--image", "https://a.org/b.png"], 2, "https://a.org/b.png is an address, not a file."),
        (["-f", "https://a.org/b.txt"], 2, "https://a.org/b.txt is an address, not a file."),
        (["--image", "-"], 2, "- names no file.\n  /dev/stdin names what is piped in, ./- a file"),
        (["-f", "cat.png"], 2, "cat.png is a picture.\n  --image FILE shows it to the model."),
        (["--batch", "b.jsonl", "--image", "cat.png"], 2, "With --batch, the prompts are those"),
        (["--mmproj", "e.gguf"], 2, "There is no option --mmproj.\n  An mmproj-*.gguf in the fol"),
    ],
)
def test_what_cannot_be_shown(words: list[str], status: int, said: str) -> None:
    outcome = invoke("run", "tiny", *([] if "--batch" in words else ["What?"]), *words)
    assert (outcome.status, outcome.stdout) == (status, "")
    assert outcome.stderr.startswith(f"gemma-mtp: {said}")


def test_an_address_of_a_file_is_one() -> None:
    assert (
        sent("run", "tiny", "--image", Path("cat.png").absolute().as_uri()).images[0].data == DATA
    )


def test_a_picture_that_is_piped_in_is_no_prompt() -> None:
    outcome = invoke("run", "tiny", "What?", stdin=DATA)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr == (
        "gemma-mtp: What was piped in is a picture.\n"
        "  --image FILE shows one, from a file, or from /dev/stdin.\n"
    )


def test_a_line_of_a_batch_has_it_as_openai_writes_it() -> None:
    content = [{"type": "image_url", "image_url": {"url": address(DATA)}},
               {"type": "text", "text": "What?"}]  # fmt: skip
    body = {"messages": [{"role": "user", "content": content}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    Path("b.jsonl").write_text(json.dumps(line) + "\n")
    engine = FakeEngine()
    assert invoke("run", "tiny", "--batch", "b.jsonl", env=FakeEnvironment(engine)).status == 0
    assert engine.requests[-1].messages[-1].parts == (Image(DATA, "image/png"), Text("What?"))


def test_a_plain_line_of_a_batch_names_files() -> None:
    lines: list[dict[str, object]] = [
        {"prompt": "What?", "images": ["cat.png"]},
        {"images": ["cat.png"]},
        {"prompt": "What?", "images": "cat.png"},
        {"prompt": "What?", "images": ["nope.png"]},
        {"messages": [{"role": "assistant", "content": "A cat."}], "images": ["cat.png"]},
    ]
    Path("b.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    engine = FakeEngine()
    outcome = invoke("run", "tiny", "--batch", "b.jsonl", env=FakeEnvironment(engine))
    shown = [request.messages[-1].parts for request in engine.requests]
    assert shown == [(CAT, Text("What?")), (CAT,)]
    answers = map(json.loads, outcome.stdout.splitlines())
    assert [answer["error"]["message"] for answer in answers if "error" in answer] == [
        "images must be a list.",
        "nope.png cannot be read: No such file or directory.",
        "images: pictures belong to a message of the user, and the last one is none.",
    ]


# --- without an encoder --------------------------------------------------------------------------


class Offering:
    """An environment in which `pair` has an encoder as soon as it was pulled."""

    def __init__(self, pair: PairFiles, brings: bool = True) -> None:
        self.store, self.pair, self.brings = Store(load_catalogue()), pair, brings
        self.pulled: list[str] = []

    def resolve(self, model: str, drafter: Path | None = None) -> PairFiles:
        return replace(self.pair, encoder=Path("mmproj") if self.pulled and self.brings else None)


PAIR = PairFiles("e2b", Path("t"), Path("d"), no_encoder="gemma-mtp pull e2b")
PROBLEM = "e2b has no image encoder here, so it cannot read pictures."


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Asks with somebody at a terminal who answers; what was asked comes with the pair."""

    def ask(env: Offering, answer: str, **options: Any) -> tuple[PairFiles, str]:
        said = io.StringIO()
        monkeypatch.setattr(fetch_encoder, "can_ask", lambda: True)
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        monkeypatch.setattr(sys, "stderr", said)
        monkeypatch.setattr(
            "gemma_mtp.cli.pull.show_pull", lambda env, name: env.pulled.append(name)
        )
        pair = with_encoder(env, env.pair, Options(**options), [PICTURE])  # type: ignore[arg-type]
        return pair, said.getvalue()

    return ask


def test_it_is_pulled_where_somebody_says_so(offered: Any) -> None:
    env = Offering(PAIR)
    pair, said = offered(env, "\n")
    assert (pair.encoder, env.pulled) == (Path("mmproj"), ["e2b"])
    assert said == f"{PROBLEM}\nPull it now (986 MB)? [Y/n] "
    env = Offering(PAIR)
    pair, said = offered(env, "", yes=True)
    assert (pair.encoder, said) == (Path("mmproj"), "")


@pytest.mark.parametrize(
    ("pair", "brings", "answer", "hint"),
    [
        (PAIR, True, "n\n", "gemma-mtp pull e2b"),
        (replace(PAIR, no_encoder="Its mmproj is missing."), True, "y\n", "Its mmproj is missing."),
        (PAIR, False, "y\n", "None was published with it, or it cannot be fetched now."),
    ],
)
def test_else_one_sentence_says_what_helps(
    offered: Any, pair: PairFiles, brings: bool, answer: str, hint: str
) -> None:
    with pytest.raises(ModelNotAvailable, match=PROBLEM) as error:
        offered(Offering(pair, brings), answer)
    assert error.value.hint == hint


def test_a_pair_with_one_or_elsewhere_is_taken_as_it_is(offered: Any) -> None:
    for pair in (replace(PAIR, encoder=Path("e")), replace(PAIR, no_encoder="")):
        assert offered(Offering(pair), "") == (pair, "")


def test_a_chat_that_begins_with_a_picture_is_offered_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `run`, before anything is loaded."""
    from gemma_mtp.chat.start import Beginning, _files

    env = FakeEnvironment(FakeEngine())
    asked: list[str] = []

    def offered(
        env: FakeEnvironment, files: PairFiles, options: Options, kinds: list[Kind]
    ) -> PairFiles:
        asked.append(" ".join([files.name, *(kind.noun for kind in kinds)]))
        return files

    monkeypatch.setattr(find_pair, "with_encoder", offered)
    _files(env, "tiny", Options(), Beginning())
    assert not asked
    _files(env, "tiny", Options(), Beginning(images=["cat.png"]))
    _files(env, "tiny", Options(), Beginning(audio=["memo.wav"]))
    assert asked == ["tiny picture", "tiny recording"]
