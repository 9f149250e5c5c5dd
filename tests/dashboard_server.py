"""The dashboard as its users meet it: a real server on the loopback, its store, and a session of an HTTP client."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from made_events import store_events
from migrated import migrated

from usage_tracker.event import PricedEvent
from usage_tracker.web.access import Access, Identity, Role, cookie_of
from usage_tracker.web.app import create_app

VIEWER, WRITER, ADMIN = "viewer-token-for-tests", "writer-token-for-tests", "admin-token-for-tests-"
TOKENS: dict[Any, str] = {"viewer": VIEWER, "writer": WRITER, "admin": ADMIN}


class Served:
    """A running server."""

    def __init__(self, url: str, app: Any) -> None:
        self.url = url
        self.app = app

    def client(self, token: str | None = VIEWER, **options: Any) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **options)

    @property
    def cookie(self) -> str:
        """The name of a session's."""
        return cookie_of(self.url.removeprefix("http://"))

    def session(self, role: Role = "viewer") -> Any:
        """A cookie of somebody in that role, for a browser."""
        access: Access = self.app.state.site.access
        return {"name": self.cookie, "value": access.new_cookie(Identity(role, role)), "url": self.url}


@contextmanager
def served(app: Any) -> Iterator[Served]:
    """The app behind a real server."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", proxy_headers=False, lifespan="on")
    server = uvicorn.Server(config)
    with config.bind_socket() as listening:
        listening.listen()  # who comes before the server has started waits a moment
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", app)
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def dashboard(dsn: str, **settings: Any) -> Iterator[Served]:
    """The dashboard over that store, with a token for each role."""
    with served(create_app(dsn, **{"access": Access(tokens=TOKENS), **settings})) as running:
        yield running


def filled(path: Path, events: list[PricedEvent]) -> str:
    """The address of an SQLite file with these events."""
    dsn = f"sqlite:///{path}"
    with migrated(dsn) as store:
        if events:
            store_events(store, events)
    return dsn
