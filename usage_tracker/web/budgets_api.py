"""`/api/v1/budgets`: what may be spent and what was, and, where that is allowed, changing it."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.budgets.budget import NAME
from usage_tracker.cli.budget_status import as_json, outlook_json
from usage_tracker.cli.change_log import changes_json
from usage_tracker.cli.plain import json_document
from usage_tracker.stores.changes import Author, Kind, read_changes
from usage_tracker.web.access import Identity
from usage_tracker.web.api import document, read_body
from usage_tracker.web.budget_fields import budget_of_body
from usage_tracker.web.budget_lines import Standing, books, kept, standing_of
from usage_tracker.web.editing import Editor
from usage_tracker.web.parameters import Parameter, one_of, read_parameters, whole
from usage_tracker.web.problems import Problem
from usage_tracker.web.reading import ANSWER_SECONDS
from usage_tracker.web.site import now, site_of

MOST_CHANGES = 10_000
KINDS: dict[str, tuple[Kind, ...]] = {"budget": ("budget",), "prices": ("prices",), "all": ("budget", "prices")}
KIND = one_of("kind", "Changes of budgets, of prices, or all.", tuple(KINDS), default="all")
SUBJECT = Parameter("subject", "Only those of the budget of that name, or of the version of the price book.")
LIMIT = whole("limit", "The most changes.", 1, MOST_CHANGES, default=100)
CHANGES = (KIND, SUBJECT, LIMIT)


async def show_budgets(request: Request) -> Response:
    read_parameters(request)
    known = (await kept(site_of(request).reader)).budgets
    return document(json_document(budgets=[as_json(budget) for budget in known]), "json", "budgets")


async def show_status(request: Request) -> Response:
    read_parameters(request)
    return await status_of((await books(site_of(request).reader, now(), ANSWER_SECONDS)).standing, "budgets")


async def show_budget(request: Request) -> Response:
    read_parameters(request)
    name, reader = named(request), site_of(request).reader
    for budget in (await kept(reader)).budgets:
        if budget.name == name:
            return await status_of(await standing_of(reader, budget, now(), ANSWER_SECONDS), "budget")
    raise missing()


async def status_of(seen: Standing, name: str) -> Response:
    """Written on a thread: of a budget for each user, for the most it takes seconds, in which others ask."""
    if seen.note:
        raise Problem(503, seen.note)
    return document(await asyncio.to_thread(outlook_json, seen.outlooks), "json", name)


async def set_budget(request: Request) -> Response:
    """Add the budget, or put it in the place of the one of that name."""
    read_parameters(request)
    editor, author = allowed(request)
    name, content = named(request), await read_body(request)
    try:
        budget = budget_of_body(name, content)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    added = await asyncio.to_thread(editor.set, budget, author)
    site_of(request).reader.answers.forget()
    return document(json_document(added=added, budget=as_json(budget)), "json", "budget")


async def remove_budget(request: Request) -> Response:
    read_parameters(request)
    editor, author = allowed(request)
    name = named(request)
    if not await asyncio.to_thread(editor.remove, name, author):
        raise missing()
    site_of(request).reader.answers.forget()
    return document(json_document(removed=name), "json", "budget")


async def show_changes(request: Request) -> Response:
    values = read_parameters(request, *CHANGES)
    kinds, subject, limit = KINDS[values["kind"]], values["subject"], values["limit"]
    found = await site_of(request).reader.do(lambda store: read_changes(store, kinds, subject, limit))
    return document(changes_json(found), "json", "changes")


def allowed(request: Request) -> tuple[Editor, Author]:
    """What changes budgets, and in whose name."""
    editor = site_of(request).editor
    if editor is None:
        raise Problem(403, "this server changes nothing; `usage-tracker serve --edit` lets admins do so")
    identity: Identity = request.state.identity
    return editor, Author(identity.name, "API")


def named(request: Request) -> str:
    name: str = request.path_params["budget"]
    if not NAME.fullmatch(name):
        raise missing()
    return name


def missing() -> Problem:
    return Problem(404, "there is no budget of that name")
