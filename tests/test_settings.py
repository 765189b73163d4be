"""The table of settings: one declaration, and everything that follows from it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from support.fakes import FakeEnvironment, invoke
from support.pairs import TINY
from support.talk import Talk

from gemma_mtp import paths
from gemma_mtp.api import LoadOptions, Message, PairFiles, Request, Sampling
from gemma_mtp.chat import verbs
from gemma_mtp.cli.app import app
from gemma_mtp.cli.environment import Environment
from gemma_mtp.cli.flags import flag_of
from gemma_mtp.errors import UsageError
from gemma_mtp.files import config_file
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.store import Store
from gemma_mtp.options import PARAMETERS, SETTINGS, Options
from gemma_mtp.setting import Setting
from gemma_mtp.settings import ReplySettings

COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
GOOD: dict[str, str] = {
    known.name: known.choices[-1] if known.choices else {bool: "true"}.get(known.kind, "1")
    for known in SETTINGS.values()
}
"""A word for each setting that is another value than its default, in most cases."""
GOOD |= {
    "temperature": "0.5",
    "top_p": "0.5",
    "ctx": "512",
    "repeat_penalty": "1.5",
    "gpu_memory": "6GB",
    "image_tokens": "560",
}
every = pytest.mark.parametrize("known", PARAMETERS.values(), ids=PARAMETERS)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(paths.HOME_VARIABLE, str(tmp_path))
    paths.config_dir().mkdir(parents=True)
    return tmp_path


class Real(FakeEnvironment):
    """The fake engine behind the real config.toml, models.toml and built-in pair."""

    settings = Environment.settings

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        return Store(load_catalogue(paths.own_models())).resolve(model, drafter)


def too_far(known: Setting) -> str:
    """A word that is no value of this setting."""
    if known.most is not None:
        return str(known.most + 1)
    return "0" if known.least else "" if known.kind is tuple else "nonsense"


@every
def test_a_parameter_is_a_flag_a_key_a_name_and_a_field(known: Setting) -> None:
    for command in ("chat", "run"):
        assert flag_of(known.name) in {o for p in COMMANDS[command].params for o in p.opts}
    assert known.name in config_file.KEYS
    talk = Talk()
    assert known.name in [
        word.strip() for _, word, _ in verbs.suggestions(talk.chat, "/set parameter ")
    ]
    assert f"  {known.name:15} " in talk.run("/show parameters")
    parts = (Sampling, Request, LoadOptions)
    assert sum(known.field in {f.name for f in fields(part)} for part in parts) == 1


@every
def test_what_is_typed_arrives_whichever_way_it_goes(known: Setting) -> None:
    wanted = known.parse(GOOD[known.name])
    word = known.shown(wanted).strip('"')
    typed = [flag_of(known.name)] if known.kind is bool else [flag_of(known.name), word]
    there = Real()
    assert invoke("run", "tiny", "hi", *typed, env=there).status == 0
    assert arrived(there, known) == wanted
    assert invoke("config", known.name, word).status == 0
    there = Real()
    assert invoke("run", "tiny", "hi", env=there).status == 0
    assert arrived(there, known) == wanted
    talk = Talk()
    talk.run(f"/set parameter {known.name} {word}", "/model tiny", "hi")
    assert arrived(talk.env, known) == wanted
    talk.run(f"/set parameter {known.name} default", "/model tiny", "hi")
    assert arrived(talk.env, known) in (known.default, False)


def arrived(there: FakeEnvironment, known: Setting) -> Any:
    """The value of a setting in what the engine got last."""
    request, loaded = there.engine.requests[-1], there.loaded[-1][1]
    for part in (request, request.sampling, loaded):
        if hasattr(part, known.field):
            return getattr(part, known.field)
    raise AssertionError(known.field)


@every
def test_what_is_out_of_range_is_refused_everywhere(known: Setting) -> None:
    if known.kind is not bool:
        outcome = invoke("run", "hi", flag_of(known.name), too_far(known))
        assert (outcome.status, outcome.stdout) == (2, "")
        assert outcome.stderr.startswith(f"gemma-mtp: {flag_of(known.name)} must be {known.wanted}")
    word = {bool: "7"}.get(known.kind, too_far(known))
    outcome = invoke("config", known.name, word)
    assert outcome.stderr.startswith(f"gemma-mtp: {known.name} must be {known.wanted}")
    value = [""] if known.kind is tuple else json.loads(word) if word[-1:].isdigit() else word
    paths.config_file().write_text(f"{known.name} = {json.dumps(value)}")
    with pytest.raises(UsageError, match=f"^In {paths.config_file()}, {known.name} must be"):
        config_file.read(paths.config_file())
    paths.config_file().unlink()
    wrong = tuple(value) if known.kind is tuple else value
    for part in (Request((Message.text("user", "hi"),)), LoadOptions()):
        if known.field in {f.name for f in fields(part)}:
            with pytest.raises(UsageError, match=f"^{known.name} must be"):
                replace(part, **{known.field: wrong}).check()


@every
def test_the_default_is_a_value(known: Setting) -> None:
    assert known.accept(known.default) == known.default
    assert known.shown(known.default)
    assert known.help.endswith(".")


@pytest.mark.parametrize(
    ("name", "field"),
    [("num_ctx", "context"), ("num_predict", "max_tokens"), ("NUM-GPU", "gpu_layers")],
)
def test_names_of_ollama_are_known(name: str, field: str) -> None:
    from gemma_mtp.options import find

    assert find(name).field == field


@pytest.mark.parametrize("value", ["F16", "q9", "", 3, None])
def test_a_value_that_only_people_may_type_is_none_for_code(value: Any) -> None:
    with pytest.raises(UsageError, match="kv_type must be one of f32"):
        LoadOptions(kv_type=value).check()


def test_words_stand_for_values() -> None:
    draft = SETTINGS["draft"]
    assert [draft.parse(word) for word in ("auto", " OFF ", "0", "16")] == ["auto", 0, 0, 16]
    assert [draft.shown(value) for value in ("auto", 0, 3)] == ["auto", "off", "3"]
    assert [draft.accept(value) for value in ("3", "off", 3)] == [3, 0, 3]  # quoted in config.toml
    assert SETTINGS["seed"].parse("none") is SETTINGS["ctx"].parse("Default") is None
    assert SETTINGS["stop"].parse("none") == ()


def test_off_and_default_differ_where_off_is_a_value_of_its_own() -> None:
    keep = SETTINGS["keep_alive"]
    typed = [keep.parse(word) for word in ("off", "forever", "default", "none")]
    assert typed == [0, -1, None, None]


@pytest.mark.parametrize("typed", ["90s", "5m", "1h", "48h", "1h30m", "2h0m1s", "off", "forever"])
def test_a_time_is_shown_as_it_may_be_typed(typed: str) -> None:
    keep = SETTINGS["keep_alive"]
    assert keep.shown(keep.parse(typed)) == typed


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("1h30m", 5400), ("1.5h", 5400), ("90", 90), ("500ms", 1), ("-5m", -1), ("2.5", 3)],
)
def test_a_time_is_read_as_ollama_reads_it(typed: str, seconds: int) -> None:
    assert SETTINGS["keep_alive"].parse(typed) == seconds


@pytest.mark.parametrize("typed", ["soon", "5 m", "m5", "1d", "1h30", "1e99h", "9" * 40])
def test_what_is_no_time_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match="a time such as 30s, 5m or 1h30m"):
        SETTINGS["keep_alive"].parse(typed)


@pytest.mark.parametrize(
    ("typed", "size", "shown"),
    [
        ("6GB", 6 * 10**9, "6GB"),
        ("6.5 gb", 6_500_000_000, "6.5GB"),
        ("6GiB", 6 << 30, "6GiB"),
        ("500M", 500_000_000, "500MB"),
    ],
)
def test_a_size_is_shown_as_it_may_be_typed(typed: str, size: int, shown: str) -> None:
    known = SETTINGS["gpu_memory"]
    assert known.parse(typed) == size == known.parse(shown)
    assert known.shown(size) == shown


@pytest.mark.parametrize("typed", ["6", "0GB", "much", "-6GB", "6 G B"])
def test_what_is_no_size_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match=r"gpu_memory must be a size such as 6GB"):
        SETTINGS["gpu_memory"].parse(typed)


@pytest.mark.parametrize("name", ["gpu_layers", "cpu_experts"])
def test_a_number_of_layers_may_be_a_word(name: str) -> None:
    assert [SETTINGS[name].parse(word) for word in ("auto", "all", "-1", "7")] == [None, -1, -1, 7]


def test_a_single_text_stands_for_a_list_of_one() -> None:
    assert SETTINGS["stop"].accept("END") == SETTINGS["stop"].accept(["END"]) == ("END",)
    with pytest.raises(UsageError, match="stop must be a text, or several"):
        SETTINGS["stop"].accept("")


# What counts more: the command line, config.toml, the model, the program.

SUMS = "a" * 64, "b" * 64
OWN = f"""
[[model]]
name = "tiny"
[model.sampling]
temperature = 0.25
top_k = 7
top_p = 0.5
[[model.source]]
repo = "me/tiny"
drafter = {{ file = "d.gguf", quantization = "Q8_0", sha256 = "{SUMS[0]}" }}
targets = [{{ tag = "mine", file = "t.gguf", quantization = "Q4_0", sha256 = "{SUMS[1]}" }}]
"""


def own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's models.toml recommends sampling for `tiny:mine`, which is here."""
    paths.own_models().write_text(OWN)
    monkeypatch.setattr(Store, "_ready_files", lambda store, entry: replace(TINY, name=entry.name))


def test_the_command_line_beats_the_file_and_that_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_model(monkeypatch)
    paths.config_file().write_text("top_k = 9\ntop_p = 0.75")
    there = Real()
    assert invoke("run", "tiny:mine", "hi", "--top-p", "0.95", env=there).status == 0
    assert there.engine.requests[-1].sampling == Sampling(0.25, 9, 0.95)
    there = Real()
    assert invoke("run", "tiny", "hi", env=there).status == 0
    assert there.engine.requests[-1].sampling == Sampling(1.0, 9, 0.75)


def test_a_chat_takes_what_is_recommended_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    own_model(monkeypatch)
    talk = Talk(min_p=0.125)
    monkeypatch.setattr(talk.env, "resolve", Real().resolve)
    shown = talk.run("/model tiny:mine", "/show parameters", "/set parameter top_k 3", "hi")
    assert "  temperature     0.25\n  top_k           7\n" in shown
    assert talk.engine.requests[-1].sampling == Sampling(0.25, 3, 0.5, 0.125)
    talk.run("/model tiny", "hi")
    assert talk.engine.requests[-1].sampling == Sampling(1.0, 3, 0.95, 0.125)
    talk.run("/model tiny:mine", "/set parameter top_k default", "hi")
    assert talk.engine.requests[-1].sampling == Sampling(0.25, 7, 0.5, 0.125)


def test_show_says_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    own_model(monkeypatch)
    paths.config_file().write_text("top_k = 9")
    outcome = invoke("show", "tiny:mine", env=Real())
    assert "sampling temperature 0.25, top_k 9, top_p 0.5, " in " ".join(outcome.stdout.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("temperature = 200", "sampling.temperature must be a number between 0 and 100, not 200"),
        ("temprature = 1", "the key 'temprature' is unknown in model[0].sampling"),
        ("min_p = 1.5", "sampling.min_p must be a number between 0 and 1, not 1.5"),
    ],
)
def test_sampling_that_no_model_can_have_is_refused_by_name(line: str, said: str) -> None:
    paths.own_models().write_text(OWN.replace("temperature = 0.25", line))
    outcome = invoke("run", "tiny", "hi", env=Real())
    assert (outcome.status, outcome.stdout) == (2, "")
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("model", "status", "first"),
    [
        ("e9b", 4, 'There is no model called "e9b".'),
        ("31b", 4, "31b is not on this machine."),
        ("/nowhere/x.gguf", 4, ""),
    ],
)
def test_a_default_model_that_is_missing_is_one_of_the_file(
    model: str, status: int, first: str
) -> None:
    paths.config_file().write_text(f'model = "{model}"')
    outcome = invoke("run", "what is new today?", env=Real())
    assert outcome.status == status
    sentence = outcome.stderr.splitlines()[0]
    assert sentence.startswith(f"gemma-mtp: {first}")
    assert sentence.endswith(f"It is the default model of {paths.config_file()}.")
    named = invoke("run", model, "what is new today?", env=Real())
    assert "default model" not in named.stderr


def test_options_are_made_of_what_the_engine_takes() -> None:
    options = Options().with_values(temperature=0.5, context=512, seed=3)
    assert options.part(Sampling) == Sampling(0.5)
    assert options.part(LoadOptions) == LoadOptions(512)
    assert options.part(ReplySettings) == ReplySettings(seed=3)
    assert Request.of((), options) == Request((), Sampling(0.5), seed=3, exact=True)
    assert options.given == {"temperature", "context", "seed"}


def test_a_preset_counts_more_than_config_toml_and_less_than_what_is_typed() -> None:
    recommended = {"temperature": 0.1, "top_k": 1, "top_p": 0.1, "context": 512}
    configured = Options().configured(temperature=0.2, top_k=2, top_p=0.2, think=True)
    typed = configured.with_values(temperature=0.4)
    found = typed.for_model(recommended, {"temperature": 0.3, "top_k": 3})
    assert (found.temperature, found.top_k, found.top_p) == (0.4, 3, 0.2)
    assert (found.context, found.think) == (512, True)
    again = found.for_model({"top_k": 5})
    assert (again.temperature, again.top_k, again.context) == (0.4, 2, None)


def test_whether_to_think_and_how_long_come_from_one_place() -> None:
    preset = {"think": True, "think_budget": 500}
    typed = Options().with_values(think=False)
    assert not typed.for_model({}, preset).thinks
    assert Options().configured(think_budget=0).for_model({}, preset).thinks
    budget = Options().configured(think_budget=100)
    assert not budget.for_model({}, {"think": False, "think_budget": None}).thinks
