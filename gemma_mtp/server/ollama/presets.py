"""`POST /api/create` and `POST /api/copy`: presets, made and copied as `gemma-mtp create` does.

`ollama create -f Modelfile` sends what the Modelfile says in fields, which the documentation of
Ollama's API describes: github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.models import presets
from gemma_mtp.models.modelfile import Said
from gemma_mtp.models.store import looks_like_path
from gemma_mtp.server.engines import no_file
from gemma_mtp.server.errors import Refused, Unsupported
from gemma_mtp.server.ollama.catalogue import Named, store
from gemma_mtp.server.ollama.names import ours
from gemma_mtp.server.ollama.pull import succeeded
from gemma_mtp.server.ollama.refused import MAKING
from gemma_mtp.server.record import record_of
from gemma_mtp.server.streams import NDJSON, json_line

router = APIRouter()


class FirstMessage(BaseModel):
    """A message that each conversation begins with."""

    role: str
    content: str = ""
    images: list[Any] | None = None
    tool_calls: list[Any] | None = None

    def check(self) -> None:
        """Raise Unsupported for what a preset cannot hold."""
        for field in ("images", "tool_calls"):
            if getattr(self, field):
                raise Unsupported(f"messages.{field}", "cannot be kept in a preset")


class CreateBody(Named):
    """A preset; without `from`, a preset of that name is changed."""

    origin: str = Field("", alias="from")
    system: str = ""
    template: str | None = None
    license: str | list[str] | None = None
    parameters: dict[str, Any] | None = None
    messages: list[FirstMessage] | None = None
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    quantize: str | None = None
    modelfile: str | None = None
    stream: bool | None = None

    def check(self) -> None:
        """Raise Refused for a model that would have to be made of files."""
        if self.files or self.adapters:
            raise Refused(501, MAKING)
        for field in ("quantize", "modelfile"):
            if getattr(self, field):
                raise Unsupported(field)
        for message in self.messages or ():
            message.check()


class CopyBody(BaseModel):
    """The model or preset to copy, and the name of the copy."""

    source: str
    destination: str


@router.post("/api/create")
def create(http: Request, body: CreateBody) -> Response:
    """Keep a name for a model with its settings, in place of one that there was."""
    body.check()
    name = ours(body.meant)
    record_of(http).model = name
    begun = _begun(http, ours(body.origin or body.meant), name)
    parameters = list((body.parameters or {}).items())
    left_out = [field for field in ("template", "license") if getattr(body, field)]
    said = Said(begun.model, "", [body.system] if body.system else [], parameters,
                [(m.role, m.content) for m in body.messages or ()], left_out)  # fmt: skip
    read = said.read(name)
    own = {key: value for key, value in presets.as_data(read.kept).items() if key != "from"}
    presets.keep(begun.changed(own))
    if body.stream is False:
        return JSONResponse(succeeded(read.notes))
    text = "".join(json_line({"status": line}) for line in (*read.notes, "success"))
    return PlainTextResponse(text, media_type=NDJSON)


@router.post("/api/copy")
def copy(http: Request, body: CopyBody) -> Response:
    """Copy a preset, or give a model another name."""
    presets.keep(_begun(http, ours(body.source), ours(body.destination)))
    return Response()


def _begun(http: Request, model: str, name: str) -> presets.Kept:
    """A copy of what is there; no client names a file."""
    models = store(http)
    if not presets.exists(model) and looks_like_path(models.meant(model).name):
        raise no_file(model)
    try:
        return models.preset(model, name)
    except ModelNotAvailable as error:
        raise ModelNotAvailable(str(error), "What is here: GET /api/tags.") from error
