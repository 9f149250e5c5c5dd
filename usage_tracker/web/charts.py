"""A report over time as series for a chart, and as the table of the same figures."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple

from usage_tracker.cli.figures import show_count, show_duration, show_groups, show_money
from usage_tracker.dates import day_after, first_day
from usage_tracker.instants import to_moment
from usage_tracker.report import OTHERS, Report, Row
from usage_tracker.report.plan import LAST
from usage_tracker.report.ranges import hour
from usage_tracker.report.sums import Group, GroupValue
from usage_tracker.web.colours import GREY, assign

Number = Decimal | int | float | None
MOST_EMPTY = 800
"""Buckets without calls are drawn as such, up to so many."""
LAST_DAY = to_moment(LAST).date() - timedelta(days=1)
"""The last that a range can end with."""


class Measure(NamedTuple):
    """A figure that can be drawn."""

    title: str
    of: Callable[[Row], Number]
    show: Callable[[Sequence[Any]], list[str]]
    adds_up: bool = True
    """Whether the groups' figures may be stacked."""


def counts(column: Sequence[Any]) -> list[str]:
    return [show_count(value) for value in column]


def durations(column: Sequence[Any]) -> list[str]:
    return [show_duration(value) for value in column]


MEASURES: dict[str, Measure] = {
    "cost": Measure("Cost", lambda row: row.cost, show_money),
    "calls": Measure("Calls", lambda row: row.calls, counts),
    "tokens": Measure("Tokens", lambda row: row.tokens, counts),
    "input_tokens": Measure("Input tokens", lambda row: row.input_tokens, counts),
    "output_tokens": Measure("Output tokens", lambda row: row.output_tokens, counts),
    "errors": Measure("Errors", lambda row: row.errors, counts),
    "unpriced": Measure("Unpriced calls", lambda row: row.unpriced, counts),
    "duration": Measure("Mean time", lambda row: row.mean_duration_ms, durations, adds_up=False),
}


class Series(NamedTuple):
    group: Group
    """The values, time apart."""
    name: str
    colour: str
    values: list[Number]
    shown: list[str]
    total: Number


class Chart(NamedTuple):
    measure: str
    title: str
    kind: str
    """`bars` over time, `lines` over time, or `ranks`: one bar for each group."""
    unit: str | None
    buckets: list[GroupValue]
    labels: list[str]
    series: list[Series]
    overlaps: bool = False
    """Whether a call is in several series, so that they don't add up to what all calls are."""

    @property
    def empty(self) -> bool:
        return not any(value for series in self.series for value in series.values)

    def document(self) -> dict[str, Any]:
        """What static/app.js draws, and tells of what the pointer is on."""
        told = [self.told(place) for place in range(len(self.buckets))]
        return {
            "title": self.title,
            "measure": self.measure,
            "kind": self.kind,
            "unit": self.unit,
            "labels": self.labels,
            "spans": [span_word(self.unit, bucket) for bucket in self.buckets] if self.unit else [],
            "series": [
                {
                    "name": series.name,
                    "colour": series.colour,
                    "values": [None if value is None else float(value) for value in series.values],
                    "shown": [shown[place] for shown in told] if self.unit else series.shown,
                }
                for place, series in enumerate(self.series)
            ],
            "together": [shown[-1] for shown in told],
        }

    def told(self, bucket: int) -> list[str]:
        """Each series' figure of the bucket, to as many digits as the others, and what they come to; empty where that
        is nothing to tell."""
        chosen = MEASURES[self.measure]
        values = [series.values[bucket] for series in self.series]
        known = [value for value in values if value is not None]
        *figures, together = chosen.show([*values, sum(known) if known and chosen.adds_up else None])
        # where there was no call, nothing is unknown
        figures = [text if series.shown[bucket] else "" for text, series in zip(figures, self.series, strict=True)]
        return [*figures, together if chosen.adds_up and not self.overlaps else ""]


def over_time(report: Report, measure: str, colours: dict[Group, str] | None = None) -> Chart:
    """The report's rows by its unit of time, a series for each combination of its other dimensions."""
    query, chosen = report.query, MEASURES[measure]
    assert query.unit is not None
    place = query.by.index(query.unit)
    found: dict[Group, dict[GroupValue, Row]] = {}
    for row in report.rows:
        rest = row.group[:place] + row.group[place + 1 :]
        found.setdefault(rest, {})[row.group[place]] = row
    buckets = all_buckets(report, sorted({row.group[place] for row in report.rows}))
    colour_of = colours or assign(found)
    others = [name for name in query.by if name != query.unit]
    series = []
    for group, rows in ranked(found, chosen):
        values = [chosen.of(rows[bucket]) if bucket in rows else None for bucket in buckets]
        name, colour = name_of(others, group) or chosen.title, colour_of.get(group, GREY)
        # where there was no call, nothing is unknown
        shown = [text if bucket in rows else "" for bucket, text in zip(buckets, chosen.show(values), strict=True)]
        series.append(Series(group, name, colour, values, shown, total(chosen, rows)))
    kind = "bars" if chosen.adds_up else "lines"
    labels = show_groups(query.unit, buckets)
    return Chart(measure, chosen.title, kind, query.unit, buckets, labels, series, report.overlaps)


def ranks(report: Report, measure: str, most: int = 30) -> Chart:
    """One bar for each row, in the report's order."""
    chosen = MEASURES[measure]
    rows = report.rows[:most]
    colours = assign(row.group for row in rows)
    values = [chosen.of(row) for row in rows]
    shown = chosen.show(values)
    series = [
        Series(row.group, name_of(report.query.by, row.group), colours[row.group], [value], [text], value)
        for row, value, text in zip(rows, values, shown, strict=True)
    ]
    return Chart(measure, chosen.title, "ranks", None, [], [], series)


def ranked(found: dict[Group, dict[GroupValue, Row]], chosen: Measure) -> list[tuple[Group, dict[GroupValue, Row]]]:
    """The largest first, Others last."""

    def place(item: tuple[Group, dict[GroupValue, Row]]) -> tuple[bool, float]:
        group, rows = item
        return OTHERS in group, -float(total(chosen, rows) or 0)

    return sorted(found.items(), key=place)


def total(chosen: Measure, rows: dict[GroupValue, Row]) -> Number:
    known = [value for row in rows.values() if (value := chosen.of(row)) is not None]
    if not known:
        return None
    if chosen.adds_up:
        return sum(known)
    return max(float(value) for value in known)


def name_of(dimensions: Sequence[str], group: Group) -> str:
    return " · ".join(show_groups(name, [value])[0] for name, value in zip(dimensions, group, strict=True))


def all_buckets(report: Report, found: list[Any]) -> list[GroupValue]:
    """The buckets of the range, also those without calls, unless there are too many."""
    query = report.query
    if not found:
        return []
    unit, zone = query.unit, query.tz
    assert unit is not None
    first, last = found[0], found[-1]
    if query.since is not None:
        first = min(first, start_of(unit, query.since, zone))
        if query.until is not None and query.before is None:
            last = max(last, start_of(unit, min(query.until, datetime.now(zone)) - timedelta(microseconds=1), zone))
    buckets = [first]
    while buckets[-1] < last:  # the last one may be the calendar's
        if len(buckets) > MOST_EMPTY:
            return list(found)
        buckets.append(following(unit, buckets[-1], zone))
    return buckets if {*found} <= {*buckets} else list(found)


def start_of(unit: str, moment: datetime, zone: tzinfo) -> Any:
    local = moment.astimezone(zone)
    if unit == "hour":
        return hour(moment, zone).astimezone(timezone(local.utcoffset() or timedelta()))
    return first_day(unit, local.date())


def following(unit: str, bucket: Any, zone: tzinfo) -> Any:
    if unit == "hour":
        return start_of(unit, bucket + timedelta(hours=1), zone)
    return day_after(unit, bucket)


def span_word(unit: str, bucket: GroupValue) -> list[str]:
    """`since` and `until` of the bucket alone, for who clicks on it."""
    if isinstance(bucket, datetime):
        end = bucket + timedelta(hours=1)
        return [bucket.isoformat(), end.isoformat()]
    assert isinstance(bucket, date)
    if unit == "month":
        return [f"{bucket:%Y-%m}", f"{bucket:%Y-%m}"]
    last = bucket + min(timedelta(days=6), LAST_DAY - bucket) if unit == "week" else bucket
    return [bucket.isoformat(), last.isoformat()]
