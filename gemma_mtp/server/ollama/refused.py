"""Routes of Ollama's that do not exist here: each says so, in Ollama's form."""

from __future__ import annotations

from fastapi import APIRouter, Response

from gemma_mtp.server.errors import Refused

router = APIRouter(include_in_schema=False)

EMBEDDINGS = "gemma-mtp writes text and makes no embeddings."
MAKING = (
    "gemma-mtp takes no files of models: one of yours is served by its path, others are pulled."
)


@router.post("/api/embed")
@router.post("/api/embeddings")
def embed() -> None:
    raise Refused(501, EMBEDDINGS, "Another server has to make these.")


@router.post("/api/push")
@router.post("/api/blobs/{digest}")
def make() -> None:
    raise Refused(501, MAKING)


@router.head("/api/blobs/{digest}")
def look_for_blob(digest: str) -> Response:
    return Response(status_code=404)
