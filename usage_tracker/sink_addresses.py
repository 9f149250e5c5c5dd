"""Sinks as people name them: `NAME=ADDRESS`, or an address alone. What an address holds of secrets is never shown."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from usage_tracker.addresses import WRITTEN_AS_IS, Secret, forbidden, is_loopback
from usage_tracker.errors import ConfigError


class Kind(NamedTuple):
    """What an address's scheme says."""

    name: str
    transport: str
    """What is spoken there; a kind with `s` at its end is encrypted."""
    port: int


SCHEMES = {
    "https": Kind("webhook", "https", 443),
    "http": Kind("webhook", "http", 80),
    "posthog": Kind("posthog", "https", 443),
    "posthog+http": Kind("posthog", "http", 80),
    "otlp": Kind("otlp", "http", 4318),
    "otlp+http": Kind("otlp", "http", 4318),
    "otlp+https": Kind("otlp", "https", 443),
    "kafka": Kind("kafka", "kafka", 9092),
    "nats": Kind("nats", "nats", 4222),
    "nats+tls": Kind("nats", "tls", 4222),
}
FORMS = """https://host/path, posthog://PROJECT_KEY@eu.i.posthog.com, otlp://collector:4318, otlp+https://host, \
kafka://broker:9092/topic, nats://server:4222/subject"""


HEADER = re.compile(r"[!#-'*+.^-z|~0-9A-Z-]+=([!-~\xa0-\xff]([ -~\xa0-\xff]*[!-~\xa0-\xff])?)?")
"""A name and a value that HTTP takes as a header."""


class SinkAddress(NamedTuple):
    """Where events go as they come."""

    name: str
    """What its place in the order of events is kept under: another address may take it over."""
    kind: str
    transport: str
    hosts: tuple[tuple[str, int], ...]
    path: Secret
    """With the query; of a webhook it is a secret."""
    user: Secret | None
    password: Secret | None
    options: tuple[tuple[str, Secret], ...]
    """The query, as pairs."""

    @property
    def shown(self) -> str:
        """For people."""
        hosts = ";".join(f"{bracketed(host)}:{port}" for host, port in self.hosts)
        scheme = self.kind if self.kind != "webhook" else self.transport
        return f"{scheme}://{hosts}/…"

    @property
    def bare_path(self) -> str:
        """Without the query; what it holds of secrets is not covered any more."""
        return str(self.path).partition("?")[0]

    @property
    def base_url(self) -> str:
        """Up to the path, of what speaks HTTP."""
        [(host, port)] = self.hosts
        return f"{self.transport}://{bracketed(host)}:{port}"


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parse_sinks(texts: tuple[str, ...]) -> tuple[SinkAddress, ...]:
    """Raises ConfigError, which repeats no address."""
    found: dict[str, SinkAddress] = {}
    for place, text in enumerate(texts, 1):
        sink = parse_sink(text, place)
        if sink.name in found:
            raise ConfigError(f"TRACKER_SINKS has two sinks named {sink.name}; name them: NAME=ADDRESS")
        found[sink.name] = sink
    return tuple(found.values())


def parse_sink(text: str, place: int) -> SinkAddress:
    named = re.match(r"([A-Za-z0-9][\w.-]*)=(?=[a-z])", text)
    address = text[named.end() :] if named else text
    which = f"TRACKER_SINKS: {named[1]}" if named else f"TRACKER_SINKS: sink {place}"
    broken = ConfigError(f"{which} is none of these: {FORMS}; escape special characters as %XX")
    try:
        parts = urlsplit(address)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise broken from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None or parts.fragment or re.search(r"[\s\x00-\x1f\x7f]", address):
        raise broken
    account, _, servers = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    hosts = tuple(parse_host(server, scheme.port, broken, which) for server in servers.split(";"))
    check(scheme, parts.scheme, which, hosts, user, parts.path)
    if scheme.name == "otlp" and not all(HEADER.fullmatch(f"{name}={value}") for name, value in query):
        raise ConfigError(f"{which} has a header in its query that HTTP doesn't take")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return SinkAddress(
        named[1] if named else scheme.name,
        scheme.name,
        scheme.transport,
        hosts,
        Secret(quote(path, safe=WRITTEN_AS_IS) if scheme.transport in ("http", "https") else path),
        Secret(unquote(user)) if user else None,
        Secret(unquote(password)) if password else None,
        tuple((name, Secret(value)) for name, value in query),
    )


def parse_host(server: str, port: int, broken: ConfigError, which: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{server}")
        found = parts.hostname, parts.port or port
        (parts.hostname or "").encode("idna")  # as a name is asked for: labels have lengths
    except ValueError:
        raise broken from None
    host, port = found
    if not host or parts.path or "@" in server:
        raise broken
    if (why := forbidden(host)) is not None:
        raise ConfigError(f"{which}: {why}")
    return host, port


def check(scheme: Kind, text: str, which: str, hosts: tuple[tuple[str, int], ...], user: str, path: str) -> None:
    """What a kind needs. Raises ConfigError."""
    if len(hosts) > 1 and scheme.name not in ("kafka", "nats"):
        raise ConfigError(f"{which} has more than one host")
    if text in ("http", "posthog+http") and not all(is_loopback(host) for host, _ in hosts):
        raise ConfigError(f"{which} is http: it goes over https, or over http to this machine alone")
    if scheme.name == "posthog" and not user:
        raise ConfigError(f"{which} lacks the project's key: posthog://PROJECT_KEY@eu.i.posthog.com")
    if scheme.name == "webhook" and user:
        raise ConfigError(f"{which} has a user in front of its host; put a token into its path or query instead")
    if scheme.name in ("kafka", "nats") and not re.fullmatch(r"/[\w.-]+", path):
        what = "topic" if scheme.name == "kafka" else "subject"
        raise ConfigError(f"{which} names no {what}: {scheme.name}://host/{what}")
