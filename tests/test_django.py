"""What requests of Django call is for whom they are: sync and async, in views and in streams."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from types import ModuleType
from typing import Any

import django
import pytest
from asgiref.sync import iscoroutinefunction
from capturing import ASK, Capturing
from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from usage_tracker.attribution import NOBODY, current

REQUEST: Any = {"model": "gpt-4o-mini", "messages": ASK}

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    MIDDLEWARE=["usage_tracker.frameworks.django.AttributionMiddleware", "test_django.sign_in"],
    SECRET_KEY="of tests",
    USAGE_TRACKER={"who": "test_django.who", "headers": {"team": "X-Team"}},
)
django.setup()


def who(request: HttpRequest) -> dict[str, object]:
    return {"user": getattr(request, "signed_in", None)}


@sync_and_async_middleware
def sign_in(get_response: Any) -> Any:
    """As an app's own authentication, within our middleware."""
    if iscoroutinefunction(get_response):

        async def asynchronous(request: HttpRequest) -> Any:
            request.signed_in = request.headers.get("X-Name")  # type: ignore[attr-defined]  # as apps do
            return await get_response(request)

        return asynchronous

    def synchronous(request: HttpRequest) -> Any:
        request.signed_in = request.headers.get("X-Name")  # type: ignore[attr-defined]  # as apps do
        return get_response(request)

    return synchronous


@pytest.fixture(autouse=True)
def urls(capturing: Capturing) -> Iterator[None]:
    create, acreate = capturing.client.chat.completions.create, capturing.aclient.chat.completions.create

    def view(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse(create(**REQUEST).id)

    async def aview(request: HttpRequest, number: int) -> HttpResponse:
        async with capturing.aclient:
            return HttpResponse((await acreate(**REQUEST)).id)

    def stream(request: HttpRequest, number: int) -> StreamingHttpResponse:
        def body() -> Iterator[str]:
            for chunk in create(**REQUEST, stream=True):
                yield chunk.id

        return StreamingHttpResponse(body())

    async def astream(request: HttpRequest, number: int) -> StreamingHttpResponse:
        async def body() -> AsyncIterator[str]:
            async with capturing.aclient:
                async for chunk in await acreate(**REQUEST, stream=True):
                    yield chunk.id

        return StreamingHttpResponse(body())

    module: Any = ModuleType("urls_of_tests")
    module.urlpatterns = [path(f"{each.__name__}/<int:number>/", each) for each in (view, aview, stream, astream)]
    with override_settings(ROOT_URLCONF=module):
        yield


def check(capturing: Capturing, name: str) -> None:
    [(origin, _)] = capturing.all()
    tags = (f"route:/{name}/<int:number>/",)
    assert (origin.user_id, origin.team, origin.tags) == ("u-1", "search", tags)
    assert current.get() == NOBODY


HEADERS = {"X-Name": "u-1", "X-Team": "search"}


@pytest.mark.parametrize("name", ["view", "aview", "stream"])
def test_over_wsgi(capturing: Capturing, name: str) -> None:
    answer: Any = Client().get(f"/{name}/7/", headers=HEADERS)
    assert b"chatcmpl" in (b"".join(answer.streaming_content) if answer.streaming else answer.content)
    check(capturing, name)


@pytest.mark.parametrize("name", ["view", "aview", "astream"])
def test_over_asgi(capturing: Capturing, name: str) -> None:
    async def main() -> bytes:
        answer: Any = await AsyncClient().get(f"/{name}/7/", headers=HEADERS)
        if answer.streaming:
            return b"".join([piece async for piece in answer.streaming_content])
        return bytes(answer.content)

    assert b"chatcmpl" in asyncio.run(main())
    check(capturing, name)


def test_files_are_sent_as_before() -> None:
    """By the server's own way of sending files, which needs the file itself."""
    from usage_tracker.frameworks.django import AttributionMiddleware

    with BytesIO(b"file") as file:
        response = FileResponse(file)
        assert AttributionMiddleware(lambda _: response)(HttpRequest()) is response
        assert response.file_to_stream is file


def test_without_settings_only_the_route_is_said(capturing: Capturing) -> None:
    with override_settings(USAGE_TRACKER={}):
        Client().get("/view/7/", headers=HEADERS)
    [(origin, _)] = capturing.all()
    assert (origin.user_id, origin.team, origin.tags) == (None, None, ("route:/view/<int:number>/",))


def test_errors_are_answered_as_before() -> None:
    assert Client().get("/nowhere/").status_code == 404
