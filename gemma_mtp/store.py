"""Which pair a name, a path or nothing at all stands for on this machine.

Knows folders and headers; knows neither llama.cpp nor the network.
"""

from __future__ import annotations

import contextlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from gemma_mtp import atomic, config, gguf, pairing, paths
from gemma_mtp.catalogue import Catalogue, Entry
from gemma_mtp.errors import GemmaMtpError, ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.options import PairFiles
from gemma_mtp.pull import pairs_on_hub as hub_pairs
from gemma_mtp.pull.pair import ready_files

BUILTIN = "tiny"
BUILTIN_FOLDER = Path(__file__).with_name("models")
REMEMBERED = 8


class Store:
    """The pairs on this machine, under the names of the catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        """The pair to load; a drafter named by the user replaces the pair's own, or is an error."""
        pair = self._named(model, drafter) if model is not None else self._unnamed(drafter)
        if drafter is None:
            return pair
        drafter = Path(drafter).expanduser().absolute()
        pairing.check_pair(gguf.read_header(pair.target), gguf.read_header(drafter))
        return PairFiles(pair.name, pair.target, drafter)

    def is_ready(self, entry: Entry) -> bool:
        """Both files are here, complete and verified."""
        return self._files(entry) is not None

    def folder(self, entry: Entry) -> Path:
        """Where a pull of this entry belongs."""
        name = entry.name.replace("/", "--").replace(":", "-")  # Windows forbids colons
        return paths.models_dir() / name

    def known(self, name: str) -> Entry:
        """The entry for `name`, or an error that suggests one."""
        entry = self.find(name)
        if entry is None:
            raise self._unknown(name)
        return entry

    def ready(self) -> list[Entry]:
        """All entries that can be loaded without the network."""
        entries = [*self.catalogue.entries, *hub_pairs.pulled(paths.models_dir())]
        return [entry for entry in entries if self.is_ready(entry)]

    def find(self, name: str) -> Entry | None:
        """The entry of the catalogue, or of a repository pulled before."""
        if hub_pairs.is_hub_name(name):
            return hub_pairs.find_pulled(name, paths.models_dir())
        return self.catalogue.find(name)

    def remember_used(self, name: str) -> None:
        """Make `name` (or a path) what `resolve(None)` means; not being able to is no error."""
        if looks_like_path(name):
            name = str(Path(name).expanduser().absolute())
        used = {name: _now(), **{k: v for k, v in last_used().items() if k != name}}
        kept = dict(list(used.items())[:REMEMBERED])
        with contextlib.suppress(OSError):
            atomic.write_text(_used_file(), json.dumps({"used": list(kept), "when": kept}))

    def _named(self, model: str, drafter: Path | None) -> PairFiles:
        if not model.strip():
            raise UsageError("The model name is empty.", "See gemma-mtp list for names.")
        entry = self.catalogue.find(model)
        if entry is None and model.lower().startswith("hf:"):
            return self._repository(model)
        if entry is None and looks_like_path(model):
            return _from_path(Path(model).expanduser().absolute(), look_around=drafter is None)
        return self._ready_files(entry or self.known(model))

    def _repository(self, name: str) -> PairFiles:
        from gemma_mtp.pull.pairs_on_hub import find_pulled

        entry = find_pulled(name, paths.models_dir())
        if entry is None:
            raise NotPulled(name)
        return self._ready_files(entry)

    def _ready_files(self, entry: Entry) -> PairFiles:
        files = self._files(entry)
        if files is None:
            raise _not_here(entry)
        return files

    def _unnamed(self, drafter: Path | None) -> PairFiles:
        configured = configured_model()
        if configured is not None:
            return self._named(configured, drafter)
        for name in last_used():
            try:
                return self._named(name, drafter)
            except GemmaMtpError:  # removed since
                continue
        return self._named(BUILTIN, drafter)

    def _files(self, entry: Entry) -> PairFiles | None:
        if not entry.builtin:
            return ready_files(entry, self.folder(entry))
        target, drafter = (BUILTIN_FOLDER / f.path for f in (entry.target, entry.drafter))
        present = target.is_file() and drafter.is_file()
        return PairFiles(entry.name, target, drafter) if present else None

    def _unknown(self, model: str) -> ModelNotAvailable:
        nearest = self.catalogue.nearest(model)[:3]
        sizes = [entry.name for entry in self.catalogue.entries if entry.default]
        hint = "Did you mean " + " or ".join(nearest) + "?" if nearest else ""
        return ModelNotAvailable(
            f'There is no model called "{model}".', hint or f"Known models: {', '.join(sizes)}."
        )


def looks_like_path(model: str) -> bool:
    """A file, not a name: it has a folder in it, or ends as GGUF files do."""
    if hub_pairs.is_hub_name(model):
        return False
    separators = [os.sep, os.altsep or os.sep]
    return any(s in model for s in separators) or model.lower().endswith(".gguf")


def configured_model() -> str | None:
    """`model = "12b"` of config.toml; None without the file or the key."""
    return config.read(paths.config_file()).get("model")


def _not_here(entry: Entry) -> ModelNotAvailable:
    if entry.builtin:
        return ModelNotAvailable(
            "The built-in model is missing from this installation.", "Reinstall gemma-mtp."
        )
    return NotPulled(entry.name)


def _from_path(target: Path, look_around: bool) -> PairFiles:
    header = gguf.read_header(target)
    pairing.check_target(header)
    drafter = _sibling_drafter(header) if look_around else None
    return PairFiles(str(target), target, drafter)  # the path is a name that resolves again


def _sibling_drafter(target: gguf.Header) -> Path | None:
    """The one drafter next to the target that belongs to it; two are one too many to guess."""
    fitting = []
    for candidate in sorted(target.path.parent.glob("mtp-*.gguf")):
        try:
            pairing.check_pair(target, gguf.read_header(candidate))
        except GemmaMtpError:
            continue
        fitting.append(candidate)
    return fitting[0] if len(fitting) == 1 else None


def _used_file() -> Path:
    return paths.state_dir() / "used.json"


def last_used() -> dict[str, str]:
    """Names and when each was last used (ISO 8601, UTC; "" where not known), the latest first."""
    try:
        data = json.loads(_used_file().read_text(encoding="utf-8"))
        when = data.get("when", {})
        return {name: str(when.get(name, "")) for name in data["used"] if isinstance(name, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
