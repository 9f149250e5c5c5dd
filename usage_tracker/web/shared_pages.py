"""A page that many look at is made at most once a second, and sent anew only to who has another one."""

import hashlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from usage_tracker.web.access import Identity
from usage_tracker.web.site import LOGOUT_FORM, THEME_COOKIE, root_of, site_of

Endpoint = Callable[[Request], Awaitable[Response]]

KEPT_SECONDS = 1.0
STALE_SECONDS = 5.0
"""How old a page may be while the next one is made."""


def given_to_all(endpoint: Endpoint) -> Endpoint:
    """The endpoint's page for all who ask for the same address and may see the same. What is their own, the token of
    the form that ends their session, is put in for each."""

    async def give(request: Request) -> Response:
        identity: Identity = request.state.identity
        kind = (identity.role, identity.session is None, identity.is_proxied)
        address = (root_of(request), request.url.path, request.url.query)
        key = ("page", *address, request.cookies.get(THEME_COOKIE), *kind)
        request.state.shared = True

        async def make() -> tuple[bytes, str]:
            made = bytes((await endpoint(request)).body)
            return made, hashlib.sha256(made).hexdigest()[:24]

        # who looks at calls as they come has asked for the newest ones
        stale = 0.0 if "live" in request.query_params else STALE_SECONDS
        made, digest = await site_of(request).reader.answers.once(key, make, KEPT_SECONDS, stale)
        own = hashlib.sha256((identity.session or "").encode()).hexdigest()[:8]
        headers = {"ETag": f'W/"{digest}-{own}"', "Cache-Control": "private, no-cache", "Vary": "Cookie"}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        token = site_of(request).access.form_token(identity, "logout")
        return HTMLResponse(made.replace(LOGOUT_FORM.encode(), token.encode()), headers=headers)

    return give
