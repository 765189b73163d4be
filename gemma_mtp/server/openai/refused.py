"""Routes of OpenAI's that do not exist here: each says so, and what there is in its place."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from gemma_mtp.server.errors import Refused

router = APIRouter(include_in_schema=False)

TEXT = "gemma-mtp writes text and makes no {}."
TRANSLATION = "Translations of recordings are not made here: a chat can be asked for one."
KEPT = "gemma-mtp keeps nothing of an answer, and has no {}."

PATHS = {
    "/v1/embeddings": TEXT.format("embeddings"),
    "/v1/moderations": TEXT.format("moderations"),
    "/v1/rerank": TEXT.format("rankings"),
    "/v1/images/{rest:path}": TEXT.format("images"),
    "/v1/audio/speech": TEXT.format("recordings"),
    "/v1/audio/translations": TRANSLATION,
    "/v1/videos": TEXT.format("videos"),
    "/v1/files": KEPT.format("files"),
    "/v1/batches": KEPT.format("batches"),
    "/v1/conversations": KEPT.format("conversations"),
    "/v1/responses/{id}": KEPT.format("responses to look up"),
    "/v1/threads": KEPT.format("threads"),
    "/v1/assistants": KEPT.format("assistants"),
    "/v1/vector_stores": KEPT.format("vector stores"),
}
"""What is said for each path of OpenAI's that programs ask for."""


def _refusing(sentence: str) -> Callable[[], None]:
    def refuse() -> None:
        # Not 501, as which clients would ask again and again.
        raise Refused(404, sentence, "GET /docs lists what there is.")

    return refuse


for _path, _sentence in PATHS.items():
    router.add_api_route(_path, _refusing(_sentence), methods=["GET", "POST", "DELETE"])
