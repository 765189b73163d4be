"""`POST /v1/audio/transcriptions`: what is said in a recording, written down by a model that hears.

The model is asked for it in words, as in a chat. So it gives no times, and may mishear or leave out
what a program made for nothing else would not.
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from pydantic import ValidationError

from gemma_mtp.api import Media, Message, Text
from gemma_mtp.files.media import RECORDING, placed
from gemma_mtp.server.asked import Asked
from gemma_mtp.server.bodies import ReplyBody
from gemma_mtp.server.errors import Refused, Unsupported
from gemma_mtp.server.media import made
from gemma_mtp.server.multipart import parts_of
from gemma_mtp.server.record import record_of
from gemma_mtp.server.streams import Whole, attended, engines
from gemma_mtp.server.thoughts import thoughts
from gemma_mtp.server.threads import in_thread

router = APIRouter()

ASK = (
    "Transcribe the following speech segment in its original language. Write only what is said, "
    "without line breaks, and numbers in digits."
)
"""After the prompt for speech recognition in Gemma 4's model card."""
LANGUAGE = "The code of the language is {}."
CONTEXT = "What came before it, or words that may occur in it: {}"
FORMATS = ("json", "text")


class TranscriptionBody(ReplyBody):
    """The fields of the form, but for the file."""

    language: str = ""
    prompt: str = ""
    response_format: str = "json"
    stream: bool = False
    temperature: float = 0.0  # what was said is not to be varied
    max_tokens: int | None = None
    seed: int | None = None

    SETTINGS: ClassVar = {"max_tokens": "max_tokens", "seed": "seed"}
    NEUTRAL: ClassVar = {
        "include": (),
        "timestamp_granularities": (),
        "chunking_strategy": (),
        "known_speaker_names": (),
        "known_speaker_references": (),
    }

    def asked(self, recording: Media) -> Asked:
        """Raises Unsupported."""
        if self.response_format not in FORMATS:
            why = f"is {self.response_format}: it must be json or text, as a model gives no times"
            raise Unsupported("response_format", why)
        if self.stream:
            raise Unsupported("stream", "must be false: a transcription comes in one piece")
        said = [ASK]
        said += [LANGUAGE.format(self.language)] if self.language else []
        said += [CONTEXT.format(self.prompt)] if self.prompt else []
        message = Message("user", placed([recording], [Text("\n".join(said))]))
        return self.reply_to([message], thoughts=thoughts(("reasoning_effort", "none")))

    def values(self) -> tuple[tuple[str, Any], ...]:
        return (*super().values(), ("temperature", self.temperature))


def _form() -> dict[str, Any]:
    """The form, for the page that lists what there is."""
    schema = TranscriptionBody.model_json_schema()
    schema["properties"]["file"] = {"type": "string", "format": "binary"}
    form = {"schema": {**schema, "required": ["file"]}}
    return {"requestBody": {"content": {"multipart/form-data": form}, "required": True}}


@router.post("/v1/audio/transcriptions", openapi_extra=_form())
async def transcribe(http: Request) -> Response:
    """Write down what is said in a recording: a form with a `file`, and perhaps `model`,
    `language`, `prompt`, `temperature` and `response_format`, which is json or text."""
    sent, kind = await http.body(), http.headers.get("content-type", "")
    fields, recording = await in_thread(lambda: _read(sent, kind))
    try:
        body = TranscriptionBody.model_validate(fields)
    except ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from error
    asked = body.asked(recording)

    async def write(cancel: threading.Event) -> Response:
        reply = await engines(http).reply(asked, cancel, record_of(http))
        end = await reply.end()
        if end.reason != "stop":
            what = "The transcription was cut: it is longer than the limit of tokens or the context"
            raise Refused(400, f"{what}.", "A shorter recording, or a larger --ctx, helps.")
        text = end.message.content.strip()
        if body.response_format == "text":
            return PlainTextResponse(f"{text}\n")
        read, written = end.stats.prompt_tokens, end.stats.completion_tokens
        usage = {"type": "tokens", "input_tokens": read, "output_tokens": written}
        return Whole({"text": text, "usage": {**usage, "total_tokens": read + written}})

    return await attended(http, write)


def _read(body: bytes, content_type: str) -> tuple[dict[str, str], Media]:
    """The fields of a form, and the recording in it. Raises Refused."""
    parts = [*parts_of(body, content_type)]
    files = sum(part.name == "file" for part in parts)
    if files != 1:
        what = "The body must be a form (multipart/form-data) with the recording as its field file"
        more = f", once: it has {files}" if files else ""
        raise Refused(400, f"{what}{more}.", field="file")
    named = {part.name: part for part in parts}
    file = named.pop("file")
    recording = made(file.data, "file", RECORDING, file.filename)
    fields = {name.removesuffix("[]"): part.data for name, part in named.items()}
    return {name: data.decode("utf-8", "replace") for name, data in fields.items()}, recording
