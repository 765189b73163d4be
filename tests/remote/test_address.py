"""Addresses, however they are written."""

from __future__ import annotations

import pytest

from gemma_mtp.errors import UsageError
from gemma_mtp.remote.address import is_here, root


@pytest.mark.parametrize(
    "typed",
    [
        "http://127.0.0.1:8080",
        "127.0.0.1:8080",
        "http://127.0.0.1:8080/",
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8080/v1/",
        " 127.0.0.1:8080/v1/chat/completions ",
        "http://127.0.0.1:8080/api",
    ],
)
def test_one_server_is_written_in_many_ways(typed: str) -> None:
    assert root(typed) == "http://127.0.0.1:8080"


def test_a_path_before_the_api_stays() -> None:
    assert root("https://example.org/models/v1") == "https://example.org/models"
    assert root("[::1]:8080") == "http://[::1]:8080"


@pytest.mark.parametrize("typed", ["", "http://", "ftp://x", "http://x:port", "x:0", "ht tp://x"])
def test_what_is_no_address(typed: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        root(typed)


def test_a_key_in_the_address_is_refused() -> None:
    with pytest.raises(UsageError, match="key"):
        root("http://user:secret@x")


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://192.168.1.2", False),
        ("https://example.org", False),
    ],
)
def test_no_proxy_leads_to_this_machine(address: str, here: bool) -> None:
    assert is_here(address) == here
