"""Every WSGI app: what a request calls, also while its body is sent, is for whom the request is.

application = AttributionMiddleware(application, who=lambda environ: {"user": environ.get("REMOTE_USER")})
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from usage_tracker.attribution import Attribution
from usage_tracker.frameworks.bodies import Body
from usage_tracker.frameworks.who import Asker, Who
from usage_tracker.scopes import Asking

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class AttributionMiddleware:
    """`who` is asked with the WSGI environment. `headers` names what of a request's headers is to be trusted,
    `{"user": "X-User-Id"}`."""

    def __init__(
        self, app: App, who: Who | None = None, *, headers: Mapping[str, str] | None = None, route: bool = True
    ) -> None:
        self.app = app
        self._asker = Asker(who, headers, route)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        scope = Asking(partial(self._ask, environ))
        with scope:
            body = self.app(environ, start_response)
        file = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (isinstance(file, type) and isinstance(body, file)):
            return body  # made already; servers send it in better ways than piece by piece
        return Body(scope, body)

    def _ask(self, environ: Environ) -> Attribution:
        return self._asker.ask(self.request_of(environ), partial(header_of, environ), partial(self.route_of, environ))

    def request_of(self, environ: Environ) -> object:
        """What `who` is asked with."""
        return environ

    def route_of(self, environ: Environ) -> object:
        """Only frameworks have routes."""
        return None


def header_of(environ: Environ, name: str) -> str | None:
    value: str | None = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
    return value
