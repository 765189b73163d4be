"""`POST /v1/responses`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from gemma_mtp.server.openai import stats
from gemma_mtp.server.openai.responses_answer import Answer
from gemma_mtp.server.openai.responses_body import ResponsesBody
from gemma_mtp.server.streams import SSE, streamed, whole

router = APIRouter()


@router.post("/v1/responses")
async def responses(http: Request, body: ResponsesBody) -> Response:
    """Write the reply to a conversation."""
    asked, answer = body.asked(), Answer(body)
    if body.stream:
        return await streamed(http, asked, answer.lines, SSE)
    return await whole(http, asked, answer.whole)


@router.post("/v1/responses/input_tokens")
async def input_tokens(http: Request, body: ResponsesBody) -> dict[str, Any]:
    """How many tokens the prompt of a conversation has."""
    return await stats.counted(http, body.asked())
