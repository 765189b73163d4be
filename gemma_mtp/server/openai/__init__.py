"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat, models

router = APIRouter()
for part in (chat, models):
    router.include_router(part.router)
