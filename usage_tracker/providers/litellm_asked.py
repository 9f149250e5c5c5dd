"""LiteLLM's functions: which of them are calls, and what their arguments say."""

from collections.abc import Mapping

from usage_tracker.providers import anthropic, openai_units
from usage_tracker.providers.answer import Request, fields_of, word
from usage_tracker.providers.metadata import Asked, read_asked

OPERATIONS = {
    "anthropic_messages": "chat",
    "anthropic_messages_handler": "chat",
    "compact_responses": "responses",
    "completion": "chat",
    "create": "interaction",
    "create_batch": "batch",
    "decisions": "decision",
    "embedding": "embeddings",
    "extraction": "extraction",
    "generate_content": "chat",
    "generate_content_stream": "chat",
    "image_edit": "image",
    "image_generation": "image",
    "image_variation": "image",
    "moderation": "moderation",
    "ocr": "ocr",
    "rerank": "rerank",
    "responses": "responses",
    "speech": "speech",
    "systemone": "decision",
    "text_completion": "completion",
    "transcription": "transcription",
    "video_edit": "video",
    "video_extension": "video",
    "video_generation": "video",
    "video_remix": "video",
}
"""By the names of its functions; the async ones have an `a` in front. `create` is the one of interactions."""
RETRIEVALS = {
    "cancel": "interaction",
    "cancel_responses": "responses",
    "get": "interaction",
    "get_responses": "responses",
    "retrieve_batch": "batch",
}
"""Free by themselves; they bring the usage of what was started earlier. `cancel` and `get` are of interactions."""
ROUTES = {
    "chat_completions": "chat",
    "embeddings": "embeddings",
    "messages": "chat",
    "ocr": "ocr",
    "responses": "responses",
}
"""By the names under which it decides who executes a call."""

HANDED_ON = frozenset(("allm_passthrough_route", "llm_passthrough_route", "pass_through_endpoint"))
"""What its proxy calls requests that it hands on to a provider as they are, whatever they are about."""
UNKNOWN_MODEL = "unknown"
"""What it calls the model of such a request that names none."""

OWN_METADATA = frozenset(
    """
    adaptive_router_chosen_model adaptive_router_decision agent_id api_base applied_guardrails applied_policies
    attempted_fallbacks attempted_retries cache caching_groups client_disconnected cold_storage_object_key deployment
    deployment_model_name disable_fallbacks disable_global_guardrails enable_prompt_caching endpoint enforced_params
    error_information global_max_parallel_requests guardrail_config guardrails headers hidden_params
    include_guardrail_response kubernetes_pod_routing litellm_api_version litellm_parent_otel_span litellm_received_at
    llm_api_timing_windows logging max_retries model_group model_group_alias model_group_size model_info
    original_model_group policies previous_models quality_router_decision queue_time_seconds raw_request
    request_retry_count requester_ip_address requester_metadata tag_routing turn_off_message_logging
    used_client_oauth_token user_agent
    """.split()
)
"""What its router and its proxy write into a request's metadata for themselves."""
KEY_METADATA = {
    "user_id": ("user_api_key_end_user_id", "user_api_key_user_id"),
    "team": ("user_api_key_team_alias", "user_api_key_team_id"),
    "project": ("user_api_key_project_alias", "user_api_key_project_id"),
}
"""Who its proxy says a call is for, by the key that came with it; first who is told by name:
https://docs.litellm.ai/docs/proxy/call_hooks"""
FOREIGN_METADATA = ("user_api_key", "user_api_end_user", "_")


def operation_of(name: str) -> str | None:
    """The operation that calling the function is, or None where it isn't one that is billed."""
    return OPERATIONS.get(name) or OPERATIONS.get(name.removeprefix("a"))


def operation_requested(call_type: str) -> str | None:
    """The operation of a request to its proxy, by the proxy's name for what is called."""
    return "chat" if call_type in HANDED_ON else operation_of(call_type)  # unless the provider's address tells


def retrieval_of(name: str) -> str | None:
    """The operation whose usage the function may bring, although it is free itself."""
    return RETRIEVALS.get(name.removeprefix("a"))


def delegates(asked: Mapping[str, object]) -> bool:
    """Whether LiteLLM does what was asked by calling its own functions, perhaps several times, as it runs the tools of
    its gateway itself: then each of those is a call. https://docs.litellm.ai/docs/mcp"""
    tools = asked.get("tools")
    if not isinstance(tools, list | tuple) or asked.get("_skip_mcp_handler"):
        return False
    said = map(fields_of, tools)
    return any(tool.get("type") == "mcp" and str(tool.get("server_url")).startswith("litellm_proxy") for tool in said)


def read_request(operation: str, asked: Mapping[str, object], *, retrieves: bool = False) -> Request:
    """What was asked, by the function's arguments."""
    extra = asked.get("extra_body")
    said = {**asked, **extra} if isinstance(extra, Mapping) else asked
    model = word(asked.get("model"))
    units = openai_units.asked_units(operation, asked)
    return Request(operation, model, *read_who(said), units, retrieves=retrieves)


def read_who(asked: Mapping[str, object]) -> Asked:
    """Who a call says it is for."""
    cleaned = {
        name: clean_metadata(metadata)
        for name in ("metadata", "litellm_metadata")
        if isinstance(metadata := asked.get(name), Mapping)
    }
    return read_asked({**asked, **cleaned} if cleaned else asked)


def read_key(key: object) -> Asked:
    """Whom a key of its proxy is for."""
    names = [name for theirs in KEY_METADATA.values() for name in theirs]
    return read_who({"metadata": {name: getattr(key, name.removeprefix("user_api_key_"), None) for name in names}})


def paid_by(key: Asked, request: Request) -> Request:
    """The request at the cost of the key's own team and project, whatever it says of these: who holds a key writes it,
    and would choose whom it is billed to and whose budget it is held to."""
    return request._replace(team=key.team or request.team, project=key.project or request.project)


def clean_metadata(metadata: Mapping[object, object]) -> Mapping[object, object]:
    """Metadata without what LiteLLM writes there for itself, and its words for who pays as ours."""
    kept: dict[object, object] = {}
    for ours, theirs in KEY_METADATA.items():
        said = next((said for name in theirs if (said := metadata.get(name)) is not None), None)
        if said is not None:
            kept[ours] = said
    kept.update(
        (name, value)
        for name, value in metadata.items()
        if isinstance(name, str) and name not in OWN_METADATA and not name.startswith(FOREIGN_METADATA)
    )
    packed = metadata.get("user_id")
    if isinstance(packed, str):
        kept.update(anthropic.read_user(packed))
    return kept
