"""A LiteLLM proxy that records its requests itself, and the apps that call it: which of the two keeps a call.

The proxy says with each answer in which store its event is, and an app that writes into the same store leaves the call
to it: the proxy knows who served, from its cache or not, after how many attempts and for how much. Apps with a store of
their own keep theirs. So it is decided call by call, needs no memory, and holds in whichever order the two are stored.
"""

import os
import re
from hashlib import blake2b
from urllib.parse import parse_qsl, urlsplit

from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn

RECORDED_IN = "x-usage-tracker-store"
"""The header of an answer whose call is recorded; it holds the store's mark."""
KEYWORD = re.compile(r"""(\w+)=('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""One of libpq's, as a DSN shows it."""


def mark_of(settings: Settings) -> str | None:
    """What stands for the store in that header: the same for every role and password, and no address to read. None
    where neither its name nor its address is known, as with a sidecar."""
    name = settings.store_name or (settings.dsn and place_of(settings.dsn))
    if name is None:
        return None
    text = name.encode("utf-8", "surrogateescape")  # a path may be no text
    return blake2b(text, key=settings.fingerprint_key.encode()[:64], digest_size=8).hexdigest()


def place_of(dsn: Dsn) -> str | None:
    """Which database that is, whoever connects to it; None where a file of the machine's says where it is."""
    if dsn.scheme == "sqlite":
        return f"{os.uname().nodename}:{dsn.text}"
    if "://" in dsn.shown:
        parts = urlsplit(dsn.shown)
        account, _, hosts = parts.netloc.rpartition("@")
        where = {"port": hosts[1:]} if hosts.startswith(":") else {"host": hosts}
        said = {"user": account, "dbname": parts.path.strip("/"), **where, **dict(parse_qsl(parts.query))}
    else:
        said = {name: value[1:-1] for name, value in KEYWORD.findall(dsn.shown)}
    if "service" in said:
        return None
    host = (said.get("host") or said.get("hostaddr", "")) + (f":{said['port']}" if "port" in said else "")
    host = host.removesuffix(":5432")
    if not host or host.startswith(":"):
        host = os.uname().nodename + host
    return f"{host.lower()}/{said.get('dbname') or said.get('user', '')}"
