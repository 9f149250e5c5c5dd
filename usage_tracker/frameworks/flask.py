"""Flask: what a request calls, also while its body is sent, is for whom the request is.

attribute_requests(app, who=lambda request: {"user": g.user.id})
"""

from collections.abc import Mapping

from flask import Flask, Response

from usage_tracker.frameworks.who import Who
from usage_tracker.frameworks.wsgi import AttributionMiddleware, Environ
from usage_tracker.scopes import settle


def attribute_requests(
    app: Flask, who: Who | None = None, *, headers: Mapping[str, str] | None = None, route: bool = True
) -> None:
    """`who` is asked with Flask's request. Unless `route` is False, the rule of the route is a tag, such as
    `route:/items/<int:id>`. `headers` names what of a request's headers is to be trusted, `{"user": "X-User-Id"}`.
    Raises ConfigError."""
    app.wsgi_app = FlaskMiddleware(app.wsgi_app, who, headers=headers, route=route)  # type: ignore[method-assign]  # as Flask says to do it
    app.after_request(settle_stream)


class FlaskMiddleware(AttributionMiddleware):
    """Finds Flask's request where Werkzeug puts it: also when the request's own context has ended."""

    def request_of(self, environ: Environ) -> object:
        return environ["werkzeug.request"]

    def route_of(self, environ: Environ) -> object:
        return environ["werkzeug.request"].url_rule


def settle_stream(response: Response) -> Response:
    """While the body is sent, there is no `g` and no `session` any more."""
    if response.is_streamed and not response.direct_passthrough:  # files are there
        settle()
    return response
