"""Conversations as Markdown and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gemma_mtp.api import FinishReason, Message, Stats, Turn
from gemma_mtp.conversations.archive import Archive, Saved
from gemma_mtp.conversations.export import as_json, as_markdown

WHEN = "2026-11-24T03:10:00.000+00:00"


def turn(user: str, reply: str, thought: str = "", reason: FinishReason | None = "stop") -> Turn:
    answer = Message.text("assistant", reply)
    return Turn(Message.text("user", user), (answer,), thought, 7, True, reason)


def saved(*turns: Turn, system: str = "", title: str = "A title") -> Saved:
    return Saved(1, title, "e2b", system, WHEN, WHEN, turns)


def test_json_has_everything_that_was_said(tmp_path: Path) -> None:
    stats = Stats(rounds=4, accepted_histogram=(1, 3))
    turns = [
        replace(turn("Größe?", "```\n🦀", "hm"), stats=stats),
        turn("more", "par", reason=None),
        Turn(Message.text("user", "no answer")),
        Turn(Message.text("user", "only thought"), thought="hm"),
    ]
    archive = Archive(tmp_path / "chats.db")
    found = archive.read(archive.add(turns, model="e2b", system="Be brief."))
    text = as_json(found)
    assert "Größe" in text
    exported = json.loads(text)
    assert list(exported) == ["title", "model", "system", "created", "updated", "turns"]
    assert (exported["title"], exported["system"]) == ("Größe?", "Be brief.")
    assert exported["created"] == found.created
    reply = {"role": "assistant", "content": "```\n🦀", "thought": "hm", "seed": 7, "exact": True}
    partial = {**reply, "content": "par", "thought": "", "reason": None, "stats": None}
    nothing = {**partial, "content": "", "thought": "hm", "seed": None, "exact": False}
    assert exported["turns"] == [
        {"role": "user", "content": "Größe?"},
        {**reply, "reason": "stop", "stats": stats.as_json()},
        {"role": "user", "content": "more"},
        partial,
        {"role": "user", "content": "no answer"},
        {"role": "user", "content": "only thought"},
        nothing,
    ]


def test_markdown_reads_well() -> None:
    conversation = saved(
        turn("Why?\n\nReally *why*?", "Because:\n\n- so", "Let me see."),
        turn("go on", "once upon", reason="cancelled"),
        system="Be brief.",
        title="Why *not*?",
    )
    assert (
        as_markdown(conversation)
        == """\
# Why \\*not\\*?

e2b, 2026-11-24 03:10 UTC

## System prompt

> Be brief.

## You

> Why?
>
> Really *why*?

## Gemma

> *Thought:*
>
> Let me see.

Because:

- so

## You

> go on

## Gemma

once upon

*(stopped here)*
"""
    )


@pytest.mark.parametrize(
    ("reply", "end"),
    [
        ("```py\nx = 1", "```"),
        ("````md\n```\ncode\n```", "````"),
        ("~~~\n```\n", "~~~"),
        ("  ```\n```py", "```"),
        ("```\na\n```\nb\n```c", "```"),
        ("```\ndone\n````", ""),
        ("```x``` is code in a line", ""),
        ("~~~ a`b\nx", "~~~"),
        ("    ```\nindented", ""),
        ("plain", ""),
    ],
)
def test_a_fence_that_was_not_closed_ends_with_its_reply(reply: str, end: str) -> None:
    text = as_markdown(saved(turn("q", reply), turn("next", "answer")))
    said, after = text.split("## Gemma\n\n")[1].split("\n\n## You")
    assert said == (reply.strip("\n") + "\n" + end if end else reply)
    assert after == "\n\n> next\n\n"


def test_what_a_user_says_stays_in_its_quote() -> None:
    text = as_markdown(saved(turn("```\n# not a heading\n\n## Gemma", "a", "```\nhm\n</details>")))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# A title",
        "## You",
        "## Gemma",
    ]


def test_a_file_of_a_message_is_shown_as_code() -> None:
    message = '<file name="a_b.md">\n```py\n<b>\n```\n</file>\n\nReview this.'
    quoted = as_markdown(saved(turn(message, "a"))).split("## You\n\n")[1].split("\n\n## Gemma")[0]
    lines = ["a\\_b.md:", "", "````", "```py", "<b>", "```", "````", "", "Review this."]
    assert quoted == "\n".join(f"> {line}".rstrip() for line in lines)
