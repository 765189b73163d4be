"""A server elsewhere: which program it is, which models it has, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import httpx

from gemma_mtp.remote import errors
from gemma_mtp.remote.address import is_here, root

Kind = Literal["gemma-mtp", "llama-server", "vllm", "sglang", "ollama", "other"]

OWNERS: dict[str, Kind] = {
    "gemma-mtp": "gemma-mtp",
    "llamacpp": "llama-server",
    "vllm": "vllm",
    "sglang": "sglang",
    "library": "ollama",
}
"""Who owns the models of /v1/models, as each program says of itself."""

CONNECT = 10.0  # seconds until the server must have taken the connection
ANSWER = 30.0  # seconds for what needs no model
READ = 3600.0  # seconds without a byte of a reply: a long prompt on a slow machine, or a queue


@dataclass(frozen=True)
class Model:
    """A model that a server has; `context` is its context in tokens, 0 where it does not say.
    `default`: another gemma-mtp answers with it where none is named."""

    name: str
    kind: Kind = "other"
    context: int = 0
    default: bool = False


class Server:
    """Asks a server what it is and what it has. Raises GemmaMtpError where it does not answer."""

    def __init__(self, typed: str, api_key: str | None = None) -> None:
        """Raises UsageError for what is no address."""
        self.address = root(typed)
        self.headers = {b"Authorization": f"Bearer {api_key}".encode()} if api_key else {}
        self.trust_env = not is_here(self.address)  # proxies

    def get(self, path: str) -> Any:
        """The JSON that is answered at a path; None where there is none."""
        response = self.request("GET", path)
        if response.status_code in (401, 403):
            raise errors.refused(self.address, response.status_code, response.content)
        try:
            return response.json() if response.is_success else None
        except ValueError:
            return None

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """The answer, whatever its status is."""
        try:
            with httpx.Client(
                headers=self.headers, trust_env=self.trust_env, timeout=self.timeout(ANSWER)
            ) as client:
                return client.request(method, self.address + path, json=body)
        except httpx.HTTPError as error:
            raise errors.unreachable(self.address, error) from error

    @staticmethod
    def timeout(read: float) -> httpx.Timeout:
        return httpx.Timeout(read, connect=CONNECT)

    def models(self) -> list[Model]:
        """Those it has, in its order."""
        response = self.request("GET", "/v1/models")
        if not response.is_success:
            raise errors.refused(self.address, response.status_code, response.content)
        try:
            listed = response.json()["data"]
            return [_model(each) for each in listed]
        except (ValueError, KeyError, TypeError) as error:
            raise errors.no_openai(self.address) from error

    def context_of(self, model: Model) -> int:
        """Tokens of its context, 0 where the server does not say."""
        if model.context or model.kind != "llama-server":
            return model.context
        found = self.get("/props")
        settings = found.get("default_generation_settings", {}) if isinstance(found, dict) else {}
        size = settings.get("n_ctx")
        return size if isinstance(size, int) else 0

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that is answered to a body."""
        response = self.request("POST", path, body)
        if not response.is_success:
            raise errors.refused(self.address, response.status_code, response.content)
        try:
            return response.json()
        except ValueError as error:
            raise errors.no_openai(self.address) from error


def _model(listed: dict[str, Any]) -> Model:
    """vLLM, SGLang and others say `max_model_len`, llama-server `meta.n_ctx`."""
    meta = listed.get("meta")
    context = listed.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else 0)
    kind = OWNERS.get(str(listed.get("owned_by")), "other")
    size = context if isinstance(context, int) else 0
    return Model(str(listed["id"]), kind, size, listed.get("default") is True)
