"""Everything there is to say about one model: what is pinned, what its files say, what it needs.

`gemma-mtp show` and `/show` call it: `details` for a program, `facts` of these for a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from gemma_mtp.api import CPU_PIECE, DEFAULT_CONTEXT, PairFiles, to_json
from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable
from gemma_mtp.models import (
    device_choices,
    gguf,
    inventory,
    last_used,
    pair_check,
    placed,
    presets,
    speeds,
    tried,
)
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.fit import judge
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.inventory import StoredFile, StoredPair
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.memory import estimate
from gemma_mtp.models.placement import Wanted
from gemma_mtp.models.preset_data import data_of, preset_of, told
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.models.weights import from_headers
from gemma_mtp.options import Options
from gemma_mtp.settings import LoadOptions, Sampling
from gemma_mtp.text import byte_size, moment, percent, thousands

READS = {"images": "pictures", "audio": "recordings"}


def details(
    store: Store, model: str, machine: Callable[[], Machine], given: Options
) -> dict[str, Any]:
    """For a name of the catalogue, here or not, a pair pulled before, a file, or a preset.

    `machine` says what is free here, for the verdict on a pair that is not loaded. The sampling is
    what is `given`, else what comes with the model. Sizes are in bytes. Raises ModelNotAvailable
    for a name that means nothing, and BadPair for damaged files.
    """
    filled = store.filled(model, given)
    found, kept = _found(store, model, machine, filled.part(LoadOptions)), presets.find(model)
    entry = store.find(model)
    found["sampling"] = asdict(filled.part(Sampling))
    if entry is not None and (published := data_of(entry.published)):
        found["published"] = published
    if kept is not None:
        found |= {"name": kept.name, "preset_of": kept.model, "preset": data_of(kept.preset)}
        found["last_used"] = last_used.when(kept.name)
    return found


def _found(
    store: Store, model: str, machine: Callable[[], Machine], options: LoadOptions
) -> dict[str, Any]:
    if is_file(store, model):
        return _of_file(store, model, machine, options)
    entry = store.catalogue.find(store.meant(model).name)
    try:
        item = inventory.find(store, model)
    except ModelNotAvailable:
        if entry is None:
            raise
        return _of_entry(entry, machine, options)
    found = _of_item(item, machine, options)
    with suppress(GemmaMtpError):  # what is wrong with its files was said
        return found | (_whose_drafter(store.resolve(item.name)) if item.ready else {})
    return found


def is_file(store: Store, model: str) -> bool:
    """Whether the user named a file of their own."""
    return looks_like_path(store.meant(model).name)


def _of_entry(entry: Entry, machine: Callable[[], Machine], options: LoadOptions) -> dict[str, Any]:
    """A model that is not here: what is pinned."""
    named = [("target", entry.target), ("drafter", entry.drafter), ("encoder", entry.encoder)]
    files = [_pinned(role, part) for role, file in named if file for part in file.parts]
    about = _catalogued(entry, "not on this machine")
    if entry.encoder is not None:
        about["reads"] = ["pictures", *(["recordings"] if entry.hears else [])]
    return {**about, "files": files, **_verdict(entry, machine, options)}


def _of_item(
    item: StoredPair, machine: Callable[[], Machine], options: LoadOptions
) -> dict[str, Any]:
    entry = item.entry
    state = "ready" if item.ready else f"part of it is here, {byte_size(item.bytes)}"
    known = _catalogued(entry, state) if entry else {"name": item.name, "state": state}
    if not item.ready:
        return {**(_of_entry(entry, machine, options) if entry else {"files": []}), **known}
    known |= {"source": item.source, "last_used": item.last_used}
    try:
        header = _header(item.files)
    except BadPair as error:
        if item.folder is not None:
            inventory.mark_damaged(item)
            error.hint = f"gemma-mtp pull {item.name}"
        raise
    memory = _needed(item.files, header, machine, options)
    if entry is not None and entry.shape is not None:
        memory |= _verdict(entry, machine, options)
    return {**known, **_read(item.files, header), **memory, **_speed(item.name)}


def _of_file(
    store: Store, model: str, machine: Callable[[], Machine], options: LoadOptions
) -> dict[str, Any]:
    asked = store.resolve(model)
    pair, _ = tried.settled(asked)
    files = inventory.of_files(pair).files
    header = _header(files)
    known = {"name": pair.name, "state": "a file of yours", "no_drafter": pair.no_drafter}
    known |= _whose_drafter(asked)
    read = _read(files, header)
    return {**known, **read, **_needed(files, header, machine, options), **_speed(pair.name)}


def _whose_drafter(asked: PairFiles) -> dict[str, Any]:
    """Whose drafter it has, if that is not its own, and why that one of two."""
    pair, score = tried.settled(asked)
    choice = score.said(*asked.drafter_names) if score else ""
    lacking = {"no_encoder": pair.no_encoder, "no_audio": pair.no_audio}
    reads = [noun for key, noun in READS.items() if not pair.lacks(key)]
    found = {"drafter_of": pair.drafter_of, "drafter_choice": choice, "reads": reads}
    return found | {name: what for name, what in lacking.items() if what}


def _catalogued(entry: Entry, state: str) -> dict[str, Any]:
    keys = ("name", "title", "qat", "parameters", "context_length")
    return {
        **{key: getattr(entry, key) for key in keys},
        "state": state,
        "variant": entry.tag,
        "draft_range": list(entry.draft_range),
        "source": f"{entry.repo}@{entry.revision}" if entry.repo else "built in",
    }


def _pinned(role: str, file: RemoteFile) -> dict[str, Any]:
    return {"role": role, "path": file.path, "bytes": file.bytes, "sha256": file.sha256}


def _header(files: tuple[StoredFile, ...]) -> gguf.Header:
    return gguf.read_header(next(file.path for file in files if file.role == "target"))


def _read(files: tuple[StoredFile, ...], header: gguf.Header) -> dict[str, Any]:
    """The files, and what the target's header says."""
    about = asdict(gguf.describe(header))
    del about["name"]
    about["weights"] = about.pop("parameters")
    template = header.metadata.get("tokenizer.chat_template")
    about["template"] = template if isinstance(template, str) else ""
    listed = [{**asdict(file), "path": str(file.path)} for file in files]
    return {"files": listed, **about}


def _verdict(entry: Entry, machine: Callable[[], Machine], options: LoadOptions) -> dict[str, Any]:
    """Whether it runs on this machine."""
    context = options.context or DEFAULT_CONTEXT
    fit = judge(entry, machine(), context, here=True, options=options)
    if fit is None:
        return {}
    found = {"context": context, "needed_bytes": fit.needed,
             "verdict": fit.verdict.value, "reason": fit.reason, "words": fit.words,
             "longest_context": fit.context}  # fmt: skip
    return {"memory": found}


def _needed(
    files: tuple[StoredFile, ...],
    header: gguf.Header,
    machine: Callable[[], Machine],
    options: LoadOptions,
) -> dict[str, Any]:
    """The memory it takes, and where it would be put on a machine with GPUs, counted tensor by
    tensor."""
    try:
        pair_check.check_target(header)
        shape = shape_of(header)
    except (GemmaMtpError, ValueError, KeyError):
        return {}
    target, drafter = (
        sum(file.bytes for file in files if file.role == role) for role in ("target", "drafter")
    )
    wanted = Wanted.of(options, gguf.describe(header).context_length)
    needed = estimate(shape, target, drafter, wanted.context, CPU_PIECE, wanted.kv_type).needed
    found = {"memory": {"context": wanted.context, "needed_bytes": needed}}
    with suppress(GemmaMtpError, ImportError, OSError, RuntimeError):  # no llama.cpp, no room
        here = machine()
        if here.gpus:
            weights = replace(from_headers(header), drafter=drafter)
            found |= placed.of(shape, weights, wanted, here)
            paths = [file.path for file in files if file.role != "mmproj"]
            if choice := device_choices.latest(paths):
                found["device_choice"] = to_json(choice)
    return found


def _speed(name: str) -> dict[str, Any]:
    """What its last chat here measured, if there was one."""
    speed = speeds.recall(name)
    return {"speed": speed} if speed else {}


def title(found: dict[str, Any]) -> str:
    """What `details` found in one line."""
    return f"{found['name']}: {found['title']}" if found.get("title") else str(found["name"])


def facts(found: dict[str, Any], template: str = "--json has it") -> list[tuple[str, str]]:
    """The same for a person: labels, which may be empty, each with words; `template` says where the
    text of the template is shown."""
    return [*_model_facts(found, template), *_use_facts(found), *_file_facts(found)]


def _model_facts(found: dict[str, Any], template: str) -> Iterator[tuple[str, str]]:
    if "preset_of" in found:
        yield "preset of", found["preset_of"]
    for key, label in (("preset", "sets"), ("published", "came with")):
        for name, words in told(preset_of("", found.get(key, {}))):
            yield label, f"{name}: {words}"
    for key in ("state", "variant", "parameters", "source", "last_used", "architecture"):
        if found.get(key):
            shown = moment(found[key]) if key == "last_used" else found[key]
            yield key.replace("_", " "), shown
    if "layers" in found:
        shape = f"{found['layers']} layers of width {found['width']}, {found['quantization']}"
        yield "weights", f"{found['weights'] / 1e6:,.0f} M: {shape}"
    if found.get("context_length"):
        yield "context", f"up to {found['context_length']} tokens"
    if found.get("reads"):
        yield "reads", ", ".join(["text", *found["reads"]])
    if "draft_range" in found:
        low, high = found["draft_range"]
        yield "draft lengths", f"{low} to {high} are worth trying"
    if "template" in found:
        words = f"in the file, {len(found['template'])} characters ({template})"
        yield "template", words if found["template"] else "none"
    yield "sampling", ", ".join(f"{key} {value:g}" for key, value in found["sampling"].items())


def _use_facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    on_gpu = bool(found.get("placement", {}).get("gpus"))
    if memory := found.get("memory"):
        size = f"{byte_size(memory['needed_bytes'])} with {thousands(memory['context'])} tokens"
        verdict = f"; {memory['words']}" if "words" in memory else ""
        yield "memory", size + verdict
        if pictures := sum(f["bytes"] or 0 for f in found["files"] if f["role"] == "encoder"):
            first = " or ".join(f"a {what.removesuffix('s')}" for what in found.get("reads", ()))
            where = ", on the GPU if that has room beside the layers then" if on_gpu else ""
            yield "", f"{byte_size(pictures)} more once {first or 'a picture'} is read{where}"
    yield from placed.facts(found)
    if speed := found.get("speed"):
        gain = f", {speed['speedup']:.2f}x plain" if speed.get("speedup") else ""
        yield "speed", f"{speed['tokens_per_second']:.1f} tok/s{gain} in the last chat here"
        if speed.get("guessed_right") is not None:
            yield "guesses", f"{percent(speed['guessed_right'])} of the drafter's were right there"


def _file_facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    checked: dict[str, str] | None = found.get("checked")
    for file in found["files"]:
        count, origin = file["bytes"], file.get("origin")
        exactly = f" ({count:,} bytes)" if count and count >= 1000 else ""
        size = f"{byte_size(count)}{exactly}" if count else "size not known"
        if file["role"] == "encoder":
            size += f"; for {' and '.join(found.get('reads') or ['pictures'])}"
        yield file["role"], file["path"]
        yield "", size + (f", from {origin}" if origin not in (None, "", "hub") else "")
        if file["sha256"] or checked is not None:
            yield "", f"sha256 {file['sha256'] or (checked or {}).get(file['path'], '')}"
    if found.get("drafter_of"):
        yield "", f"that of {found['drafter_of']}, not one made for this model"
    if found.get("drafter_choice"):
        yield "chosen", found["drafter_choice"]
    if found.get("no_drafter"):
        yield "drafter", f"none: {found['no_drafter']}"
    if found.get("no_encoder"):
        what = "none, so that neither pictures nor recordings are read."
        yield "encoder", f"{what} {found['no_encoder']}"
    elif found.get("no_audio"):
        yield "", found["no_audio"]
    if checked is not None:
        pinned = all(file["sha256"] for file in found["files"])
        yield "checked", "all files are as pulled" if pinned else "read; nothing to compare with"
