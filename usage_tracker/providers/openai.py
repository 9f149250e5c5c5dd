"""The openai SDK and every provider that it talks to: which of its requests are calls, what requests and answers say.

The SDK's types: https://github.com/openai/openai-python/tree/v2.54.0/src/openai/types; what they and other providers
call their figures: `usage_fields`.
"""

import re
from collections.abc import Container, Mapping
from functools import lru_cache

from usage_tracker.event import Usage
from usage_tracker.providers.answer import Answer, Plain, Request, fields_of, figures, merge_figures, whole_body, word
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.metadata import read_asked
from usage_tracker.providers.openai_units import asked_units, read_counted
from usage_tracker.providers.packed_ids import provider_id
from usage_tracker.providers.usage_fields import read_cost, read_units, read_usage

SDK = "openai"

OPERATIONS = {
    "chat/completions": "chat",
    "completions": "completion",
    "responses": "responses",
    "responses/compact": "responses",
    "embeddings": "embeddings",
    "images/generations": "image",
    "images/edits": "image",
    "images/variations": "image",
    "audio/speech": "speech",
    "audio/transcriptions": "transcription",
    "audio/translations": "translation",
    "moderations": "moderation",
    "rerank": "rerank",
    "decisions": "decision",
    "videos": "video",
    "videos/edits": "video",
    "videos/extensions": "video",
    "videos/*/remix": "video",
    "batches": "batch",
    "threads/runs": "assistant",
    "threads/*/runs": "assistant",
}
"""The ends of the paths that are billed when they are posted to; `*` is an id. The rest is free (counting tokens),
changes something (an update of a stored completion) or repeats what was counted (retrieve, list, poll)."""

RETRIEVALS = {
    "responses/*": "responses",
    "responses/*/cancel": "responses",
    "batches/*": "batch",
    "batches/*/cancel": "batch",
    "threads/*/runs/*": "assistant",
    "threads/*/runs/*/cancel": "assistant",
    "threads/*/runs/*/submit_tool_outputs": "assistant",
}
"""The ends of the paths whose answers say what was used by something that was started earlier, once it has ended."""


def patterns(paths: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [
        (re.compile(rf"(?:^|/){re.escape(path).replace(re.escape('*'), '[^/]+')}/?$"), operation)
        for path, operation in paths.items()
    ]


BILLED, RETRIEVED = patterns(OPERATIONS), patterns(RETRIEVALS)
DEPLOYMENT = re.compile("/deployments/([^/?#]+)/")
DEPLOYED = frozenset({"chat", "completion", "embeddings", "image", "speech", "transcription", "translation"})
"""What Azure has at the path of a deployment:
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/lib/azure.py (_deployments_endpoints)"""
STREAMS_WITHOUT_USAGE = frozenset({"chat", "completion"})
"""Streams of these say what they used only if asked:
https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/chat/chat_completion_stream_options_param.py"""

STARTED = frozenset({"batch", "response", "thread.run"})
ENDED = frozenset({"cancelled", "completed", "expired", "failed", "incomplete"})
"""What these objects say once they have ended."""

BESIDE_USAGE = ("tool_usage", "svg_usage", "usage_breakdown")
"""What stands beside `usage` and is kept with its figures, so that it can be priced: tools and drawings that are billed
by themselves, and the models that one of Groq's systems is made of.
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/responses/response.py (ToolUsage),
https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/images_response.py (SvgUsage)"""


@lru_cache(maxsize=1024)
def operation_of(method: str, url: str) -> str | None:
    """The operation that a request is, or None where it isn't one that is billed. The URL may be absolute or relative,
    have a query, and Azure's `/openai/deployments/NAME` in front."""
    return operation_at(url, BILLED) if method.upper() == "POST" else None


@lru_cache(maxsize=1024)
def retrieval_of(method: str, url: str) -> str | None:
    """The operation whose usage the answer to a request may bring, although the request itself is free."""
    return operation_at(url, RETRIEVED) if method.upper() in ("GET", "POST") else None


def operation_at(url: str, known: list[tuple[re.Pattern[str], str]]) -> str | None:
    path = re.split("[?#]", url, maxsplit=1)[0]
    return next((operation for pattern, operation in known if pattern.search(path)), None)


def read_request(operation: str, body: Mapping[str, object] | None, extra: Mapping[str, object] | None) -> Request:
    """What was asked. `body` is the SDK's JSON or form fields; `extra` is `extra_body`, which replaces fields of it."""
    asked = whole_body(body, extra)
    return Request(operation, word(asked.get("model")), *read_asked(asked), asked_units(operation, asked))


def deployment_in(operation: str, url: str) -> str | None:
    """The deployment of Azure's that an address is of, which is asked whether or not the body names a model."""
    found = DEPLOYMENT.search(url) if operation in DEPLOYED else None
    return word(found[1]) if found else None


def wants_usage(operation: str, body: object, extra: object) -> bool:
    """Whether this streamed request would bring no usage, because the app did not say whether it wants it."""
    # dict first: asking the abstract class runs lines of Python, 2 µs each time between an app's calls
    if operation not in STREAMS_WITHOUT_USAGE or not isinstance(body, (dict, Mapping)):
        return False
    if body.get("stream") is not True:
        return False
    if extra is not None and isinstance(extra, (dict, Mapping)) and "stream_options" in extra:
        return False
    options = body.get("stream_options")
    return not (isinstance(options, (dict, Mapping)) and "include_usage" in options)


SENDS_WHEN_ASKED = frozenset({"azure", "deepseek", "gemini", "openai"})
"""Who sends a stream's usage only when asked, in a chunk of its own, which can be hidden from an app that did not ask.
Others send it unasked, or refuse the option. https://api-docs.deepseek.com/api/create-chat-completion,
https://learn.microsoft.com/azure/ai-foundry/openai/reference#chatcompletionstreamoptions"""


def sends_usage_when_asked(host: str | None, azure: bool) -> bool:
    """Whether asking for a stream's usage brings one more chunk, the last, and changes nothing else."""
    return provider_of(host, None, azure) in SENDS_WHEN_ASKED


def refuses_usage(host: str | None, azure: bool, message: str) -> bool:
    """Whether a server that refused a request may have done so because it was asked for usage. Those that know the
    option name it, as older versions of Azure's API do; otherwise they have other reasons."""
    return "stream_options" in message or not sends_usage_when_asked(host, azure)


def is_usage_only(fields: Mapping[str, object]) -> bool:
    """Whether a chunk exists only to bring the usage that was asked for. Azure's first chunk has no choices either, and
    no usage."""
    return fields.get("usage") is not None and fields.get("choices") == []


BESIDE = frozenset(
    (
        *BESIDE_USAGE, "background", "data", "delta", "duration", "error", "event", "id", "last_error", "model",
        "output", "response", "seconds", "service_tier", "size", "status", "text", "type", "x_groq",
    )
)  # fmt: skip
PLAIN = {
    "chat": Plain(("id", "model", "service_tier", "usage"), BESIDE),
    "completion": Plain(("id", "model", "usage"), BESIDE),
    "embeddings": Plain(("model", "usage"), BESIDE - {"data"}),
}
"""By operation. Together with `choices` and `object`, these are all the fields that `observe` looks at."""


def says_nothing(names: Container[str]) -> bool:
    """Whether a chunk that has these fields, and no usage, has only text for the app."""
    return "x_groq" not in names and "error" not in names if "choices" in names else "delta" in names


def usage_in_choice(fields: Mapping[str, object]) -> object:
    """The usage that Moonshot's streams tell within the choice that ends, in their last chunk.
    https://platform.moonshot.ai/docs/api/chat"""
    choices = fields.get("choices")
    return fields_of(choices[0]).get("usage") if isinstance(choices, list) and choices else None


def goes_on(fields: Mapping[str, object]) -> bool:
    """Whether there is more to come after a chunk: some providers tell with each what was used up to there.
    https://docs.perplexity.ai/api-reference/chat-completions-post"""
    choices = fields.get("choices")
    return isinstance(choices, list) and any(fields_of(choice).get("finish_reason") is None for choice in choices)


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what an answer, or one chunk or event of a stream, says. What is kept is copied: apps change chunks.

    Ordinary chunks, those with text in them, are most; they leave at the first lines. Groq ends a stream with a field
    of its own for usage and errors:
    https://github.com/groq/groq-python/blob/2f14acf63361/src/groq/types/chat/chat_completion_chunk.py
    """
    usage = fields.get("usage")
    if usage is None:
        known = answer.model is not None or answer.response_id is not None
        if says_nothing(fields) and (known or "choices" not in fields):
            return
    inner = fields.get("response")
    if inner is not None:
        fields = fields_of(inner)
    elif "event" in fields and "data" in fields:
        fields = run_event(fields)
    about = fields.get("object")
    if isinstance(about, str) and about.startswith("thread") and about != "thread.run":
        return  # messages and steps of a run; what a step used is in the run's usage
    read_identity(answer, fields)
    if read_progress(answer, fields):
        return
    read_figures(answer, fields)
    read_failure(answer, fields)
    read_counted(answer, fields)
    if "x_groq" in fields:
        groq = fields_of(fields["x_groq"])
        read_figures(answer, groq)
        read_failure(answer, groq)


def run_event(fields: Mapping[str, object]) -> Mapping[str, object]:
    """What an event of an assistant's run is about.
    https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/beta/assistant_stream_event.py"""
    about = fields_of(fields["data"])
    return {"error": about.get("error", about)} if fields["event"] == "error" else about


def read_identity(answer: Answer, fields: Mapping[str, object]) -> None:
    """The first id counts: gateways give the chunk with the usage an id of its own. The last model and tier count."""
    answer.model = word(fields.get("model")) or answer.model
    answer.response_id = answer.response_id or word(fields.get("id"))
    answer.service_tier = word(fields.get("service_tier")) or answer.service_tier


def read_progress(answer: Answer, fields: Mapping[str, object]) -> bool:
    """Whether it is about something that was started and is still at work: a batch, an assistant's run, or a response
    in the background. Its figures, if there are any yet, are not the last.
    https://platform.openai.com/docs/guides/background, https://platform.openai.com/docs/api-reference/batch/object,
    https://platform.openai.com/docs/api-reference/runs/object"""
    about, status = fields.get("object"), fields.get("status")
    if not isinstance(about, str) or about not in STARTED or not isinstance(status, str):
        return False
    if about == "response" and not fields.get("background"):
        return False
    started = answer.response_id = provider_id(word(fields.get("id")))
    if about == "batch":
        answer.service_tier = "batch"
    if status.lower() not in ENDED:
        answer.awaits = started
        return True
    answer.awaits = None
    if figures(fields.get("usage")) is not None:
        answer.completes = started
    return False


def read_figures(answer: Answer, fields: Mapping[str, object]) -> None:
    found = figures(fields.get("usage"))
    for name in BESIDE_USAGE:
        if name in fields:
            beside = figures(fields[name])
            if any_figure(beside):
                found = {**(found or {}), name: beside}
    if found is not None:
        answer.raw = merge_figures(answer.raw, found)
        answer.service_tier = answer.service_tier or word(answer.raw.get("service_tier"))  # Claude's, by LiteLLM
        answer.reported_cost = read_cost(answer.raw) or answer.reported_cost


def any_figure(part: object) -> bool:
    """Whether any number in it is not zero."""
    if isinstance(part, dict):
        return any(any_figure(own) for own in part.values())
    if isinstance(part, list):
        return any(any_figure(own) for own in part)
    return isinstance(part, int | float) and part > 0


def read_failure(answer: Answer, fields: Mapping[str, object]) -> None:
    """`error` of a response, a video or an error chunk, `last_error` of a run, or an event that is the error itself.
    https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/responses/response_error_event.py"""
    error = fields if fields.get("type") == "error" else fields.get("error") or fields.get("last_error")
    if error:
        said = fields_of(error)
        kind = None if error is fields else said.get("type")
        answer.error_type = word(said.get("code"), 64) or word(kind, 64) or "error"


WRITES = frozenset({"chat", "completion"})
"""Operations that generate text, so that their answers are to say how much of it."""


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended. Where it failed (`answer.error_type`), what was asked for is not counted, as
    it was not delivered."""
    usage = read_usage(answer.raw, operation) if answer.raw else Usage()
    reasoning, total = usage.reasoning_tokens, (answer.raw or {}).get("total_tokens")
    if reasoning and usage.input_tokens is not None and usage.output_tokens is not None:
        # xAI's chat leaves reasoning out of completion_tokens: https://docs.x.ai/docs/guides/reasoning
        outside = usage.output_tokens + reasoning
        if total == usage.input_tokens + outside:
            usage.output_tokens = outside
    if operation in WRITES and usage.output_tokens is None and usage.input_tokens is not None:
        # an empty completion has no completion_tokens, and a total that is all prompt
        usage.output_tokens = 0 if total == usage.input_tokens else None
    if operation == "image" and "output_tokens_details" not in (answer.raw or {}):
        # it is all images, as each event of a stream says, and answers did before there were details:
        # https://github.com/openai/openai-python/blob/v3.54.0/src/openai/types/image_gen_completed_event.py
        usage.output_image_tokens = usage.output_tokens
    told = {**(answer.units or {}), **(read_units(answer.raw) if answer.raw else {})}
    asked = request.units if request.units and answer.error_type is None else {}
    # A video's answer states the length of all of it, which for an extension is more than was asked for and billed.
    usage.units = ({**told, **asked} if operation == "video" else {**asked, **told}) or None
    return usage
