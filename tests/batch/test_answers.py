"""The file of answers: what is in it, what is cut off, and who may write it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemma_mtp.batch.answers import Kept, verdict
from gemma_mtp.errors import UsageError

ONE = {"index": 0, "text": "é\x1b雨\n", "finish_reason": "stop"}
TWO = {"id": "batch_req_1", "custom_id": "b", "response": {"body": {"error": {}}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def add(path: Path, *lines: dict[str, object]) -> None:
    kept = Kept(path)
    for line in lines:
        kept.add(line)
    kept.close()


def done(path: Path) -> list[int | str]:
    """What is answered there."""
    kept = Kept(path)
    kept.close()
    return [*kept.done]


def test_a_line_in_one_piece_is_found_again(path: Path) -> None:
    add(path, ONE)
    add(path, TWO)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [ONE, TWO]
    assert done(path) == [0, "b"]


def test_a_part_of_a_line_is_cut_off_wherever_the_writer_was_killed(path: Path) -> None:
    add(path, ONE)
    whole = path.read_bytes()
    line = (json.dumps(TWO) + "\n").encode()
    for length in range(1, len(line) - 1):
        for rest in (line[:length], line[:length] + b"\0\0"):
            path.write_bytes(whole + rest)
            kept = Kept(path)
            assert [*kept.done] == [0]
            kept.add({**TWO, "custom_id": "c"})
            kept.close()
            assert done(path) == [0, "c"]


def test_a_whole_line_without_its_end_stays(path: Path) -> None:
    path.write_text(json.dumps(ONE))
    add(path, TWO)
    assert done(path) == [0, "b"]


@pytest.mark.parametrize(
    "content", ['{"prompt": "x"}\n', "words", '[1]\n{"index": 0, "text": ""}\n', "\n", "null\n"]
)
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(UsageError, match=r"Line 1 of .* is no answer of a batch"):
        Kept(path)
    assert path.read_text() == content


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_one_process_at_a_time(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gemma_mtp.batch.answers import Kept; "
        "kept = Kept(Path(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, path], stdin=pipe, stdout=pipe) as other:
        assert other.stdout
        assert other.stdout.readline() == b"\n"
        with pytest.raises(UsageError, match="Another process writes answers"):
            Kept(path)
        other.kill()
        other.wait()
        Kept(path).close()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"text": "", "finish_reason": "stop"}, "whole"),
        ({"text": "", "finish_reason": "context"}, "cut"),
        ({"error": {"message": "m"}}, "failed"),
        ({"response": {"body": {"choices": [{"finish_reason": "length"}]}}}, "cut"),
        ({"response": {"body": {"choices": [{"finish_reason": "stop"}]}}}, "whole"),
        ({"response": {"body": {"status": "incomplete", "error": None}}}, "cut"),
        ({"response": {"body": {"status": "completed", "error": None}}}, "whole"),
        ({"response": {"body": {"error": {"message": "m"}}}}, "failed"),
    ],
)
def test_what_an_answer_says(answer: dict[str, object], found: str) -> None:
    assert verdict(answer) == found
