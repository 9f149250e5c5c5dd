"""The kinds of sinks, each imported where one is used."""

import socket
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from usage_tracker.addresses import Secret, forbidden
from usage_tracker.errors import ConfigError
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.sink import NotTaken, Sink


class Made(NamedTuple):
    module: str
    function: str
    extra: str | None
    """What `pip install` has to add for its client."""


KINDS = {
    "webhook": Made("usage_tracker.sinks.webhook", "WebhookSink", None),
    "posthog": Made("usage_tracker.sinks.posthog", "PostHogSink", "posthog"),
    "otlp": Made("usage_tracker.sinks.otlp", "OtlpSink", "otel"),
    "kafka": Made("usage_tracker.sinks.kafka", "KafkaSink", "kafka"),
    "nats": Made("usage_tracker.sinks.nats", "NatsSink", "nats"),
}


def load_sink(address: SinkAddress) -> Callable[[SinkAddress, Secret | None], Sink]:
    """Import what the sink takes. Raises ConfigError where its client is not installed."""
    made = KINDS[address.kind]
    try:
        found: Callable[[SinkAddress, Secret | None], Sink] = getattr(import_module(made.module), made.function)
    except ImportError as error:
        raise ConfigError(
            f"the sink {address.name} needs {error.name}, which is not installed; run: "
            f"pip install 'usage-tracker-llm[{made.extra}]'"
        ) from None
    return found


def open_sink(address: SinkAddress, secret: Secret | None = None) -> Sink:
    """Raises ConfigError."""
    return load_sink(address)(address, secret)


def check_addresses(address: SinkAddress) -> None:
    """Whether the hosts' names have no address now at which machines are told their secrets. Raises NotTaken."""
    for host, port in address.hosts:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise NotTaken(f"{address.shown} can't be reached: its name is not known") from None
        for *_, place in found:
            if (why := forbidden(str(place[0]))) is not None:
                raise NotTaken(f"{address.shown}: {why}")
