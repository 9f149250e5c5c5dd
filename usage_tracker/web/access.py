"""Who may see what: one-time links, tokens, a trusted proxy's word, sessions in signed cookies."""

import ipaddress
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from typing import Literal, NamedTuple

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

from usage_tracker.errors import ConfigError
from usage_tracker.web.guesses import Guesses

Role = Literal["viewer", "writer", "admin"]
MAY: Mapping[Role, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "writer": frozenset({"write"}),
    "admin": frozenset({"read", "write", "edit"}),
}
"""What each role may do: `read` all there is, `write` events of their own, `edit` budgets, where the server lets."""

COOKIE = "usage_tracker_session"
LOGIN_COOKIE = "usage_tracker_login"
"""Of a browser that was given the login's form, which is signed for it: no other page knows it, nor do browsers send it
with another page's form. The form's `Origin` would not do: many proxies put a host of their own in the place of ours.
"""
SESSION_SECONDS = 30 * 86_400
SHORTEST_TOKEN = 16
SAME_ORIGIN = ("same-origin", "none")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Identity(NamedTuple):
    name: str
    role: Role
    session: str | None = None
    """What its forms are signed with; None: it comes with every request anew, so that no other page can borrow it."""

    @property
    def is_proxied(self) -> bool:
        """Whether a proxy says who this is, so that there is no session of ours to end."""
        return (self.session or "").startswith("proxy ")

    def may(self, what: str) -> bool:
        return what in MAY[self.role]


@dataclass
class Access:
    """The rules of one server. With none, nobody gets in but through `new_link`."""

    tokens: Mapping[Role, str] = field(default_factory=dict)
    proxy_header: str | None = None
    """The header in which a trusted proxy names who it has authenticated."""
    proxy_peers: Sequence[Network] = ()
    admins: frozenset[str] = frozenset()
    """Of the names that the proxy says, those of admins."""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    """Signs cookies; one that is the same on all processes keeps sessions over restarts."""
    everyone: Role | None = None
    """Set where another app that this one is mounted in has let in who comes."""

    def __post_init__(self) -> None:
        for role, token in self.tokens.items():
            if len(token) < SHORTEST_TOKEN:
                raise ConfigError(f"the {role}'s token is shorter than {SHORTEST_TOKEN} characters")
        if len(self.secret) < SHORTEST_TOKEN:  # the login's form is signed with it, so that anybody can try words
            raise ConfigError(f"TRACKER_SERVE_SECRET is shorter than {SHORTEST_TOKEN} characters")
        if self.proxy_header and not self.proxy_peers:
            raise ConfigError("a proxy's header is trusted from listed peers only: name them, such as 10.0.0.5")
        self._cookies = URLSafeTimedSerializer(self.secret, salt="usage_tracker session")
        self._forms = URLSafeTimedSerializer(self.secret, salt="usage_tracker form")
        self._links: set[str] = set()
        self._guesses = Guesses()

    @property
    def anyone(self) -> bool:
        """Whether there is a way in from other machines."""
        return bool(self.tokens or self.proxy_header or self.everyone)

    @property
    def takes_events(self) -> bool:
        """Whether anybody may post events."""
        return any("write" in MAY[role] for role in self.tokens)

    def identify(self, connection: HTTPConnection) -> Identity | None:
        """Who asks; None: nobody that is known. Raises TooManyFailures."""
        peer = peer_of(connection)
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return self.by_token(as_sent(token.strip()), peer)
        if self.proxy_header and self.trusts(peer):
            # one that a client has sent as well may stand before it
            match connection.headers.getlist(self.proxy_header):
                case [sent] if sent:
                    name = as_sent(sent)
                    # such a proxy adds its word to any request of the browser's, whoever made it do so
                    return Identity(name, "admin" if name in self.admins else "viewer", session=f"proxy {name}")
        cookie = connection.cookies.get(cookie_of(connection.headers.get("host", "")))
        if cookie:
            found = self.by_cookie(cookie)
            if found is not None:
                return found
        return Identity("everyone", self.everyone) if self.everyone else None

    def by_token(self, token: str, peer: str) -> Identity | None:
        """Raises TooManyFailures."""
        self._guesses.check(peer)
        for role, known in self.tokens.items():
            if compare_digest(token.encode(), known.encode()):
                return Identity(role, role)
        self._guesses.refuse(token, peer)
        return None

    def by_cookie(self, cookie: str) -> Identity | None:
        try:
            name, role, session, token = self._cookies.loads(cookie, max_age=SESSION_SECONDS)
        except (BadSignature, ValueError, TypeError):
            return None
        identity = Identity(name, role, session)
        return identity if token == self._mark(identity) else None

    def new_link(self) -> str:
        """A word that opens one session."""
        word = secrets.token_urlsafe(24)
        self._links.add(word)
        return word

    def use_link(self, word: str, peer: str) -> Identity | None:
        """Raises TooManyFailures."""
        self._guesses.check(peer)
        if word in self._links:
            self._links.remove(word)
            return Identity("local", "admin")
        self._guesses.refuse(word, peer)
        return None

    def new_cookie(self, identity: Identity) -> str:
        return self._cookies.dumps([identity.name, identity.role, secrets.token_urlsafe(16), self._mark(identity)])

    def _mark(self, identity: Identity) -> str | None:
        """Of the token by which somebody came, so that their session ends with it, where the secret outlives it."""
        token = self.tokens.get(identity.role) if identity.name == identity.role else None
        return token and blake2b(token.encode(), key=self.secret.encode()[:64], digest_size=8).hexdigest()

    def form_token(self, identity: Identity | None, purpose: str) -> str:
        """What a form carries, so that no other page can send it."""
        return self._forms.dumps([purpose, identity.session if identity else None])

    def holds(self, token: str, identity: Identity | None, purpose: str) -> bool:
        try:
            said: object = self._forms.loads(token, max_age=SESSION_SECONDS)
        except BadSignature:
            return False
        return said == [purpose, identity.session if identity else None]

    def trusts(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:  # how :: names who comes by IPv4
            address = address.ipv4_mapped
        return any(address in network for network in self.proxy_peers)


def is_own_form(request: HTTPConnection) -> bool:
    """Whether a browser says that one of our own pages sends this. Those that don't say so have the form's token."""
    said = request.headers.get("sec-fetch-site")
    return said is None or said in SAME_ORIGIN


def as_sent(value: str) -> str:
    """A header's text: programs and proxies send UTF-8, which headers are not taken for."""
    return value.encode("latin-1").decode("utf-8", "replace")


def cookie_of(host: str, name: str = COOKIE) -> str:
    """The name of a cookie at that host and port: browsers send what one port has set to all ports of a host, and each
    server there has sessions of its own."""
    port = re.search(r":([0-9]+)$", host)
    return f"{name}_{port[1]}" if port else name


def peer_of(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


def parse_networks(texts: Sequence[str]) -> list[Network]:
    """Raises ConfigError."""
    try:
        return [ipaddress.ip_network(text.strip(), strict=False) for text in texts if text.strip()]
    except ValueError as error:
        raise ConfigError(f"a proxy's peer is an address or a network such as 10.0.0.0/8: {error}") from None
