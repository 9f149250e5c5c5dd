"""A LiteLLM proxy that records its requests itself, and the apps that call it: which of the two keeps a call.

The proxy says with each answer in which store its event is, and an app that writes into the same store leaves the call
to it: the proxy knows who served, from its cache or not, after how many attempts and for how much. Apps with a store of
their own keep theirs. So it is decided call by call, needs no memory, and holds in whichever order the two are stored.
"""

import os
import re
from hashlib import blake2b
from urllib.parse import urlsplit

from usage_tracker.config import Settings
from usage_tracker.dsn import Dsn

RECORDED_IN = "x-usage-tracker-store"
"""The header of an answer whose call is recorded; it holds the store's mark."""


def mark_of(settings: Settings) -> str | None:
    """What stands for the store in that header: the same for every role and password, and no address to read. None
    where neither its name nor its address is known, as with a sidecar."""
    name = settings.store_name or (settings.dsn and place_of(settings.dsn))
    if name is None:
        return None
    return blake2b(name.encode(), key=settings.fingerprint_key.encode()[:64], digest_size=8).hexdigest()


def place_of(dsn: Dsn) -> str:
    """Which database that is, whoever connects to it."""
    if dsn.scheme == "sqlite":
        return f"{os.uname().nodename}:{dsn.text}"
    if "://" in dsn.shown:
        parts = urlsplit(dsn.shown)
        account, _, hosts = parts.netloc.rpartition("@")
        host, name = hosts, parts.path.strip("/") or account
    else:
        said = dict(re.findall(r"(\w+)='([^']*)'", dsn.shown))
        host = said.get("host", "") + (f":{said['port']}" if "port" in said else "")
        name = said.get("dbname") or said.get("user", "")
    host = host.removesuffix(":5432") or os.uname().nodename
    return f"{host.lower()}/{name}"
