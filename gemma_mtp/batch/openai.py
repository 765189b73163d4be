"""A line in the format of OpenAI's batches, and its answer in theirs.

https://platform.openai.com/docs/api-reference/batch says what the fields mean. What a body asks for
and what is answered to it is the server's to say.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from gemma_mtp.api import End, PairInfo, Request
from gemma_mtp.errors import GemmaMtpError
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import ReplyBody
from gemma_mtp.server.errors import Unsupported, http_status, wrong_body
from gemma_mtp.server.errors import body as error_body
from gemma_mtp.server.openai import chat, completions
from gemma_mtp.server.openai.responses_answer import Answer
from gemma_mtp.server.openai.responses_body import ResponsesBody


class Path(NamedTuple):
    """What a path takes, and the answer as an object."""

    body: type[ReplyBody]
    answer: Callable[[Any, End, str, Request], dict[str, Any]]


PATHS = {
    "/v1/chat/completions": Path(
        chat.ChatBody, lambda body, end, model, request: chat.answer(end, model)
    ),
    "/v1/completions": Path(
        completions.CompletionBody,
        lambda body, end, model, request: completions.answer(end, model, body),
    ),
    "/v1/responses": Path(
        ResponsesBody, lambda body, end, model, request: Answer(body).of(end, model, request)
    ),
}


@dataclass(frozen=True)
class OpenAI:
    """A line of OpenAI's."""

    index: int
    key: str
    data: dict[str, Any]

    @property
    def model(self) -> str:
        body = self.data.get("body")
        return str(body.get("model") or "") if isinstance(body, dict) else ""

    def asked(self) -> Asked:
        """Raises Refused and UsageError."""
        for name in self.data.keys() - {"custom_id", "method", "url", "body"}:
            raise Unsupported(name, "is no field of a line")
        if str(self.data.get("method") or "POST").upper() != "POST":
            raise Unsupported("method", "must be POST")
        body = self._body()
        if getattr(body, "stream", False):
            raise Unsupported("body.stream", "has no place in a batch")
        asked: Asked = body.asked()  # type: ignore[attr-defined]
        return asked

    def answered(
        self, end: End, info: PairInfo, request: Request, seconds: float
    ) -> dict[str, Any]:
        body = self._body()
        return self._line(200, self._path.answer(body, end, info.name, request))

    def failed(self, error: GemmaMtpError) -> dict[str, Any]:
        said = error_body(error, str(self.data.get("url")))
        return self._line(http_status(error), said)

    @property
    def _path(self) -> Path:
        url = self.data.get("url")
        if not isinstance(url, str) or url not in PATHS:
            raise Unsupported("url", f"must be one of {', '.join(PATHS)}")
        return PATHS[url]

    def _body(self) -> ReplyBody:
        try:
            return self._path.body.model_validate(self.data.get("body"))
        except ValidationError as error:
            # The server finds the body of an HTTP request below one more name.
            raise wrong_body([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from error

    def _line(self, status: int, body: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"batch_req_{secrets.token_hex(12)}",
            "custom_id": self.key,
            "response": {
                "status_code": status,
                "request_id": f"req_{secrets.token_hex(12)}",
                "body": body,
            },
            "error": None,
        }
