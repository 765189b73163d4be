"""Offers drafters for a target that has none, or none of its own. `find_pair` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemma_mtp.errors import Cancelled, GemmaMtpError
from gemma_mtp.terminal.console import agreed, can_ask, note
from gemma_mtp.text import byte_size

if TYPE_CHECKING:
    from gemma_mtp.api import PairFiles
    from gemma_mtp.cli.environment import Environment
    from gemma_mtp.models.drafter_offer import Offer
    from gemma_mtp.options import Options


def with_drafter(env: Environment, files: PairFiles, options: Options) -> PairFiles:
    """The pair with a drafter that was fetched for it, if somebody at a terminal or the options
    want that; else as it is, which decodes plainly."""
    from gemma_mtp.models import drafter_offer

    wanted = "yes" if options.yes else options.fetch_drafter
    if wanted == "no" or (wanted == "ask" and drafter_offer.is_declined(files.target)):
        return files
    if files.drafter is None:
        offer = drafter_offer.offer(files, env.catalogue)
    else:
        offer = drafter_offer.second_offer(files, env.catalogue)
    if offer is not None and (wanted == "yes" or _agreed(files, offer)):
        return _fetched(env, files)
    return files


def _agreed(files: PairFiles, offer: Offer) -> bool:
    """What somebody at a terminal says; a no is remembered for this file."""
    from gemma_mtp.models import drafter_offer

    if not can_ask():  # what is said at loading names the command
        return False
    if agreed(_question(files, offer), default=True):
        return True
    drafter_offer.decline(files.target)
    note("You are not asked again for this file.")
    return False


def _question(files: PairFiles, offer: Offer) -> str:
    name, size = files.target.name, _size(offer)
    if files.drafter is not None:
        return (
            f"The drafter of {files.drafter_of} is used for {name}, and nothing says whether that "
            f"is QAT: that of {offer.whose} may guess better. Download it{size}, to keep the "
            "better one?"
        )
    said = f"{name} has no drafter here; with one, replies come faster."
    if offer.second is None:
        return f"{said} That of {offer.whose} fits. Download it{size}?"
    return (
        f"{said} Those of {offer.whose} and {offer.second.whose} fit, and nothing says whether it "
        f"is QAT. Download both{size}, to keep the better one?"
    )


def _fetched(env: Environment, files: PairFiles) -> PairFiles:
    """What cannot be fetched is no reason not to answer."""
    from gemma_mtp.cli.pull import show_pull

    try:
        show_pull(env, files.name, goes_on=True)
        return env.resolve(files.name)
    except Cancelled:
        raise
    except GemmaMtpError as error:
        note(f"{error} {error.hint}".rstrip())
        if files.drafter is None:
            note("So it runs without drafts for now.")
        return files


def _size(offer: Offer) -> str:
    return f" ({byte_size(offer.bytes)})" if offer.bytes else ""
