"""Django, sync and async: what a request calls, also while its body is sent, is for whom the request is.

MIDDLEWARE = [..., "usage_tracker.frameworks.django.AttributionMiddleware"]
USAGE_TRACKER = {"who": "shop.usage.who"}    # def who(request): return {"user": request.user.pk}
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

from usage_tracker.attribution import Attribution
from usage_tracker.frameworks.bodies import AsyncBody, Body
from usage_tracker.frameworks.who import Asker
from usage_tracker.scopes import Asking, Scope


class AttributionMiddleware:
    """Set by `USAGE_TRACKER` in Django's settings: `who`, a function of the request or its dotted name; `headers`, what
    of a request's headers is to be trusted, `{"user": "X-User-Id"}`; `route`, whether the route is a tag, such as
    `route:/items/<int:pk>/`, which it is unless that is False. Raises ConfigError."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        said = getattr(settings, "USAGE_TRACKER", {})
        who = said.get("who")
        found = import_string(who) if isinstance(who, str) else who
        self._asker = Asker(found, said.get("headers"), said.get("route", True))
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        scope = Asking(partial(self._ask, request))
        with scope:
            response = self._get_response(request)
        return awaited(scope, response) if hasattr(response, "__await__") else streamed(scope, response)

    def _ask(self, request: HttpRequest) -> Attribution:
        return self._asker.ask(request, request.headers.get, partial(route_of, request))


async def awaited(scope: Scope, response: Awaitable[Any]) -> HttpResponseBase:
    with scope:
        return streamed(scope, await response)


def streamed(scope: Scope, response: Any) -> HttpResponseBase:
    """The same response, with a body that is made in the scope if it is made while it is sent. Files are there."""
    if getattr(response, "streaming", False) and getattr(response, "file_to_stream", None) is None:
        body = AsyncBody if response.is_async else Body
        response.streaming_content = body(scope, response.streaming_content)
    return response  # type: ignore[no-any-return]  # whatever the view returned


def route_of(request: HttpRequest) -> str | None:
    found = request.resolver_match
    return f"/{found.route}" if found is not None and found.route is not None else None
