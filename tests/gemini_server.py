"""A stand-in of Gemini's API on this machine, for the real SDK: at the Gemini API's own paths and at Vertex AI's.
https://ai.google.dev/api, https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest"""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.standin import StandIn, Trouble

USAGE: Json = {
    "promptTokenCount": 25,
    "cachedContentTokenCount": 7,
    "candidatesTokenCount": 12,
    "thoughtsTokenCount": 5,
    "toolUsePromptTokenCount": 4,
    "totalTokenCount": 46,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 15}, {"modality": "AUDIO", "tokenCount": 10}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    "serviceTier": "standard",
}
"""What every answer says unless told otherwise: 29 tokens in, 17 out."""
INTERACTION_USAGE: Json = {
    "total_input_tokens": 20,
    "total_cached_tokens": 6,
    "total_output_tokens": 8,
    "total_thought_tokens": 3,
    "total_tool_use_tokens": 2,
    "total_tokens": 33,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 20}],
    "grounding_tool_count": [{"type": "google_search", "count": 2}],
}
"""The same of interactions: 22 tokens in, 11 out."""
WORDS = ("Hello", " from", " here.")
STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}


class GeminiServer(StandIn):
    """The API, from entering the context to leaving it."""

    def __init__(self) -> None:
        super().__init__()
        self.usage: Json | None = USAGE
        self.grounding: Json | None = None
        """What the last piece of an answer says of searches."""
        self.headers: dict[str, str] = {}
        """Sent with each answer."""
        self.in_a_file = False
        """Whether the answers of a batch lie in a file."""
        self.at_work = True
        """Whether batches and background interactions have yet to end."""
        self.reply = self._reply

    def take(self, asked: Asked, authorized: bool) -> tuple[Reply, Trouble]:
        reply, trouble = super().take(asked, authorized=True)
        if trouble.error_after is not None and reply.events is not None:
            failure = Event(error(503, "Overloaded."))
            return reply._replace(events=[*reply.events[: trouble.error_after], failure]), Trouble()
        return reply, trouble

    def fail_next(
        self, times: int = 1, status: int = 500, *, retry_after: float | None = None, message: str | None = None
    ) -> None:
        headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
        reply = Reply(error(status, message or "It failed."), status, headers=headers)
        self._troubles.extend([Trouble(reply=reply)] * times)

    def _reply(self, asked: Asked) -> Reply:
        *_, last = asked.path.split("/")
        model, _, verb = last.partition(":")
        if "/interactions" in asked.path:
            return self._interaction(asked)
        answers = {
            "asyncBatchEmbedContent": lambda: Reply(self._batch(asked)),
            "batchEmbedContents": lambda: Reply({"embeddings": [{"values": [0.5]}], "usageMetadata": EMBEDDED}),
            "batchGenerateContent": lambda: Reply(self._batch(asked)),
            "countTokens": lambda: Reply({"totalTokens": 9}),
            "embedContent": lambda: Reply({"embedding": {"values": [0.5]}, "usageMetadata": EMBEDDED}),
            "generateContent": lambda: Reply([*self._pieces(asked, model)][-1], headers=self.headers),
            "predict": lambda: Reply(predicted(asked)),
            "predictLongRunning": lambda: Reply({"name": f"models/{model}/operations/op-1"}),
            "streamGenerateContent": lambda: self._streamed(asked, model),
        }
        if verb in answers:
            return answers[verb]()
        if "/batches/" in asked.path:
            return Reply(self._batch(asked))
        if verb == "download":
            lines = [{"key": f"asked-{number}", **item} for number, item in enumerate(self._batch_items(asked))]
            return Reply("".join(json.dumps(line) + "\n" for line in lines), kind="application/jsonl")
        if last == "batchPredictionJobs":
            return Reply({"name": "projects/p/locations/l/batchPredictionJobs/7", "state": "JOB_STATE_PENDING"})
        if last == "cachedContents":
            kept = {"totalTokenCount": 5000}
            return Reply({"name": "cachedContents/c1", "model": asked.body["model"], "usageMetadata": kept})
        if last == "decisions":
            return Reply({"answers": {}, "usage": INTERACTION_USAGE})
        return Reply(error(404, f"no {asked.path}"), 404)

    def _streamed(self, asked: Asked, model: str) -> Reply:
        """As server-sent events or, where they are not asked for, as one JSON array."""
        pieces = list(self._pieces(asked, model))
        if asked.query.get("alt") != "sse":
            return Reply(json.dumps(pieces), headers=self.headers)
        return Reply(events=[Event(piece) for piece in pieces], headers=self.headers, done=False)

    def _pieces(self, asked: Asked, model: str) -> Iterator[Json]:
        """An answer as it grows: what it used up to here, and text; where tools can be called, it calls the first."""
        known = {"modelVersion": f"{model}-001", "responseId": f"answer-{len(self.requests)}"}
        parts: list[Json] = [{"text": word} for word in WORDS]
        end: Json = {"finishReason": "STOP"}
        declared = [tool["functionDeclarations"][0] for tool in asked.body.get("tools") or () if len(tool) == 1]
        if declared and "functionResponse" not in json.dumps(asked.body):
            parts = [{"functionCall": {"name": declared[0]["name"], "args": {"city": "Paris"}}}]
        elif "continued" in model and "continuationToken" not in json.dumps(asked.body):
            token = base64.b64encode(b"more").decode()
            end = {"finishReason": "CONTINUATION", "continuationToken": token}
        if self.grounding is not None:
            end["groundingMetadata"] = self.grounding
        for place, part in enumerate(parts, 1):
            last = place == len(parts)
            candidate = {"index": 0, "content": {"role": "model", "parts": [part]}, **(end if last else {})}
            usage = self.usage if last else {"promptTokenCount": 25, "totalTokenCount": 25}
            said = {} if self.usage is None else {"usageMetadata": usage}
            yield {"candidates": [candidate], **said, **known}

    def _batch(self, asked: Asked) -> Json:
        metadata: Json = {"model": "models/gemini-2.5-flash", "name": "batches/b1", "state": "BATCH_STATE_PENDING"}
        if asked.method == "GET" and not self.at_work:
            held = {"inlinedResponses": {"inlinedResponses": self._batch_items(asked)}}
            output = {"responsesFile": "files/answers-1"} if self.in_a_file else held
            metadata |= {"state": "BATCH_STATE_SUCCEEDED", "output": output}
        return {"name": "batches/b1", "metadata": metadata}

    def _batch_items(self, asked: Asked) -> list[Json]:
        """Three answers, and one that failed."""
        answers = enumerate(self._pieces(asked, "gemini-2.5-flash"))
        known = [{**answer, "responseId": f"part-{number}", "usageMetadata": USAGE} for number, answer in answers]
        return [*({"response": answer} for answer in known), {"error": {"code": 3}}]

    def _interaction(self, asked: Asked) -> Reply:
        created = asked.method == "POST" and asked.path.endswith("/interactions")
        own = f"interaction-{len(self.requests)}" if created else asked.path.removesuffix("/cancel").rpartition("/")[2]
        known: Json = {"id": own, "model": asked.body.get("model", "gemini-3-flash-preview")}
        background = asked.body.get("background") or not created
        if background and self.at_work:
            return Reply({**known, "status": "in_progress", "object": "interaction"})
        ended = {**known, "status": "completed", "object": "interaction", "usage": INTERACTION_USAGE}
        if "continued" in known["model"] and "continuation_token" not in asked.body:
            ended |= {"status": "requires_continuation", "continuation_token": "more"}
        content = [{"type": "text", "text": "".join(WORDS)}]
        if not asked.body.get("stream") and asked.query.get("stream") != "true":
            return Reply({**ended, "steps": [{"type": "model_output", "content": content}]})
        return Reply(events=list(interaction_events(known, ended)))


EMBEDDED: Json = {"promptTokenCount": 6, "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 6}]}


def interaction_events(known: Json, ended: Json) -> Iterator[Event]:
    def event(kind: str, **fields: Any) -> Event:
        return Event({"event_type": kind, **fields}, kind)

    yield event("interaction.created", interaction={**known, "status": "in_progress"})
    yield event("step.start", index=0, step={"type": "model_output"})
    for word in WORDS:
        yield event("step.delta", index=0, delta={"type": "text", "text": word})
    yield event("step.stop", index=0)
    yield event("interaction.completed", interaction=ended)


def predicted(asked: Asked) -> Json:
    """Embeddings of texts, or images, the last of several held back by a filter."""
    instances, asked_for = asked.body["instances"], asked.body.get("parameters", {})
    if isinstance(instances, list) and "content" in instances[0]:  # the first versions send one that is no list
        statistics = {"token_count": 3, "truncated": False}
        embeddings = [{"embeddings": {"values": [0.5], "statistics": statistics}} for _ in instances]
        return {"predictions": embeddings, "metadata": {"billableCharacterCount": 11}}
    images: list[Json] = [{"bytesBase64Encoded": "aGk=", "mimeType": "image/png"}] * asked_for.get("sampleCount", 1)
    held_back = [{"raiFilteredReason": "It may not be shown."}] if len(images) > 1 else []
    return {"predictions": [*images[: len(images) - len(held_back)], *held_back]}


def error(status: int, message: str) -> Json:
    """https://cloud.google.com/apis/design/errors#http_mapping"""
    said = STATUSES.get(status, "UNAVAILABLE" if status >= 500 else "FAILED_PRECONDITION")
    return {"error": {"code": status, "message": message, "status": said}}


@pytest.fixture
def gemini() -> Iterator[GeminiServer]:
    with GeminiServer() as server:
        yield server
