"""The routes about models: which are here, what they are, which is loaded; and their removal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from gemma_mtp import __version__
from gemma_mtp.api import PairFiles, PairInfo, from_json
from gemma_mtp.errors import GemmaMtpError, ModelNotAvailable, UsageError
from gemma_mtp.models import inventory, modelfile, presets
from gemma_mtp.models.inventory import StoredFile, StoredPair
from gemma_mtp.models.store import Store
from gemma_mtp.server.errors import Refused
from gemma_mtp.server.ollama import about
from gemma_mtp.server.ollama.names import ours, shown
from gemma_mtp.server.streams import engines
from gemma_mtp.text import timestamp

router = APIRouter()

# The release of Ollama whose interface this is. Clients refuse servers that are older than what
# they need: VS Code 0.6.4, Codex 0.13.4, others up to 0.14.2 for the interfaces spoken here.
OLLAMA = "0.33.0"
FOREVER = timedelta(days=365 * 292)  # as Ollama has it; clients show such a time as "Forever"


class Named(BaseModel):
    """A model; `name` is what the field was called once."""

    model: str = ""
    name: str = ""
    verbose: bool = False

    @property
    def meant(self) -> str:
        """Raises Refused where none is named."""
        if not (self.model or self.name):
            raise Refused(400, "model is required.", field="model")
        return self.model or self.name


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
def root() -> PlainTextResponse:
    """Clients look here for a server that is running, and some for these words."""
    return PlainTextResponse(f"Ollama is running: its interface, served by gemma-mtp {__version__}")


@router.head("/api/version", include_in_schema=False)
@router.get("/api/version")
def version() -> dict[str, str]:
    """Ollama's version, as clients ask for it, and ours."""
    return {"version": OLLAMA, "gemma_mtp": __version__}


@router.head("/api/tags", include_in_schema=False)
@router.get("/api/tags")
def tags(http: Request) -> dict[str, Any]:
    """The models that are ready on this machine."""
    listed = (_listed(item) for item in _ready(http))
    return {"models": [model for model in listed if model is not None]}


@router.post("/api/show")
def show(http: Request, body: Named) -> dict[str, Any]:
    """What a model is."""
    files = engines(http).find(body.meant)
    header = about.header_of(files.target)
    options = files.fill(engines(http).served)
    parameters = about.parameters(header, options)
    info = about.model_info(header, ours(body.meant))
    parent = shown(files.name) if files.preset else ""
    found: dict[str, Any] = {
        "license": str(info.get("general.license", "")),
        "modelfile": _modelfile(files, parameters, options.system),
        "parameters": "\n".join(f"{name:<30} {value}" for name, value in parameters.items()),
        "template": about.template_of(header),
        "details": {**about.details(header), "parent_model": parent},
        "model_info": info,
        "capabilities": about.capabilities(header, files.encoder),
        "modified_at": about.modified_at(files.target),
    }
    if options.system:
        found["system"] = options.system
    if files.opening:
        found["messages"] = [{"role": m.role, "content": m.content} for m in files.opening]
    if body.verbose:
        found["tensors"] = [
            {"name": name, "type": tensor.type, "shape": tensor.shape}
            for name, tensor in header.tensors.items()
        ]
    return found


@router.get("/api/ps")
def ps(http: Request) -> dict[str, Any]:
    """The model that is loaded, if one is."""
    status = engines(http).status()
    if status is None or status["model"] is None or status["info"] is None:
        return {"models": []}
    return {"models": [_loaded(http, status)]}


@router.delete("/api/delete")
def delete(http: Request, body: Named) -> Response:
    """Remove a model from this machine, or a preset, as `gemma-mtp rm` does."""
    if presets.remove(ours(body.meant)):
        return Response()
    try:
        item = inventory.find(store(http), ours(body.meant))
    except ModelNotAvailable as error:
        raise ModelNotAvailable(str(error), "What is here: GET /api/tags.") from error
    if not item.builtin:
        engines(http).unload(item.name)
    inventory.remove(item)
    return Response()


def store(http: Request) -> Store:
    """The models that are served."""
    found = engines(http).models
    assert isinstance(found, Store)
    return found


def _ready(http: Request) -> Iterator[StoredPair]:
    """The pairs that are ready; a file that answers where no model is named is one of them."""
    items = [*inventory.items(store(http)), *inventory.of_presets(store(http))]
    yield from (item for item in items if item.ready and item.files)
    with suppress(GemmaMtpError):  # it is damaged, or was removed meanwhile
        default = engines(http).find(None)
        if engines(http).is_file(default.name):
            yield inventory.of_files(default)


def _listed(item: StoredPair) -> dict[str, Any] | None:
    """A model of the list; None where its files cannot be read just now."""
    target = _target(item)
    try:
        header = about.header_of(target)
        return {
            **_named(item.name),
            "modified_at": about.modified_at(target),
            "size": item.bytes,
            "digest": about.digest(item.files),
            "details": about.details(header),
            "capabilities": about.capabilities(header, _encoder(item)),
        }
    except (OSError, GemmaMtpError):
        return None


def _target(item: StoredPair) -> Path:
    return next(file.path for file in item.files if file.role == "target")


def _encoder(item: StoredPair) -> Path | None:
    return next((file.path for file in item.files if file.role == "encoder"), None)


def _named(name: str) -> dict[str, Any]:
    return {"name": shown(name), "model": shown(name)}


def _loaded(http: Request, status: dict[str, Any]) -> dict[str, Any]:
    name, info = status["model"], from_json(PairInfo, status["info"])
    size = status["file_bytes"] + info.target_kv_bytes + info.drafter_kv_bytes
    size += info.encoder_bytes
    left = status["seconds_left"]
    until = FOREVER if left is None else timedelta(seconds=max(left, 0.0))
    files: tuple[StoredFile, ...] = ()
    details = {}
    with suppress(GemmaMtpError, OSError):  # they were removed meanwhile
        item = _item(http, name)
        files, header = item.files, about.header_of(_target(item))
        details = about.details(header)
    return {
        **_named(name),
        "size": size,
        "digest": about.digest(files),
        "details": details,
        "expires_at": timestamp(datetime.now(UTC) + until),
        "size_vram": min(size, sum(gpu.bytes for gpu in info.placement.gpus)),
        "context_length": info.context_size,
    }


def _item(http: Request, name: str) -> StoredPair:
    """The pair of this name: of the list, or a file that a command of the user's has loaded."""
    found = (item for item in _ready(http) if item.name == name)
    return next(found, None) or inventory.of_files(store(http).resolve(name))


def _modelfile(files: PairFiles, parameters: dict[str, Any], system: str | None) -> str:
    lines = [f"# {files.called} as gemma-mtp serves it.", f"FROM {files.target}"]
    lines += [f"PARAMETER {key} {value}" for key, value in parameters.items()]
    with suppress(UsageError):  # there are texts that have no place in a Modelfile
        lines += [f"SYSTEM {modelfile.quoted(system)}"] if system else []
        lines += [f"MESSAGE {m.role} {modelfile.quoted(m.content)}" for m in files.opening]
    return "\n".join(lines)
