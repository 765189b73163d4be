"""Where a name, a path or nothing at all becomes a pair of files on this machine.

Every command that loads a pair asks here. Knows folders and headers; knows neither llama.cpp nor
the network.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles, Preset, Sampling
from gemma_mtp.decoding.drafter_score import ENOUGH
from gemma_mtp.errors import BadPair, GemmaMtpError, ModelNotAvailable, NotPulled, UsageError
from gemma_mtp.files import config_file, places
from gemma_mtp.models import (
    gguf,
    gguf_names,
    hub_names,
    last_used,
    local_names,
    presets,
    tried,
    typed_names,
)
from gemma_mtp.models.catalogue import Catalogue, Entry
from gemma_mtp.models.check_cache import check_once
from gemma_mtp.models.converted_drafter import usable
from gemma_mtp.models.drafter_search import UNCONVERTED, Found, find_drafter, find_rival
from gemma_mtp.models.encoder_check import (
    encoder_near,
    fits,
    what_brings_encoder,
    what_brings_hearing,
)
from gemma_mtp.models.pair_record import ready_files
from gemma_mtp.models.presets import Kept
from gemma_mtp.models.typed_names import Meant
from gemma_mtp.options import Options
from gemma_mtp.text import suggestion

BUILTIN = "tiny"
BUILTIN_FOLDER = Path(__file__).with_name("builtin")
CONVERTED = "was written for another program; a converted copy of it, in the cache, is used."
UNDECIDED = (
    "Two drafters fit it, and nothing says which was made for such weights: what each guesses "
    f"right in {ENOUGH} tokens of a chat decides."
)
GET_AGAIN = "The file is damaged or incomplete: get it again from where it came from."


class Store:
    """The pairs on this machine, under the names of the catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._drafters: dict[str, Path] = {}  # those that the user named, by pair

    def resolve(self, model: str | None, drafter: Path | None = None) -> PairFiles:
        """The pair to load; a drafter named by the user replaces the pair's own, or is an error."""
        if model is not None:
            return self._pair(model, drafter)
        configured = configured_model()
        if configured is not None:
            try:
                return self._pair(configured, drafter)
            except GemmaMtpError as error:
                where = f"It is the default model of {paths.config_file()}."
                error.args = (f"{error} {where}",)
                raise
        used = (u for u in last_used.read() if self._problem(u) is None)
        latest = next(used, last_used.Used(BUILTIN))
        return self._pair(latest.name, drafter or latest.drafter)

    def last_used_problem(self) -> str:
        """A sentence about the pair used last if it cannot be opened any more, else ""."""
        latest = None if configured_model() is not None else next(iter(last_used.read()), None)
        problem = self._problem(latest) if latest is not None else None
        return f"The model used last cannot be opened: {problem}" if problem else ""

    def files(self, entry: Entry) -> PairFiles | None:
        """Both files, if they are here, complete and verified."""
        if not entry.builtin:
            found = ready_files(entry, self.folder(entry))
            return found and replace(found, drafter_of=self._whose_drafter(entry))
        target, drafter = (BUILTIN_FOLDER / f.path for f in (entry.target, entry.drafter))
        present = target.is_file() and drafter.is_file()
        return PairFiles(entry.name, target, drafter) if present else None

    def _whose_drafter(self, entry: Entry) -> str:
        """The pair, or the repository, that a drafter was pulled from, if it is not the target's
        own."""
        theirs = entry.drafter
        for other in self.catalogue.entries if theirs.repo else ():
            if (other.repo, other.drafter.path) == (theirs.repo, theirs.path):
                return other.name
        return theirs.repo

    def is_ready(self, entry: Entry) -> bool:
        """Both files are here, complete and verified."""
        return self.files(entry) is not None

    def folder(self, entry: Entry) -> Path:
        """Where a pull of this entry belongs."""
        name = entry.name.replace("/", "--").replace(":", "-")  # Windows forbids colons
        return paths.models_dir() / name

    def meant(self, typed: str) -> Meant:
        """What a person means by a name, however it is written; the model of a preset. Raises
        UsageError for what names the hub and no repository."""
        kept = presets.find(typed)
        return self._meant(typed if kept is None else kept.model)

    def _meant(self, typed: str) -> Meant:
        if local := local_names.here(typed):
            return Meant(local)
        if hub_names.says_hub(typed) or typed_names.is_repository(typed):
            pulled = hub_names.find_pulled(hub_names.read(typed).name, paths.models_dir())
            if pulled is not None:
                return Meant(pulled.name)
            if not hub_names.says_hub(typed) and _absolute(typed).exists():
                return Meant(typed)
        return typed_names.understand(typed, self.catalogue)

    def require(self, name: str) -> Entry:
        """The entry for `name`. Raises ModelNotAvailable, which suggests one."""
        entry = self.find(name)
        if entry is None:
            raise self.unknown(name)
        return entry

    def preset(self, model: str, name: str) -> Kept:
        """What a preset of that name begins as: a copy of another one, or a model without settings,
        which need not be here. Raises UsageError where the name means a model already, and
        ModelNotAvailable for a model that nobody knows."""
        name = presets.check_name(name)
        means = self._meant(name).name
        if hub_names.names_source(means) or self.catalogue.find(means):
            raise UsageError(f'"{name}" is the name of a model.', "Choose another name.")
        kept = presets.find(model)
        return kept.called(name) if kept else self.kept(model).called(name)

    def kept(self, model: str) -> Kept:
        """A model as a preset of it without settings, as `preset` takes it."""
        model = self._meant(model).name
        if looks_like_path(model):
            model = str(_absolute(model))
            if not Path(model).is_file():
                raise ModelNotAvailable(f"There is no file {model}.")
        elif not hub_names.names_source(model) and self.catalogue.find(model) is None:
            raise self.unknown(model)
        return Kept(Preset(model), model)

    def unknown(self, name: str) -> ModelNotAvailable:
        """The error about a name that means nothing here, with the nearest that does."""
        error = typed_names.unknown(name, self.catalogue)
        error.hint = suggestion(name, presets.names()) or error.hint
        return error

    def ready(self) -> list[Entry]:
        """All entries that can be loaded without the network."""
        entries = [*self.catalogue.entries, *hub_names.pulled(paths.models_dir())]
        return [entry for entry in entries if self.is_ready(entry)]

    def find(self, name: str) -> Entry | None:
        """The entry of the catalogue, or of a repository pulled before."""
        name = self.meant(name).name
        if hub_names.names_source(name):
            return hub_names.find_pulled(name, paths.models_dir())
        return self.catalogue.find(name)

    def recommended(self, name: str) -> Sampling:
        """The sampling that is recommended for a model."""
        entry = self.catalogue.find(name)
        return entry.sampling if entry else self.catalogue.sampling

    def filled(self, name: str, options: Options) -> Options:
        """The options with what comes with a model or a preset, whose files need not be here."""
        kept, entry = presets.find(name), self.find(name)
        model = entry.name if entry else name
        published = entry.published if entry else Preset()
        brought = PairFiles(
            model, Path(), None, sampling=self.recommended(model), published=published,
            preset=kept.preset if kept else None,
        )  # fmt: skip
        return brought.fill(options)

    def remember_used(self, name: str) -> None:
        """Make `name` (or a path) what `resolve(None)` means, with the drafter that the user named
        when it was resolved."""
        if looks_like_path(name):
            name = str(_absolute(name))
        last_used.remember(name, self._drafters.get(name))

    def note_use(self, name: str) -> None:
        """Say that `name` (or a path) is in use; what `resolve(None)` means stays as it is."""
        last_used.note(str(_absolute(name)) if looks_like_path(name) else name)

    def _pair(self, model: str, drafter: Path | None) -> PairFiles:
        kept = presets.find(model)
        if kept is None:
            return self._of_model(model, drafter)
        try:
            files = self._of_model(kept.model, drafter or kept.drafter)
        except ModelNotAvailable as error:
            error.args = (f"{kept.name} is a preset of {kept.model}. {error}",)
            raise
        self._drafters.pop(files.name, None)
        self._drafters |= {kept.name: drafter} if drafter else {}
        return replace(files, preset=kept.preset)

    def _of_model(self, model: str, drafter: Path | None) -> PairFiles:
        found = self._named(model, drafter)
        lacking = (
            "" if found.encoder else what_brings_encoder(found.name, found.target, self.catalogue)
        )
        silent = what_brings_hearing(found.encoder, lacking, self.catalogue.find(found.name))
        usual = self.recommended(found.name)
        pair = replace(found, sampling=usual, no_encoder=lacking, no_audio=silent)
        self._drafters.pop(pair.name, None)
        if drafter is not None:
            drafter = _absolute(drafter)
            with gguf.advising(GET_AGAIN):
                check_once(pair.target, drafter)
            self._drafters[pair.name] = first = gguf_names.parts_of(drafter)[0]
            pair = replace(pair, drafter=first, no_drafter="", drafter_of="", rival=None, note="")
        return _loadable(pair, named=drafter is not None)

    def _problem(self, latest: last_used.Used) -> GemmaMtpError | None:
        try:
            self._pair(latest.name, latest.drafter)
        except GemmaMtpError as error:
            return error
        return None

    def _named(self, model: str, drafter: Path | None) -> PairFiles:
        if not model.strip():
            raise UsageError("The model name is empty.", "See gemma-mtp list for names.")
        name = self._meant(model).name
        if hub_names.names_source(name):
            return self._repository(name)
        if looks_like_path(name):
            return self._from_path(_absolute(name), look_around=drafter is None)
        entry = self.catalogue.find(name)
        if entry is None:
            raise self.unknown(name)
        return self._ready_files(entry)

    def _from_path(self, model: Path, look_around: bool) -> PairFiles:
        if look_around:  # else the two are checked together
            with gguf.advising(GET_AGAIN):
                check_once(model)
        target = gguf_names.parts_of(model)[0]  # the first part, whichever was named
        found = find_drafter(target, self.catalogue) if look_around else Found(None)
        name, encoder = str(target), encoder_near(target)  # its path is a name, too
        if found.drafter is None:
            return PairFiles(name, target, None, found.why_none, encoder=encoder)
        said = f"Its drafter is that of {found.drafter_of}." if found.drafter_of else ""
        return PairFiles(
            *(name, target, found.drafter),
            note=said,
            drafter_of=found.drafter_of,
            rival=found.rival,
            rival_of=found.rival_of,
            encoder=encoder,
        )

    def _repository(self, name: str) -> PairFiles:
        entry = hub_names.find_pulled(name, paths.models_dir())
        if entry is None:
            if lost := places.dangling(paths.models_dir()):
                raise ModelNotAvailable(f"{name} cannot be opened: {lost}.", places.HINT)
            if local_names.is_local(name):
                raise local_names.missing(name)
            typed_names.refuse_other_family(name, self.catalogue)
            raise NotPulled(name)
        return self._ready_files(entry)

    def _ready_files(self, entry: Entry) -> PairFiles:
        files = self.files(entry)
        if files is None:
            self._require_no_lost_links(entry)
            if entry.builtin:
                message = "The built-in model is missing from this installation."
                raise ModelNotAvailable(message, "Reinstall gemma-mtp.")
            raise NotPulled(entry.name)
        mend = "Reinstall gemma-mtp." if entry.builtin else f"gemma-mtp pull {entry.name}"
        try:
            check_once(files.target, files.drafter)
        except BadPair as error:
            error.hint = mend  # a pull hashes the files, and fetches what is wrong
            raise
        if local_names.is_local(entry.name):  # a person may have put one there
            files = replace(files, encoder=encoder_near(files.target))
        elif files.encoder and not fits(files.target, files.encoder):
            files = replace(files, encoder=None)
        if files.drafter is None or not files.drafter_of:
            return files
        names = entry.name, entry.target.path
        rival, whose = find_rival(files.target, files.drafter, names, self.catalogue)
        return replace(files, rival=rival, rival_of=whose)

    def _require_no_lost_links(self, entry: Entry) -> None:
        """A pair on a disk that is not connected is no reason to fetch it again."""
        folder = self.folder(entry)
        for path in (folder / entry.target.path, folder / entry.drafter.path):
            if lost := places.dangling(path):
                hint = f"Connect its disk; or remove the link, and gemma-mtp pull {entry.name}"
                raise ModelNotAvailable(f"{entry.name} cannot be opened: {lost}.", hint)


def _loadable(pair: PairFiles, named: bool) -> PairFiles:
    """With copies in place of drafters that were written for other programs. What cannot be copied
    is an error where the user `named` it, else decoding is plain."""
    if pair.drafter is None:
        return pair
    try:
        drafter, rival = usable(pair.target, pair.drafter), None
    except GemmaMtpError as error:
        if named:
            raise
        why = f"{UNCONVERTED} ({pair.drafter.name}): {str(error).rstrip('.')}"
        return replace(pair, drafter=None, no_drafter=why, drafter_of="", rival=None, note="")
    with suppress(GemmaMtpError):  # the pair can do without
        rival = usable(pair.target, pair.rival) if pair.rival else None
    said = "" if drafter == pair.drafter else f"{drafter.name} {CONVERTED}"
    found = replace(pair, drafter=drafter, rival=rival)
    undecided = UNDECIDED if rival and tried.settled(found)[1] is None else ""
    return replace(found, note=" ".join(filter(None, (pair.note, said, undecided))))


def looks_like_path(model: str) -> bool:
    """A file, not a name: it has a folder in it, or ends as GGUF files do."""
    if hub_names.names_source(model):
        return False
    separators = [os.sep, os.altsep or os.sep]
    return any(s in model for s in separators) or model.lower().endswith(".gguf")


def _absolute(path: str | Path) -> Path:
    return paths.expanded(path).absolute()


def configured_model() -> str | None:
    """`model = "12b"` of config.toml; None without the file or the key."""
    return config_file.read(paths.config_file()).get("model")
