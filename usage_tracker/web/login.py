"""Coming in and leaving: the one-time link, the token's form, the end of a session."""

import secrets
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from usage_tracker.web.access import LOGIN_COOKIE, SESSION_SECONDS, Identity, cookie_of, is_own_form, peer_of
from usage_tracker.web.guesses import TooManyFailures
from usage_tracker.web.site import render, root_of, say, site_of

MOST_BYTES = 8192


async def show_login(request: Request) -> Response:
    """With `once`, the link that was printed; otherwise the form."""
    site = site_of(request)
    word = request.query_params.get("once")
    if word is None:
        return form(request)
    try:
        identity = site.access.use_link(word, peer_of(request))
    except TooManyFailures:
        return form(request, "Too many failed logins. Try again in a minute.", 429)
    if identity is None:
        announce = getattr(request.app.state, "announce", None)
        if announce is not None:
            announce(site.access.new_link())
        return form(request, "This link was used before, or is none of ours.", 403)
    return enter(request, identity, request.query_params.get("next", ""))


async def log_in(request: Request) -> Response:
    site = site_of(request)
    fields = await read_form(request)
    target = fields.get("next", "")
    given = request.cookies.get(login_cookie(request), "")
    # without a session, the form is signed for the browser that was given it: anybody can have one of their own
    if not (given and is_own_form(request) and site.access.holds(fields.get("form", ""), None, purpose_of(given))):
        return form(request, "The form was too old. Try again.", 403, target)
    try:
        identity = site.access.by_token(fields.get("token", "").strip(), peer_of(request))
    except TooManyFailures:
        return form(request, "Too many failed logins. Try again in a minute.", 429, target)
    if identity is None or not identity.may("read"):
        return form(request, "No such token, or none that may read.", 403, target)
    return enter(request, identity, target)


async def log_out(request: Request) -> Response:
    site = site_of(request)
    cookie = cookie_of(request.headers.get("host", ""))
    identity = site.access.by_cookie(request.cookies.get(cookie, ""))
    fields = await read_form(request)
    if identity is None or not site.access.holds(fields.get("form", ""), identity, "logout"):
        return say(request, "Nothing was done", ["The form was too old. Go back and try again."], status=403)
    answer = RedirectResponse(f"{root_of(request)}/login", status_code=303)
    answer.delete_cookie(cookie, path=root_of(request) or "/", httponly=True, samesite="lax")
    return answer


def enter(request: Request, identity: Identity, target: str) -> Response:
    root = root_of(request)
    # only into this app: not to another server, which //host would be
    inside = target.startswith(f"{root}/") and not target.startswith(("//", "/\\"))
    answer = RedirectResponse(target if inside else f"{root}/", status_code=303)
    cookie = cookie_of(request.headers.get("host", ""))
    set_cookie(request, answer, cookie, site_of(request).access.new_cookie(identity), SESSION_SECONDS)
    return answer


def set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int | None = None) -> None:
    """For so many seconds; None: until the browser is closed."""
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        path=root_of(request) or "/",
        httponly=True,
        samesite="lax",
        secure=is_encrypted(request),
    )


def login_cookie(request: Request) -> str:
    """Its name."""
    return cookie_of(request.headers.get("host", ""), LOGIN_COOKIE)


def purpose_of(given: str) -> str:
    """Of the form's token of the browser that was given this cookie."""
    return f"login {given}"


def is_encrypted(request: Request) -> bool:
    """Whether the browser's own connection is, as a trusted proxy before us may say."""
    said = request.headers.get("x-forwarded-proto", "")
    return request.url.scheme == "https" or (said == "https" and site_of(request).access.trusts(peer_of(request)))


def form(request: Request, failed: str = "", status: int = 200, target: str = "") -> Response:
    access, cookie = site_of(request).access, login_cookie(request)
    known = request.cookies.get(cookie)  # other tabs have forms with it
    given = known or secrets.token_urlsafe(16)
    values: dict[str, Any] = {
        "failed": failed,
        "tokens": bool(access.tokens),
        "form": access.form_token(None, purpose_of(given)),
        "next": target or request.query_params.get("next", ""),
    }
    answer = render(request, "login.html", "", status, **values)
    if not known:
        set_cookie(request, answer, cookie, given)
    return answer


async def read_form(request: Request, most: int = MOST_BYTES) -> dict[str, str]:
    """The fields of a form of at most so many bytes. Anything larger is none of ours."""
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            return {}
    fields = parse_qs(content.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}
