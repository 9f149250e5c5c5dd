"""What requests of FastAPI, Starlette and Litestar call is for whom they are: in handlers, threads, streams, tasks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from capturing import ASK, Capturing
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from usage_tracker import attribute
from usage_tracker.attribution import NOBODY, current
from usage_tracker.errors import ConfigError
from usage_tracker.event import Origin
from usage_tracker.frameworks.asgi import AttributionMiddleware

REQUEST: Any = {"model": "gpt-4o-mini", "messages": ASK}


def signed_in(request: Request) -> None:
    """What an app's own authentication does, long after our middleware has begun."""
    request.state.user = request.headers.get("authorization")


def who(scope: Any) -> dict[str, object]:
    return {"user": scope["state"].get("user"), "team": "web"}


def closing(capturing: Capturing) -> Any:
    """A lifespan at whose end the async client is closed, in the loop that it was used in."""

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with capturing.aclient:
            yield

    return lifespan


def shop(capturing: Capturing) -> FastAPI:
    """With every place where an app may call a model."""
    app = FastAPI(dependencies=[Depends(signed_in)], lifespan=closing(capturing))
    app.add_middleware(AttributionMiddleware, who=who)
    client, aclient = capturing.client, capturing.aclient

    @app.get("/sync/{item}")
    def in_a_thread(item: str) -> str:
        return str(client.chat.completions.create(**REQUEST).id)

    @app.get("/async/{item}")
    async def in_a_task(item: str) -> str:
        found = await asyncio.gather(*(aclient.chat.completions.create(**REQUEST) for _ in range(2)))
        return str(found[0].id)

    @app.get("/stream/{item}")
    async def streamed(item: str) -> StreamingResponse:
        async def body() -> AsyncIterator[str]:
            async for chunk in await aclient.chat.completions.create(**REQUEST, stream=True):
                yield chunk.id

        return StreamingResponse(body())

    @app.get("/sync-stream/{item}")
    def streamed_by_threads(item: str) -> StreamingResponse:
        def body() -> Iterator[str]:
            for chunk in client.chat.completions.create(**REQUEST, stream=True):
                yield chunk.id

        return StreamingResponse(body())

    @app.get("/background/{item}")
    def later(item: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(in_a_thread, item)

    return app


def origins(capturing: Capturing) -> list[Origin]:
    return [origin for origin, _ in capturing.all()]


@pytest.mark.parametrize("place", ["sync", "async", "stream", "sync-stream", "background"])
def test_fastapi(capturing: Capturing, place: str) -> None:
    with TestClient(shop(capturing)) as client:
        assert client.get(f"/{place}/7", headers={"Authorization": "u-1"}).status_code == 200
    found = origins(capturing)
    assert len(found) == (2 if place == "async" else 1)
    for origin in found:
        assert (origin.user_id, origin.team, origin.tags) == ("u-1", "web", (f"route:/{place}/{{item}}",))


def test_concurrent_requests_know_only_themselves(capturing: Capturing) -> None:
    async def main() -> None:
        async with AsyncClient(transport=ASGITransport(shop(capturing)), base_url="http://shop") as client:
            asked = [
                client.get(f"/{place}/{number}", headers={"authorization": f"{place}-{number}"})
                for number in range(4)
                for place in ("sync", "stream", "sync-stream")
            ]
            for answer in await asyncio.gather(*asked):
                assert answer.status_code == 200
            await capturing.aclient.close()
        assert current.get() == NOBODY

    asyncio.run(main())
    found = {(origin.user_id, origin.tags) for origin in origins(capturing)}
    assert found == {
        (f"{place}-{number}", (f"route:/{place}/{{item}}",))
        for number in range(4)
        for place in ("sync", "stream", "sync-stream")
    }


def seen_by(app: Any, path: str, **headers: str) -> str:
    return TestClient(app).get(path, headers=headers).text


async def say(request: Any) -> PlainTextResponse:
    return PlainTextResponse(repr(tuple(current.get())))


def starlette(**settings: Any) -> Starlette:
    routes = [Route("/items/{id}", say), Mount("/admin", routes=[Route("/users/{id}", say)])]
    return Starlette(routes=routes, middleware=[Middleware(AttributionMiddleware, **settings)])


def test_a_route_of_fastapi_has_the_prefixes_that_it_was_included_and_mounted_with() -> None:
    inner, outer, mounted, app = APIRouter(prefix="/inner"), APIRouter(), FastAPI(), FastAPI()
    inner.add_api_route("/items/{id}", said)
    outer.include_router(inner, prefix="/{shop}")
    outer.add_api_route("/items/{id}", said)
    mounted.include_router(outer, prefix="/v1")
    app.include_router(outer, prefix="/v1")
    app.mount("/sub", mounted)
    app.add_middleware(AttributionMiddleware)
    for path in ("/v1/items/{id}", "/v1/{shop}/inner/items/{id}", "/sub/v1/items/{id}"):
        assert seen_by(app, path.format(shop="acme", id=7)) == f'["route:{path}"]'


async def said() -> list[str]:
    return list(current.get().tags)


class TestStarlette:
    def test_the_route_is_a_tag_unless_it_is_not_wanted(self) -> None:
        assert seen_by(starlette(), "/items/7") == "(None, None, None, None, ('route:/items/{id}',))"
        assert seen_by(starlette(), "/admin/users/7") == "(None, None, None, None, ('route:/admin/users/{id}',))"
        assert seen_by(starlette(route=False), "/items/7") == "(None, None, None, None, ())"

    def test_the_route_of_an_app_within_others_says_where_it_is_mounted(self) -> None:
        inner = Starlette(routes=[Route("/users/{id:int}", say)])
        shops = Mount("/{shop}", routes=[Mount("/admin", inner)])
        app = Starlette(routes=[Mount("/v2", routes=[shops])], middleware=[Middleware(AttributionMiddleware)])
        client = TestClient(app, root_path="/behind")
        assert "('route:/v2/{shop}/admin/users/{id:int}',)" in client.get("/behind/v2/acme/admin/users/7").text
        asked_inside = Starlette(routes=[Mount("/v2", AttributionMiddleware(inner))])
        assert "('route:/v2/users/{id:int}',)" in seen_by(asked_inside, "/v2/users/7")

    def test_headers_are_trusted_only_where_the_app_says_so(self) -> None:
        said = {"X-User": "u-1", "X-Team": "mallory", "X-Tags": "tier:pro, beta"}
        assert seen_by(starlette(route=False), "/items/7", **said) == "(None, None, None, None, ())"
        trusting = starlette(route=False, headers={"user": "X-User", "tags": "x-tags"})
        assert seen_by(trusting, "/items/7", **said) == "(None, None, 'u-1', None, ('tier:pro', 'beta'))"

    def test_the_app_goes_before_headers_and_a_scope_before_both(self) -> None:
        async def inner(request: Any) -> PlainTextResponse:
            with attribute(user="inner"):
                return await say(request)

        app = starlette(who=lambda scope: {"user": "app"}, headers={"user": "x-user", "team": "x-team"}, route=False)
        app.router.routes.append(Route("/inner", inner))
        said = {"X-User": "header", "X-Team": "search"}
        assert seen_by(app, "/items/7", **said) == "(None, 'search', 'app', None, ())"
        assert seen_by(app, "/inner", **said) == "(None, 'search', 'inner', None, ())"

    def test_what_was_said_around_the_app_holds_where_the_request_says_nothing(self) -> None:
        with attribute(project="shop", user="nobody"):
            assert seen_by(starlette(who=lambda _: {"user": "u-1"}, route=False), "/items/7") == (
                "('shop', None, 'u-1', None, ())"
            )

    def test_web_sockets(self) -> None:
        async def talk(socket: WebSocket) -> None:
            await socket.accept()
            await socket.send_text(repr(current.get().tags))
            await socket.close()

        app = starlette()
        app.router.routes.append(WebSocketRoute("/talk/{id}", talk))
        with TestClient(app).websocket_connect("/talk/7") as socket:
            assert socket.receive_text() == "('route:/talk/{id}',)"

    @pytest.mark.guarded_errors_expected
    @pytest.mark.parametrize("wrong", [lambda scope: scope["nobody"], lambda scope: {"usr": "u-1"}, lambda scope: 7])
    def test_an_error_of_the_apps_own_function_is_not_the_requests(
        self, wrong: Any, guarded_errors: list[Exception]
    ) -> None:
        assert seen_by(starlette(who=wrong), "/items/7") == "(None, None, None, None, ('route:/items/{id}',))"
        assert len(guarded_errors) == 1

    def test_settings_that_can_not_be_used_are_refused(self) -> None:
        async def asynchronous(scope: Any) -> dict[str, str]:
            return {}

        with pytest.raises(ConfigError, match="plain function"):
            AttributionMiddleware(starlette(), asynchronous)  # type: ignore[arg-type]  # that is the point
        with pytest.raises(ConfigError, match="may say project"):
            AttributionMiddleware(starlette(), headers={"customer": "x-customer"})


@pytest.mark.filterwarnings("ignore")  # Litestar's own
def test_litestar(capturing: Capturing) -> None:
    from litestar import Litestar, get
    from litestar.middleware import DefineMiddleware
    from litestar.response import Stream
    from litestar.testing import TestClient as LitestarClient

    @get("/items/{number:int}")
    async def items(number: int) -> Stream:
        async def body() -> AsyncIterator[str]:
            async for chunk in await capturing.aclient.chat.completions.create(**REQUEST, stream=True):
                yield chunk.id

        return Stream(body())

    middleware: Any = AttributionMiddleware
    app = Litestar(
        [items],
        middleware=[DefineMiddleware(middleware, headers={"user": "x-user"})],
        on_shutdown=[capturing.aclient.close],
        logging_config=None,
    )
    with LitestarClient(app) as client:
        assert client.get("/items/7", headers={"X-User": "u-1"}).status_code == 200
    [origin] = origins(capturing)
    assert (origin.user_id, origin.tags) == ("u-1", ("route:/items/{number}",))


class TestDependencies:
    """Scopes that an app of FastAPI opens by itself."""

    def test_an_async_one_holds_for_the_request(self) -> None:
        async def signed_in() -> AsyncIterator[None]:
            with attribute(user="u-1"):
                yield

        app = FastAPI()

        @app.get("/")
        def ask(_: Annotated[None, Depends(signed_in)]) -> str | None:
            return current.get().user

        assert seen_by(app, "/") == '"u-1"'

    def test_a_sync_one_runs_in_threads_of_its_own_and_breaks_nothing(self) -> None:
        def signed_in() -> Iterator[None]:
            with attribute(user="u-1"):
                yield

        app = FastAPI()

        @app.get("/")
        def ask(_: Annotated[None, Depends(signed_in)]) -> str | None:
            return current.get().user

        assert seen_by(app, "/") == "null"
