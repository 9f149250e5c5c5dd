"""`/metrics` for Prometheus: running totals out of the rollups, by labels of which there is a bounded number.

https://prometheus.io/docs/instrumenting/exposition_formats/. Never by user, session or tag: such labels have no bound.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from usage_tracker.cli.stores import NothingYet
from usage_tracker.errors import StoreError
from usage_tracker.report import Query, Report, Row, run
from usage_tracker.report.sums import Group
from usage_tracker.web.parameters import read_parameters
from usage_tracker.web.prices_age import KEPT_SECONDS, price_data
from usage_tracker.web.reading import Reader
from usage_tracker.web.site import site_of

TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST_LABEL_SETS = 500
"""Of one family; what comes later is counted under `other`."""
SECONDS = 10.0
NOISE = 1e-9

BY_MODEL = ("provider", "model", "operation")
BY_PROJECT = ("app", "project", "team")
FAMILIES = {"": BY_MODEL, "project_": BY_PROJECT}


class Counter(NamedTuple):
    name: str
    help: str
    of: Callable[[Row], Decimal | float]


COUNTERS = (
    Counter("calls_total", "Finished calls of models.", lambda row: row.calls),
    Counter("errors_total", "Calls that failed.", lambda row: row.errors),
    Counter("unpriced_calls_total", "Calls that should have a cost and have none.", lambda row: row.unpriced),
    Counter("input_tokens_total", "Input tokens, cached ones included.", lambda row: row.input_tokens or 0),
    Counter("cache_read_tokens_total", "Input tokens read from a cache.", lambda row: row.cache_read_tokens or 0),
    Counter("output_tokens_total", "Output tokens, reasoning included.", lambda row: row.output_tokens or 0),
    Counter("cost_usd_total", "US dollars, of calls with a known price.", lambda row: row.cost or Decimal(0)),
    Counter("timed_calls_total", "Finished calls of which it is known how long they took.", lambda row: row.timed),
    Counter(
        "duration_seconds_total", "Time that calls took.", lambda row: (row.mean_duration_ms or 0) * row.timed / 1000
    ),
)


class Admitted:
    """The label sets that have a line of their own. Once in, a set stays, so that no counter ever falls."""

    def __init__(self) -> None:
        self._sets: dict[tuple[str, ...], set[Group]] = {}
        self._told: dict[tuple[str, tuple[str, ...]], float] = {}

    def place(self, by: tuple[str, ...], group: Group) -> tuple[str, ...]:
        known = self._sets.setdefault(by, set())
        if group not in known:
            if len(known) >= MOST_LABEL_SETS:
                return tuple("other" for _ in by)
            known.add(group)
        return tuple("" if value is None else str(value) for value in group)

    def steady(self, name: str, labels: tuple[str, ...], value: float) -> float:
        """What was told before, where the value is less by no more than the last digits of a sum of fractions, which
        depend on the order: for Prometheus, a counter that falls has begun anew and all of it has just come."""
        told = self._told.get((name, labels), 0.0)
        if told * (1 - NOISE) <= value < told:
            return told
        self._told[name, labels] = value
        return value


async def show_metrics(request: Request) -> Response:
    read_parameters(request)
    site = site_of(request)
    admitted: Admitted = request.app.state.admitted
    reports: dict[str, Report] = {}
    up = 1
    try:
        found = await asyncio.gather(*(read(site.reader, by) for by in FAMILIES.values()))
        reports = dict(zip(FAMILIES, found, strict=True))
    except NothingYet:
        reports = {}
    except StoreError:
        up = 0
    prices = await site.reader.known("price data", price_data, KEPT_SECONDS)
    lines = [*written(reports, admitted)]
    lines += gauge("store_up", "Whether the store answers.", up)
    if (age := prices.age(datetime.now(UTC).date())) is not None:
        lines += gauge("price_data_age_days", "Days since the newest price of the price data.", age)
    return Response("".join(lines), media_type=TYPE)


async def read(reader: Reader, by: tuple[str, ...]) -> Report:
    query = Query(by=by)
    return await reader.shared(("metrics", by), lambda store: run(store, query), SECONDS)


def written(reports: dict[str, Report], admitted: Admitted) -> Iterator[str]:
    for prefix, report in reports.items():
        by = FAMILIES[prefix]
        sums: dict[tuple[str, ...], list[Any]] = {}  # money is exact until it is told
        for row in report.rows:
            values = [counter.of(row) for counter in COUNTERS]
            labels = admitted.place(by, row.group)
            sums[labels] = [a + b for a, b in zip(sums.get(labels, [0] * len(values)), values, strict=True)]
        for place, counter in enumerate(COUNTERS):
            name = f"usage_tracker_{prefix}{counter.name}"
            yield f"# HELP {name} {counter.help}\n# TYPE {name} counter\n"
            for labels, figures in sums.items():
                text = ",".join(f'{key}="{escaped(value)}"' for key, value in zip(by, labels, strict=True))
                yield f"{name}{{{text}}} {admitted.steady(name, labels, float(figures[place]))!r}\n"


def gauge(name: str, meaning: str, value: float) -> list[str]:
    name = f"usage_tracker_{name}"
    return [f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {float(value)!r}\n"]


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode("utf-8", "replace").decode()
