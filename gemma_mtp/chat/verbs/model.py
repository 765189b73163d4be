"""Verbs for which model answers, and what there is to know about it; the registry calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from gemma_mtp.api import Preset
from gemma_mtp.chat.loading import introduce
from gemma_mtp.chat.media import tell_of_unseen
from gemma_mtp.chat.verbs.registry import Group, choose, verb
from gemma_mtp.chat.verbs.settings import list_parameters
from gemma_mtp.errors import GemmaMtpError, ModelNotAvailable, NotPulled, UsageError

if TYPE_CHECKING:
    from gemma_mtp.chat.chat import Chat


def _models(chat: Chat, before: list[str]) -> Iterator[tuple[str, str]]:
    if not before:
        yield from chat.env.models_here()
        yield from chat.env.models_elsewhere()


@verb(
    *("model", "load", "switch"),
    group=Group.MODEL,
    argument="[NAME]",
    words=1,
    choices=_models,
    summary="switch to another model and keep the conversation",
    example="/model e2b",
)
def model(chat: Chat, rest: str) -> None:
    """Loads another model, by name or GGUF file; the conversation goes on with it. If that fails,
    the old model and the conversation stay. Without a name it says which one is loaded."""
    if not rest:
        chat.say(f"{chat.model or 'No model'} is loaded; /list names those on this machine.")
        return
    if said := chat.env.meant(rest):
        chat.note(said)
    try:
        files = chat.env.resolve(rest)
    except ModelNotAvailable as error:
        if not isinstance(error, NotPulled):
            error.hint = _saved_as(chat, rest) or error.hint
            raise
        raise ModelNotAvailable(
            f"{error.name} is not on this machine: gemma-mtp pull {error.name} in another terminal "
            f"fetches it, then /model {error.name} loads it."
        ) from error
    if files.note:
        chat.note(files.note)
    system = chat.conversation.system
    chat.use(files)
    size = chat.engine.info.context_size
    name = files.called
    chat.note(f"{name} is loaded, context {size}." if size else f"{name} answers now.")
    tell_of_unseen(chat)
    if chat.conversation.system != system and chat.conversation.turns:
        chat.note("The system prompt is another one from here on; /system shows it.")
    introduce(chat.env, chat.engine, chat.options, chat.printer, named=True)


def _saved_as(chat: Chat, title: str) -> str:
    """A hint where it is a conversation that has this name: Ollama's /load takes both."""
    with suppress(GemmaMtpError):
        if any(saved.title == title for saved in chat.record.archive.list()):
            return f"A conversation is called that: /resume {title}"
    return ""


@verb("list", "ls", "models", group=Group.MODEL, summary="models on this machine")
def list_models(chat: Chat, rest: str) -> None:
    """Lists the models that /model can load without fetching anything. Outside a chat, gemma-mtp
    list says more, and gemma-mtp pull fetches others."""
    found = list(chat.env.models_here())
    width = max([len(name) for name, _ in found], default=0)
    for name, description in found:
        mark = "*" if name == chat.model else " "
        chat.say(f" {mark} {name:{width}}  {description}".rstrip())


def _info(chat: Chat) -> None:
    for line in chat.env.described(chat.model, chat.options, chat.printer.screen.width):
        chat.say(line)


def _system(chat: Chat) -> None:
    chat.say(chat.conversation.system or "There is no system prompt.")


def _modelfile(chat: Chat) -> None:
    """What `create` makes a preset of that answers as this chat does."""
    from gemma_mtp.models import modelfile, presets
    from gemma_mtp.models.preset_data import FIELDS, settled

    files = chat.files
    if files is None:
        raise UsageError("No model is loaded.", "/model NAME loads one.")
    own = (*files.published.values, *(files.preset.values if files.preset else ()))
    names = {*chat.options.given, *(name for name, _ in own)} & FIELDS.keys()
    values = {name: getattr(chat.options, name) for name in names}
    values["system"] = chat.conversation.system or None
    preset = Preset(chat.model, settled(values), files.opening)
    for line in modelfile.written(presets.Kept(preset, files.name)).splitlines():
        chat.say(line)


def _from_file(key: str, otherwise: str) -> Callable[[Chat], None]:
    def show(chat: Chat) -> None:
        found = chat.env.header_text(chat.files, key) if chat.files else ""
        for line in (found or otherwise).splitlines():
            chat.say(line)

    return show


SHOWN: dict[str, tuple[str, Callable[[Chat], None]]] = {
    "info": ("what this model is", _info),
    "parameters": ("sampling and limits as set now", list_parameters),
    "system": ("the system prompt", _system),
    "modelfile": ("this model with its settings, for gemma-mtp create", _modelfile),
    "template": (
        "the chat template of the file",
        _from_file(
            "tokenizer.chat_template", "The file has no template; Gemma 4's turns are used."
        ),
    ),
    "license": (
        "the license the file names",
        _from_file("general.license", "The file names none."),
    ),
}


@verb(
    "show",
    group=Group.MODEL,
    argument="[WHAT]",
    words=1,
    choices=choose((name, summary) for name, (summary, _) in SHOWN.items()),
    summary="what the model is, or what is set",
    example="/show parameters",
)
def show(chat: Chat, rest: str) -> None:
    """Shows one of: info (files, architecture, memory), parameters (as /set parameter takes them),
    system, modelfile, template, license. Without a word it shows info."""
    name = rest.lower() or "info"
    if name not in SHOWN:
        raise UsageError(
            f'/show knows no "{rest}".', f"Known: {', '.join(f'/show {word}' for word in SHOWN)}."
        )
    SHOWN[name][1](chat)
