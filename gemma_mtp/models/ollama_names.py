"""What `ollama:[NAMESPACE/]MODEL[:TAG]` means: a model of Ollama's registry, as an entry like the
catalogue's.

The prefix is needed: `gemma4:e2b` alone is a pair of the catalogue. Knows names; asks nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gemma_mtp.api import Preset
from gemma_mtp.errors import UsageError
from gemma_mtp.files import names
from gemma_mtp.models.catalogue import Entry, RemoteFile

PREFIX = "ollama:"
LIBRARY, LATEST = "library", "latest"  # what Ollama takes where a name leaves them out
_PART = r"[a-z0-9_][\w.-]{0,79}"
_NAME = re.compile(rf"{PREFIX}(?:({_PART})/)?({_PART})(?::({_PART}))?", re.ASCII | re.IGNORECASE)

_OWN_HOST = re.compile(rf"{PREFIX}(https?://)?(registry\.)?ollama\.(ai|com)/", re.IGNORECASE)
_ELSEWHERE = re.compile(
    rf"{PREFIX}([a-z0-9][a-z0-9.-]{{0,200}}(?::\d{{1,5}})?)/({_PART}/{_PART})((?::{_PART})?)",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True)
class OllamaName:
    """A model of the registry."""

    namespace: str
    model: str
    tag: str

    @property
    def name(self) -> str:
        """As everything else here writes it."""
        owner = "" if self.namespace == LIBRARY else f"{self.namespace}/"
        return f"{PREFIX}{owner}{self.model}:{self.tag}"

    @property
    def path(self) -> str:
        """Namespace and model, as addresses and folders of the registry have them."""
        return f"{self.namespace}/{self.model}"


def is_ollama_name(typed: str) -> bool:
    """Whether something typed names Ollama's registry."""
    return typed.lower().startswith(PREFIX)


def read(typed: str) -> OllamaName:
    """What is meant. Raises UsageError for another form."""
    match = _NAME.fullmatch(_OWN_HOST.sub(PREFIX, typed))
    if match is None and (elsewhere := _ELSEWHERE.fullmatch(typed)):
        raise _other_registry(*elsewhere.groups())
    if match is None:
        raise UsageError(
            f"{names.shown(typed)} is not of the form ollama:MODEL:TAG or ollama:OWNER/MODEL:TAG."
        )
    return OllamaName(match[1] or LIBRARY, match[2], match[3] or LATEST)


def _other_registry(host: str, model: str, tag: str) -> UsageError:
    """The error about a model of another registry than Ollama's. What Ollama has fetched from the
    hub is linked when the hub's repository is pulled, since its contents are the same."""
    if host.lower() in ("hf.co", "huggingface.co"):
        return UsageError(
            f"{host}/{model} is a repository of the hub.", f"gemma-mtp pull hf:{model}{tag}"
        )
    return UsageError(
        f"{host} is another registry than Ollama's.",
        f"GEMMA_MTP_OLLAMA_REGISTRY=https://{host} gemma-mtp pull {PREFIX}{model}{tag}",
    )


def make_entry(
    typed: str, revision: str, target: Sequence[RemoteFile], drafter: Sequence[RemoteFile],
    published: Preset,
) -> Entry:  # fmt: skip
    """The pair of these parts; `revision` is the manifest's digest, `published` what
    it says of settings. Raises UsageError for a name of
    another form and ValueError when both models are one file."""
    about = read(typed)
    named = {about.name.lower(), about.name.removesuffix(f":{LATEST}").lower()}
    return Entry(
        name=about.name,
        title=f"{about.model}:{about.tag} of Ollama's registry",
        repo=PREFIX + about.path,
        revision=revision,
        qat="qat" in about.tag.lower(),
        target=RemoteFile.of(target),
        drafter=RemoteFile.of(drafter),
        spellings=tuple(sorted(named)),
        published=published,
    )
