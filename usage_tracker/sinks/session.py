"""How an official client that speaks HTTP by requests reaches a receiver: in a bounded time whatever that answers, and
nowhere else than there.

The timeout of requests is for each byte, and a redirected POST becomes a GET whose answer says nothing of the events.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, connection, connectionpool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util import retry

from usage_tracker.addresses import is_loopback
from usage_tracker.outgoing import CLOSED, cut_after, reason_of, retry_after
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.opening import check_addresses
from usage_tracker.sinks.sink import ATTEMPT_SECONDS

QUIET: set[int] = set()
"""The threads in which a sink's client is at work."""


def hush(*names: str) -> None:
    """Let these loggers tell nothing of a sink, of which we say what there is to say: at some level they tell its path,
    its key, or what was answered, which may repeat a secret. What the app does with the same client is told as ever."""
    for name in names:
        logging.getLogger(name).addFilter(is_others)


def is_others(record: logging.LogRecord) -> bool:
    return threading.get_ident() not in QUIET


@contextmanager
def quiet() -> Iterator[None]:
    """What loggers that are hushed have to say in the block is of a sink."""
    here = threading.get_ident()
    QUIET.add(here)
    try:
        yield
    finally:
        QUIET.discard(here)


hush(connection.__name__, connectionpool.__name__, retry.__name__)


def check_reachable(address: SinkAddress) -> None:
    """As `check_addresses`, unless a proxy leads there: it alone may know the name, and looks it up itself. Raises
    NotTaken."""
    if select_proxy(address.base_url, proxies_to(address.base_url)) is None:
        check_addresses(address)


def proxies_to(url: str) -> dict[str, str]:
    """Those of the environment. None of them leads to this machine, whatever NO_PROXY lacks: what is sent there goes in
    the clear."""
    return {} if is_loopback(urlsplit(url).hostname or "") else get_environ_proxies(url)


class ReceiverSession(requests.Session):
    """A session of one sink, whose errors say why it was not reached, and don't repeat its address. `wanted`: the type
    of what is read of an answer; all else that answers hold is left where it is."""

    def __init__(self, wanted: str | None = None) -> None:
        super().__init__()
        self.auth = unchanged
        self.answered: requests.Response | None = None
        """The latest answer; None: there was none to the latest request."""
        self.why: str | None = None
        """Why there was none, where a request was made."""
        for scheme in ("http://", "https://"):
            self.mount(scheme, Adapter(wanted))

    @property
    def after(self) -> float | None:
        """Seconds, where the latest answer says when to come again."""
        return None if self.answered is None else retry_after(self.answered.headers.get("Retry-After"))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        self.forget()
        try:
            self.answered = super().send(request, **kwargs)
        except requests.RequestException as error:
            self.why = reason_of(error)
            raise type(error)(self.why) from None
        except OSError:  # of requests itself
            self.why = "a file of certificates is missing"
            raise OSError(self.why) from None
        return self.answered

    def forget(self) -> None:
        """What came of earlier requests."""
        self.answered = self.why = None

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return {**merged, "proxies": proxies_to(url)}

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere."""


def unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The request with the credentials of the sink's address alone: where a session names none, requests takes those of
    the user's netrc, which are for others."""
    return request


MOST_BYTES = 1 << 16


class Adapter(HTTPAdapter):
    """Of an answer it takes the status, the headers, and the beginning of what is wanted, and closes the connection."""

    def __init__(self, wanted: str | None) -> None:
        super().__init__()
        self._wanted = wanted

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
        found: PoolManager = super().proxy_manager_for(proxy, **kwargs)
        found.pool_classes_by_scheme = POOLS
        return found

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answer = super().send(request, *args, **kwargs)
        content = b""
        if answer.headers.get("Content-Type", "").partition(";")[0] == self._wanted:
            with suppress(HTTPError, OSError):  # it has answered all the same
                content = answer.raw.read(MOST_BYTES, decode_content=True)
        answer.close()
        answer.raw = BytesIO(content)
        return answer


class Bounded:
    """Of a connection: it is cut ATTEMPT_SECONDS after it was made, and the answer to what was not read is read."""

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self._bound = ExitStack()
        self._bound.enter_context(cut_after(ATTEMPT_SECONDS, duplicate(self.sock)))  # type: ignore[attr-defined]

    def request(self, *args: Any, **kwargs: Any) -> None:
        with suppress(*CLOSED):
            super().request(*args, **kwargs)  # type: ignore[misc]

    def close(self) -> None:
        super().close()  # type: ignore[misc]
        if (bound := self.__dict__.pop("_bound", None)) is not None:
            bound.close()


def duplicate(wire: socket.socket) -> socket.socket:
    """Also of one that speaks TLS, which has no `dup`, and of one within another, as through a proxy that speaks it."""
    wire = getattr(wire, "socket", wire)
    return socket.fromfd(wire.fileno(), wire.family, wire.type)


class BoundedConnection(Bounded, HTTPConnection):
    pass


class BoundedTlsConnection(Bounded, HTTPSConnection):
    pass


class BoundedPool(HTTPConnectionPool):
    ConnectionCls = BoundedConnection


class BoundedTlsPool(HTTPSConnectionPool):
    ConnectionCls = BoundedTlsConnection


POOLS: dict[str, type] = {"http": BoundedPool, "https": BoundedTlsPool}
