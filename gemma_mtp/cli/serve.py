"""`serve`: the resident engine for programs that speak HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from gemma_mtp.cli.flags import Model, takes_options
from gemma_mtp.errors import ExitStatus
from gemma_mtp.settings import Options
from gemma_mtp.terminal.console import say

PORT = 11435  # beside Ollama's


@takes_options()
def serve(
    context: typer.Context,
    options: Options,
    model: Model = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = PORT,
) -> int:
    """Serve the APIs of OpenAI, Ollama and Anthropic to other programs."""
    from gemma_mtp.server.engines import Engines
    from gemma_mtp.server.run import listen, run

    sock = listen(host, port)
    say(f"Listening on http://{host}:{sock.getsockname()[1]}; Ctrl-C ends it.")
    run(Engines(context.obj.store, options, model), sock)
    return ExitStatus.OK
