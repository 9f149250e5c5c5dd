"""Where we touch the SDKs: one row for each function that every call of an SDK goes through, and no other place."""

from typing import NamedTuple


class ChokePoint(NamedTuple):
    """One function of an SDK that every call goes through."""

    sdk: str
    """The SDK's distribution, as pip knows it."""
    module: str
    attribute: str
    """`Class.method` or `function` in that module."""
    style: str
    """The module of `capture` that knows how this SDK is called."""
    role: str
    """Which of that module's wrappers goes around it."""
    optional: bool = False
    """Whether some supported versions of the SDK don't have it, and lose no call by that."""
    formerly: str | None = None
    """What older versions call it."""


STAINLESS = (
    ("SyncAPIClient.request", "request"),
    ("AsyncAPIClient.request", "request"),
    ("SyncAPIClient._process_response", "response"),
    ("AsyncAPIClient._process_response", "response"),
)
"""SDKs that Stainless generates: one function makes the request, another takes the HTTP response."""

STAINLESS_SDKS = (
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("cerebras-cloud-sdk", "cerebras.cloud.sdk"),
    ("groq", "groq"),
    ("together", "together"),
)
"""Distribution and package. Those after anthropic's answer in OpenAI's words."""

LISTENED = (("__init__", "open"), ("recv_bytes", "receive"), ("close", "close"))
CONNECTION = (*LISTENED, ("send", "send"))
OPENAI_SOCKETS = (
    ("resources.realtime.realtime", "RealtimeConnection", CONNECTION),
    ("resources.beta.realtime.realtime", "RealtimeConnection", CONNECTION),
    ("resources.responses.responses", "ResponsesConnection", CONNECTION),
    ("resources.beta.responses.responses", "ResponsesConnection", CONNECTION),
    ("resources.realtime.translations.translations", "TranslationsConnection", LISTENED),
    ("resources.live.live", "LiveConnection", LISTENED),
    ("resources.live.sideband", "SidebandConnection", LISTENED),
    ("resources.live.forks", "ForksConnection", LISTENED),
    ("_websocket_connection", "WebSocketConnectionBase", (("close", "close"),)),
    ("lib.responses_websocket._session", "ResponsesWebSocketLane", (("send", "send in lane"),)),
)
"""Each class with its async twin, whose name has `Async` in front. Versions differ in which they have."""

GENERATIVE_SERVICE = (
    ("client", "GenerativeServiceClient"),
    ("async_client", "GenerativeServiceAsyncClient"),
)
GENERATIVE_METHODS = (
    ("generate_content", "generate"),
    ("stream_generate_content", "stream"),
    ("embed_content", "embed"),
    ("batch_embed_contents", "embed"),
)
"""The client of Gemini's API within the legacy SDK: all that it does is done with one of these."""

API_CLIENT = "google.genai._api_client"
GAOS = "google.genai._gaos"
GOOGLE_GENAI = (
    *(
        ChokePoint(
            "google-genai", API_CLIENT, f"BaseApiClient.{name}", "google_genai", role, formerly=f"ApiClient.{name}"
        )
        for name, role in (
            ("request", "request"),
            ("async_request", "request"),
            ("request_streamed", "stream"),
            ("async_request_streamed", "stream"),
            ("download_file", "download"),
            ("async_download_file", "download"),
        )
    ),
    *(
        ChokePoint("google-genai", API_CLIENT, f"BaseApiClient.{name}", "google_genai", "attempt", optional=True)
        for name in ("_request_once", "_async_request_once")
    ),
    *(
        ChokePoint("google-genai", f"{GAOS}.{module}", attribute, "google_interactions", role, optional=True)
        for module, attribute, role in (
            ("basesdk", "BaseSDK.do_request", "request"),
            ("basesdk", "AsyncBaseSDK.do_request_async", "request"),
            ("_hooks.sdkhooks", "SDKHooks.before_request", "attempt"),
            ("_hooks.asyncsdkhooks", "AsyncSDKHooks.before_request", "attempt"),
        )
    ),
    *(
        ChokePoint(
            "google-genai", "google.genai._interactions._base_client", attribute, "stainless", role, optional=True
        )
        for attribute, role in STAINLESS
    ),
    ChokePoint("google-genai", "google.genai.live", "AsyncLive.connect", "google_live", "connect"),
    ChokePoint("google-genai", "google.genai.live", "AsyncSession._receive", "google_live", "receive"),
)
"""Interactions came with 1.55 and a client by Stainless, which later versions exchanged for another."""

LITELLM_FUNCTIONS = (
    ("main", ("completion", "embedding", "moderation", "speech", "text_completion", "transcription")),
    ("batches.main", ("create_batch", "retrieve_batch")),
    ("google_genai.main", ("generate_content", "generate_content_stream")),
    ("images.main", ("image_edit", "image_generation", "image_variation")),
    ("rerank_api.main", ("rerank",)),
    ("responses.main", ("get_responses", "responses")),
    ("videos.main", ("video_generation", "video_remix")),
)
LITELLM_FUNCTIONS_OF_SOME = (
    ("decisions.main", ("decisions",)),
    ("extraction.main", ("extraction",)),
    ("interactions.main", ("cancel", "create", "get")),
    ("ocr.main", ("ocr",)),
    ("responses.main", ("cancel_responses", "compact_responses")),
    ("systemone.main", ("systemone",)),
    ("videos.main", ("video_edit", "video_extension")),
)
"""Each with its async twin, whose name has an `a` in front."""
LITELLM_MESSAGES = ("experimental_pass_through.messages", "pass_through.messages", "messages.native")
"""Where LiteLLM has had the functions that speak Anthropic's API."""
LITELLM_SEMANTIC_CACHES = (
    ("qdrant_semantic_cache", "QdrantSemanticCache"),
    ("redis_semantic_cache", "RedisSemanticCache"),
    ("valkey_semantic_cache", "ValkeySemanticCache"),
)
LITELLM_APART = (
    *(
        (f"llms.anthropic.{module}.context_management.editors.compact", "_call_summary_model")
        for module in ("messages", "pass_through")
    ),
    ("vector_stores.main", "asearch"),
    ("vector_stores.main", "search"),
    *(
        (f"caching.{module}", f"{cache}.{a}{name}")
        for module, cache in LITELLM_SEMANTIC_CACHES
        for a in ("", "async_")
        for name in ("get_cache", "set_cache")
    ),
)
"""Where it asks models of its own choice for a call."""
LITELLM_ROUTERS = (("router", "Router"), ("router_python_core", "PythonCore"))

LITELLM = (
    *(
        (module, f"{a}{name}", "function", optional)
        for functions, optional in ((LITELLM_FUNCTIONS, False), (LITELLM_FUNCTIONS_OF_SOME, True))
        for module, names in functions
        for name in names
        for a in ("", "a")
    ),
    *(
        (f"llms.anthropic.{module}.handler", name, "function", True)
        for module in LITELLM_MESSAGES
        for name in ("anthropic_messages", "anthropic_messages_handler")
    ),
    ("rust_bridge.dispatch", "PublicDispatch.run", "dispatch", True),
    ("rust_bridge.dispatch", "PublicDispatch.arun", "dispatch", True),
    ("litellm_core_utils.litellm_logging", "Logging.pre_call", "sending", False),
    ("litellm_core_utils.litellm_logging", "Logging.post_call", "received", False),
    ("litellm_core_utils.streaming_handler", "CustomStreamWrapper.__init__", "chat stream", False),
    ("llms.base_llm.base_model_iterator", "BaseModelResponseIterator._handle_string_chunk", "line", True),
    ("responses.streaming_iterator", "_estimate_usage_from_text", "estimate", True),
    ("main", "maybe_run_chat_completion_agentic_loop", "hooks", True),
    ("llms.custom_httpx.llm_http_handler", "BaseLLMHTTPHandler._call_agentic_chat_completion_hooks", "hooks", True),
    ("llms.custom_httpx.llm_http_handler", "BaseLLMHTTPHandler._call_agentic_completion_hooks", "hooks", True),
    ("llms.openai.openai", "OpenAIChatCompletion._call_agentic_completion_hooks_openai", "hooks", True),
    *(
        ("llms.vertex_ai.gemini_embeddings.batch_embed_content_handler", name, "embedded", True)
        for name in ("process_embed_content_response", "process_response")
    ),
    ("responses.file_search.emulated_handler", "aresponses_with_emulated_file_search", "delegated", True),
    *((module, name, "apart", True) for module, name in LITELLM_APART),
    ("llms.custom_httpx.http_handler", "HTTPHandler.post", "http", True),
    ("llms.custom_httpx.http_handler", "AsyncHTTPHandler.post", "http", True),
    ("batch_completion.main", "ThreadPoolExecutor", "threads", False),
    ("litellm_core_utils.asyncify", "run_async_function", "own loop", False),
    ("litellm_core_utils.fallback_utils", "run_async_function", "own loop", False),
    ("llms.custom_httpx.llm_http_handler", "run_async_function", "own loop", True),
    ("responses.main", "run_async_function", "own loop", True),
    *((module, "run_async_function", "own loop", True) for module, _ in LITELLM_ROUTERS),
    *(
        (module, f"{router}.{method}", "captured", True)
        for module, router in LITELLM_ROUTERS
        for method in (
            "_ageneric_api_call_with_fallbacks",
            "_generic_api_call_with_fallbacks",
            "_pass_through_moderation_endpoint_factory",
        )
    ),
)
"""Module within the package, attribute, role, and whether only some versions have it."""
LITELLM_CACHE = ("litellm.caching.caching_handler", "LLMCachingHandler")

CHOKE_POINTS = (
    *(
        ChokePoint(sdk, f"{package}._base_client", attribute, "stainless", role)
        for sdk, package in STAINLESS_SDKS
        for attribute, role in STAINLESS
    ),
    *(
        ChokePoint("openai", f"openai.{module}", f"{a}{name}.{method}", "websockets", role, optional=True)
        for module, name, methods in OPENAI_SOCKETS
        for a in ("", "Async")
        for method, role in methods
    ),
    *(
        ChokePoint(
            "google-generativeai",
            f"google.ai.generativelanguage_v1beta.services.generative_service.{module}",
            f"{client}.{method}",
            "google_generativeai",
            role,
        )
        for module, client in GENERATIVE_SERVICE
        for method, role in GENERATIVE_METHODS
    ),
    *GOOGLE_GENAI,
    *(
        ChokePoint("litellm", f"litellm.{module}", attribute, "litellm", role, optional)
        for module, attribute, role, optional in LITELLM
    ),
    *(
        ChokePoint("litellm", module, f"{handler}.{name}", "litellm", "cache", formerly=f"{handler}._{name}")
        for module, handler in (LITELLM_CACHE,)
        for name in ("async_get_cache", "sync_get_cache")
    ),
)
"""All that we ever touch."""
