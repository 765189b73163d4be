"""The app: every dialect's routes, what becomes of errors, and the layers around them.

Made by `serve` and by tests. From the outside in: requests are recorded, browsers get the
permissions they ask for, the guard turns away who is not answered, and the routes do the rest.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from gemma_mtp import __version__
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server import about, anthropic, ollama, openai
from gemma_mtp.server.engines import Engines
from gemma_mtp.server.errors import Refused, body, http_status, unreadable_body, wrong_body
from gemma_mtp.server.guard import Guard, Rules
from gemma_mtp.server.metrics import Metrics
from gemma_mtp.server.record import REQUEST_IDS, Record, Recorder, record_of

METHODS = ("DELETE", "GET", "HEAD", "POST")
EXPOSED = ("Retry-After", *REQUEST_IDS)  # headers of answers that a page may read
PARTS = (openai, ollama, anthropic, about)


def make_app(
    engines: Engines,
    rules: Rules | None = None,
    done: Callable[[Record], None] = lambda record: None,
    verbose: bool = False,
) -> FastAPI:
    """An ASGI app that serves these engines to those whom the `rules` let in; `done` is told of
    every request that is over."""
    rules = rules or Rules()
    app = FastAPI(title="gemma-mtp", version=__version__, docs_url=None, redoc_url=None)
    app.state.engines, app.state.metrics = engines, Metrics()
    for part in PARTS:
        app.include_router(part.router)
    app.add_exception_handler(GemmaMtpError, _refuse)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _no_route)
    paths = {path for path in app.openapi()["paths"] if "{" not in path}

    def over(record: Record) -> None:
        app.state.metrics.add(record, paths)
        done(record)

    # Added from the inside out.
    app.add_middleware(Guard, rules=rules)
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=rules.origin_pattern,
        allow_methods=METHODS,
        allow_headers=("*",),
        allow_private_network=True,
        expose_headers=EXPOSED,
    )
    app.add_middleware(Recorder, done=over, verbose=verbose)
    return app


async def _refuse(http: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, GemmaMtpError)
    record_of(http).error = error
    wait = getattr(error, "retry_after", 0)
    headers = {"Retry-After": str(wait)} if wait else None
    return JSONResponse(body(error, http.url.path), http_status(error), headers)


async def _invalid(http: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return await _refuse(http, wrong_body(error.errors()))


async def _no_route(http: Request, error: Exception) -> JSONResponse:
    """For a path that is none, for a method that one does not have, and for a body on which the
    parser gave up."""
    assert isinstance(error, HTTPException)
    if error.status_code not in (404, 405):
        return await _refuse(http, unreadable_body(http.headers.get("content-encoding", "")))
    what = f"There is no {http.method} {http.url.path} here."
    return await _refuse(http, Refused(error.status_code, what, "GET /docs lists what there is."))
