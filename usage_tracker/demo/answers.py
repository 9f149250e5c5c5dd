"""Which endpoint answers what; embeddings, moderations, batches, and what is kept to be retrieved later."""

import struct
from base64 import b64encode
from collections.abc import Callable

from usage_tracker.demo.chat import chat, completion
from usage_tracker.demo.exchange import Asked, Json, Reply, refusal
from usage_tracker.demo.invention import SNAPSHOTS, Invention, answering_model, count_tokens
from usage_tracker.demo.media import image, speech, transcription
from usage_tracker.demo.responses import compact, count_input, respond

HARMS = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent", "self-harm",
    "self-harm/instructions", "self-harm/intent", "sexual", "sexual/minors", "violence", "violence/graphic",
)  # fmt: skip


def embeddings(asked: Asked, invention: Invention) -> Reply:
    """POST /embeddings: https://platform.openai.com/docs/api-reference/embeddings/object"""
    given = asked.body.get("input")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    length = int(asked.body.get("dimensions") or (3072 if "large" in asked.model else 1536))
    vectors = [invention.numbers(length) for _ in texts]
    packed = asked.body.get("encoding_format") == "base64"
    rows = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(struct.pack(f"<{length}f", *vector)).decode() if packed else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    used = sum(max(1, count_tokens(text)) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return Reply({"object": "list", "data": rows, "model": answering_model(asked), "usage": usage})


def moderation(asked: Asked, invention: Invention) -> Reply:
    """POST /moderations: https://platform.openai.com/docs/api-reference/moderations/object"""
    given = asked.body.get("input")
    texts = given if isinstance(given, list) else [given]
    result = {
        "flagged": False,
        "categories": dict.fromkeys(HARMS, False),
        "category_scores": dict.fromkeys(HARMS, 0.0001),
        "category_applied_input_types": {harm: ["text"] for harm in HARMS},
    }
    return Reply({"id": invention.id("modr-"), "model": answering_model(asked), "results": [result] * len(texts)})


def batch(asked: Asked, invention: Invention) -> Reply:
    """POST /batches: a batch that is being validated: https://platform.openai.com/docs/api-reference/batch/object"""
    begun: Json = {
        "id": invention.id("batch_"),
        "object": "batch",
        "endpoint": asked.body.get("endpoint"),
        "errors": None,
        "input_file_id": asked.body.get("input_file_id"),
        "completion_window": asked.body.get("completion_window", "24h"),
        "status": "validating",
        "created_at": invention.now,
        "metadata": asked.body.get("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
    }
    finished = {
        **begun,
        "status": "completed",
        "model": "gpt-4o-mini-2024-07-18",
        "output_file_id": invention.id("file-"),
        "request_counts": {"total": 2, "completed": 2, "failed": 0},
        "usage": {
            "input_tokens": 2400,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 360,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 2760,
        },
    }
    return Reply(begun, later=finished)


POSTED: dict[str, Callable[[Asked, Invention], Reply]] = {
    "audio/speech": speech,
    "audio/transcriptions": transcription,
    "audio/translations": transcription,
    "batches": batch,
    "chat/completions": chat,
    "completions": completion,
    "embeddings": embeddings,
    "images/edits": image,
    "images/generations": image,
    "images/variations": image,
    "moderations": moderation,
    "responses": respond,
    "responses/compact": compact,
    "responses/input_tokens": count_input,
}


class Answers:
    """The stand-in's side of a conversation: it answers, and remembers what may be asked for again."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kept: dict[str, Json] = {}

    def reply(self, asked: Asked, number: int) -> Reply:
        """The reply to a request, the `number`th of this server."""
        endpoint = asked.endpoint
        if asked.method == "POST" and endpoint in POSTED:
            if not asked.model and endpoint not in ("batches", "moderations"):
                return refusal(400, "you must provide a model parameter")
            reply = POSTED[endpoint](asked, Invention(asked, number, self._seed))
            if reply.later:
                self._kept[f"{endpoint}/{reply.later['id']}"] = reply.later
            return reply
        if asked.method == "GET" and endpoint == "models":
            models = [{"id": name, "object": "model", "created": 0, "owned_by": "openai"} for name in SNAPSHOTS]
            return Reply({"object": "list", "data": models})
        return self._again(asked) or refusal(404, f"Invalid URL ({asked.method} {asked.path})")

    def _again(self, asked: Asked) -> Reply | None:
        """GET of what was made before, now finished; POST …/cancel of it."""
        posted = asked.method == "POST"
        kept = self._kept.get(asked.endpoint.removesuffix("/cancel") if posted else asked.endpoint)
        if kept is None:
            return None
        return Reply({**kept, "status": "cancelled"} if posted else kept)
