"""Offers the image encoder of a model that is to be shown a picture and has none here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.errors import ModelNotAvailable
from gemma_mtp.files.media import PICTURE
from gemma_mtp.terminal.console import agreed, can_ask, say
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.options import Options


def with_encoder(env: Environment, files: PairFiles, options: Options) -> PairFiles:
    """The pair with its image encoder, which is pulled if somebody at a terminal or the options
    say so. Raises ModelNotAvailable where there is none; what a server elsewhere has, it says
    itself."""
    if files.encoder is not None or not files.no_encoder:
        return files
    problem = PICTURE.lacking(files.called)
    pulls = files.no_encoder == f"gemma-mtp pull {files.name}"
    if not pulls or not (options.yes or (can_ask() and _agreed(env, files, problem))):
        raise ModelNotAvailable(problem, files.no_encoder)
    from gemma_mtp.cli.pull import show_pull

    show_pull(env, files.name)
    found = env.resolve(files.called, options.drafter)
    if found.encoder is None:
        raise ModelNotAvailable(problem, "None was published with it, or it cannot be fetched now.")
    return found


def _agreed(env: Environment, files: PairFiles, problem: str) -> bool:
    entry = env.store.find(files.name)
    size = entry.encoder.total if entry is not None and entry.encoder is not None else None
    say(problem)
    return agreed(f"Pull it now{f' ({byte_size(size)})' if size else ''}?", default=True)
