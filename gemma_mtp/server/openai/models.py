"""`GET /v1/models`, and one of them. Anthropic's clients ask here, too: an answer has the fields of
both dialects."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.models import presets
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.streams import engines
from gemma_mtp.text import timestamp

router = APIRouter()


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models")
@router.get("/v1/models/", include_in_schema=False)
def models(http: Request) -> dict[str, Any]:
    """The models that are ready on this machine; `default` is the one where none is named."""
    served = engines(http)
    names = [entry.name for entry in served.models.ready()] + presets.names()
    if (default := _default(served)) is not None:  # a file of the user's own, say
        names.append(default)
    listed = []
    for name in dict.fromkeys(names):
        with suppress(GemmaMtpError, OSError):  # damaged, or removed just now
            listed.append(_model(served, name))
    ends = {"first_id": listed[0]["id"], "last_id": listed[-1]["id"]} if listed else {}
    return {"object": "list", "data": listed, "has_more": False, **ends}


@router.head("/v1/models/{model:path}", include_in_schema=False)
@router.get("/v1/models/{model:path}")
def model(http: Request, model: str) -> dict[str, Any]:
    """One of them, under any of its names."""
    return _model(engines(http), model)


def _model(served: Engines, name: str) -> dict[str, Any]:
    """`capabilities` are in llama-server's words."""
    files = served.find(name)
    created = int(Path(files.target).stat().st_mtime)
    return {
        "id": files.called,
        "object": "model",
        "created": created,
        "owned_by": "gemma-mtp",
        "type": "model",
        "display_name": files.called,
        "capabilities": ["completion", *(["multimodal"] if files.encoder else [])],
        "default": files.called == _default(served),
        "created_at": timestamp(datetime.fromtimestamp(created, UTC)),
    }


def _default(served: Engines) -> str | None:
    """The model where a client names none; None where that one is gone."""
    with suppress(GemmaMtpError):
        return served.find(None).called
    return None
