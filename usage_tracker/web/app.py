"""The ASGI app: what answers which address, and the headers of every answer."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, tzinfo
from decimal import localcontext

from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.datastructures import URL, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from usage_tracker.config import load_usable
from usage_tracker.config_file import with_config
from usage_tracker.decimals import EXACT
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.web import budgets_page, login, pages
from usage_tracker.web.access import Access
from usage_tracker.web.answers import form, page, program
from usage_tracker.web.editing import Editor
from usage_tracker.web.metrics import Admitted
from usage_tracker.web.openapi import show_openapi
from usage_tracker.web.operations import OPERATIONS
from usage_tracker.web.posting import Writer
from usage_tracker.web.problems import Problem, as_response
from usage_tracker.web.reading import Reader
from usage_tracker.web.site import Site, say
from usage_tracker.web.static_files import serve_file

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
COMPRESSED_FROM = 800
"""Bytes."""


class SomePath(PathConvertor):
    """An id or a name to the end of an address: it may hold slashes, as the ids of some providers do, and is not empty,
    so that a slash too many behind a list is none of it."""

    regex = ".+"


register_url_convertor("some_path", SomePath())


def create_app(
    dsn: Dsn | str | None = None,
    access: Access | None = None,
    zone: tzinfo = UTC,
    announce: Callable[[str], None] | None = None,
    edit: Dsn | str | bool = False,
) -> Starlette:
    """The app, to be served by any ASGI server or mounted in another app.

    `dsn`: the store; None: that of TRACKER_DSN or the config file. `access`: who is let in; None: nobody but through a
    one-time link. Mounted in an app that lets in by itself, `Access(everyone="viewer")`. `announce`: is given the word
    of a new one-time link, for who has a used one. `edit`: whether admins may change budgets; an address: through that
    one, where `dsn` is of a role that may only read. Raises ConfigError.
    """
    settings, _ = load_usable(with_config(), ship=True)
    if dsn is None:
        dsn = settings.dsn
        assert dsn is not None, "shipping always has a store, by default the SQLite file"
    address = parse_dsn(dsn) if isinstance(dsn, str) else dsn
    rules = access or Access()
    reader, writer = Reader(address, price_book=settings.prices), None
    if rules.takes_events:
        writer = Writer(address, settings.prices, settings.fingerprint_key)
    editor = None
    if edit is True:
        editor = Editor(address)
    elif edit:
        editor = Editor(parse_dsn(edit) if isinstance(edit, str) else edit)
    site = Site(reader, rules, zone, writer, editor)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        reader.close()
        for each in (writer, editor):
            if each is not None:
                each.close()

    app = Starlette(
        routes=routes(),
        middleware=[
            Middleware(OwnDecimals),
            Middleware(SaferHeaders),
            Middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM, compresslevel=5),
        ],
        exception_handlers={404: not_found, 405: not_allowed},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # to an address with the scheme that a proxy has left out; see `not_found`
    app.state.site = site
    app.state.admitted = Admitted()
    app.state.announce = announce
    return app


def routes() -> list[Route]:
    return [
        Route("/", page(pages.show_overview, shared=True)),
        Route("/explore", page(pages.show_explore, shared=True)),
        Route("/events", page(pages.show_events, shared=True)),
        Route("/events/{id:some_path}", page(pages.show_event)),
        Route("/budgets", page(budgets_page.show_budgets)),
        Route("/budgets", page(budgets_page.change_budgets), methods=["POST"]),
        Route("/health", page(pages.show_health, shared=True)),
        Route("/login", login.show_login),
        Route("/login", form(login.log_in), methods=["POST"]),
        Route("/logout", form(login.log_out), methods=["POST"]),
        *(
            Route(
                operation.path.replace("{id}", "{id:some_path}").replace("{budget}", "{budget:some_path}"),
                program(operation.endpoint, operation.what),
                methods=[operation.method.upper()],
            )
            for operation in OPERATIONS
        ),
        Route("/api/openapi.json", program(show_openapi)),
        Route("/static/{name:path}", serve_file),
    ]


async def not_found(request: Request, _: Exception) -> Response:
    shorter = {**request.scope, "path": request.scope["path"].rstrip("/")}
    if shorter["path"] != request.scope["path"] and any(matching(shorter)):
        return RedirectResponse(str(URL(scope=shorter).replace(scheme="", netloc="")), 307)
    if is_for_programs(request):
        return as_response(Problem(404, "there is nothing at this address; see /api/openapi.json"))
    request.state.identity = None
    return say(request, "There is no such page", [], status=404)


async def not_allowed(request: Request, _: Exception) -> Response:
    answer = as_response(Problem(405, f"{request.method} is not for this address"))
    # an address has a route for each method, and the error knows only the first one's
    here = matching(request.scope)
    answer.headers["Allow"] = ", ".join(sorted({method for route in here for method in route.methods or ()}))
    return answer


def matching(scope: Scope) -> Iterator[Route]:
    """The routes of that address, whatever their methods."""
    return (route for route in routes() if route.matches(scope)[0] is not Match.NONE)


def is_for_programs(request: Request) -> bool:
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    return path.startswith(("/api/", "/spend/", "/global/", "/user/", "/metrics"))


class OwnDecimals:
    """Adds figures up exactly, whatever the app has set for its own in which this one is mounted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with localcontext(EXACT):
            await self._app(scope, receive, send)


class SaferHeaders:
    """Says with every answer what browsers may do with it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_on if scope["type"] == "http" else send)
