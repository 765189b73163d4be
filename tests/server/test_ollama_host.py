"""OLLAMA_HOST says where `serve` listens, as it says that to Ollama."""

from __future__ import annotations

import pytest

from gemma_mtp.cli.serve import HOST, PORT, _where
from gemma_mtp.errors import UsageError


@pytest.mark.parametrize(
    ("said", "typed", "found"),
    [
        ("", (None, None), (HOST, PORT)),
        ("0.0.0.0", (None, None), ("0.0.0.0", PORT)),
        ("0.0.0.0:11434", (None, None), ("0.0.0.0", 11434)),
        (":11434", (None, None), (HOST, 11434)),
        ("http://localhost:8000/api", (None, None), ("localhost", 8000)),
        ("[::]:8000", (None, None), ("::", 8000)),
        ("0.0.0.0:11434", (None, 9000), ("0.0.0.0", 9000)),
        ("0.0.0.0:11434", ("127.0.0.1", None), ("127.0.0.1", 11434)),
        ("0.0.0.0:11434", ("127.0.0.1", 0), ("127.0.0.1", 0)),
        ("192.0.2.7:11434", (None, None), (HOST, PORT)),  # of another machine
        ("https://models.example", (None, None), (HOST, PORT)),
    ],
)
def test_it_holds_where_it_names_this_machine_and_nothing_is_typed(
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    typed: tuple[str | None, int | None],
    found: tuple[str, int],
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", said)
    assert _where(*typed) == found


@pytest.mark.parametrize("said", ["x:y", "127.0.0.1:99999"])
def test_what_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OLLAMA_HOST", said)
    with pytest.raises(UsageError, match=f"OLLAMA_HOST is {said}"):
        _where(None, None)
