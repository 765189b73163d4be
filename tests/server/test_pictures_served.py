"""Pictures and recordings through a whole server: a pair with an encoder of random weights, asked
by the clients that people have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from ollama import Client
from openai import BadRequestError, OpenAI
from support.drawn import address, base64_of
from support.encoder import picture, write_encoder
from support.serving import serving
from support.sounds import wav

from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.gguf import describe, read_header
from gemma_mtp.models.store import BUILTIN_FOLDER, Store
from gemma_mtp.options import Options
from gemma_mtp.server.engines import Engines

DATA, MEMO, WHAT = picture(200, 160), wav(4.0), "What is this?"
TOKENS = range(100, 400)  # that the picture and the words may take together


@pytest.fixture(scope="module")
def target(home: Path) -> Path:
    """A file with an encoder beside it."""
    found = home / "gemma-4-E2B-it-Q4_0.gguf"
    shutil.copy(BUILTIN_FOLDER / "tiny-target.gguf", found)
    width = describe(read_header(found)).width
    write_encoder(home / "mmproj-F16.gguf", width, sound="gemma4a")
    (home / "cat.png").write_bytes(DATA)
    (home / "memo.wav").write_bytes(MEMO)
    return found


@pytest.fixture(scope="module")
def seeing(home: Path, target: Path) -> Iterator[str]:
    with serving(Engines(Store(load_catalogue()), Options(keep_alive=300), str(target))) as url:
        yield url


def test_clients_of_three_apis(seeing: str, target: Path) -> None:
    model = str(target)
    url: Any = {"type": "image_url", "image_url": {"url": address(DATA)}}
    said: Any = [{"role": "user", "content": [url, {"type": "text", "text": WHAT}]}]
    with OpenAI(base_url=f"{seeing}/v1", api_key="any", max_retries=0) as openai:
        known = {each.id: each.model_dump()["capabilities"] for each in openai.models.list().data}
        assert known == {"tiny": ["completion"], model: ["completion", "multimodal"]}
        whole = openai.chat.completions.create(model=model, messages=said, max_tokens=4, seed=1)
        assert whole.usage is not None
        assert whole.usage.prompt_tokens in TOKENS
        with pytest.raises(BadRequestError, match=r"no image encoder here\. e2b has one"):
            openai.chat.completions.create(model="tiny", messages=said)
    source: Any = {"type": "base64", "media_type": "image/png", "data": base64_of(DATA)}
    said = [{"role": "user", "content": [{"type": "image", "source": source},
                                         {"type": "text", "text": WHAT}]}]  # fmt: skip
    with Anthropic(base_url=seeing, api_key="any", max_retries=0) as anthropic:
        counted = anthropic.messages.count_tokens(model=model, messages=said)
        assert counted.input_tokens == whole.usage.prompt_tokens
    ollama = Client(seeing)
    assert "vision" in (ollama.show(model).capabilities or [])
    assert "audio" in (ollama.show(model).capabilities or [])
    assert not {"vision", "audio"} & {*(ollama.show("tiny").capabilities or [])}
    few = {"num_predict": 4}
    shown: Any = {"role": "user", "content": WHAT, "images": [DATA]}
    answer = ollama.chat(model, messages=[shown], options=few)
    assert answer.prompt_eval_count == whole.usage.prompt_tokens


def test_recordings(seeing: str, target: Path) -> None:
    model = str(target)
    sound: Any = {"type": "input_audio", "input_audio": {"data": base64_of(MEMO), "format": "wav"}}
    said: Any = [{"role": "user", "content": [{"type": "text", "text": WHAT}, sound]}]
    with OpenAI(base_url=f"{seeing}/v1", api_key="any", max_retries=0) as openai:
        whole = openai.chat.completions.create(model=model, messages=said, max_tokens=4, seed=1)
        assert whole.usage is not None
        assert whole.usage.prompt_tokens in TOKENS  # 100 of them are of the recording
        with pytest.raises(BadRequestError, match=r"no audio encoder here\. e2b has one"):
            openai.chat.completions.create(model="tiny", messages=said)
        with pytest.raises(BadRequestError, match="The transcription was cut"):
            openai.audio.transcriptions.create(
                model=model, file=("memo.wav", MEMO), extra_body={"max_tokens": 1}
            )
    shown: Any = {"role": "user", "content": WHAT, "images": [MEMO]}
    answer = Client(seeing).chat(model, messages=[shown], options={"num_predict": 4})
    assert answer.prompt_eval_count == whole.usage.prompt_tokens


@pytest.mark.parametrize("file", ["cat.png", "memo.wav"])
def test_llm_sends_attachments(seeing: str, target: Path, home: Path, file: str) -> None:
    pytest.importorskip("llm")
    known = f"- model_id: it\n  model_name: {target}\n  api_base: {seeing}/v1\n"
    known += "  vision: true\n  audio: true\n"
    (home / "llm").mkdir(exist_ok=True)
    (home / "llm" / "extra-openai-models.yaml").write_text(known)
    program = shutil.which("llm", path=Path(sys.executable).parent) or "llm"
    words = ("-m", "it", WHAT, "-a", str(home / file), "-o", "max_tokens", "4")
    env = {**os.environ, "LLM_USER_PATH": str(home / "llm")}
    done = subprocess.run(
        [program, *words], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip() != "") == (0, True), done.stderr
