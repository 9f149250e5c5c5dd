"""The Responses API: responses, their events, and those that run in the background.

https://platform.openai.com/docs/api-reference/responses/object, …/responses-streaming
"""

import json

from usage_tracker.demo.chat import pieces, served_tier
from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.invention import Invention, answering_model, count_tokens, sample


def respond(asked: Asked, invention: Invention) -> Reply:
    """POST /responses. A stream ends with its last event; there is no [DONE]."""
    finished = response(asked, invention)
    later = finished if asked.body.get("store", True) else None
    if asked.body.get("stream"):
        return Reply(events=events(finished), later=later)
    return Reply(queued(finished) if asked.body.get("background") else finished, later=later)


def response(asked: Asked, invention: Invention) -> Json:
    body = asked.body
    limit = body.get("max_output_tokens")
    reasoning = invention.reasoning(asked.model)
    text = invention.text(limit and max(1, limit - reasoning))
    shape = (body.get("text") or {}).get("format") or {"type": "text"}
    if shape["type"] == "json_schema":
        text = json.dumps(sample(shape["schema"]))
    output: list[Json] = []
    if reasoning:
        output.append({"id": invention.id("rs_"), "type": "reasoning", "summary": []})
    if any(str(tool.get("type", "")).startswith("web_search") for tool in body.get("tools") or []):
        action = {"type": "search", "query": "refund policy"}
        output.append({"id": invention.id("ws_"), "type": "web_search_call", "status": "completed", "action": action})
    content = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    said: Json = {"id": invention.id("msg_"), "type": "message", "status": "completed", "role": "assistant"}
    output.append({**said, "content": [content]})
    prompt = (
        8 + count_tokens(body.get("instructions")) + count_tokens(body.get("input")) + count_tokens(body.get("tools"))
    )
    shown = count_tokens(text)
    return {
        "id": invention.id("resp_"),
        "object": "response",
        "created_at": invention.now,
        "status": "completed",
        "background": bool(body.get("background")),
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": limit,
        "metadata": body.get("metadata") or {},
        "model": answering_model(asked),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": "medium" if reasoning else None, "summary": None},
        "service_tier": served_tier(body),
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": shape},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": invention.cached(prompt)},
            "output_tokens": shown + reasoning,
            "output_tokens_details": {"reasoning_tokens": reasoning},
            "total_tokens": prompt + shown + reasoning,
        },
        "user": body.get("user"),
    }


def queued(finished: Json) -> Json:
    """The same response before anything was done for it."""
    return {**finished, "status": "queued", "output": [], "usage": None, "service_tier": "auto"}


def events(finished: Json) -> list[Event]:
    """The events of a stream, from `response.created` to `response.completed`."""
    begun = {**queued(finished), "status": "in_progress"}
    told: list[Json] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    for index, item in enumerate(finished["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        told.append({"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}})
        for part in item.get("content", []):
            inside = {**place, "content_index": 0}
            told.append({"type": "response.content_part.added", **inside, "part": {**part, "text": ""}})
            told.extend(
                {"type": "response.output_text.delta", **inside, "delta": piece, "logprobs": []}
                for piece in pieces(part["text"])
            )
            told.append({"type": "response.output_text.done", **inside, "text": part["text"], "logprobs": []})
            told.append({"type": "response.content_part.done", **inside, "part": part})
        told.append({"type": "response.output_item.done", "output_index": index, "item": item})
    told.append({"type": "response.completed", "response": finished})
    return [Event({**fields, "sequence_number": at}, fields["type"]) for at, fields in enumerate(told)]


def compact(asked: Asked, invention: Invention) -> Reply:
    """POST /responses/compact."""
    whole = response(asked, invention)
    kept = {"id": invention.id("cmp_"), "type": "compaction", "encrypted_content": "c3RhbmQtaW4="}
    return Reply(
        {
            "id": whole["id"],
            "object": "response.compaction",
            "created_at": whole["created_at"],
            "output": [kept],
            "usage": whole["usage"],
        }
    )


def count_input(asked: Asked, invention: Invention) -> Reply:
    """POST /responses/input_tokens, which is free of charge."""
    return Reply(
        {"object": "response.input_tokens", "input_tokens": response(asked, invention)["usage"]["input_tokens"]}
    )
