"""FastAPI, Starlette, Litestar and every other ASGI app: what a request calls, with its streamed body and its
background tasks, is for whom the request is.

    app.add_middleware(AttributionMiddleware, who=lambda scope: {"user": scope["state"]["user"].id})
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from usage_tracker.attribution import Attribution
from usage_tracker.frameworks.who import Asker, Who
from usage_tracker.scopes import Asking

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[None]]


class AttributionMiddleware:
    """`who` is asked with the ASGI scope. Unless `route` is False, the path of the route is a tag, such as
    `route:/items/{id}`. `headers` names what of a request's headers is to be trusted, `{"user": "x-user-id"}`."""

    def __init__(
        self, app: App, who: Who | None = None, *, headers: Mapping[str, str] | None = None, route: bool = True
    ) -> None:
        self.app = app
        self._asker = Asker(who, headers, route)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        with Asking(partial(self._ask, scope)):
            return await self.app(scope, receive, send)

    def _ask(self, scope: Scope) -> Attribution:
        return self._asker.ask(scope, partial(header_of, scope), partial(route_of, scope))


def header_of(scope: Scope, name: str) -> str | None:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for header, value in scope["headers"] if header == wanted), None)


def route_of(scope: Scope) -> object:
    """As the router has put it there: FastAPI and Starlette the route, Litestar its path."""
    route = scope.get("route")
    # of newer versions of FastAPI, it doesn't know the prefixes that its router was included with
    included = scope.get("fastapi", {}).get("effective_route_context")
    if getattr(included, "original_route", None) is route:
        route = included
    path = getattr(route, "path", None)
    return mounted_at(scope, path) + path if path else scope.get("path_template")


def mounted_at(scope: Scope, path: str) -> str:
    """Where the app that has this route is mounted in others; empty where it is in none."""
    if "app_root_path" not in scope:
        return ""
    prefix: str = scope["root_path"].removeprefix(scope["app_root_path"])
    variables = {str(value): name for name, value in scope["path_params"].items() if f"{{{name}" not in path}
    parts = (f"{{{variables[part]}}}" if part in variables else part for part in prefix.split("/"))
    return "/".join(parts)
