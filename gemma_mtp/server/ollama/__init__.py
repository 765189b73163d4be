"""Ollama's dialect."""

from fastapi import APIRouter

from gemma_mtp.server.ollama import catalogue, presets, pull, refused, replies

router = APIRouter()
for part in (catalogue, presets, replies, pull, refused):
    router.include_router(part.router)
