"""The app: every dialect's routes, and what becomes of errors. Made by `serve` and by tests."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from gemma_mtp import __version__
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server import ollama, openai
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.errors import Refused, body, http_status


def make_app(engines: Engines) -> FastAPI:
    """An ASGI app that serves these engines."""
    app = FastAPI(title="gemma-mtp", version=__version__, docs_url=None, redoc_url=None)
    app.state.engines = engines
    for dialect in (openai, ollama):
        app.include_router(dialect.router)
    app.add_exception_handler(GemmaMtpError, _refuse)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def _refuse(http: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GemmaMtpError)
    wait = getattr(error, "retry_after", 0)
    headers = {"Retry-After": str(wait)} if wait else None
    return JSONResponse(body(error, http.url.path), http_status(error), headers)


async def _invalid(http: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    what = f"{field}: {first['msg']}." if field else f"The body is no JSON object: {first['msg']}."
    return await _refuse(http, Refused(400, what, field=field))
