"""What the server says of itself: whether it is well, its figures, and a page of what it knows."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse

from gemma_mtp.server.metrics import Metrics
from gemma_mtp.server.streams import engines

router = APIRouter()
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "td,th{text-align:left;vertical-align:top;padding:.1em 1em .1em 0}code{font-size:95%}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health(http: Request) -> Response:
    """Whether requests are served; llama-server's answer."""
    if engines(http).stopping:
        return JSONResponse({"status": "stopping"}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
async def metrics(http: Request) -> Response:
    """Figures of all replies, as Prometheus reads them."""
    found = http.app.state.metrics
    assert isinstance(found, Metrics)
    replies = engines(http).replies
    waiting = sum(reply.is_waiting for reply in replies)
    return PlainTextResponse(
        found.text(len(replies) - waiting, waiting), headers={"Content-Type": PROMETHEUS}
    )


@router.get("/docs", include_in_schema=False)
def docs(http: Request) -> HTMLResponse:
    """All that can be asked for, as a page that needs nothing from elsewhere."""
    schema: dict[str, Any] = http.app.openapi()
    return HTMLResponse("".join(_page(schema)))


def _page(schema: dict[str, Any]) -> Iterator[str]:
    title = f"{schema['info']['title']} {schema['info']['version']}"
    yield f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title>"
    yield f"<style>{STYLE}</style><h1>{escape(title)}</h1>"
    yield '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>'
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description', ''))}</p>"
            yield from _fields(_body(schema, operation))


def _body(schema: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of the body, {} where there is none."""
    contents = operation.get("requestBody", {}).get("content", {})
    name = contents.get("application/json", {}).get("schema", {}).get("$ref", "").split("/")[-1]
    found: dict[str, Any] = schema.get("components", {}).get("schemas", {}).get(name, {})
    return found


def _fields(body: dict[str, Any]) -> Iterator[str]:
    needed = body.get("required", ())
    yield "<table>"
    for name, field in body.get("properties", {}).items():
        kinds = field.get("anyOf", [field])
        kind = " or ".join(dict.fromkeys(k.get("type", "") for k in kinds))
        about = field.get("description", "") + (" Needed." if name in needed else "")
        yield f"<tr><td><code>{escape(name)}</code><td>{escape(kind)}<td>{escape(about)}"
    yield "</table>"
