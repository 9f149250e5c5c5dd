"""A store's address, `TRACKER_DSN`: parsed, checked, and shown without its secrets."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from usage_tracker.errors import ConfigError

VALID_FORMS = (
    "valid forms are postgresql://user:password@host:5432/database?sslmode=require, "
    '"host=… dbname=… user=…" (libpq keywords), sqlite:///relative.db, sqlite:////absolute.db, '
    "clickhouse://user:password@host:8123/database?cluster=name"
)

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS (PostgreSQL 18)
LIBPQ_KEYWORDS = frozenset(
    """
    host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout
    client_encoding options application_name fallback_application_name keepalives keepalives_idle
    keepalives_interval keepalives_count tcp_user_timeout replication gssencmode sslmode requiressl
    sslnegotiation sslcompression sslcert sslkey sslkeylogfile sslpassword sslcertmode sslrootcert sslcrl
    sslcrldir sslsni requirepeer ssl_min_protocol_version ssl_max_protocol_version min_protocol_version
    max_protocol_version krbsrvname gsslib gssdelegation scram_client_key scram_server_key service
    servicefile target_session_attrs load_balance_hosts oauth_issuer oauth_client_id oauth_client_secret
    oauth_scope
    """.split()
)
VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "service": "PGSERVICE",
}  # fmt: skip
"""Where libpq looks for what an address lacks of which store it is: programs with other variables have other stores."""
SECRET_KEYWORDS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})

CLICKHOUSE = re.compile(
    r"(?P<scheme>clickhouses?)://((?P<user>[^:@/?#]*)(:(?P<password>[^:@/?#]*))?@)?"
    r"(?P<rest>(?P<hosts>([\w.-]+|\[[\da-f:.]+\])(:\d+)?(,([\w.-]+|\[[\da-f:.]+\])(:\d+)?)*)"
    r"(/(?P<database>\w*))?(\?cluster=(?P<cluster>[\w.-]+))?)",
    re.IGNORECASE,
)
"""ClickHouse's address."""


class Dsn(NamedTuple):
    """A store's address, parsed and checked."""

    scheme: str
    """`postgresql`, `sqlite` or `clickhouse`; the key of the stores' scheme map."""
    text: str
    """What the driver gets, secrets included: a libpq URL or keyword string, the path of the SQLite file, or
    ClickHouse's URL."""
    shown: str
    """For people: without secrets."""
    has_secret: bool = False
    """Whether `shown` lacks one."""

    @property
    def identity(self) -> str:
        """16 hex digits that name this store whatever its password; part of the spool folder's name."""
        return hashlib.blake2b(self.shown.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()

    @property
    def setting(self) -> str:
        """As TRACKER_DSN takes it, secrets included. What is shown of a file is its path as it is, whatever that holds
        of an address's own characters."""
        return file_address(self.text) if self.scheme == "sqlite" else self.text

    def __repr__(self) -> str:
        return f"Dsn({self.shown})"


def file_address(path: str) -> str:
    """The DSN of an SQLite file."""
    return f"sqlite:///{path.replace('%', '%25').replace('?', '%3F')}"


def parse_dsn(text: str) -> Dsn:
    """Raises ConfigError for an unknown scheme, an unknown option or a broken address; the message never repeats
    secrets."""
    text = text.strip()
    scheme = re.match(r"([a-zA-Z][\w+.-]*)://", text)
    if scheme is None:
        if "=" in text:
            return parse_keywords(text)
        raise ConfigError(f"TRACKER_DSN has no scheme; {VALID_FORMS}")
    name = scheme[1].lower()
    if name == "sqlite":
        return parse_sqlite(text)
    if name in ("postgresql", "postgres"):
        return parse_url(text)
    if name in ("clickhouse", "clickhouses"):
        return parse_clickhouse(text)
    raise ConfigError(f"TRACKER_DSN has the unknown scheme {name!r}; {VALID_FORMS}")


def parse_sqlite(text: str) -> Dsn:
    path, _, options = text[len("sqlite://") :].partition("?")
    if options:
        raise ConfigError(f"TRACKER_DSN: SQLite takes no option {options.partition('=')[0]!r}; {VALID_FORMS}")
    if not path.startswith("/") or path == "/":
        raise ConfigError(
            f"TRACKER_DSN names no SQLite file: sqlite:// is followed by three or four slashes; {VALID_FORMS}"
        )
    path = unquote(path[1:])
    if "\0" in path:
        raise ConfigError(f"TRACKER_DSN names no SQLite file: no path holds a NUL character; {VALID_FORMS}")
    if path == ":memory:":
        return Dsn("sqlite", path, "sqlite:///:memory:")
    absolute = os.path.abspath(os.path.expanduser(path))
    return Dsn("sqlite", absolute, f"sqlite:///{absolute}")


def parse_url(text: str) -> Dsn:
    broken = ConfigError(f"TRACKER_DSN is not a valid Postgres URL (escape special characters as %XX); {VALID_FORMS}")
    try:
        parts = urlsplit(text)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise broken from None
    account, at, hosts = parts.netloc.rpartition("@")
    # an @ elsewhere is the end of a password that is not escaped, and what stands before it is not to be shown
    misplaced = "@" in account + parts.path + parts.query
    if misplaced or parts.fragment or not have_ports(hosts) or re.search(r":[^\]\d,][^\]]*$", hosts):
        raise broken
    check_keywords(name for name, _ in options)
    user, colon, _ = account.partition(":")
    said = {name for name, _ in options}
    said |= {"user"} if user else set()
    said |= {"host"} if re.sub(r":\d*(?=,|$)", "", hosts).strip(",") else set()
    said |= {"port"} if re.search(r":\d+(?=,|$)", hosts) else set()
    said |= {"dbname"} if parts.path.strip("/") else set()
    shown_query = "&".join(
        f"{name}={quote(value, errors='surrogateescape')}"  # a variable may hold what is no text
        for name, value in sorted([*options, *from_variables(said).items()])
        if name not in SECRET_KEYWORDS
    )
    shown = f"postgresql://{user}{at}{hosts}{parts.path}{'?' if shown_query else ''}{shown_query}"
    has_secret = bool(colon) or any(name in SECRET_KEYWORDS for name, _ in options)
    return Dsn("postgresql", re.sub(r"^\w+://", "postgresql://", text), shown, has_secret)


def have_ports(hosts: str) -> bool:
    """Whether each port that is named behind one of these hosts, with commas between them, can be one."""
    ports = re.findall(r":(\d+)(?:,|$)", hosts)
    return all(len(port) < 10 and 0 < int(port) < 65536 for port in ports)


def parse_clickhouse(text: str) -> Dsn:
    """`clickhouses` is over TLS. Several hosts, with commas between them, are replicas of one shard."""
    address = CLICKHOUSE.fullmatch(text)
    if address is None or not have_ports(address["hosts"]):
        raise ConfigError(
            f"TRACKER_DSN is not a valid ClickHouse URL (escape special characters as %XX); {VALID_FORMS}"
        )
    shown = f"{address['scheme'].lower()}://{address['user'] or ''}{'@' if address['user'] else ''}{address['rest']}"
    return Dsn("clickhouse", text, shown, address["password"] is not None)


def parse_keywords(text: str) -> Dsn:
    pairs: dict[str, str] = {}
    rest = text
    while rest:
        match = re.match(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\']|\\.)*))(?:\s+|$)", rest)
        if match is None:
            raise ConfigError(f"TRACKER_DSN is not a valid libpq keyword string; {VALID_FORMS}")
        value = match[2] if match[2] is not None else match[3]
        pairs[match[1]] = re.sub(r"\\(.)", r"\1", value)
        rest = rest[match.end() :]
    check_keywords(pairs)
    whole = sorted({**pairs, **from_variables(pairs)}.items())
    shown = " ".join(f"{name}={value!r}" for name, value in whole if name not in SECRET_KEYWORDS)
    return Dsn("postgresql", text, shown, not SECRET_KEYWORDS.isdisjoint(pairs))


def from_variables(said: Collection[str]) -> dict[str, str]:
    """What libpq takes from the environment of that which an address doesn't say."""
    return {word: os.environ[name] for word, name in VARIABLES.items() if word not in said and os.environ.get(name)}


def check_keywords(names: Iterable[str]) -> None:
    """Raises ConfigError for an unknown one. Behind a password it may be a part of that, and isn't named."""
    named = True
    for name in names:
        if name not in LIBPQ_KEYWORDS:
            which = f"the unknown option {name!r}" if named else "an unknown option, perhaps a part of the password"
            raise ConfigError(f"TRACKER_DSN has {which}; {VALID_FORMS}")
        named = named and name not in SECRET_KEYWORDS
