"""OpenAI's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.openai import chat

router = APIRouter()
router.include_router(chat.router)
