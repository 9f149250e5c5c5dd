"""The sums of a report as expressions over the table of exported events, whichever engine computes them.

Each stands for one of `report.groups`, which says the same in SQL over rollups and events. Time is cut in whole seconds
since 1970, so that no engine's notion of time zones has a say.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from usage_tracker.event import COLUMNS
from usage_tracker.instants import SECOND, to_instant, to_moment
from usage_tracker.lake.matching import Expression, meets
from usage_tracker.report import Event, Query
from usage_tracker.report.dimensions import DIMENSIONS, UNITS, key_of_tags
from usage_tracker.report.plan import clock_settings
from usage_tracker.report.sketch import BASE, Sketch
from usage_tracker.report.sums import COUNTED, Group, GroupValue, Sums

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from usage_tracker.lake.engines import Lake

DAY_SECONDS = 86_400
MONTHS_BEFORE_1970 = 1970 * 12


class LakeFigures:
    """See report.Figures."""

    def __init__(self, lake: "Lake") -> None:
        self._lake = lake

    def groups(self, query: Query) -> dict[Group, Sums]:
        table, by = self._grouped(query)
        sums = table.group_by(by).aggregate(**measures(table)) if by else table.aggregate(**measures(table))
        found = {}
        for row in self._lake.rows(sums):
            read = Sums(*(read_sum(name, row[name]) for name in COUNTED))
            if read.any():
                found[group_of(query, row)] = read
        return self._with_sketches(query, found) if query.percentiles else found

    def top_groups(self, query: Query) -> None:
        """Engines read all events anyway."""

    def without_percentiles(self, query: Query) -> bool:
        """Never: an engine that reads all events anyway counts their durations, too."""
        return False

    def untold(self, query: Query) -> int:
        all_events = self._lake.events
        completed = all_events.filter(all_events.completes.notnull()).select(done=all_events.completes).distinct()
        waiting = self._chosen(query)
        waiting = waiting.filter(waiting.awaits.notnull(), waiting.completes.isnull())
        [row] = self._lake.rows(
            waiting.anti_join(completed, waiting.awaits == completed.done).aggregate(found=lambda table: table.count())
        )
        return int(row["found"])

    def contradicting(self, query: Query) -> int | None:
        """Not asked for: it would be one more reading of all files."""
        return None

    def events(self, query: Query) -> Iterable[Event]:
        for row in self._lake.rows(self._chosen(query).select(*COLUMNS)):
            yield read_event(row)

    def _chosen(self, query: Query) -> "ir.Table":
        """The events of the range that meet the conditions. Days that are out of it are not even opened."""
        table = self._lake.events
        if query.since is not None:
            table = table.filter(table.day >= query.since.astimezone(UTC).date(), table.started_at >= query.since)
        if query.until is not None:
            table = table.filter(table.day <= query.until.astimezone(UTC).date(), table.started_at < query.until)
        return table.filter(*(meets(table, condition) for condition in query.where)) if query.where else table

    def _grouped(self, query: Query) -> "tuple[ir.Table, list[str]]":
        """The chosen events with a column for each part of a group, and these columns."""
        table = self._chosen(query)
        columns: dict[str, Expression] = {}
        for name in query.by:
            if name in UNITS:
                seconds = table.started_at.truncate("s").epoch_seconds()
                shift = self._shift(query, seconds, name)
                columns["cut"] = cut(seconds + shift, name)
                if name == "hour":
                    columns["shift"] = shift
            else:
                columns[f"by_{name}"] = value_of(table, name)
        return (table.mutate(**columns), list(columns)) if columns else (table, [])

    def _shift(self, query: Query, seconds: Expression, unit: str) -> Expression:
        """How many seconds the clock of the query's zone is ahead of UTC at each event."""
        import ibis

        span = self._span(query)
        if span is None:
            return ibis.literal(0, "int64")
        *pieces, (_, _, last) = list(clock_settings(query.tz, span, unit))
        shift: Expression = ibis.literal(last, "int64")
        for _, end, offset in reversed(pieces):
            shift = ibis.ifelse(seconds < end // SECOND, ibis.literal(offset, "int64"), shift)
        return shift

    def _span(self, query: Query) -> tuple[int, int] | None:
        """Instants from the first to the last that may count."""
        if query.since is not None and query.until is not None:
            return to_instant(query.since), max(to_instant(query.until), to_instant(query.since) + 1)
        table = self._lake.events
        [days] = self._lake.rows(table.aggregate(first=table.day.min(), last=table.day.max()))
        if days["first"] is None:
            return None
        first, last = (midnight(days[name]) for name in ("first", "last"))
        since = first if query.since is None else query.since
        until = last + timedelta(days=1) if query.until is None else query.until
        return to_instant(since), max(to_instant(until), to_instant(since) + 1)

    def _with_sketches(self, query: Query, groups: Mapping[Group, Sums]) -> dict[Group, Sums]:
        durations, firsts = (self._sketches(query, column) for column in ("duration_ms", "ttft_ms"))
        none = Sketch()
        return {
            group: sums._replace(durations=durations.get(group, none), first_chunks=firsts.get(group, none))
            for group, sums in groups.items()
        }

    def _sketches(self, query: Query, column: str) -> dict[Group, Sketch]:
        import ibis

        table, by = self._grouped(query)
        timed = table.filter(table[column].notnull(), table.completes.isnull())
        power = ibis.ifelse(timed[column] > 1, timed[column], 1.0).ln() / ibis.literal(BASE).ln()
        timed = timed.mutate(bucket=power.ceil().cast("int64"))
        found: dict[Group, Sketch] = {}
        for row in self._lake.rows(timed.group_by([*by, "bucket"]).aggregate(found=timed.count())):
            found.setdefault(group_of(query, row), Sketch())[int(row["bucket"])] = int(row["found"])
        return found


def measures(table: "ir.Table") -> dict[str, Expression]:
    """As `report.sums.EVENT_SUMS`."""
    call = table.completes.isnull()
    known = table.input_tokens.notnull() | table.output_tokens.notnull()
    counts = {
        "calls": call,
        "errors": (table.status == "error") & call,
        "counted": known & call,
        "estimated": table.estimated,
        "priced": table.cost.notnull(),
        "unpriced": table.cost_flags.contains("unpriced"),
        "reported": table.reported_cost.notnull(),
        "ttft_calls": table.ttft_ms.notnull() & call,
        "awaited": table.awaits.notnull() & call,
        "completed": known & ~call,
        "output_counted": table.output_tokens.notnull(),
        "cache_read_counted": table.cache_read_tokens.notnull(),
        "cache_write_counted": table.cache_write_tokens.notnull(),
        "reasoning_counted": table.reasoning_tokens.notnull(),
        "untimed": table.duration_ms.isnull() & call,
        "input_counted": table.input_tokens.notnull(),
    }
    sums: dict[str, Expression] = {name: test.sum() for name, test in counts.items()}
    for name in COUNTED:
        if name not in sums:
            sums[name] = table[name].sum(where=call) if name.endswith("_ms") else table[name].sum()
    return sums


def value_of(table: "ir.Table", name: str) -> Expression:
    """What an event counts under: one row for each of its tags, where it is by tag."""
    import ibis

    key = key_of_tags(name)
    if name == "tag" or key is not None:
        tags = table.tags
        if key is not None:
            tags = tags.filter(lambda tag: tag.startswith(f"{key}:")).map(lambda tag: tag.substr(len(key) + 1))
        none = ibis.array([ibis.null("string")])
        return ibis.ifelse(tags.length() == 0, none, tags.unique()).unnest()
    if name == "model":
        return ibis.coalesce(table.model, table.request_model)
    return cast(Expression, table[DIMENSIONS[name].value])


def cut(wall: Expression, unit: str) -> Expression:
    """The number of the hour, day, week or month that the second of a wall clock is in, since 1970. Weeks start on
    Monday; 1970 did on a Thursday."""
    if unit == "hour":
        return wall // 3600
    days = wall // DAY_SECONDS
    if unit == "day":
        return days
    if unit == "week":
        return (days + 3) // 7
    # https://howardhinnant.github.io/date_algorithms.html#civil_from_days: years that start with March, in eras of 400
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return (year + era * 400) * 12 + month + 2 - MONTHS_BEFORE_1970


def read_cut(number: int, unit: str) -> date:
    if unit == "day":
        return date(1970, 1, 1) + timedelta(days=number)
    if unit == "week":
        return date(1969, 12, 29) + timedelta(weeks=number)
    return date(1970 + number // 12, number % 12 + 1, 1)


def group_of(query: Query, row: Mapping[str, Any]) -> Group:
    def values() -> Iterator[GroupValue]:
        for name in query.by:
            if name == "hour":
                zone = timezone(timedelta(seconds=int(row["shift"])))
                yield to_moment((int(row["cut"]) * 3600 - int(row["shift"])) * SECOND).astimezone(zone)
            elif name in UNITS:
                yield read_cut(int(row["cut"]), name)
            else:
                yield row[f"by_{name}"]

    return tuple(values())


def read_sum(name: str, value: Any) -> Any:
    """A sum of nothing is null, whatever the engine."""
    kind = Sums.__annotations__[name]
    return kind(value or 0)


def read_event(row: Mapping[str, Any]) -> Event:
    """An event in the form that a store's has."""
    event = {name: row[name] for name in COLUMNS}
    event["started_at"] = event["started_at"].astimezone(UTC)
    for name in ("cost", "reported_cost"):
        if event[name] is not None:
            event[name] = Decimal(event[name])
    for name in ("cost_parts", "usage"):
        event[name] = None if event[name] is None else json.loads(event[name])
    if event["units"] is not None:
        event["units"] = dict(event["units"])
    return event


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
