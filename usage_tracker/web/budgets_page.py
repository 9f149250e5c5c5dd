"""The page of budgets: where they stand and, where that is allowed, the form that changes them."""

import asyncio
from collections.abc import Mapping
from datetime import tzinfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from usage_tracker.budgets.book import read_budgets
from usage_tracker.budgets.budget import DIMENSIONS
from usage_tracker.cli.budget_text import describe
from usage_tracker.stores.changes import Author
from usage_tracker.web.access import Identity, is_own_form
from usage_tracker.web.answers import sentence
from usage_tracker.web.budget_fields import budget_of_form, form_of
from usage_tracker.web.budget_lines import Books, books, changed, is_near, lines
from usage_tracker.web.editing import Editor
from usage_tracker.web.login import read_form
from usage_tracker.web.overview import words
from usage_tracker.web.parameters import TZ, Parameter, read_parameters, switch
from usage_tracker.web.site import now, render, root_of, say, site_of

EDIT = Parameter("edit", "The budget whose form is open.")
NEW = switch("new", "Whether the form for another one is open.", default=False)
REMOVE = Parameter("remove", "The budget that is to be removed, once that is confirmed.")
MOST_BYTES = 1 << 18
"""Of a form: as many conditions as a budget may have, as long as they may be, each byte written as three."""
PURPOSE = "budgets"
"""Of the token that the forms carry."""


async def show_budgets(request: Request) -> Response:
    site, values = site_of(request), read_parameters(request, EDIT, NEW, REMOVE, TZ)
    seen = await books(site.reader, now())
    known = {budget.name: budget for budget in seen.budgets}
    for name in (values["edit"], values["remove"]):
        if name is not None and name not in known:
            return say(request, "There is no such budget", [f"None is called {name[:100]}."], status=404)
    form = None
    if may_edit(request) and (values["new"] or values["edit"]):
        form = form_of(known.get(values["edit"]))
    return shown(request, seen, values["tz"], form, new=values["edit"] is None, removing=values["remove"])


async def change_budgets(request: Request) -> Response:
    """What the forms of the page send."""
    site, fields = site_of(request), await read_form(request, MOST_BYTES)
    identity: Identity = request.state.identity
    if site.editor is None:
        return say(request, "Nothing was changed", ["This server changes nothing; start it with --edit."], status=403)
    if not identity.may("edit"):
        return say(request, "Nothing was changed", ["Only an admin can change budgets."], status=403)
    if not is_own_form(request) or not site.access.holds(fields.get("form", ""), identity, PURPOSE):
        return say(request, "Nothing was changed", ["The form was too old. Go back and try again."], status=403)
    author, work = Author(identity.name, "dashboard"), fields.get("do", "")
    try:
        if work == "remove":
            await asyncio.to_thread(site.editor.remove, fields.get("name", ""), author)
        else:
            await change(request, site.editor, fields, author, new=work == "add")
    except ValueError as error:
        seen = await books(site.reader, now())
        kept = {"name": "", **{name: text for name, text in fields.items() if name not in ("form", "do")}}
        return shown(request, seen, None, kept, new=work == "add", failed=sentence(error), status=422)
    site.reader.answers.forget()
    return RedirectResponse(f"{root_of(request)}/budgets", status_code=303)


async def change(request: Request, editor: Editor, fields: Mapping[str, str], author: Author, *, new: bool) -> None:
    """Raises ValueError with a sentence, and StoreError."""
    budget = budget_of_form(fields)
    if new:
        known = await site_of(request).reader.do(read_budgets)
        if any(each.name == budget.name for each in known):
            raise ValueError(f"there is a budget {budget.name!r} already; choose another name, or change that one")
    await asyncio.to_thread(editor.set, budget, author)


def may_edit(request: Request) -> bool:
    identity: Identity = request.state.identity
    return site_of(request).editor is not None and identity.may("edit")


def shown(
    request: Request,
    seen: Books,
    zone: tzinfo | None,
    form: Mapping[str, str] | None,
    *,
    new: bool,
    removing: str | None = None,
    failed: str = "",
    status: int = 200,
) -> Response:
    site = site_of(request)
    outlooks, found = seen.standing.outlooks, lines(seen.standing.outlooks)
    allowed = may_edit(request)
    return render(
        request,
        "budgets.html",
        "/budgets",
        status,
        path=root_of(request) + "/budgets",
        lines=found,
        over=sum(each.over for each in outlooks),
        near=sum(is_near(each) for each in outlooks),
        untold=seen.standing.note,
        left_out=len(outlooks) - len(found),
        unpriced=sum(each.unpriced for each in outlooks if each.budget.measure == "cost"),
        rates=[(budget.name, describe(budget)) for budget in seen.budgets if budget.is_rate],
        changes=changed(seen.changes, zone or site.zone),
        zone=zone or site.zone,
        store=site.dsn.shown,
        may_edit=allowed,
        editing=site.editor is not None,
        form=form,
        form_new=new,
        form_token=site.access.form_token(request.state.identity, PURPOSE) if allowed else "",
        removing=removing if allowed else None,
        failed=failed,
        dimensions=[(name, words(name)) for name in DIMENSIONS],
    )
