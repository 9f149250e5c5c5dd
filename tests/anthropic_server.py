"""A stand-in of Anthropic's API on this machine, for the real SDK: messages, streams, batches, errors, counting tokens;
at Anthropic's own paths, Vertex AI's and Bedrock's. https://docs.claude.com/en/api/messages"""

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.standin import StandIn, Trouble

USAGE: Json = {
    "input_tokens": 25,
    "cache_creation_input_tokens": 9,
    "cache_read_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"thinking_tokens": 5},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    "service_tier": "standard",
    "inference_geo": "global",
}
"""What every answer says unless told otherwise: 41 tokens in, 12 out."""
ONLY_AT_FIRST = ("cache_creation", "service_tier", "inference_geo")
"""What `message_delta` doesn't repeat."""
WORDS = ("Hello", " from", " here", ".")
ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


class AnthropicServer(StandIn):
    """The API, from entering the context to leaving it."""

    def __init__(self) -> None:
        super().__init__()
        self.usage = USAGE
        self.model = "claude-sonnet-4-5-20250929"
        """What an answer calls the model, whatever was asked for."""
        self.refusing: set[str] = set()
        """Models that refuse to answer."""
        self.batches: dict[str, list[Json]] = {}
        """Each batch's requests; all of them have ended as soon as somebody asks."""
        self.reply = self._reply

    def take(self, asked: Asked, authorized: bool) -> tuple[Reply, Trouble]:
        reply, trouble = super().take(asked, authorized=True)
        if trouble.error_after is not None and reply.events is not None:
            failure = Event(error(529, "Overloaded"), "error")
            return reply._replace(events=[*reply.events[: trouble.error_after], failure]), Trouble()
        return reply, trouble

    def fail_next(
        self, times: int = 1, status: int = 500, *, retry_after: float | None = None, message: str | None = None
    ) -> None:
        headers = {} if retry_after is None else {"retry-after-ms": f"{retry_after * 1000:g}"}
        reply = Reply(error(status, message or "It failed."), status, headers=headers)
        self._troubles.extend([Trouble(reply=reply)] * times)

    def _reply(self, asked: Asked) -> Reply:
        path = asked.path
        if path == "/v1/messages/count_tokens":
            return Reply({"input_tokens": 41})
        if path == "/v1/complete":
            return self._completion(asked)
        if path.startswith("/v1/messages/batches"):
            return self._batch(asked)
        if "/invoke" in path:
            return self._invoke(asked)
        if path == "/v1/messages" or path.endswith((":rawPredict", ":streamRawPredict")):
            return self._message(asked)
        return Reply(error(404, f"no {path}"), 404)

    def _message(self, asked: Asked) -> Reply:
        message = self._made(asked)
        return Reply(events=list(streamed(message))) if asked.body.get("stream") else Reply(message)

    def _made(self, asked: Asked) -> Json:
        number = len(self.requests)
        message: Json = {
            "id": f"msg_{number:08}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [{"type": "text", "text": "".join(WORDS)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": self.usage,
        }
        if asked.body.get("model") in self.refusing:
            return {**message, "content": [], "stop_reason": "refusal", "model": asked.body["model"]}
        if asked.body.get("tools") and len(asked.body["messages"]) == 1:
            use = {"type": "tool_use", "id": "toolu_1", "name": asked.body["tools"][0]["name"], "input": {"place": "x"}}
            return {**message, "content": [use], "stop_reason": "tool_use"}
        if "output_config" in asked.body or "output_format" in asked.body:
            message["content"] = [{"type": "text", "text": '{"answer": 42}'}]
        return message

    def _completion(self, asked: Asked) -> Reply:
        said: Json = {
            "type": "completion",
            "id": "compl_1",
            "model": "claude-2.1",
            "completion": " Hello.",
            "stop_reason": "stop_sequence",
        }
        return Reply(events=[Event(said, "completion")] * 2) if asked.body.get("stream") else Reply(said)

    def _invoke(self, asked: Asked) -> Reply:
        message = self._made(asked)
        if asked.path.endswith("/invoke"):
            return Reply(message)
        frames = b"".join(chunk_frame(event.fields) for event in streamed(message))
        return Reply(frames, kind="application/vnd.amazon.eventstream")

    def _batch(self, asked: Asked) -> Reply:
        if asked.method == "POST" and asked.path == "/v1/messages/batches":
            batch = f"msgbatch_{len(self.batches):04}"
            self.batches[batch] = asked.body["requests"]
            return Reply(self._batch_object(batch, ended=False))
        match = re.fullmatch(r"/v1/messages/batches/(\w+)(/results|/cancel)?", asked.path)
        if match is None or match[1] not in self.batches:
            return Reply(error(404, "no such batch"), 404)
        if match[2] == "/results":
            lines = [json.dumps(line) for line in self._results(match[1])]
            return Reply("\n".join(lines), kind="application/x-jsonl")
        return Reply(self._batch_object(match[1], ended=True))

    def _batch_object(self, batch: str, *, ended: bool) -> Json:
        return {
            "id": batch,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "results_url": f"{self.url}/v1/messages/batches/{batch}/results" if ended else None,
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-02T00:00:00Z",
            "ended_at": None,
            "archived_at": None,
            "cancel_initiated_at": None,
        }

    def _results(self, batch: str) -> Iterator[Json]:
        """One after the other; a request for the model `bad` failed and one for `late` expired."""
        for number, request in enumerate(self.batches[batch]):
            model = request["params"]["model"]
            message = {
                "id": f"msg_{batch}_{number}",
                "type": "message",
                "role": "assistant",
                "model": self.model,
                "content": [{"type": "text", "text": "Ωmega " * 20}],
                "stop_reason": "end_turn",
                "stop_sequence": None,
                "usage": {**self.usage, "service_tier": "batch"},
            }
            result: Json = {"type": "succeeded", "message": message}
            if model == "bad":
                result = {"type": "errored", "error": error(400, "bad")}
            elif model == "late":
                result = {"type": "expired"}
            yield {"custom_id": request["custom_id"], "result": result}


def error(status: int, message: str) -> Json:
    """https://docs.claude.com/en/api/errors"""
    kind = ERRORS.get(status, "not_found_error" if status == 404 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def streamed(message: Json) -> Iterator[Event]:
    """The events that a message comes in: https://docs.claude.com/en/docs/build-with-claude/streaming"""
    usage: dict[str, Any] = message["usage"]
    first = {**usage, "output_tokens": 1}
    for name in ("output_tokens_details", "server_tool_use", "iterations"):
        first.pop(name, None)
    started = {**message, "content": [], "stop_reason": None, "usage": first}
    yield event("message_start", message=started)
    yield event("ping")
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            for word in WORDS if block["text"] == "".join(WORDS) else (block["text"],):
                yield event("content_block_delta", index=index, delta={"type": "text_delta", "text": word})
        else:
            yield event("content_block_start", index=index, content_block={**block, "input": {}})
            part = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            yield event("content_block_delta", index=index, delta=part)
        yield event("content_block_stop", index=index)
    last = {name: value for name, value in usage.items() if name not in ONLY_AT_FIRST}
    yield event("message_delta", delta={"stop_reason": message["stop_reason"], "stop_sequence": None}, usage=last)
    yield event("message_stop")


def event(kind: str, **fields: object) -> Event:
    return Event({"type": kind, **fields}, kind)


def chunk_frame(fields: Json) -> bytes:
    """An event as Bedrock sends it, within a frame of Amazon's."""
    inner = {"bytes": base64.b64encode(json.dumps(fields).encode()).decode(), "p": "abcd"}
    return frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, inner)


def frame(headers: dict[str, str], payload: Json) -> bytes:
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    body = json.dumps(payload).encode()
    lengths = struct.pack(">II", 16 + len(head) + len(body), len(head))
    whole = lengths + struct.pack(">I", zlib.crc32(lengths)) + head + body
    return whole + struct.pack(">I", zlib.crc32(whole))


@pytest.fixture
def anthropic() -> Iterator[AnthropicServer]:
    with AnthropicServer() as server:
        yield server
