"""Anthropic's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.anthropic import replies

router = APIRouter()
router.include_router(replies.router)
