"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat, completions, models, responses

router = APIRouter()
for part in (chat, completions, responses, models):
    router.include_router(part.router)
