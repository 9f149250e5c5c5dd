"""What OpenAI, and whoever speaks as it does, bills by number and not by token: what was asked for, and what an answer
has of it outside of its usage object."""

from collections.abc import Mapping

from usage_tracker.providers.answer import Answer, fields_of, merge_figures, word
from usage_tracker.providers.usage_fields import amount

FINISHED_IMAGES = ("image_generation.completed", "image_edit.completed")


def asked_units(operation: str, asked: Mapping[str, object]) -> dict[str, float] | None:
    """What is billed by what was asked."""
    if operation == "speech":
        text = asked.get("input")
        return {"characters": len(text)} if isinstance(text, str) else None
    if operation == "video":
        seconds = amount(asked.get("seconds"))
        return {"seconds": seconds} if seconds else None
    if operation == "image":
        return {"images": amount(asked.get("n")) or 1}
    return None


def read_counted(answer: Answer, fields: Mapping[str, object]) -> None:
    """What is billed by number and stands outside the usage object."""
    if fields.get("type") in FINISHED_IMAGES:
        count(answer, "images", (answer.units or {}).get("images", 0) + 1)
    elif "data" in fields:
        images = fields["data"]
        if isinstance(images, list) and images and holds_image(images[0]):
            count(answer, "images", len(images))
    elif "output" in fields:
        if fields.get("tool_usage") is None:
            count(answer, "searches", searches(fields["output"]))
        count(answer, "file_searches", len(calls_of(fields["output"], "file_search_call")))
        count(answer, "generated_images", pictures(fields["output"]))
    elif "duration" in fields and "text" in fields:
        # https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/audio/transcription_verbose.py
        count(answer, "seconds", amount(fields["duration"]))
    elif fields.get("object") == "video":
        # https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/video.py
        count(answer, "seconds", amount(fields.get("seconds")))
        if size := word(fields.get("size"), 64):
            answer.raw = merge_figures(answer.raw, {"size": size})  # what a second costs depends on it


def count(answer: Answer, kind: str, number: float | None) -> None:
    if number:
        answer.units = {**(answer.units or {}), kind: number}


def holds_image(item: object) -> bool:
    """https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/image.py"""
    fields = fields_of(item)
    return fields.get("b64_json") is not None or fields.get("url") is not None


def searches(output: object) -> int:
    """Web searches among a response's output items. Opening a page isn't one.
    https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/responses/response_function_web_search.py"""
    calls = calls_of(output, "web_search_call")
    return sum(fields_of(call.get("action")).get("type", "search") == "search" for call in calls)


def pictures(output: object) -> int:
    """Pictures that the hosted tool made. What they cost is never among the answer's own tokens, and not always told:
    `tool_usage` may be left out or skip them, and drawings are told by themselves.
    https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/responses/response.py (ToolUsage)"""
    return sum(call.get("status") != "failed" for call in calls_of(output, "image_generation_call"))


def calls_of(output: object, kind: str) -> list[Mapping[str, object]]:
    """A response's output items of that type."""
    return [item for item in map(fields_of, output) if item.get("type") == kind] if isinstance(output, list) else []
