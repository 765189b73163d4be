"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat, models, responses

router = APIRouter()
for part in (chat, responses, models):
    router.include_router(part.router)
