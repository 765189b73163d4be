"""Ollama's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.ollama import catalogue, pull, refused, replies

router = APIRouter()
for part in (catalogue, replies, pull, refused):
    router.include_router(part.router)
