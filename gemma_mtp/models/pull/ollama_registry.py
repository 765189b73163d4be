"""Ollama's registry: what a manifest holds, and the bytes of its layers.

A model there is a manifest that names layers by their digest: weights, perhaps a drafter, a
projector for pictures, parameters, a system prompt, a template. `pull.request` asks for a pair that
is not here; a store of Ollama's on this machine that holds the manifest is asked first. How
manifests are made up is told by Ollama's sources (manifest/ and server/images.go).
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gemma_mtp.api import Preset
from gemma_mtp.errors import BadPair, HubError
from gemma_mtp.files import bounded
from gemma_mtp.files.schema import rows, table, text, whole
from gemma_mtp.models import ollama_names
from gemma_mtp.models.catalogue import Catalogue, Entry, RemoteFile
from gemma_mtp.models.catalogue_schema import MOST_BYTES
from gemma_mtp.models.gguf_parser import first_values
from gemma_mtp.models.ollama_names import OllamaName
from gemma_mtp.models.pair_check import is_drafter_arch
from gemma_mtp.models.pull import hub, retry, reuse
from gemma_mtp.models.pull.events import OnEvent, PullNote
from gemma_mtp.models.pull.hub_errors import Site
from gemma_mtp.models.pull.hub_responses import HubFile
from gemma_mtp.models.pull.official_drafter import BEGINNING, beginning, official_drafter
from gemma_mtp.models.pull.ollama_settings import LONGEST_TEXT, OTHERS, TEXTS, Brought

REGISTRY = "https://registry.ollama.ai"
VARIABLE = "GEMMA_MTP_OLLAMA_REGISTRY"  # a mirror in its place
SITE = Site(
    "Ollama's registry", "a registry of Ollama's", VARIABLE, "Check the name: https://ollama.com"
)
HOST = "registry.ollama.ai"  # whose manifests Ollama's store keeps under this name
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MOST_WORDS = 4  # of a tag, which is asked for without its last ones
KINDS = "application/vnd.ollama.image."

_DIGEST = text(71, r"sha256:[0-9a-f]{64}")
_LAYER = table(
    {"mediaType": text(100), "digest": _DIGEST, "size": whole(0, MOST_BYTES)}, {}, others=True
)
_MANIFEST = table({"layers": rows(_LAYER, most=5000)}, {}, others=True)


@dataclass(frozen=True)
class Layer:
    """One part of a model; `kind` is what comes after KINDS in its media type, else all of it."""

    kind: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The layers of a model, and the digest of what names them."""

    digest: str
    layers: tuple[Layer, ...]

    def of(self, kind: str) -> list[Layer]:
        return [layer for layer in self.layers if layer.kind == kind]


class LayerBlob(hub.Blob):
    """One layer. Threads may share it; it is what its digest says, so nothing is asked before."""

    site = SITE

    def __init__(self, repo: str, revision: str, file: RemoteFile) -> None:
        super().__init__(repo, revision, file.path)
        self._file, self._of = file, repo.removeprefix(ollama_names.PREFIX)
        self.where = f"{registry()}/{self._of}"

    def facts(self) -> HubFile:
        with self._lock:
            self._address = f"{registry()}/v2/{self._of}/blobs/sha256:{self._file.sha256}"
            self._headers = {"Accept-Encoding": "identity"}
        return HubFile(self._file.path, self._file.bytes, self._file.sha256, self._revision)

    def _open(self, start: int, stop: int) -> Any:
        """The response; where the registry sends one, later ranges are asked for at once."""
        response = super()._open(start, stop)
        with self._lock:
            self._address = str(response.url)
        return response


def registry() -> str:
    """Where manifests and layers are asked for."""
    return os.environ.get(VARIABLE, REGISTRY).rstrip("/")


def look_up(
    name: str, catalogue: Catalogue, on_event: OnEvent, anew: bool = False, offline: bool = False
) -> Entry:
    """The pair of a model of the registry; says what was chosen and why. `anew`: whatever a store
    on this machine holds, the registry is asked; `offline`: it is not.

    Raises what the registry does, and BadPair where no pair can be made of it.
    """
    about = ollama_names.read(name)
    manifest = None if anew else _in_a_store(about, on_event)
    if manifest is None and offline:
        raise HubError(f"{name} is not on this machine, and --offline was given.")
    manifest = manifest or ask(about, on_event)
    target = _weights(about, manifest, on_event)
    first = _beginning(about, target[0], on_event)
    drafter, why = _drafter(about, manifest, first, catalogue, on_event)
    published = _published(about, manifest, on_event)
    on_event(PullNote(f"{drafter[0].path}: {why}"))
    entry = ollama_names.make_entry(name, manifest.digest, target, drafter, published)
    return with_encoder(entry, manifest, on_event)


def with_encoder(entry: Entry, manifest: Manifest, on_event: OnEvent) -> Entry:
    """The pair with the model's image encoder, which Ollama calls a projector, if it has one."""
    layers, entry = manifest.of("projector"), replace(entry, asked_encoder=True)
    if len(layers) != 1:
        return entry
    on_event(PullNote(f"encoder.gguf: the image encoder of {entry.name}."))
    return replace(entry, encoder=_file("encoder.gguf", layers[0]))


def ask(about: OllamaName, on_event: OnEvent) -> Manifest:
    """The manifest that the registry has now. Raises HubError."""
    where = f"{registry()}/{about.path}"
    url = f"{registry()}/v2/{about.path}/manifests/{about.tag}"

    def read() -> bytearray:
        return hub.document(url, where, f"tag {about.tag}", SITE, {"Accept": MANIFEST})

    return parse(retry.ask(where, read, hub.longest_answer(), on_event))


def _in_a_store(about: OllamaName, on_event: OnEvent) -> Manifest | None:
    """The manifest of a model that Ollama has on this machine, with its weights."""
    for store in reuse.ollama_stores():
        path = store / "manifests" / HOST / about.path / about.tag
        try:
            manifest = parse(path.read_bytes())
        except (OSError, BadPair, HubError):
            continue
        if all((store / "blobs" / f"sha256-{layer.sha256}").is_file() for layer in manifest.layers):
            on_event(PullNote(f"{about.name} is in Ollama's store on this machine."))
            return manifest
    return None


def parse(body: bytes | bytearray) -> Manifest:
    """Raises HubError for what is no manifest."""
    try:
        data = _MANIFEST(bounded.parse_json(body), "")
    except ValueError as error:
        raise HubError(f"{registry()} sends no manifest of a model: {error}.") from error
    layers = (
        Layer(
            layer["mediaType"].partition(";")[0].removeprefix(KINDS),
            layer["digest"].removeprefix("sha256:"),
            layer["size"],
        )
        for layer in data["layers"]
    )
    return Manifest(f"sha256:{hashlib.sha256(body).hexdigest()}", tuple(layers))


def _weights(about: OllamaName, manifest: Manifest, on_event: OnEvent) -> list[RemoteFile]:
    """The target's file. Raises BadPair where there is no GGUF, or more than a model."""
    models = manifest.of("model")
    if manifest.of("adapter"):
        raise BadPair(f"{about.name} holds an adapter, which gemma-mtp cannot apply.")
    if len(models) == 1:
        return [_file("target.gguf", models[0])]
    if models:
        raise BadPair(f"{about.name} holds {len(models)} files of weights, not one GGUF.")
    mlx = manifest.of("tensor")
    what = "its weights as safetensors, for MLX" if mlx else "no weights"
    near = _nearest(about, on_event) if mlx else None
    raise BadPair(
        f"{about.name} holds {what}; only GGUF can be loaded.",
        f"The nearest tag with GGUF: gemma-mtp pull {near.name}" if near else "Choose another tag.",
    )


def _nearest(about: OllamaName, on_event: OnEvent) -> OllamaName | None:
    """The tag that holds a GGUF and is called as this one without its last words, as e2b-it for
    e2b-it-mlx-bf16; the registry cannot be asked which tags there are."""
    words = about.tag.split("-")
    for count in range(min(len(words) - 1, MOST_WORDS), 0, -1):
        near = replace(about, tag="-".join(words[:count]))
        with suppress(HubError):
            if len(ask(near, on_event).of("model")) == 1:
                return near
    return None


def _file(path: str, layer: Layer) -> RemoteFile:
    return RemoteFile(path, "", layer.sha256, layer.bytes)


def _drafter(
    about: OllamaName, manifest: Manifest, target: dict[str, Any], catalogue: Catalogue,
    on_event: OnEvent,
) -> tuple[list[RemoteFile], str]:  # fmt: skip
    """The model's own drafter, or the catalogue's of its size, and why that one."""
    lacking = f"{about.name} has no drafter"
    for layer in manifest.of("draft"):
        file = _file("drafter.gguf", layer)
        kind = _beginning(about, file, on_event).get("general.architecture")
        if is_drafter_arch(str(kind)):  # what other programs write is converted when it is used
            return [file], f"the drafter of {about.name}."
        lacking = f"{about.name} has a drafter of the kind {kind}, which cannot be loaded"
    return official_drafter(target, (about.tag,), lacking, catalogue)


def _beginning(about: OllamaName, file: RemoteFile, on_event: OnEvent) -> dict[str, Any]:
    """What the header of a layer says first, from a store on this machine or the registry."""
    for path in _in_stores(file.sha256):
        with suppress(OSError), open(path, "rb") as here:
            return first_values(here.read(BEGINNING), file.path)
    blob = LayerBlob(ollama_names.PREFIX + about.path, "", file)
    return beginning(blob, file.path, file.bytes, on_event)


def _published(about: OllamaName, manifest: Manifest, on_event: OnEvent) -> Preset:
    """The settings and messages that come with the model; what else comes with it is named."""
    brought = Brought()
    for kind in TEXTS:
        for layer in manifest.of(kind):
            brought.take(kind, _text_of(about, layer, on_event))
    brought.left_out += [words for kind, words in OTHERS.items() if manifest.of(kind)]
    preset = brought.preset()
    if brought.left_out:
        left_out = ", ".join(dict.fromkeys(brought.left_out))
        on_event(PullNote(f"Not taken over from {about.name}: {left_out}."))
    return preset


def _text_of(about: OllamaName, layer: Layer, on_event: OnEvent) -> bytes | None:
    """A layer of text, from a store on this machine or the registry; None where it is too long.

    Raises HubError where the registry sends another text than its digest says.
    """
    if layer.bytes > LONGEST_TEXT:
        return None
    for path in _in_stores(layer.sha256):
        with suppress(OSError), open(path, "rb") as here:
            data = here.read(LONGEST_TEXT)
            if hashlib.sha256(data).hexdigest() == layer.sha256:
                return data
    where = f"{registry()}/{about.path}"
    url = f"{registry()}/v2/{about.path}/blobs/sha256:{layer.sha256}"
    longest = hub.longest_answer()
    body = retry.ask(where, lambda: hub.document(url, where, "a layer", SITE), longest, on_event)
    if hashlib.sha256(body).hexdigest() != layer.sha256:
        raise HubError(
            f"{where} sends other contents of its {layer.kind} than its manifest says.",
            "Pull again; if it happens again, the registry cannot be trusted.",
        )
    return bytes(body)


def _in_stores(sha256: str) -> list[Path]:
    return [store / "blobs" / f"sha256-{sha256}" for store in reuse.ollama_stores()]
