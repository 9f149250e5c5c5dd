"""What a batch of the google-genai SDK says once it has ended: its answers, or the file that they lie in.
https://ai.google.dev/gemini-api/docs/batch-api, https://ai.google.dev/api/batch-api
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from usage_tracker.providers.answer import Answer, fields_of, word
from usage_tracker.providers.google_genai import listed, model_of, path_of, read_generated


class BatchFile(NamedTuple):
    """A file with the answers of a batch."""

    name: str
    batch: str
    model: str | None


def batch_parts(fields: Mapping[str, object]) -> Iterator[Answer]:
    """The answers that a batch which has ended holds itself; each completes the batch."""
    output, name, model = batch_output(fields)
    held = fields_of(output.get("inlinedResponses") or output.get("inlinedEmbedContentResponses"))
    for place, item in enumerate(listed(held.get("inlinedResponses"))):
        part = batch_part(item, name, model, place)
        if part is not None:
            yield part


def batch_part(item: Mapping[str, object], batch: str | None, model: str | None, place: int) -> Answer | None:
    """One answer of a batch; None where that request failed."""
    part = Answer()
    read_generated(part, fields_of(item["response"]) if "response" in item else item)
    if part.raw is None:
        return None
    part.model = part.model or model
    part.response_id = part.response_id or f"{batch}/{place}"
    part.completes, part.service_tier = batch, "batch"
    return part


def batch_file(fields: Mapping[str, object]) -> BatchFile | None:
    """The file that holds the answers of a batch, where the batch doesn't."""
    output, batch, model = batch_output(fields)
    name = word(output.get("responsesFile"))
    return BatchFile(name, batch, model) if name is not None and batch is not None else None


def batch_output(fields: Mapping[str, object]) -> tuple[Mapping[str, object], str | None, str | None]:
    """What has come of a batch, the batch's name and its model."""
    metadata = fields_of(fields.get("metadata"))
    output = fields_of(metadata.get("output") or fields.get("response"))
    return output, word(fields.get("name")), model_of(metadata.get("model"))


def file_of(path: str) -> str:
    """The name of the file that a download is of: `files/NAME:download`."""
    return path_of(path).partition(":")[0]
