"""Where alerts go: addresses as people write them, checked. What they hold of secrets is never shown."""

import re
import string
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from usage_tracker.errors import ConfigError

LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})
METADATA = frozenset({"100.100.100.200", "168.63.129.16", "fd00:ec2::254"})
"""Where clouds tell a machine its secrets, beside the link-local 169.254.169.254."""
NAT64 = "64:ff9b::/96"
"""Where a network that speaks IPv6 alone finds what has an address of IPv4, which is in the last four bytes."""
WRITTEN_AS_IS = string.punctuation
"""What a path and a query may hold beside letters and digits; other characters go over the wire percent-encoded."""
MAILBOX = re.compile(r"[^\s@<>()\[\],:;\"\\]+@([^\s@<>()\[\],:;\"\\]+|\[[\w.:]+\])")
"""Without the characters that have a meaning in the header of a mail, but for those around a number as a host."""
PORTS = {"http": 80, "https": 443, "smtp": 587, "smtps": 465}


class Secret(str):
    """A text that no log and no error shows by accident."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Address(NamedTuple):
    """A server to talk to."""

    scheme: str
    host: str
    port: int
    path: Secret
    """With the query; of a webhook it is a secret."""
    user: str | None = None
    password: Secret | None = None

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.scheme}://{self.host}:{self.port}/…"


def parse_receiver(variable: str, text: str) -> Address:
    """The address of a webhook. Raises ConfigError, which doesn't repeat it."""
    address = parse(variable, text, ("https", "http"))
    if address.user is not None:
        raise ConfigError(f"{variable} has a user in front of its host; put a token into its path or query instead")
    if address.scheme == "http" and not is_loopback(address.host):
        raise ConfigError(f"{variable} is http: alerts go over https, or over http to this machine alone")
    return address


def parse_mail_server(variable: str, text: str) -> Address:
    """smtp://user:password@host:587 (with STARTTLS) or smtps://…:465. Raises ConfigError, which doesn't repeat it."""
    return parse(variable, text, ("smtp", "smtps"))


def parse_mailboxes(variable: str, boxes: tuple[str, ...]) -> tuple[str, ...]:
    for box in boxes:
        if not MAILBOX.fullmatch(box):
            raise ConfigError(f"{variable}: {box!r} is no e-mail address")
    return boxes


def parse(variable: str, text: str, schemes: tuple[str, ...]) -> Address:
    broken = f"{variable} is not an address like {schemes[0]}://host/path"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        (parts.hostname or "").encode("idna")  # as a name is asked for: labels have lengths
    except ValueError:
        raise ConfigError(broken) from None
    host = parts.hostname
    if parts.scheme not in schemes or not host or re.search(r"[\s\x00-\x1f\x7f]", text.strip()):
        raise ConfigError(broken)
    if (why := forbidden(host)) is not None:
        raise ConfigError(f"{variable}: {why}")
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=WRITTEN_AS_IS)
    return Address(
        parts.scheme,
        host,
        port or PORTS[parts.scheme],
        Secret(path),
        unquote(parts.username) if parts.username else None,
        Secret(unquote(parts.password)) if parts.password else None,
    )


def is_loopback(host: str) -> bool:
    from ipaddress import ip_address  # it takes longer to import than all else that a program without alerts needs

    if host in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def forbidden(host: str) -> str | None:
    """Why nothing is sent to an address, as a number; None for what may be sent to, and for names."""
    from ipaddress import IPv4Address, IPv6Network, ip_address

    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address in IPv6Network(NAT64):
        address = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.is_loopback:  # of which ::1 is in a range that is reserved
        return None
    if address.is_link_local or str(address) in METADATA:
        return f"{address} is a link-local address, at which machines are told their secrets; nothing is sent there"
    if address.is_multicast or address.is_unspecified or address.is_reserved:
        return f"{address} is no address of a receiver"
    return None
