"""Chat completions and the older completions: answers, chunks and usage.

https://platform.openai.com/docs/api-reference/chat/object, …/chat-streaming, …/completions/object
"""

import json

from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.invention import Invention, answering_model, count_tokens, sample

FINGERPRINT = "fp_5d1f0c3a91"
PIECE = 24
"""Characters in a chunk of a stream."""


def chat(asked: Asked, invention: Invention) -> Reply:
    """POST /chat/completions."""
    body = asked.body
    count = int(body.get("n") or 1)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    messages = [message(asked, invention, limit) for _ in range(count)]
    usage = chat_usage(asked, invention, messages)
    ended = [why_ended(said, limit) for said in messages]
    head = {
        "id": invention.id("chatcmpl-"),
        "created": invention.now,
        "model": answering_model(asked),
        "service_tier": served_tier(body),
        "system_fingerprint": FINGERPRINT,
    }
    if body.get("stream"):
        return Reply(events=chat_chunks(asked, head, messages, ended, usage))
    choices: list[Json] = [
        {"index": index, "message": said, "logprobs": None, "finish_reason": reason}
        for index, (said, reason) in enumerate(zip(messages, ended, strict=True))
    ]
    answer = {**head, "object": "chat.completion", "choices": choices, "usage": usage}
    if asked.azure:
        answer["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": SAFE}]
        for choice in choices:
            choice["content_filter_results"] = SAFE
    return Reply(answer, later=answer if body.get("store") else None)


SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}


def served_tier(body: Json) -> str:
    """The tier that the answer names: the one asked for, where that is one, else the default."""
    asked = body.get("service_tier")
    return asked if asked in ("flex", "priority") else "default"


def why_ended(said: Json, limit: int | None) -> str:
    if "tool_calls" in said:
        return "tool_calls"
    return "length" if limit and count_tokens(said["content"]) >= limit else "stop"


def message(asked: Asked, invention: Invention, limit: int | None) -> Json:
    body = asked.body
    said: Json = {"role": "assistant", "content": invention.text(limit), "refusal": None, "annotations": []}
    shape = body.get("response_format") or {}
    if shape.get("type") == "json_schema":
        said["content"] = json.dumps(sample(shape["json_schema"]["schema"]))
    elif shape.get("type") == "json_object":
        said["content"] = json.dumps({"answer": said["content"]})
    if body.get("tools") and body.get("tool_choice") not in (None, "auto", "none"):
        function = body["tools"][0]["function"]
        arguments = json.dumps(sample(function.get("parameters") or {"type": "object"}))
        call = {"id": invention.id("call_"), "type": "function"}
        said["content"] = None
        said["tool_calls"] = [{**call, "function": {"name": function["name"], "arguments": arguments}}]
    return said


def chat_usage(asked: Asked, invention: Invention, messages: list[Json]) -> Json:
    body = asked.body
    prompt = 3 + sum(4 + count_tokens(message.get("content")) for message in body.get("messages", []))
    prompt += count_tokens(body.get("tools"))
    shown = sum(count_tokens(said["content"]) + count_tokens(said.get("tool_calls")) for said in messages)
    reasoning = invention.reasoning(asked.model)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": shown + reasoning,
        "total_tokens": prompt + shown + reasoning,
        "prompt_tokens_details": {"cached_tokens": invention.cached(prompt), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def chat_chunks(asked: Asked, head: Json, messages: list[Json], ended: list[str], usage: Json) -> list[Event]:
    """The chunks of a stream; with `include_usage`, each has a usage, null but for one more chunk without choices."""
    wants_usage = (asked.body.get("stream_options") or {}).get("include_usage")
    head = {**head, "object": "chat.completion.chunk", **({"usage": None} if wants_usage else {})}
    chunks: list[Json] = []
    if asked.azure:
        filters = [{"prompt_index": 0, "content_filter_results": SAFE}]
        chunks.append({**head, "id": "", "model": "", "choices": [], "prompt_filter_results": filters})
    for index, (said, end) in enumerate(zip(messages, ended, strict=True)):
        told: list[tuple[Json, str | None]] = [(delta, None) for delta in deltas(said)]
        told.append(({}, end))
        chunks.extend(
            {**head, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}]}
            for delta, reason in told
        )
    if wants_usage:
        chunks.append({**head, "choices": [], "usage": usage})
    return [Event(chunk) for chunk in chunks]


def deltas(said: Json) -> list[Json]:
    if "tool_calls" in said:
        call = said["tool_calls"][0]
        begun = {**call, "index": 0, "function": {"name": call["function"]["name"], "arguments": ""}}
        rest = pieces(call["function"]["arguments"])
        return [
            {"role": "assistant", "content": None, "tool_calls": [begun]},
            *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in rest),
        ]
    return [
        {"role": "assistant", "content": "", "refusal": None},
        *({"content": part} for part in pieces(said["content"])),
    ]


def pieces(text: str) -> list[str]:
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def completion(asked: Asked, invention: Invention) -> Reply:
    """POST /completions."""
    text = invention.text(asked.body.get("max_tokens"))
    prompt, shown = count_tokens(asked.body.get("prompt")), count_tokens(text)
    usage = {"prompt_tokens": prompt, "completion_tokens": shown, "total_tokens": prompt + shown}
    head = {
        "id": invention.id("cmpl-"),
        "object": "text_completion",
        "created": invention.now,
        "model": answering_model(asked),
    }
    if not asked.body.get("stream"):
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
        return Reply({**head, "choices": [choice], "usage": usage})
    wants_usage = (asked.body.get("stream_options") or {}).get("include_usage")
    if wants_usage:
        head["usage"] = None
    ends = [(part, None) for part in pieces(text)] + [("", "stop")]
    chunks = [
        {**head, "choices": [{"text": part, "index": 0, "logprobs": None, "finish_reason": end}]} for part, end in ends
    ]
    if wants_usage:
        chunks.append({**head, "choices": [], "usage": usage})
    return Reply(events=[Event(chunk) for chunk in chunks])
