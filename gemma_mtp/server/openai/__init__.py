"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat, completions, models, refused, responses

router = APIRouter()
for part in (chat, completions, responses, models, refused):
    router.include_router(part.router)
