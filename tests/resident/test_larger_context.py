"""Several contexts of one pair in the resident engine: the weights are loaded once."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from support.fakes import FakeEngine, Script
from support.scripted_resident import FILES, NEVER, Engine, request, said

from gemma_mtp.api import DEFAULT_CONTEXT, DeviceShare, Loading, LoadOptions, Placement
from gemma_mtp.errors import DoesNotFit, UsageError
from gemma_mtp.resident.client import ResidentPair


def test_a_smaller_context_or_none_uses_what_is_loaded(engine: Engine) -> None:
    engine.pair(context=16384)
    for context in (1024, 16384, None):
        assert engine.pair(context=context).info.context_size == 16384
    assert len(engine.pairs) == 1


def test_a_larger_one_loads_no_weights_again(engine: Engine) -> None:
    small = engine.pair(context=1024)
    larger = engine.pair(context=2048)
    assert larger.info.context_size == 2048
    assert engine.pair().info.context_size == DEFAULT_CONTEXT
    events = list(small.reply(request(), NEVER))
    assert said(events) == "One two three four."
    assert not any(isinstance(event, Loading) for event in events)
    assert small.info.context_size == DEFAULT_CONTEXT
    assert len(engine.pairs) == 1
    assert engine.resident.status()["options"]["context"] == DEFAULT_CONTEXT
    assert engine.resident.status()["info"]["context_size"] == DEFAULT_CONTEXT


def test_a_client_can_have_its_context_made_larger(engine: Engine) -> None:
    pair = engine.pair(context=64)
    with pytest.raises(DoesNotFit):
        list(pair.reply(request("word " * 300), NEVER))
    pair.enlarge(4096)
    assert pair.info.context_size == 4096
    assert said(pair.reply(request("word " * 300), NEVER)) == "One two three four."
    pair.enlarge(512)
    assert pair.info.context_size == 4096
    assert len(engine.pairs) == 1


def test_it_still_has_it_when_the_pair_was_unloaded_meanwhile(engine: Engine) -> None:
    pair = engine.pair(context=64)
    pair.enlarge(4096)
    engine.pair("e2b")
    assert said(pair.reply(request("word " * 300), NEVER)) == "One two three four."
    assert [each.context for each in engine.pairs] == [4096, 8192, 4096]


def test_who_used_a_context_that_another_one_wanted_needs_it_from_then_on(engine: Engine) -> None:
    pair = engine.pair(context=64)
    engine.pair(context=4096)
    assert said(pair.reply(request("word " * 300), NEVER)) == "One two three four."
    engine.pair("e2b")
    assert said(pair.reply(request("word " * 301), NEVER)) == "One two three four."
    assert [each.context for each in engine.pairs] == [4096, 8192, 4096]


@pytest.mark.parametrize(
    ("limits", "error"), [({"limit": 4096}, UsageError), ({"room": 4096}, DoesNotFit)]
)
def test_where_there_is_none_that_is_said_and_the_old_one_stays(
    engine: Engine, limits: dict[str, int], error: type[Exception]
) -> None:
    pair = engine.pair(context=1024)
    for name, value in limits.items():
        setattr(engine.pairs[0], name, value)
    with pytest.raises(error, match="16384") as failure:
        pair.enlarge(16384)
    assert "--ctx N" in failure.value.hint  # type: ignore[attr-defined]
    with pytest.raises(error):
        engine.pair(context=16384)
    assert said(pair.reply(request(), NEVER)) == "One two three four."
    assert pair.info.context_size == 1024
    assert len(engine.pairs) == 1
    assert not engine.pairs[0].closed


def test_on_a_gpu_it_is_loaded_anew_where_layers_can_make_room(engine: Engine) -> None:
    card = DeviceShare("A", 8)
    for layers, loads in ((None, 2), (8, 1)):
        engine.pairs.clear()
        pair = engine.pair(context=1024, gpu_layers=layers)
        engine.pairs[0].placement = Placement(8, 8, (card,))
        engine.pairs[0].room = 4096
        with pytest.raises(DoesNotFit) if layers else nullcontext():
            pair.enlarge(16384)
        assert pair.info.context_size == (1024 if layers else 16384)
        assert said(pair.reply(request(), NEVER)) == "One two three four."
        assert len(engine.pairs) == loads


def test_a_pair_that_is_lost_over_it_is_loaded_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = engine.pair(context=1024)
    with monkeypatch.context() as patch:
        patch.setattr(FakeEngine, "enlarge", lambda self, context: 1 / 0)
        with pytest.raises(Exception, match="division"):
            pair.enlarge(2048)
    assert engine.pairs[0].closed
    engine.scripts[:] = [Script("Again.")]
    assert said(pair.reply(request(), NEVER)) == "Again."


def test_other_options_of_loading_are_another_pair(engine: Engine) -> None:
    engine.pair(context=1024)
    options = LoadOptions(threads=1, context=512)
    other = ResidentPair(engine.folder, FILES, options, 300.0)
    other.load(lambda fraction: True)
    assert len(engine.pairs) == 2
    assert other.info.context_size == 512


def test_who_takes_any_layers_has_nothing_loaded_anew_for_others(engine: Engine) -> None:
    """As programs that share a server: one of them asks for layers with each request."""
    asks = engine.pair(context=1024, gpu_layers=3)
    takes = engine.pair(context=2048, any_layers=True)
    for pair in (asks, takes, asks, takes):
        assert said(pair.reply(request(), NEVER)) == "One two three four."
        assert takes.count(request())
    assert [each.context for each in engine.pairs] == [2048]
    assert engine.resident.status()["options"]["gpu_layers"] == 3
    engine.pair(gpu_layers=4)
    engine.pair("e2b", any_layers=True)
    assert engine.resident.status()["options"]["gpu_layers"] is None  # of another model
    assert len(engine.pairs) == 3
