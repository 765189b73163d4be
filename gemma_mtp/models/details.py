"""Everything there is to say about one model: what is pinned, what its files say, what it needs.

Knows where to look it up; `show` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gemma_mtp.api import CPU_PIECE, DEFAULT_CONTEXT
from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable, NotPulled
from gemma_mtp.models import gguf, inventory, pair_check, speeds
from gemma_mtp.models.catalogue import Entry, RemoteFile
from gemma_mtp.models.fit import judge
from gemma_mtp.models.hyperparameters import shape_of
from gemma_mtp.models.inventory import Item, StoredFile
from gemma_mtp.models.machine import Machine
from gemma_mtp.models.memory import estimate
from gemma_mtp.models.shape import Shape
from gemma_mtp.models.store import Store, looks_like_path
from gemma_mtp.settings import Options, Sampling
from gemma_mtp.text import byte_size, thousands


def details(
    store: Store, model: str, machine: Callable[[], Machine], given: Options
) -> dict[str, Any]:
    """For a name of the catalogue, here or not, a pair pulled before, or a file.

    `machine` says what is free here, for the verdict on a pair that is not loaded. The sampling is
    what is `given`, else what is recommended for the model.
    """
    found = _found(store, model, machine)
    sampling = given.for_model(store.recommended(model)).part(Sampling)
    return {**found, "sampling": asdict(sampling)}


def _found(store: Store, model: str, machine: Callable[[], Machine]) -> dict[str, Any]:
    entry = store.catalogue.find(model)
    if is_file(store, model):
        return _of_file(store, model)
    try:
        item = inventory.find(store, model)
    except (NotPulled, ModelNotAvailable):
        if entry is None:
            raise
        return _of_entry(entry, machine)
    return _of_item(item, machine)


def is_file(store: Store, model: str) -> bool:
    """Whether the user named a file of their own."""
    return store.catalogue.find(model) is None and looks_like_path(model)


def _of_entry(entry: Entry, machine: Callable[[], Machine]) -> dict[str, Any]:
    """A model that is not here: what is pinned. A pull leaves the image encoder out."""
    named = [("target", entry.target), ("drafter", entry.drafter), ("mmproj", entry.mmproj)]
    files = [_remote(role, part) for role, file in named if file for part in file.parts]
    return {**_catalogued(entry, "not on this machine"), "files": files,
            **_memory(entry, machine)}  # fmt: skip


def _of_item(item: Item, machine: Callable[[], Machine]) -> dict[str, Any]:
    state = "ready" if item.ready else f"part of it is here, {byte_size(item.bytes)}"
    known = _catalogued(item.entry, state) if item.entry else {"name": item.name, "state": state}
    if not item.ready:
        about = _of_entry(item.entry, machine) if item.entry else {"files": []}
        return {**about, **known}
    found = {**known, "source": item.source, "last_used": item.last_used}
    found["files"] = [_stored(file) for file in item.files]
    try:
        header = _header(item.files)
    except BadPair as error:
        if item.folder is not None:
            inventory.mark_damaged(item)
            error.hint = f"gemma-mtp pull {item.name}"
        raise
    entry = item.entry
    memory = _memory(entry, machine) if entry and entry.shape else _measured(item.files, header)
    return {
        **found,
        **_architecture(header),
        **memory,
        **_speed(item.name),
    }


def _of_file(store: Store, model: str) -> dict[str, Any]:
    pair = store.resolve(model)
    files = inventory.own(pair).files
    header = _header(files)
    found = {"name": pair.name, "state": "a file of yours", "files": [_stored(f) for f in files],
             "no_drafter": pair.no_drafter}  # fmt: skip
    memory = _measured(files, header)
    return {
        **found,
        **_architecture(header),
        **memory,
        **_speed(pair.name),
    }


def _catalogued(entry: Entry, state: str) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "state": state,
        "variant": entry.tag,
        "qat": entry.qat,
        "parameters": entry.parameters,
        "context_length": entry.context_length,
        "draft_range": list(entry.draft_range),
        "source": f"{entry.repo}@{entry.revision}" if entry.repo else "built in",
    }


def _remote(role: str, file: RemoteFile) -> dict[str, Any]:
    return {"role": role, "path": file.path, "bytes": file.bytes, "sha256": file.sha256}


def _stored(file: StoredFile) -> dict[str, Any]:
    return {**asdict(file), "path": str(file.path)}


def _header(files: tuple[StoredFile, ...]) -> gguf.Header:
    target = next(file.path for file in files if file.role == "target")
    return gguf.read_header(target)


def _architecture(header: gguf.Header) -> dict[str, Any]:
    found = gguf.describe(header)
    template = header.metadata.get("tokenizer.chat_template")
    return {
        "architecture": found.architecture,
        "layers": found.layers,
        "width": found.width,
        "vocabulary": found.vocabulary,
        "sliding_window": found.sliding_window,
        "quantization": found.quantization,
        "weights": found.parameters,
        "context_length": found.context_length,
        "template": template if isinstance(template, str) else "",
    }


def _memory(entry: Entry, machine: Callable[[], Machine]) -> dict[str, Any]:
    """The verdict for this machine."""
    fit = judge(entry, machine(), here=True)
    if fit is None:
        return {}
    return {"memory": {"context": DEFAULT_CONTEXT, "needed_bytes": fit.needed,
                       "verdict": fit.verdict.value, "reason": fit.reason,
                       "longest_context": fit.context}}  # fmt: skip


def _speed(name: str) -> dict[str, Any]:
    """What its last chat here measured, if there was one."""
    speed = speeds.recall(name)
    return {"speed": speed} if speed else {}


def _measured(files: tuple[StoredFile, ...], header: gguf.Header) -> dict[str, Any]:
    """Where the catalogue has no shape, the file has."""
    shape = _shape(header)
    if shape is None:
        return {}
    target, drafter = (
        sum(file.bytes for file in files if file.role == role) for role in ("target", "drafter")
    )
    context = min(DEFAULT_CONTEXT, gguf.describe(header).context_length)
    needed = estimate(shape, target, drafter, context, CPU_PIECE).needed
    return {"memory": {"context": context, "needed_bytes": needed}}


def _shape(header: gguf.Header) -> Shape | None:
    try:
        pair_check.check_target(header)
        return shape_of(header)
    except (GemmaMtpError, ValueError, KeyError):
        return None


def as_lines(found: dict[str, Any], template: str = "--json has it") -> list[str]:
    """For a person: one fact a line; `template` says where the text of the template is shown."""
    lines = [_title(found)]
    for key in ("state", "variant", "parameters", "source", "last_used", "architecture"):
        if found.get(key):
            lines.append(f"  {key.replace('_', ' '):13} {found[key]}")
    if "layers" in found:
        shape = f"{found['layers']} layers of width {found['width']}, {found['quantization']}"
        lines.append(f"  {'weights':13} {found['weights'] / 1e6:,.0f} M: {shape}")
    if found.get("context_length"):
        lines.append(f"  {'context':13} up to {found['context_length']} tokens")
    if "draft_range" in found:
        lines.append(f"  {'draft lengths':13} {' to '.join(map(str, found['draft_range']))}")
    if "template" in found:
        words = f"in the file, {len(found['template'])} characters ({template})"
        lines.append(f"  {'template':13} {words if found['template'] else 'none'}")
    sampling = ", ".join(f"{key} {value:g}" for key, value in found["sampling"].items())
    lines.append(f"  {'sampling':13} {sampling}")
    lines += _memory_lines(found.get("memory", {})) + _speed_lines(found.get("speed", {}))
    return lines + _file_lines(found)


def _title(found: dict[str, Any]) -> str:
    title = found.get("title")
    return f"{found['name']}: {title}" if title else str(found["name"])


def _memory_lines(memory: dict[str, Any]) -> list[str]:
    if not memory:
        return []
    size = f"{byte_size(memory['needed_bytes'])} with {thousands(memory['context'])} tokens"
    verdict = f"; {memory['verdict']}: {memory['reason']}" if "verdict" in memory else ""
    return [f"  {'memory':13} {size}{verdict}"]


def _speed_lines(speed: dict[str, Any]) -> list[str]:
    if not speed:
        return []
    gain = f", {speed['speedup']:.2f}x plain" if speed.get("speedup") else ""
    return [f"  {'speed':13} {speed['tokens_per_second']:.1f} tok/s{gain} in the last chat here"]


def _file_lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for file in found["files"]:
        size = (
            f"{file['bytes']:,} byte{'s' * (file['bytes'] != 1)}"
            if file["bytes"]
            else "size not known"
        )
        origin = f", from {file['origin']}" if file.get("origin") not in (None, "", "hub") else ""
        lines.append(f"  {file['role']:13} {file['path']}")
        lines.append(f"  {'':13} {size}{origin}")
        if file["sha256"]:
            lines.append(f"  {'':13} sha256 {file['sha256']}")
        elif "checked" in found:
            lines.append(f"  {'':13} sha256 {found['checked'].get(file['path'], '')}")
    if found.get("no_drafter"):
        lines.append(f"  {'drafter':13} none: {found['no_drafter']}")
    if "checked" in found:
        pinned = all(file["sha256"] for file in found["files"])
        words = "all files are as pulled" if pinned else "read; nothing to compare with"
        lines.append(f"  {'checked':13} {words}")
    return lines
