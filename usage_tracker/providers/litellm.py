"""LiteLLM: what its functions hand back says, and who served; what they are asked is in `litellm_asked`.

It answers in OpenAI's words, whoever served, but for the functions that speak Anthropic's or Gemini's API. What it puts
beside the answer: https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/types/utils.py (`HiddenParams`).
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache

from usage_tracker.event import Figures, Usage
from usage_tracker.providers import anthropic, google_genai, openai, openai_units
from usage_tracker.providers.answer import Answer, Request, decode_object, fields_of, figures, http_status, word
from usage_tracker.providers.gemini_fields import tier_of
from usage_tracker.providers.hosts import HOSTS, provider_of
from usage_tracker.providers.packed_ids import provider_id
from usage_tracker.providers.usage_fields import amount, at, dollars, paths, tokens

SDK = "litellm"

PROVIDERS = {
    "ai21_chat": "ai21",
    "anthropic_text": "anthropic",
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "codestral": "mistral",
    "cohere_chat": "cohere",
    "dashscope": "alibaba",
    "fireworks_ai": "fireworks",
    "github_copilot": "github-copilot",
    "meta_llama": "meta",
    "moonshot": "moonshotai",
    "nvidia_nim": "nvidia",
    "ollama_chat": "ollama",
    "text-completion-codestral": "mistral",
    "together_ai": "together",
    "vertex_ai": "vertex",
    "vertex_ai_beta": "vertex",
    "voyage": "voyageai",
}
"""Its names of providers to ours, where they differ: https://docs.litellm.ai/docs/providers"""
SPEAKERS = frozenset(
    "aiohttp_openai custom custom_openai helicone litellm_proxy openai openai_like text-completion-openai "
    "vercel_ai_gateway".split()
)
"""Its names for whoever speaks OpenAI's API, and for gateways: who serves is told by the host, else by the model."""

WAYS = frozenset(("converse", "converse_like", "invoke", "responses"))
"""What stands before a model to say by which of its provider's APIs it is to be asked:
https://docs.litellm.ai/docs/providers/bedrock, https://docs.litellm.ai/docs/providers/openai"""

COUNTS_ITSELF = frozenset(("aleph_alpha", "langflow", "langgraph", "petals", "replicate", "triton"))
"""Providers whose tokens it always counts itself, whatever they send:
https://github.com/BerriAI/litellm/blob/ba03736077d5/litellm/llms/replicate/chat/transformation.py"""
COUNTS_IN_HEADERS = frozenset(("bedrock", "bedrock_converse"))
"""https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html"""
COUNTED = ('usage"', 'Usage"', 'usageMetadata"', 'okens"', '_token_count"', 'TokenCount"', 'eval_count"', '_units"')
"""How the names of counts end, in the JSON of any provider. Within a text of that JSON a quote would be escaped."""
MOST_TEXT = 1 << 20
"""An answer is searched for counts at both ends up to here."""

UNANSWERED = ("APIConnectionError", "TransportError")
"""Of the openai SDK and of httpx: nobody answered."""

ANTHROPIC = frozenset(("completion", "message", "message_delta", "message_start", *anthropic.SILENT))
"""What objects and events of Anthropic's API say they are."""
GEMINI = ("candidates", "usageMetadata", "usage_metadata")
GEMINI_COUNTS = ("promptTokenCount", "prompt_token_count", "totalTokenCount", "total_token_count")

RERANK_TOKENS = paths("tokens.input_tokens", "billed_units.input_tokens", "billed_units.total_tokens", "total_tokens")
"""https://docs.cohere.com/reference/rerank, and what others say in the same place"""


TRANSLATED = frozenset(("chat", "embeddings", "responses", "speech"))
"""What LiteLLM may answer in the words of another API than its provider's."""


def names_provider(prefix: str) -> bool:
    """Whether what stands before a model is LiteLLM's name of a provider."""
    return prefix in PROVIDERS or prefix in HOSTS or prefix in SPEAKERS


@lru_cache(maxsize=4096)
def provider_named(name: str | None, model: str | None, host: str | None) -> str | None:
    """Our name of the provider that LiteLLM names, itself or in front of the model; None where the host and the
    model's own name have to tell."""
    if name is None and model is not None and "/" in model:
        prefix = model.split("/", 1)[0]
        name = prefix if names_provider(prefix) else None
    if name is None:
        return None
    if name in SPEAKERS:
        return "openai" if name in ("openai", "text-completion-openai") and host is None else provider_of(host, None)
    return PROVIDERS.get(name, name)


@lru_cache(maxsize=4096)
def bare_model(model: str | None, provider: str | None) -> str | None:
    """A model by the name that its provider has for it, without LiteLLM's name of the provider in front."""
    prefix, _, rest = (model or "").partition("/")
    if not rest:
        return model
    if provider is None:
        named = names_provider(prefix)
    else:
        named = PROVIDERS.get(prefix, prefix) == PROVIDERS.get(provider, provider) or {prefix, provider} <= SPEAKERS
    bare = rest if named else f"{prefix}/{rest}"
    way, _, behind = bare.partition("/")
    return behind if behind and way in WAYS else bare


@lru_cache(maxsize=4096)
def answering_model(model: str | None, provider: str | None, asked: str | None) -> str | None:
    """The model that an answer names, by the name that its provider has for it: of many of them, LiteLLM puts its name
    of the provider in front, and not so in streams. `asked`: what was asked for, bare, as a provider's own names may
    begin so.
    https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/llms/openai/openai.py (`completion`)"""
    prefix = f"{provider}/"
    if model is None or provider == "openai" or (asked or "").startswith(prefix):
        return model
    return model.removeprefix(prefix) or model


def observe(answer: Answer, fields: Mapping[str, object]) -> None:
    """Take what an answer, or one chunk or event of a stream, says, in whichever API's words."""
    kind = fields.get("type")
    if isinstance(kind, str) and (kind in ANTHROPIC or (kind == "error" and "error" in fields)):
        anthropic.observe(answer, fields)
    elif any(name in fields for name in GEMINI) or fields.get("object") == "interaction" or "event_type" in fields:
        google_genai.observe(answer, fields)
    elif "meta" in fields or "usage_info" in fields:
        read_documents(answer, fields)
    else:
        openai.observe(answer, fields)
        if answer.raw is not None and not openai.any_figure(answer.raw):
            answer.raw = None  # what it writes where nobody told it
    answer.response_id = provider_id(answer.response_id)


def read_documents(answer: Answer, fields: Mapping[str, object]) -> None:
    """What ranking or reading documents is billed by.
    https://github.com/BerriAI/litellm/blob/154bcc5b65e3/litellm/types/rerank.py, https://docs.mistral.ai/api (OCR)"""
    answer.model = word(fields.get("model")) or answer.model
    answer.response_id = word(fields.get("id")) or answer.response_id
    answer.raw = figures(fields.get("meta") or fields.get("usage_info")) or answer.raw
    raw = answer.raw or {}
    searches, pages = amount(at(raw, ("billed_units", "search_units"))), amount(raw.get("pages_processed"))
    openai_units.count(answer, "searches", searches)
    openai_units.count(answer, "pages", pages)


def read_original(operation: str, fields: Mapping[str, object], original: object) -> Answer | None:
    """A provider's own answer, where LiteLLM puts it into the words of another API and leaves out of it what was
    cached, searches, the tier, or how long what was cached is kept. None where `fields`, its own, tell no less."""
    if operation not in TRANSLATED or (operation == "chat" and "choices" in fields):
        return None
    said = decode_object(original) if isinstance(original, str) else fields_of(original)
    words = ("message", "chat.completion", "response") if operation == "chat" else ("message",)
    if said.get("type", said.get("object")) not in words and "usageMetadata" not in said:
        return None
    told = Answer()
    observe(told, said)
    return told


def take_figures(answer: Answer, told: Answer) -> None:
    """Take the figures of an answer that is the same in other words, and the model that it names."""
    if told.raw is not None:
        answer.raw, answer.units = told.raw, told.units or answer.units
    answer.service_tier = told.service_tier or answer.service_tier
    answer.model = told.model or answer.model


def observe_hidden(answer: Answer, hidden: object) -> str | None:
    """Take what LiteLLM itself says beside an answer; its name of the provider. A cost of 0 is what it also writes
    where it doesn't know the price."""
    fields = fields_of(hidden)
    cost = fields.get("response_cost")
    if isinstance(cost, float | int) and cost > 0:
        answer.reported_cost = dollars(cost, Decimal(1)) or answer.reported_cost
    beside = fields_of(fields.get("provider_specific_fields"))
    answer.service_tier = answer.service_tier or tier_of(word(beside.get("traffic_type")))  # as Gemini says it
    provider = word(fields.get("custom_llm_provider"))
    return None if provider == "cached_response" else provider


def observe_chunks(answer: Answer, chunks: Iterable[object]) -> bool:
    """Take the chunks of a chat stream as LiteLLM made them of the provider's; whether one of them brought usage.

    Of figures that come more than once the last that isn't 0 counts, as some providers send zeros before or after.
    """
    told: Figures = {}
    for chunk in chunks:
        fields = fields_of(chunk)
        answer.model = answer.model or model_in(chunk)
        answer.response_id = answer.response_id or word(fields.get("id"))
        answer.service_tier = word(fields.get("service_tier")) or answer.service_tier
        if fields.get("usage") is not None:
            merge_known(told, figures(fields["usage"]) or {})
    if not openai.any_figure(told):
        return False
    answer.raw = told
    answer.service_tier = answer.service_tier or word(told.get("service_tier"))
    return True


def model_in(chunk: object) -> str | None:
    """The model that the provider's chunk named; the one that LiteLLM made of it mostly has what was asked for. Older
    versions tell no other.
    https://github.com/BerriAI/litellm/blob/main/litellm/litellm_core_utils/streaming_handler.py"""
    beside = fields_of(getattr(chunk, "_hidden_params", None))
    return word(beside.get("provider_response_model")) or word(fields_of(chunk).get("model"))


def merge_known(earlier: Figures, later: Figures) -> None:
    """Replace what is known by what a later piece says, unless that is nothing; `earlier` is changed."""
    for name, part in later.items():
        known = earlier.get(name)
        if isinstance(known, dict) and isinstance(part, dict):
            merge_known(known, part)
        elif part or name not in earlier:
            earlier[name] = part


def has_ended(chunk: object) -> bool:
    """Whether nothing but usage comes after that chunk of a chat stream."""
    choices = fields_of(chunk).get("choices")
    if not isinstance(choices, list) or not choices:
        return choices == []
    return any(fields_of(choice).get("finish_reason") is not None for choice in choices)


def without_placeholders(answer: Answer) -> Figures | None:
    """What is known of a stream that was left early: Claude's first chunk has a number of output tokens that stands for
    none, and LiteLLM begins with zeros what it makes of another API's stream.
    https://docs.claude.com/en/docs/build-with-claude/streaming"""
    raw = answer.raw
    if not openai.any_figure(raw):
        return None
    if raw is None or "claude" not in (answer.model or ""):
        return raw
    return {name: figure for name, figure in raw.items() if not name.startswith(("completion_tokens", "total_tokens"))}


def tells_usage(answer: object, provider: str | None) -> bool:
    """Whether a provider's own answer says what it used, so that LiteLLM needed not count tokens itself.

    `answer` is what it got: JSON as text or parsed, or an SDK's object. In doubt the figures are the provider's.
    """
    if provider in COUNTS_ITSELF:
        return False
    if provider in COUNTS_IN_HEADERS or not answer:
        return True
    if isinstance(answer, Mapping):
        return names_counts(answer)
    if not isinstance(answer, str):
        return True
    parts = (answer,) if len(answer) <= 2 * MOST_TEXT else (answer[:MOST_TEXT], answer[-MOST_TEXT:])
    return any(name in part for part in parts for name in COUNTED)


def names_counts(answer: Mapping[str, object]) -> bool:
    return any(
        (value is not None and f'{name}"'.endswith(COUNTED)) or (isinstance(value, Mapping) and names_counts(value))
        for name, value in answer.items()
    )


def status_of(causes: Iterable[BaseException], *, sent: bool) -> int | None:
    """The HTTP status that a provider answered with. LiteLLM's own errors have one in any case, and not always the
    provider's, so it is taken from the error of the HTTP library or the openai SDK that they came of, if they did.

    `sent` is whether a request went out at all.
    """
    told: int | None = None
    for cause in causes:
        kinds = {kind.__name__ for kind in type(cause).__mro__}
        foreign = not type(cause).__module__.startswith("litellm.")
        if "HTTPStatusError" in kinds or (foreign and "APIStatusError" in kinds):
            return http_status(getattr(getattr(cause, "response", None), "status_code", None))
        if foreign and not kinds.isdisjoint(UNANSWERED):
            return None
        told = told or http_status(getattr(cause, "status_code", None))
    return told if sent else None


def usage_of(operation: str, answer: Answer, request: Request) -> Usage:
    """The counts of a call that has ended, by the names that its figures have."""
    raw = answer.raw or {}
    if operation in ("rerank", "ocr"):
        told = (tokens(at(raw, path)) for path in RERANK_TOKENS)
        usage = Usage(input_tokens=next((count for count in told if count is not None), None), units=answer.units)
    elif operation == "interaction" or any(name in raw for name in GEMINI_COUNTS):
        usage = google_genai.usage_of(operation, answer, request)
    elif is_anthropics(operation, raw):
        usage = anthropic.usage_of(operation, answer, request)
    else:
        usage = openai.usage_of(operation, answer, request)
        if answer.provider in ("gemini", "vertex"):
            add_tool_tokens(usage, raw)
    if operation == "embeddings" and usage.output_tokens == 0:
        usage.output_tokens = None  # of LiteLLM's making: there is none, and providers say nothing of it
    usage.estimated = answer.estimated and usage.known()
    return usage


def is_anthropics(operation: str, raw: Figures) -> bool:
    """Whether a usage object is in the words of Anthropic's API. Those of OpenAI's Responses have a total, too."""
    theirs = ("input_tokens_details", "prompt_tokens", "total_tokens")
    return operation in ("chat", "responses") and "input_tokens" in raw and raw.keys().isdisjoint(theirs)


def add_tool_tokens(usage: Usage, raw: Figures) -> None:
    """What Gemini's own tools added to the prompt. Newer versions of LiteLLM tell it, and leave it out of all but the
    total where it searched; older ones always do.
    https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/llms/vertex_ai/gemini/vertex_and_google_ai_studio_gemini.py"""
    usage.tool_tokens = tokens(at(raw, ("prompt_tokens_details", "tool_use_tokens")))
    total = tokens(raw.get("total_tokens"))
    if total is not None and usage.input_tokens is not None and usage.output_tokens is not None:
        outside = total - usage.input_tokens - usage.output_tokens
        if outside > 0:
            usage.tool_tokens = outside
            usage.input_tokens += outside
