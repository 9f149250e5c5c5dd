"""`/api/v1`: the same questions and answers as the command line's, for programs."""

import asyncio
from contextlib import closing
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.cli.event import as_json as event_as_json
from usage_tracker.cli.events import FORMATS as EVENT_FORMATS
from usage_tracker.cli.notes import explain
from usage_tracker.cli.plain import json_document, json_text
from usage_tracker.cli.render import as_csv, as_json
from usage_tracker.report import DIMENSIONS, OTHERS, UNITS, Event, Query, find_original, list_events
from usage_tracker.stores import Store
from usage_tracker.web.parameters import (
    BY,
    COMPARE,
    COST,
    SINCE,
    TOP,
    TZ,
    UNTIL,
    WHERE,
    Parameter,
    Refused,
    one_of,
    read_parameters,
    whole,
)
from usage_tracker.web.posting import MOST_BYTES, read_posted
from usage_tracker.web.problems import Problem
from usage_tracker.web.pruned import notes_on_list, notes_on_reports
from usage_tracker.web.reading import may_be_id
from usage_tracker.web.site import now, site_of
from usage_tracker.web.view import View

MOST_ROWS = 50_000
"""Groups of one answer."""
MOST_EVENTS = 10_000
FEW_EVENTS = 1000
"""That are read in no time."""
MOST_VALUES = 1000

FORMAT = one_of("format", "json or csv.", ("json", "csv"), default="json")
EVENT_FORMAT = one_of("format", "json, jsonl or csv.", ("json", "jsonl", "csv"), default="json")
LIMIT = whole("limit", "The most calls.", 1, MOST_EVENTS, default=100)
MATCHING = Parameter("matching", "Only values that contain this text, whatever its case.")
REPORT = (SINCE, UNTIL, TZ, WHERE, BY, TOP, COMPARE, COST, FORMAT)
EVENTS = (SINCE, UNTIL, TZ, WHERE, LIMIT, EVENT_FORMAT)
VALUES = (SINCE, UNTIL, TZ, WHERE, MATCHING)
MEDIA = {"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


async def report(request: Request) -> Response:
    site = site_of(request)
    values = read_parameters(request, *REPORT)
    view = View.of(values, site.zone)
    query = replace(replace(view, by=view.by or ("model",)).query(now()), percentiles=True)
    answer = await site.reader.ask(query)
    if len(answer.rows) > MOST_ROWS:
        raise Refused(f"that are {len(answer.rows):,} rows; ask for fewer with top, where or a shorter range", "top")
    # written on a thread: for the most rows it takes seconds, in which others ask
    if values["format"] == "csv":
        text = await asyncio.to_thread(as_csv, answer, ())
    else:
        notes = [*explain(answer), *await notes_on_reports(site.reader, query)]
        text = await asyncio.to_thread(as_json, answer, notes)
    return document(text, values["format"], "report")


async def events(request: Request) -> Response:
    site = site_of(request)
    values = read_parameters(request, *EVENTS)
    view = View.of({**values, "since": values["since"] or "all"}, site.zone)
    asked = view.range(now())
    query = Query(*asked, (), view.where, view.zone)
    notes = await notes_on_list(site.reader, query) if values["format"] == "json" else []

    def read(store: Store) -> str:
        with closing(list_events(store, *asked, view.where, values["limit"])) as found:
            return "".join(EVENT_FORMATS[values["format"]](query, found, notes))

    text = await site.reader.do(read, slow=bool(view.where) or values["limit"] > FEW_EVENTS)
    return document(text, values["format"], "events")


async def event(request: Request) -> Response:
    read_parameters(request)
    name = request.path_params["id"]
    if not may_be_id(name):
        raise no_event()

    def read(store: Store, found: Event) -> list[str]:
        return event_as_json(found, find_original(store, found))

    text = await site_of(request).reader.of_event(name, read)
    if text is None:
        raise no_event()
    return document("".join(text), "json", "event")


async def dimensions(request: Request) -> Response:
    read_parameters(request)
    return document(json_document(dimensions=list(DIMENSIONS), units=list(UNITS)), "json", "dimensions")


async def dimension_values(request: Request) -> Response:
    """The values that a dimension has in the range, the most expensive first."""
    site, name = site_of(request), request.path_params["name"]
    values = read_parameters(request, *VALUES)
    if name not in DIMENSIONS:
        raise Problem(404, f"there is no dimension of that name; there are: {', '.join(DIMENSIONS)}")
    wanted = (values["matching"] or "").casefold()
    # among all is only looked for a text: there may be more than are read for one answer
    view = replace(View.of(values, site.zone), by=(name,), top=None if wanted else MOST_VALUES)
    answer = await site.reader.ask(view.query(now()))
    found = [row.group[0] for row in answer.rows if row.group[0] is not OTHERS]
    matching = [value for value in found if wanted in ("" if value is None else str(value)).casefold()]
    more = len(matching) > MOST_VALUES or len(found) < len(answer.rows)
    text = json_document(dimension=name, values=matching[:MOST_VALUES], more=more)
    return document(text, "json", "values")


def no_event() -> Problem:
    return Problem(404, "there is no call of that id, nor an answer of that name")


def document(text: str, form: str, name: str) -> Response:
    headers = {"Cache-Control": "no-store"}
    if form != "json":
        headers["Content-Disposition"] = f'attachment; filename="{name}.{form}"'
    return Response(text, media_type=MEDIA[form], headers=headers)


async def post_events(request: Request) -> Response:
    """Store one event or a list of them, all or none, each once however often it is sent."""
    read_parameters(request)
    writer = site_of(request).writer
    if writer is None:
        raise Problem(403, "this server takes no events: it has neither a writer's nor an admin's token")
    content = await read_body(request)
    try:
        posted = read_posted(content)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    outcome = await writer.write_in_turn(posted)
    return document(json_text(outcome._asdict()), "json", "outcome")


async def read_body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "the body is application/json")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise Problem(413, f"the body is larger than {MOST_BYTES >> 20} MiB; send fewer events at once")
    return bytes(content)
