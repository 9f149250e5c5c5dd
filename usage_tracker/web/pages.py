"""The pages for people."""

import asyncio
from dataclasses import replace
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.report import Query
from usage_tracker.web import event_page, events_page, explore, health
from usage_tracker.web import overview as overview_page
from usage_tracker.web.api import MOST_EVENTS
from usage_tracker.web.charts import MEASURES
from usage_tracker.web.parameters import BY, COMPARE, COST, SINCE, TOP, TZ, UNTIL, WHERE, read_parameters
from usage_tracker.web.pruned import notes_on_list
from usage_tracker.web.reading import LONGEST_ID, may_be_id
from usage_tracker.web.site import Choice, filters, now, range_words, render, root_of, say, site_of
from usage_tracker.web.view import View

SELECTION = (SINCE, UNTIL, TZ, WHERE)


async def show_overview(request: Request) -> Response:
    site, path = site_of(request), root_of(request) + "/"
    values = read_parameters(request, *SELECTION, BY, COST, overview_page.MEASURE)
    view, measure = View.of(values, site.zone), values["measure"]
    moment = now()
    seen = await overview_page.look(site.reader, view, measure, path, root_of(request), moment)
    kept = [("measure", measure)] if measure != "cost" else []
    by = view.by or ("model",)
    exported = replace(view, by=by, top=overview_page.LISTED, compare="previous" if seen.query.before else None)
    api = root_of(request) + "/api/v1/report"
    return render(
        request,
        "overview.html",
        "/",
        seen=seen,
        **filters(view, path, view.range(moment), kept),
        compared_range=range_words(seen.query.before, view.zone),
        by_words=" and ".join(overview_page.words(name) for name in by).lower() if by != ("api_key",) else "API key",
        measures=[
            Choice(
                MEASURES[name].title, view.address(path, [("measure", name)] if name != "cost" else []), name == measure
            )
            for name in ("cost", "calls", "tokens")
        ],
        tabs=[
            Choice(
                overview_page.words(name),
                replace(view, by=() if name == "model" else (name,)).address(path, kept),
                by == (name,),
            )
            for name in overview_page.RANKS
        ],
        exports={
            "csv": exported.address(api, [("format", "csv")]),
            "json": exported.address(api),
        },
        everything=replace(view.over("all", None), where=()).address(path),
        zoom=view.address(path, kept),
        store=site.dsn.shown,
    )


async def show_explore(request: Request) -> Response:
    site, path = site_of(request), root_of(request) + "/explore"
    values = read_parameters(request, *SELECTION, BY, TOP, COMPARE, COST, explore.MEASURE)
    view, measure = View.of(values, site.zone), values["measure"]
    asked = view if view.by else replace(view, by=("day", "model"))
    moment = now()
    query = asked.query(moment)
    kept = [("measure", measure)] if measure != "cost" else []
    api = root_of(request) + "/api/v1/report"
    return render(
        request,
        "explore.html",
        "/explore",
        seen=await explore.look(site.reader, query, asked, measure, path),
        **filters(view, path, view.range(moment), kept),
        by=(*asked.by, None, None, None),
        measure=measure,
        measures=[(name, each.title) for name, each in MEASURES.items()],
        dimension_choices=explore.choices(await explore.tag_keys(site.reader), asked.by),
        compared_range=range_words(query.before, view.zone),
        exports={"csv": asked.address(api, [("format", "csv")]), "json": asked.address(api)},
        everything=replace(view.over("all", None), where=()).address(path, kept),
        zoom=view.address(path, kept),
        store=site.dsn.shown,
    )


async def show_events(request: Request) -> Response:
    site, path = site_of(request), root_of(request) + "/events"
    values = read_parameters(request, *SELECTION, events_page.AFTER, events_page.LIVE)
    view, after, live = View.of(values, site.zone), values["after"], values["live"]
    shown = replace(view, since=view.since or "all")
    asked = shown.range(now())
    kept = [("live", "1")] if live else []
    seen = await site.reader.do(lambda store: events_page.read_page(store, asked, shown, after), slow=bool(shown.where))
    api = root_of(request) + "/api/v1/events"
    most = [("limit", str(MOST_EVENTS))]
    return render(
        request,
        "events.html",
        "/events",
        seen=seen,
        notes=await notes_on_list(site.reader, Query(*asked, (), shown.where, shown.zone))
        if view.since or not seen.following
        else [],
        **filters(view, path, asked, kept, usual="all"),
        live=live,
        live_seconds=events_page.LIVE_SECONDS,
        live_address=view.address(path, [] if live else [("live", "1")]),
        here=view.address(path, kept),
        paged=after is not None,
        first_address=view.address(path),
        older=seen.following and view.address(path, [("after", str(seen.following))]),
        exports={"csv": shown.address(api, [*most, ("format", "csv")]), "json": shown.address(api, most)},
        most=f"{MOST_EVENTS:,}",
        same_zone=View(view.zone, zone_said=view.zone_said).address(""),
        everything=View(view.zone, zone_said=view.zone_said, since="all").address(path),
        store=site.dsn.shown,
    )


async def show_event(request: Request) -> Response:
    site, root = site_of(request), root_of(request)
    values = read_parameters(request, TZ)
    name, view = request.path_params["id"], View.of(values, site.zone)
    seen = None
    if may_be_id(name):
        seen = await site.reader.of_event(
            name, lambda store, event: event_page.make_page(store, event, view, f"{root}/events")
        )
    if seen is None:
        return say(request, "There is no such call", [f"Nothing has the id {name[:LONGEST_ID]}."], status=404)
    return render(
        request, "event.html", "/events", seen=seen, json_address=f"{root}/api/v1/events/{quote(name, safe='')}"
    )


async def show_health(request: Request) -> Response:
    site = site_of(request)
    values = read_parameters(request, TZ)
    zone, moment = values["tz"] or site.zone, now()
    findings, newest, reporting, said = await asyncio.gather(
        site.reader.known("health", lambda: health.examine(site.dsn), 5.0),
        site.reader.shared("newest", lambda store: health.read_newest(store, moment)),
        health.reporting(site.reader, moment),
        site.reader.shared("hosts", health.read_hosts),
    )
    hosts = health.host_lines(said)
    return render(
        request,
        "health.html",
        "/health",
        findings=findings,
        hosts=hosts,
        wrong=sum(finding.remedy is not None for finding in findings) + sum(bool(host.wrong) for host in hosts),
        newest=newest,
        newest_shown=newest and f"{newest.at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}",
        reporting=reporting,
    )
