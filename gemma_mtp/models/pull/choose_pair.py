"""Which two files of a repository are a pair: `hf:OWNER/REPO` or `hf:OWNER/REPO:QUANT`.

Finds the target and the drafter that was made for the same weights, and says why these two. A
drafter comes from the target's own repository and revision where there is one: drafters of other
repositories carry the same file name and load as well, and only acceptance shows the mistake. Where
there is none, the catalogue's of the same size is taken. `pull.request` calls it for a pair that is
not here. Asks the hub for a listing, and for the beginning of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from gemma_mtp.errors import BadPair, ModelNotAvailable
from gemma_mtp.files import names
from gemma_mtp.models import drafter_rule, gguf_names, hub_names
from gemma_mtp.models.catalogue import Catalogue, Entry, RemoteFile
from gemma_mtp.models.pull import hub, no_target, retry
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.hub_responses import HubFile
from gemma_mtp.models.pull.official_drafter import beginning, official_drafter

# Which target when none is asked for: the four-bit ones first, as in the catalogue.
TARGETS = (
    "UD-Q4_K_XL", "Q4_K_M", "Q4_0", "Q4_K_P", "Q4_K_L", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q5_K_M",
    "Q6_K", "Q8_0", "BF16", "F16",
)  # fmt: skip
MOST_NAMED = 20  # files or types in one sentence


@dataclass(frozen=True)
class Choice:
    """The two models of a pair, each by its first part, and why these; `drafter` None: there is
    none in the repository, for the second reason."""

    target: HubFile
    drafter: HubFile | None
    reasons: tuple[str, str]


@dataclass(frozen=True)
class Listing:
    """What a place holds, and how the beginning of a file's header is read there. `repo` is its
    name, with a prefix where that is not the hub's; `drafters` as `choose` has them."""

    repo: str
    files: Sequence[HubFile]
    first_values: Callable[[HubFile], dict[str, Any]]
    drafters: Collection[str] | None = None


def look_up(name: str, revision: str | None, catalogue: Catalogue, on_event: OnEvent) -> Entry:
    """The pair of a repository as a catalogue entry; says what was chosen and why.

    Raises what the hub does, ModelNotAvailable for a quantization that is not there, and BadPair
    where no pair can be made of it.
    """
    repo, quantization = hub_names.parse(name)
    where = f"{hub.endpoint()}/{repo}"
    files = retry.ask(where, lambda: hub.list_files(repo, revision), hub.longest_answer(), on_event)

    def first_values(file: HubFile) -> dict[str, Any]:
        return beginning(hub.Blob(repo, file.commit, file.path), file.path, file.bytes, on_event)

    listing = Listing(repo, files, first_values)
    target, drafter = pair_of(listing, quantization, catalogue, on_event)
    entry = hub_names.make_entry(repo, files[0].commit, target, drafter)
    return with_encoder(entry, files, on_event)


def with_encoder(entry: Entry, files: Sequence[HubFile], on_event: OnEvent) -> Entry:
    """The pair with the image encoder that is among these files, if one is; says which."""
    known = {file.path: file for file in files if not names.objection(file.path)}
    encoders = [path for path in known if gguf_names.is_encoder(path)]
    path = gguf_names.best_encoder(entry.target.path, encoders)
    entry = replace(entry, asked_encoder=True)
    if not path:
        return entry
    found = known[path]
    on_event(PullNote(f"{path}: its image encoder."))
    encoder = RemoteFile(path, _quantization(found), found.sha256, found.bytes)
    return replace(entry, encoder=encoder)


def pair_of(
    listing: Listing, quantization: str, catalogue: Catalogue, on_event: OnEvent
) -> tuple[list[RemoteFile], list[RemoteFile]]:
    """The parts of target and drafter; says why these. Raises as `look_up` does."""
    repo = listing.repo
    choice = choose(repo, listing.files, quantization, listing.drafters)
    reasons, listed = [*choice.reasons], {file.path: file for file in listing.files}
    target = _parts(repo, choice.target, listed)
    if choice.drafter is None:
        named = (repo, choice.target.path)
        first = listing.first_values(choice.target)
        drafter, reasons[1] = official_drafter(first, named, choice.reasons[1], catalogue)
    else:
        drafter = _parts(repo, choice.drafter, listed)
    for parts, reason in zip((target, drafter), reasons, strict=True):
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        on_event(PullNote(f"{parts[0].path}{more}: {reason}"))
    return target, drafter


def choose(
    repo: str, files: Sequence[HubFile], quantization: str,
    drafters: Collection[str] | None = None,
) -> Choice:  # fmt: skip
    """The pair, by the names of the files; the headers are compared before the weights come.
    `drafters` are the paths of those that headers have told, None where names have to."""
    models = _models(files)
    if drafters is None:
        drafters = gguf_names.drafters_among({file.path: file.bytes for file in models})
    own = [file for file in models if file.path in drafters]
    others = [file for file in models if file.path not in drafters]
    # What is named as no model may be one nevertheless; its header says so.
    targets = [f for f in others if not gguf_names.is_no_model(f.path, f.bytes)] or others
    if not targets:
        raise no_target.refusal(repo, files, own)
    target, why = _choose_target(repo, targets, quantization)
    drafter, because = choose_drafter(repo, own, target.path, gguf_names.says_qat(target.path))
    return Choice(target, drafter, (why, because))


def drafter_in(repo: str, files: Sequence[HubFile], qat: bool) -> HubFile | None:
    """The drafter in one file that a repository holds for targets of other ones."""
    models = _models(files)
    named = gguf_names.drafters_among({file.path: file.bytes for file in models})
    whole = [f for f in models if f.path in named and not gguf_names.part_number(f.path)]
    return choose_drafter(repo, whole, "", qat)[0]


def _models(files: Sequence[HubFile]) -> list[HubFile]:
    """One file for each model that could be half of a pair: of a split one, its first part."""
    found: dict[str, HubFile] = {}
    for file in sorted(files, key=lambda file: gguf_names.part_number(file.path)):
        if not names.objection(file.path) and not gguf_names.is_encoder(file.path):
            found.setdefault(gguf_names.first_part(file.path), file)
    return list(found.values())


def _choose_target(repo: str, targets: Sequence[HubFile], quantization: str) -> tuple[HubFile, str]:
    offered = _few(sorted({_quantization(file) or _stem(file) for file in targets}))
    if quantization:
        asked = _of_quantization(targets, quantization)
        if not asked:
            raise ModelNotAvailable(f"{repo} has no {quantization}.", f"It has: {offered}.")
        return _only(repo, asked), "the target, in the quantization that was asked for."
    if len(targets) == 1:
        return _only(repo, targets), "the target, the only one there."
    for preferred in TARGETS:
        if found := _of_quantization(targets, preferred):
            why = f"the target; of {offered} the one that suits most machines."
            return _only(repo, found), why
    hint = f"gemma-mtp pull {_typed(repo)}:QUANT"
    raise ModelNotAvailable(f"{repo} offers {offered}: which one?", hint)


def choose_drafter(
    repo: str, drafters: Sequence[HubFile], target: str, qat: bool
) -> tuple[HubFile | None, str]:
    """The drafter for the target at this path, trained so, and why that one; or why there is none.
    Raises BadPair where there are some of several models."""
    if not drafters:
        return None, f"{repo} holds no mtp-*.gguf or *-assistant*.gguf"
    known = {file.path: file for file in drafters}
    candidates = [_candidate(path, target) for path in known]
    found, several = drafter_rule.best(target, qat, candidates)
    if found is None:
        listed = _few([candidate.path for candidate in several])
        raise BadPair(f"{repo} holds drafters of several models, and none is named as {target}"
                      f" is: {listed}.")  # fmt: skip
    only = sum(candidate.distance == found.distance for candidate in candidates) == 1
    which = "the one beside the target" if only and not found.distance else "the quickest"
    more = f"; of {len(drafters)} {which}" if len(drafters) > 1 else ""
    return known[found.path], f"its drafter, from the same repository and revision{more}."


def _candidate(path: str, target: str) -> drafter_rule.Candidate:
    """Beside the target or at the root first, which belongs to these weights; then MTP/."""
    beside = "/" not in path or PurePosixPath(path).parent == PurePosixPath(target).parent
    distance = 0 if beside else path.count("/")
    cost = gguf_names.drafter_rank(path)
    return drafter_rule.Candidate(path, gguf_names.says_qat(path), distance, cost)


def _of_quantization(files: Sequence[HubFile], quantization: str) -> list[HubFile]:
    return [file for file in files if _quantization(file).lower() == quantization.lower()]


def _only(repo: str, files: Sequence[HubFile]) -> HubFile:
    """The one file, if it is one."""
    if len(files) > 1:
        found = _few([file.path for file in files])
        raise BadPair(f"{repo} holds several models: {found}.", "Download the one you mean.")
    return files[0]


def _typed(repo: str) -> str:
    return repo if hub_names.names_source(repo) else f"{hub_names.PREFIX}{repo}"


def _few(words: Sequence[str]) -> str:
    """What is found there, for a sentence of bearable length."""
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return ", ".join(words[:MOST_NAMED]) + more


def _stem(file: HubFile) -> str:
    return PurePosixPath(file.path).stem


def _quantization(file: HubFile) -> str:
    return gguf_names.quantization(file.path)


def _parts(repo: str, file: HubFile, listed: Mapping[str, HubFile]) -> list[RemoteFile]:
    """All parts of a model, in order."""
    paths = gguf_names.part_names(file.path)
    missing = next((name for name in paths if name not in listed), None)
    if missing is not None:
        hint = f"Choose another quantization: gemma-mtp pull {_typed(repo)}:QUANT"
        raise BadPair(f"{repo} does not hold {missing}, which belongs to {file.path}.", hint)
    files = [listed[path] for path in paths]
    return [RemoteFile(f.path, _quantization(f), f.sha256, f.bytes) for f in files]
