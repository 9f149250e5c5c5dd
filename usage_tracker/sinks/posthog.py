"""PostHog's LLM analytics, by its official client: https://posthog.com/docs/llm-analytics/manual-capture

An event's id is its uuid there, and PostHog keeps one event of a uuid, time, name and person.
"""

from typing import Any

from posthog.request import APIError, batch_post

from usage_tracker.addresses import Secret
from usage_tracker.report import Event
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.session import ReceiverSession, check_reachable, hush, quiet
from usage_tracker.sinks.sink import NotTaken, Parcel, not_taken
from usage_tracker.stores.values import read_cost_parts

POST_SECONDS = 15.0

hush("posthog")


class PostHogSink:
    """See Sink."""

    most = 500
    repeats = None
    remark = None

    def __init__(self, address: SinkAddress, secret: Secret | None) -> None:
        self._address = address
        self._key = str(address.user or "")
        self._host = address.base_url + address.bare_path.rstrip("/")
        self._session = ReceiverSession()

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        check_reachable(self._address)
        batch = [as_posthog(event) for event in parcel.events]
        try:
            with quiet():
                batch_post(self._key, self._host, gzip=True, timeout=POST_SECONDS, session=self._session, batch=batch)
        except APIError as error:
            status = int(error.status)
            if not 200 <= status < 300:  # for the client, all but a 200 is an error
                raise not_taken(self._address.shown, status, self._session.after) from None
        except OSError:
            raise NotTaken(f"{self._address.shown} can't be reached ({self._session.why})") from None
        return state

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        self._session.close()


NAMES = {
    "$ai_provider": "provider",
    "$ai_session_id": "session_id",
    "$ai_input_tokens": "input_tokens",
    "$ai_output_tokens": "output_tokens",
    "$ai_cache_read_input_tokens": "cache_read_tokens",
    "$ai_cache_creation_input_tokens": "cache_write_tokens",
    "$ai_reasoning_tokens": "reasoning_tokens",
    "$ai_stream": "streamed",
    "$ai_http_status": "http_status",
    "$ai_error": "error_type",
    "$ai_service_tier": "service_tier",
    "app": "app",
    "project": "project",
    "team": "team",
    "tags": "tags",
    "operation": "operation",
    "request_model": "request_model",
    "status": "status",
    "usage_tracker_completes": "completes",
}
"""What is passed on as it is, by PostHog's names, and ours for what PostHog has none for."""


def as_posthog(event: Event) -> dict[str, Any]:
    """An event of PostHog's. What is unknown is left out."""
    event_id, user = event["event_id"], event["user_id"]
    properties = {name: event[column] for name, column in NAMES.items()} | {
        "$lib": "usage_tracker",
        "$ai_lib": "usage_tracker",
        "$ai_trace_id": event_id,
        "$ai_span_id": event_id,
        "$ai_model": event["model"] or event["request_model"],
        "$ai_latency": in_seconds(event["duration_ms"]),
        "$ai_time_to_first_token": in_seconds(event["ttft_ms"]),
        "$ai_base_url": event["base_host"] and f"https://{event['base_host']}",
        "$ai_is_error": event["status"] == "error",
        "$ai_cache_reporting_exclusive": False,  # our input_tokens always include what came from a cache
        **costs(event),
    }
    if user is None:
        properties["$process_person_profile"] = False
    return {
        "event": "$ai_embedding" if event["operation"] == "embeddings" else "$ai_generation",
        "uuid": event_id,
        "distinct_id": user if user is not None else event["session_id"] or event_id,
        "timestamp": event["started_at"].isoformat(),
        "properties": {name: value for name, value in properties.items() if value is not None},
    }


def in_seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def costs(event: Event) -> dict[str, float]:
    """In US dollars; nothing where the cost isn't known."""
    if event["cost"] is None:
        return {}
    found = {"$ai_total_cost_usd": float(event["cost"])}
    for name, begins in (
        ("$ai_input_cost_usd", ("input", "cache")),
        ("$ai_output_cost_usd", "output"),
    ):
        parts = [
            count * price
            for unit, count, price in read_cost_parts(event["cost_parts"])
            if unit.startswith(begins) and count is not None
        ]
        if parts:
            found[name] = float(sum(parts))
    return found
