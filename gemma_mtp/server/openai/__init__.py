"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat, completions, models, refused, responses, transcriptions

router = APIRouter()
for part in (chat, completions, responses, transcriptions, models, refused):
    router.include_router(part.router)
