"""The google-genai SDK: which of its requests are calls, and what requests and answers say.

An answer is the REST API's JSON (https://ai.google.dev/api), or an object of the SDK with the same names in snake case
(https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/types.py). Where the figures are: `gemini_fields`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from usage_tracker.event import Figures, Usage
from usage_tracker.providers.answer import Answer, Request, fields_of, figures, whole_body, word
from usage_tracker.providers.gemini_fields import CANDIDATES, THOUGHTS, TOTAL, count, merge_usage, read_usage, tier_of
from usage_tracker.providers.metadata import read_asked
from usage_tracker.providers.usage_fields import amount, tokens

SDK = "google-genai"

VERBS = {
    "asyncBatchEmbedContent": "batch",
    "batchEmbedContents": "embeddings",
    "batchGenerateContent": "batch",
    "embedContent": "embeddings",
    "generateContent": "chat",
    "predict": "image",
    "predictLongRunning": "video",
    "streamGenerateContent": "chat",
}
"""What is billed, by what a path says after its model. Counting tokens is free."""
COLLECTIONS = {
    "batchPredictionJobs": "batch",
    "cachedContents": "cache",
    "decisions": "decision",
    "interactions": "interaction",
}
"""What is billed, by the end of a path that is posted to."""
RETRIEVED = re.compile(r"(?:^|/)(?:(batches)/[^/:]+|(interactions)/[^/:]+(?:/cancel)?)$")
"""Paths whose answers say what was used by something that was started earlier, once it has ended."""

MODEL = re.compile(r"(?:^|/)((?:(?:tunedModels|endpoints)/)?[^/:]+)(?::[A-Za-z]+)?$")
"""The model at the end of a resource name, which may have a project, a publisher and `models/` in front."""

AT_WORK = ("in_progress", "queued")
ENDED_BADLY = ("cancelled", "failed")
"""What interactions say of how they are."""
GROUNDED_BY = {"google_search": "searches", "google_maps": "map_searches", "retrieval": "retrievals"}
"""The tools that an interaction counts, and our units:
https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/_gaos/types/interactions/groundingtoolcount.py"""


@lru_cache(maxsize=1024)
def operation_of(method: str, url: str) -> str | None:
    """The operation that a request is, or None where it isn't one that is billed. The URL may be relative."""
    if method.upper() != "POST":
        return None
    path = path_of(url)
    _, _, last = path.rpartition("/")
    model, colon, verb = last.rpartition(":")
    if not colon:
        return COLLECTIONS.get(last)
    return "embeddings" if verb == "predict" and "embedding" in model else VERBS.get(verb)


@lru_cache(maxsize=1024)
def retrieval_of(method: str, url: str) -> str | None:
    """The operation whose usage the answer to a request may bring, although the request itself is free."""
    found = RETRIEVED.search(path_of(url))
    if found is None or method.upper() not in ("GET", "POST"):
        return None
    return "batch" if found[1] else "interaction"


def path_of(url: str) -> str:
    return re.split("[?#]", url, maxsplit=1)[0].rstrip("/")


def model_of(name: object) -> str | None:
    """A model without the project, the publisher and the `models/` in front of it."""
    return bare_model(name) if isinstance(name, str) else None


@lru_cache(maxsize=1024)
def bare_model(name: str) -> str | None:
    said = word(name)
    found = MODEL.search(said) if said else None
    return found[1] if found else said


@lru_cache(maxsize=1024)
def model_in(url: str) -> str | None:
    """The model that a path asks something of: `models/NAME:verb`."""
    path = path_of(url)
    return model_of(path) if ":" in path.rpartition("/")[2] else None


def read_request(
    operation: str, body: Mapping[str, object] | None, extra: Mapping[str, object] | None, url: str | None = None
) -> Request:
    """What was asked. `extra` is the app's `extra_body`; the URL names the model where the body doesn't. Labels are who
    a call is for: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/labels"""
    asked = whole_body(body, extra)
    model = model_of(asked.get("model") or asked.get("agent")) or (model_in(url) if url is not None else None)
    if operation == "image" and embeds(asked):
        operation = "embeddings"
    units = asked_units(operation, asked)
    if "labels" in asked:
        return Request(operation, model, *read_asked({"metadata": asked["labels"]}), units)
    return Request(operation, model, units=units)


def embeds(asked: Mapping[str, object]) -> bool:
    """Whether Vertex is to embed texts, by a model whose name doesn't say so, such as an endpoint's.
    https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api"""
    instances = asked.get("instances")
    return isinstance(instances, list) and bool(instances) and "content" in fields_of(instances[0])


def asked_units(operation: str, asked: Mapping[str, object]) -> dict[str, float] | None:
    """The length of the videos that were asked for; the answer only says that they are being made.
    https://ai.google.dev/gemini-api/docs/video#veo-model-parameters"""
    if operation != "video":
        return None
    parameters = fields_of(asked.get("parameters"))
    seconds, videos = amount(parameters.get("durationSeconds")), amount(parameters.get("sampleCount", 1))
    return {"seconds": seconds * videos} if seconds and videos else None


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what an answer, or one chunk, event or message of a stream, says. What is kept is copied."""
    if "event_type" in fields:
        read_event(answer, fields)
    elif "status" in fields or "answers" in fields:
        read_interaction(answer, fields)
    else:
        read_generated(answer, fields)


def read_generated(answer: Answer, fields: Mapping[str, object]) -> None:
    usage = fields.get("usageMetadata")
    if usage is None:
        usage = fields.get("usage_metadata")
    if usage is not None:
        read_figures(answer, usage)
    if "modelVersion" in fields:
        answer.model = word(fields["modelVersion"]) or answer.model
    answer.response_id = answer.response_id or word(fields.get("responseId"))
    if "error" in fields:
        read_failure(answer, fields["error"])
    if "candidates" in fields:
        read_candidates(answer, fields["candidates"])
    elif "promptFeedback" in fields:
        answer.partial = False  # the prompt was refused
    elif "predictions" in fields:
        read_predictions(answer, fields)
    elif "server_content" in fields:
        content = fields_of(fields["server_content"])
        read_grounding(answer, content.get("grounding_metadata"))
    elif "name" in fields:
        read_started(answer, fields)
    elif "tokenCount" in fields:
        read_figures(answer, {"promptTokenCount": whole(fields["tokenCount"])})


def read_figures(answer: Answer, usage: object) -> None:
    """Merge a usage object, whose figures are totals so far, into what is known."""
    found = figures(usage)
    if found is not None:
        answer.raw = merge_usage(answer.raw, found)
        told = (found.get(name) for name in ("serviceTier", "service_tier", "trafficType", "traffic_type"))
        tier = next((tier_of(tier) for tier in told if isinstance(tier, str)), None)
        answer.service_tier = tier or answer.service_tier


def read_failure(answer: Answer, error: object) -> None:
    """https://cloud.google.com/apis/design/errors#http_mapping"""
    said = fields_of(error)
    if said:
        answer.error_type = word(said.get("status"), 64) or word(said.get("code"), 64) or "error"


def read_candidates(answer: Answer, candidates: object) -> None:
    """A stream has said all once a candidate says why it ended."""
    ended = False
    for candidate in listed(candidates):
        ended = ended or candidate.get("finishReason") is not None
        if "groundingMetadata" in candidate:
            read_grounding(answer, candidate["groundingMetadata"])
    answer.partial = not ended


def read_grounding(answer: Answer, grounding: object) -> None:
    """What was searched for. Empty and repeated queries are free; where several chunks of a stream tell of queries, the
    last tells of all. Maps name no queries. https://ai.google.dev/gemini-api/docs/google-search#pricing"""
    said = fields_of(grounding)
    queries: set[str] = set()
    for name in ("webSearchQueries", "web_search_queries", "imageSearchQueries", "image_search_queries"):
        asked = said.get(name)
        if isinstance(asked, list | tuple):
            queries.update(text for query in asked if isinstance(query, str) and (text := query.strip()))
    at_least(answer, "searches", len(queries))
    chunks = said.get("groundingChunks") or said.get("grounding_chunks")
    if any(chunk.get("maps") is not None for chunk in listed(chunks)):
        at_least(answer, "map_searches", 1)


def at_least(answer: Answer, kind: str, number: float) -> None:
    known = (answer.units or {}).get(kind, 0)
    if number > known:
        answer.units = {**(answer.units or {}), kind: number}


def read_predictions(answer: Answer, fields: Mapping[str, object]) -> None:
    """Images that were made, those that a filter held back left out; or embeddings by Vertex, with their figures.
    https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api#response-body"""
    made, embedded = 0, []
    for prediction in listed(fields["predictions"]):
        made += "bytesBase64Encoded" in prediction or "gcsUri" in prediction
        statistics = fields_of(fields_of(prediction.get("embeddings")).get("statistics"))
        embedded.append(whole(statistics.get("token_count")))
    at_least(answer, "images", made)
    characters = whole(fields_of(fields.get("metadata")).get("billableCharacterCount"))
    at_least(answer, "characters", characters or 0)
    known = [part for part in embedded if part is not None]
    if known or characters is not None:
        found: dict[str, object] = {"billableCharacterCount": characters}
        if known:
            found["promptTokenCount"] = sum(known)
        read_figures(answer, found)


def whole(value: object) -> int | None:
    """A count, also as the string that JSON has for 64 bits."""
    return tokens(int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value)


def read_started(answer: Answer, fields: Mapping[str, object]) -> None:
    """A batch, a video or a cache that was made. What a batch uses is known when it is done.
    https://ai.google.dev/gemini-api/docs/batch-api"""
    name = word(fields["name"])
    if name is not None and ("batches/" in name or "batchPredictionJobs/" in name):
        answer.awaits, answer.service_tier = name, "batch"


def read_event(answer: Answer, fields: Mapping[str, object]) -> None:
    """An event of an interaction's stream. Deltas are most; they leave at the first lines.
    https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/_gaos/types/interactions/interactionsseevent.py"""
    if "interaction" in fields:
        read_interaction(answer, fields_of(fields["interaction"]))
        return
    answer.partial = True
    usage = fields.get("usage")
    if usage is None and "metadata" in fields:
        usage = fields_of(fields["metadata"]).get("total_usage")
    if usage is not None:
        read_figures(answer, usage)
    if fields["event_type"] == "error":
        read_failure(answer, fields.get("error") or {"code": "error"})


def read_interaction(answer: Answer, fields: Mapping[str, object]) -> None:
    """An interaction, whole or as its stream tells of it; or a decision, which has neither id nor status.
    https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/_gaos/types/interactions/interaction.py"""
    own, status = word(fields.get("id")), fields.get("status")
    answer.model = word(fields.get("model")) or answer.model
    answer.response_id = own or answer.response_id
    answer.service_tier = tier_of(word(fields.get("service_tier"))) or answer.service_tier
    usage = fields.get("usage")
    if usage is not None:
        read_figures(answer, usage)
    answer.partial = status in AT_WORK
    answer.awaits = own if answer.partial else None
    if not answer.partial and answer.raw is not None:
        answer.completes = own
    if status in ENDED_BADLY:
        errors = listed(fields.get("errors"))
        answer.error_type = next((word(error.get("code"), 64) for error in errors), None) or str(status)


def listed(value: object) -> Iterable[Mapping[str, object]]:
    """The items of a list, each as fields; none of what is no list."""
    return map(fields_of, value) if isinstance(value, list | tuple) else ()


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended. Where it failed (`answer.error_type`), what was asked for is not counted, as
    it was not delivered."""
    raw = answer.raw or {}
    if operation == "cache":
        # What is kept is billed by the hour, and its tokens are the input of the calls that read it, not of this one.
        kept = count(raw, TOTAL)
        return Usage(units={"cached_tokens": kept} if kept else None)
    usage = read_usage(raw)
    if answer.partial and count(raw, CANDIDATES) is None and count(raw, THOUGHTS) is None:
        usage.output_tokens = None  # a total up to here doesn't say that nothing was generated since
    asked = request.units if request.units and answer.error_type is None else {}
    counted = grounded(raw) if "grounding_tool_count" in raw else ()
    if asked or answer.units or counted:
        usage.units = {**asked, **(answer.units or {}), **dict(counted)} or None
    return usage


def grounded(raw: Figures) -> Iterator[tuple[str, float]]:
    """What an interaction's tools searched for, by our units."""
    for entry in listed(raw["grounding_tool_count"]):
        kind, number = GROUNDED_BY.get(str(entry.get("type"))), amount(entry.get("count"))
        if kind is not None and number:
            yield kind, number
