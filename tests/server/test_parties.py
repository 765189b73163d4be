"""Requests of one program take turns with those of others."""

from __future__ import annotations

import httpx
from support.serving import FakeEngines, serving

BODY = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}


def test_the_engine_learns_which_program_asks_from_where() -> None:
    engines = FakeEngines()
    with serving(engines) as url:
        for program in ("zed/1", "x" * 500):
            headers = {"user-agent": program}
            httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=headers).raise_for_status()
    assert engines.pairs[0].party == "127.0.0.1 zed/1"
    assert engines.pairs[1].party == "127.0.0.1 " + "x" * 100


def test_users_of_one_program_are_told_apart_by_their_keys() -> None:
    engines = FakeEngines()
    keys = [{"authorization": "Bearer mine"}, {"x-api-key": "other"}, {"x-api-key": ""}]
    with serving(engines) as url:
        for headers in (*keys, keys[0]):
            named = {"user-agent": "zed/1", **headers}
            httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=named).raise_for_status()
    mine, other, none, again = (pair.party for pair in engines.pairs)
    assert mine == again != other
    assert none == "127.0.0.1 zed/1"
    assert "mine" not in mine
