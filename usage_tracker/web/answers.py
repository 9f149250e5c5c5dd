"""How an endpoint's work becomes an answer: who is let in, and what is said where it fails."""

import asyncio
from collections.abc import Awaitable
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from usage_tracker.cli.stores import NothingYet
from usage_tracker.errors import ConfigError, EventsRefused, StoreError, StoreUnavailable
from usage_tracker.web.guesses import TooManyFailures
from usage_tracker.web.parameters import Refused
from usage_tracker.web.problems import Problem, as_response
from usage_tracker.web.reading import TooLong
from usage_tracker.web.shared_pages import Endpoint, given_to_all
from usage_tracker.web.site import RETRY_SECONDS, root_of, say, site_of

GONE = 499
"""What nginx notes of a request whose client has left. Nobody gets it."""


def page(endpoint: Endpoint, *, shared: bool = False) -> Endpoint:
    """A page for people. What goes wrong is a page too, and one that passes by itself is looked at again. `shared`:
    whether it is the same for all who may see the same, so that many viewers are one."""
    give = given_to_all(endpoint) if shared else endpoint

    async def answer(request: Request) -> Response:
        try:
            identity = site_of(request).access.identify(request)
        except TooManyFailures as failures:
            return say(
                request,
                "Too many failed logins",
                ["Try again in a minute."],
                status=429,
                retry=int(failures.seconds) + 1,
            )
        request.state.identity = identity
        if identity is None:
            return to_login(request)
        if not identity.may("read"):
            return say(request, "Not for this token", [f"A {identity.role}'s token can't read."], status=403)
        try:
            return await while_there(request, give(request))
        except Refused as refused:
            return say(request, "This can't be shown", [sentence(refused)], status=400)
        except NothingYet:
            return say(
                request,
                "No calls yet",
                [f"Nothing was recorded in {site_of(request).dsn.shown} so far. Record a program's calls, as it is:"],
                commands=["usage-tracker run -- python app.py"],
                status=200,
                retry=RETRY_SECONDS,
            )
        except TooLong as error:
            return say(request, "This takes too long", [sentence(error)], status=503)
        except StoreUnavailable as error:
            return say(request, "The store is away", [sentence(error)], status=503, retry=RETRY_SECONDS)
        except StoreError as error:
            return say(request, "The store can't answer", [sentence(error)], status=503, retry=RETRY_SECONDS)
        except ConfigError as error:  # as of a price book with a mistake, where prices of today are asked for
            return say(request, "This can't be told now", [sentence(error)], status=503)

    return answer


def program(endpoint: Endpoint, what: str = "read") -> Endpoint:
    """An endpoint for programs. What goes wrong is a JSON problem."""

    async def answer(request: Request) -> Response:
        try:
            return await while_there(request, admitted(request, endpoint, what))
        except Problem as problem:
            return as_response(problem)
        except Refused as refused:
            return as_response(Problem(400, str(refused), parameter=refused.parameter))
        except TooManyFailures as failures:
            return as_response(Problem(429, str(failures), retry_after=int(failures.seconds) + 1))
        except NothingYet:
            return as_response(
                Problem(
                    503, f"nothing has been recorded in {site_of(request).dsn.shown} so far", retry_after=RETRY_SECONDS
                )
            )
        except TooLong as error:
            return as_response(Problem(503, str(error)))
        except EventsRefused as error:
            return as_response(Problem(422, str(error)))
        except StoreError as error:
            return as_response(Problem(503, str(error), retry_after=RETRY_SECONDS))
        except ConfigError as error:
            return as_response(Problem(503, str(error)))

    return answer


def form(endpoint: Endpoint) -> Endpoint:
    """What somebody sends who isn't known yet, or no longer."""

    async def answer(request: Request) -> Response:
        return await while_there(request, endpoint(request))

    return answer


async def while_there(request: Request, work: Awaitable[Response]) -> Response:
    """The answer; given up where who asked for it goes away, so that the store isn't kept busy for nobody."""
    if request.method != "GET":
        try:
            return await work
        except ClientDisconnect:
            return Response(status_code=GONE)
    answering, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait([answering, leaving], return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else Response(status_code=GONE)
    finally:
        answering.cancel()
        leaving.cancel()


async def gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def admitted(request: Request, endpoint: Endpoint, what: str) -> Response:
    identity = site_of(request).access.identify(request)
    if identity is None:
        raise Problem(401, "a token is needed: Authorization: Bearer …")
    if not identity.may(what):
        raise Problem(403, f"a {identity.role} may not {what}")
    if what != "read" and identity.session is not None:
        raise Problem(403, "what changes something needs a token of its own, not a browser's session")
    request.state.identity = identity
    return await endpoint(request)


def to_login(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = f"{root_of(request)}/login?{urlencode({'next': here})}"
    # on the way back, htmx shows whatever it is given; only where it is refused, app.js loads the page anew
    if request.headers.get("hx-history-restore-request"):
        return Response(status_code=403)
    # htmx follows a redirect with its request for a part of a page, and a login is a whole one
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": login})
    return RedirectResponse(login, status_code=303)


def sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
