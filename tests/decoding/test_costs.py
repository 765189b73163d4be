"""Cost curves from invented timings, and their way to the disk and back."""

from types import SimpleNamespace

import pytest

from gemma_mtp.api import LoadOptions, PairFiles, PairInfo
from gemma_mtp.cli.environment import Environment
from gemma_mtp.decoding.costs import CostBook, CostCurve, Costs
from gemma_mtp.engine import loading
from gemma_mtp.models import machine
from gemma_mtp.models.saved_costs import CostMemory


def timed(curve, width, *seconds):
    """Rounds at one width, the first of them after a change."""
    curve.verified(width, seconds[0] * 2, changed=True)
    for s in seconds:
        curve.verified(width, s, changed=False)


def test_a_width_never_timed_costs_infinitely_much():
    assert CostCurve().verify(4) == float("inf")
    assert 4 not in CostCurve()


def test_one_stall_does_not_make_a_width_dear():
    curve = CostCurve()
    timed(curve, 4, 0.1, 0.9, 0.1, 0.1)
    assert curve.verify(4) == pytest.approx(0.1, rel=0.05)


def test_the_first_round_at_a_new_width_tells_what_a_change_costs():
    curve = CostCurve()
    timed(curve, 1, 0.1, 0.1, 0.1)
    timed(curve, 4, 0.3, 0.3, 0.3)
    for _ in range(4):
        curve.verified(1, 0.13, changed=True)
        curve.verified(4, 0.33, changed=True)
    curve.verified(1, 5.0, changed=True)  # a stall says nothing
    assert curve.rebuild == pytest.approx(0.03)
    assert curve.verify(1) == pytest.approx(0.1)


def test_what_was_timed_roughly_is_remembered_as_that() -> None:
    curve = CostCurve()
    for _ in range(3):
        curve.verified(1, 1.0, changed=False)
    curve.verified(4, 9.0, changed=True)
    again = CostCurve.from_dict(curve.as_dict())
    for each in (curve, again, curve.copy()):
        assert (each.timings(4), each.is_open(4), each.timings(1)) == (0, True, 3)


def test_a_draft_step_of_few_timings_is_remembered_as_that() -> None:
    curve = CostCurve()
    for seconds in (2.0, 2.0):
        curve.drafted(1, seconds)
    again = CostCurve.from_dict(curve.as_dict())
    assert again.draft_step == 2.0
    for seconds in (0.1, 0.1):
        again.drafted(1, seconds)
    assert again.draft_step == 0.1
    assert not again.draft_step_sure


def test_costs_saved_by_the_version_before_are_read() -> None:
    curve = CostCurve.from_dict({"verify": {"1": 1.0, "4": 2.0}, "draft_step": 0.1, "rebuild": 0.0})
    assert (curve.timings(4), curve.draft_step, curve.draft_step_sure) == (3, 0.1, True)


def test_when_the_width_in_use_gets_slower_the_others_are_taken_to_as_well():
    curve = CostCurve()
    timed(curve, 1, 0.1, 0.1, 0.1)
    timed(curve, 4, *[0.2] * 5)
    timed(curve, 4, *[0.4] * 60)
    assert curve.verify(4) == pytest.approx(0.4, rel=0.05)
    assert curve.verify(1) == pytest.approx(0.2, rel=0.05)


def test_a_width_used_again_after_long_is_timed_afresh_and_alone():
    curve = CostCurve()
    timed(curve, 1, 0.1, 0.1, 0.1)
    timed(curve, 4, *[0.2] * 60)
    timed(curve, 1, 0.17, 0.17, 0.17)
    assert curve.verify(1) == pytest.approx(0.17, rel=0.02)
    assert curve.verify(4) == pytest.approx(0.2, rel=0.02)
    assert curve.doubted == {4}, "what changed for one may have changed for all"


def test_remembered_costs_follow_the_machine_as_it_is_today():
    curve = CostCurve.from_dict({"verify": {"1": 0.1, "4": 0.2}, "draft_step": 0.01, "rebuild": 0})
    timed(curve, 4, 0.3, 0.3, 0.3)
    assert curve.verify(4) == pytest.approx(0.3, rel=0.02)
    assert curve.verify(1) == pytest.approx(0.15, rel=0.02)


def test_a_stall_at_a_new_width_beside_remembered_ones_is_forgotten():
    curve = CostCurve.from_dict({"verify": {"1": 0.1, "4": 0.2}, "draft_step": 0.01, "rebuild": 0})
    timed(curve, 8, 0.9, 0.3, 0.3)
    assert curve.verify(8) == pytest.approx(0.3, rel=0.02)
    assert curve.verify(4) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("bad", [{}, {"verify": 3}, {"verify": {"x": 1}}, {"verify": {"1": -1}}])
def test_other_data_is_no_curve(bad):
    with pytest.raises(ValueError, match=r"not a cost|domain|invalid"):
        CostCurve.from_dict(bad)


def test_a_longer_context_starts_from_the_nearest_curve_and_learns_its_own():
    book = CostBook()
    book.learn(Costs({1: 0.1, 4: 0.2}, 0.01, 0.005, position=500))
    far = book.at(9000)
    assert far.verify(4) == pytest.approx(0.205)
    timed(far, 4, 0.4, 0.4, 0.4)
    assert book.at(500).verify(4) == pytest.approx(0.205)
    assert book.at(9500) is far


@pytest.fixture
def pair(tmp_path):
    target, drafter = tmp_path / "target.gguf", tmp_path / "drafter.gguf"
    target.write_bytes(b"target")
    drafter.write_bytes(b"drafter")
    return PairFiles("pair", target, drafter)


def info(gpu_layers=0):
    return PairInfo("pair", 8192, 2, gpu_layers, 0, 0, 1, 1)


def measured():
    book = CostBook()
    book.learn(Costs({1: 0.1, 4: 0.2}, 0.01, 0.0, position=100))
    return book


def test_what_was_measured_is_there_in_the_next_run(tmp_path, pair):
    CostMemory(tmp_path / "costs", pair, LoadOptions(), "1").keep(info(), measured())
    book = CostMemory(tmp_path / "costs", pair, LoadOptions(), "1").recall(info())
    assert book.at(100).verify(4) == pytest.approx(0.2)
    assert book.at(100).draft_step == pytest.approx(0.01)


def test_another_part_of_a_split_model_is_measured_anew(tmp_path):
    parts = [tmp_path / f"t-0000{number}-of-00002.gguf" for number in (1, 2)]
    for part in parts:
        part.write_bytes(b"part")
    files = PairFiles("pair", parts[0], None)
    CostMemory(tmp_path / "costs", files, LoadOptions(), "1").keep(info(), measured())
    assert CostMemory(tmp_path / "costs", files, LoadOptions(), "1").recall(info()).curves
    parts[1].write_bytes(b"another")
    assert not CostMemory(tmp_path / "costs", files, LoadOptions(), "1").recall(info()).curves


def test_each_number_of_threads_has_costs_of_its_own(tmp_path, pair):
    book = measured()
    book.threads = 2
    assert book.at(100).verify(4) == pytest.approx(0.2), "what is known nearest is a beginning"
    book.learn(Costs({1: 0.06, 4: 0.11}, 0.01, 0.0, position=100))
    memory = CostMemory(tmp_path / "costs", pair, LoadOptions(), "1")
    memory.keep(info(), book)
    again = memory.recall(info())
    for threads, seconds in ((1, 0.2), (2, 0.11)):
        again.threads = threads
        assert again.at(100).verify(4) == pytest.approx(seconds)


def test_other_files_loading_or_llama_cpp_are_measured_anew(tmp_path, pair):
    def memory(options=None, version="1"):
        return CostMemory(tmp_path / "costs", pair, options or LoadOptions(), version)

    memory().keep(info(), measured())
    assert memory().recall(info(gpu_layers=1)).curves == {}
    assert memory(LoadOptions(kv_type="q8_0")).recall(info()).curves == {}
    assert memory(version="2").recall(info()).curves == {}
    pair.target.write_bytes(b"another target")
    assert memory().recall(info()).curves == {}


def test_another_processor_or_build_is_measured_anew(tmp_path, monkeypatch, pair):
    seen = []

    def load(files, options, progress, memory, *_, **__):
        seen.append(memory)
        return SimpleNamespace(info=info())

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setenv("GEMMA_MTP_HOME", str(tmp_path))
    for name in ("one processor", "another", "one processor"):
        monkeypatch.setattr(machine, "cpu_name", lambda name=name: name)
        Environment().load(pair, LoadOptions(), lambda fraction: True)
    first, other, again = (memory._path(info()) for memory in seen)
    assert first == again != other


def test_a_damaged_or_unwritable_memory_is_no_error(tmp_path, pair):
    memory = CostMemory(tmp_path / "costs", pair, LoadOptions(), "1")
    memory.keep(info(), measured())
    (file,) = (tmp_path / "costs").iterdir()
    whole = file.read_text()
    for damage in (
        '{"costs": {"0": 7}}',
        "[" * 100_000,
        "null",
        whole.replace('"4": 0.2', '"4": NaN'),
        whole.replace('"draft_step": 0.01', '"draft_step": 1e999'),
    ):
        assert damage != whole
        file.write_text(damage)
        assert memory.recall(info()).curves == {}
    blocked = CostMemory(file / "below a file", pair, LoadOptions(), "1")
    blocked.keep(info(), measured())
    assert blocked.recall(info()).curves == {}


def test_what_building_a_graph_takes_is_not_counted_for_a_width_that_was_timed_once():
    """Else, where that takes long, a width is given up that would pay."""
    curve = CostCurve()
    for _ in range(3):
        curve.verified(1, 1.0, changed=False)
    curve.verified(1, 1.75, changed=True)
    curve.verified(4, 2.5, changed=True)
    assert curve.verify(4) == pytest.approx(1.75)
    curve.verified(8, 1.2, changed=True)  # was built quicker than ever; no width is the cheapest so
    assert curve.verify(8) == pytest.approx(1.0)
