"""What every page has in common: its templates, its frame, its filters, and what it says where there is nothing."""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from usage_tracker.cli.figures import show_range
from usage_tracker.dsn import Dsn
from usage_tracker.report import DIMENSIONS, CostBasis, Range
from usage_tracker.web.access import Access, Identity
from usage_tracker.web.editing import Editor
from usage_tracker.web.posting import Writer
from usage_tracker.web.reading import Reader
from usage_tracker.web.static_files import address_of
from usage_tracker.web.view import View

PAGES = (
    ("/", "Overview", "o"),
    ("/explore", "Explore", "x"),
    ("/events", "Events", "e"),
    ("/budgets", "Budgets", "b"),
    ("/health", "Health", "h"),
)
"""Path, name and key of the pages."""
RETRY_SECONDS = 5
CODE = re.compile("`([^`]+)`")
THEME_COOKIE = "usage_tracker_theme"
LOGOUT_FORM = f"logout-{secrets.token_hex(16)}"
"""Stands in a shared page for each one's own token. Nobody can know it, so that no name of a model contains it."""

PRESETS = (
    ("Today", "today", None),
    ("7 days", "6d", None),
    ("30 days", "29d", None),
    ("Month", "mtd", None),
    ("Last month", "last-month", "last-month"),
    ("Year", "ytd", None),
    ("All", "all", None),
)


COSTS: tuple[tuple[CostBasis, str], ...] = (
    ("recorded", "As recorded"),
    ("reported", "As providers reported"),
    ("current", "At prices of today"),
)


class Choice(NamedTuple):
    name: str
    address: str
    chosen: bool


class Shown(NamedTuple):
    """A condition of the page."""

    text: str
    without: str


@dataclass(frozen=True)
class Site:
    """One server: where it reads, whom it lets in, and how it shows."""

    reader: Reader
    access: Access
    zone: tzinfo
    writer: Writer | None
    """Where events are posted to; None: nowhere."""
    editor: Editor | None
    """What changes budgets; None: nothing does."""

    @property
    def dsn(self) -> Dsn:
        return self.reader.dsn


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def root_of(request: Request) -> str:
    """The path under which this app is mounted; empty at the top."""
    root: str = request.scope.get("root_path", "").rstrip("/")
    return root


def to_json(value: object) -> Markup:
    """JSON that ends no element: it stands in a script element that is never run."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704  escaped here


def as_code(sentence: str) -> Markup:
    """The sentence, with what stands in it between backticks, as on a terminal, as code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(sentence))))  # noqa: S704  escaped here


def make_environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("usage_tracker.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = to_json
    environment.filters["code"] = as_code
    environment.globals["static"] = address_of
    return environment


ENVIRONMENT = make_environment()


def render(request: Request, template: str, current: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The page, within the frame that all pages have."""
    site = site_of(request)
    identity: Identity | None = getattr(request.state, "identity", None)
    theme = request.cookies.get(THEME_COOKIE)
    proxied = identity is not None and identity.is_proxied
    shared = getattr(request.state, "shared", False)
    headers = values.pop("headers", {})
    text = ENVIRONMENT.get_template(template).render(
        root=root_of(request),
        pages=PAGES if identity else (),
        current=current,
        identity=identity,
        proxied=proxied,
        logout_form=LOGOUT_FORM if shared else site.access.form_token(identity, "logout"),
        theme=theme if theme in ("light", "dark") else None,
        **values,
    )
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store", **headers})


def say(
    request: Request,
    heading: str,
    lines: Sequence[str],
    *,
    status: int,
    commands: Sequence[str] = (),
    retry: int | None = None,
) -> HTMLResponse:
    """A page that says why it shows nothing, and what to do."""
    headers = {} if retry is None else {"Retry-After": str(retry)}
    back = None if retry or status == 200 else root_of(request) + "/"
    return render(
        request,
        "message.html",
        "",
        status,
        heading=heading,
        lines=lines,
        commands=commands,
        retry=retry,
        back=back,
        headers=headers,
    )


def filters(view: View, path: str, asked: Range, more: Sequence[tuple[str, str]], usual: str = "mtd") -> dict[str, Any]:
    """What the filters of a page need. `more`: parameters of its own that stay; `usual`: its range
    where none is named."""
    words = range_words(asked, view.zone)
    chosen = (view.since or usual, view.until)
    presets = [
        Choice(name, view.over(since, until).address(path, more), chosen == (since, until))
        for name, since, until in PRESETS
    ]
    # what goes on is told as it was said, such as 90m
    goes_on = view.since is not None and view.until is None and not view.since[:4].isdigit()
    custom = None if any(preset.chosen for preset in presets) else view.since if goes_on else words
    return {
        "view": view,
        "path": path,
        "costs": [
            Choice(title, replace(view, cost=name).address(path, more), view.cost == name) for name, title in COSTS
        ],
        "presets": presets,
        "custom_range": custom,
        "shown_range": words,
        "whole": chosen == ("all", None) and not view.where,
        "hidden": [*view.parameters(), *more],
        "conditions": [Shown(str(each), view.without(each).address(path, more)) for each in view.where],
        "dimensions": list(DIMENSIONS),
    }


def range_words(asked: Range | None, zone: tzinfo) -> str:
    return "" if asked is None else show_range(*asked, zone)


def now() -> datetime:
    return datetime.now(UTC)
