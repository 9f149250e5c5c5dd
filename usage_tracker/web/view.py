"""What a page shows, as its address says it: the range, the time zone, the conditions, the dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from usage_tracker.conditions import exactly
from usage_tracker.report import (
    OTHERS,
    UNITS,
    Condition,
    CostBasis,
    Query,
    Range,
    is_dimension,
    parse_range,
)
from usage_tracker.report.comparison import earlier
from usage_tracker.report.sums import Group
from usage_tracker.web.parameters import Refused

MOST_BUCKETS = 5000
"""Hours, days, weeks or months of one answer."""
WIDTHS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}


@dataclass(frozen=True)
class View:
    zone: tzinfo
    since: str | None = None
    until: str | None = None
    where: tuple[Condition, ...] = ()
    by: tuple[str, ...] = ()
    top: int | None = None
    compare: str | None = None
    cost: CostBasis = "recorded"
    zone_said: bool = False
    """Whether the address names the time zone, or it is the server's."""

    @classmethod
    def of(cls, values: dict[str, Any], zone: tzinfo) -> "View":
        """Out of parameters that were read. `zone`: where none is named."""
        return cls(
            values.get("tz") or zone,
            values.get("since"),
            values.get("until"),
            values.get("where", ()),
            tuple(name for names in values.get("by", ()) for name in names),
            values.get("top"),
            values.get("compare"),
            values.get("cost") or "recorded",
            zone_said=values.get("tz") is not None,
        )

    def range(self, now: datetime) -> Range:
        """Raises Refused."""
        try:
            return parse_range(self.since, self.until, self.zone, now)
        except ValueError as error:
            raise Refused(str(error), "since") from None
        except OverflowError:
            raise Refused("the range is beyond the calendar", "since") from None

    def query(self, now: datetime | None = None) -> Query:
        """The question that the address asks. Raises Refused."""
        moment = now or datetime.now(UTC)
        asked = self.range(moment)
        try:
            query = Query(*asked, self.by, self.where, self.zone, self.top, cost=self.cost)
        except ValueError as error:
            raise Refused(str(error), "by") from None
        check_buckets(query)
        if self.compare is None:
            return query
        try:
            return replace(query, before=earlier(self.compare, asked, self.zone, moment))
        except (ValueError, OverflowError) as error:
            raise Refused(f"compare: {error}", "compare") from None

    def over(self, since: str | None, until: str | None) -> "View":
        """The same of another range. Nothing is before all there is, so that it is held against nothing."""
        return replace(self, since=since, until=until, compare=None if since == "all" else self.compare)

    def without(self, condition: Condition) -> "View":
        return replace(self, where=tuple(each for each in self.where if each != condition))

    def only(self, by: Sequence[str], group: Group) -> "View | None":
        """The same of the calls of this group alone, whatever their time. None where it is Others, or has a value that
        no condition can say."""
        where = list(self.where)
        for name, value in zip(by, group, strict=True):
            if not is_dimension(name):
                continue
            if value is OTHERS or value == "":
                return None
            condition = exactly(name, value)
            if condition not in where:
                where.append(condition)
        return replace(self, where=tuple(where))

    def parameters(self) -> list[tuple[str, str]]:
        """The address's part after the question mark, in one order for the same view."""
        pairs: list[tuple[str, str | None]] = [
            ("since", self.since),
            ("until", self.until),
            ("by", ",".join(self.by) or None),
            *(("where", str(condition)) for condition in self.where),
            ("top", None if self.top is None else str(self.top)),
            ("compare", self.compare),
            ("cost", None if self.cost == "recorded" else self.cost),
            ("tz", str(self.zone) if self.zone_said else None),
        ]
        return [(name, value) for name, value in pairs if value is not None]

    def address(self, path: str, more: Sequence[tuple[str, str]] = ()) -> str:
        pairs = [*self.parameters(), *more]
        return path + ("?" + urlencode(pairs) if pairs else "")


def check_buckets(query: Query) -> None:
    """Raises Refused where the answer would have more buckets of time than anybody reads."""
    if query.unit is None or query.since is None or query.until is None:
        return
    if (query.until - query.since) / WIDTHS[query.unit] > MOST_BUCKETS:
        wider = UNITS[UNITS.index(query.unit) + 1 :]
        remedy = f"; group by {' or '.join(wider)}, or take a shorter range" if wider else ""
        raise Refused(f"that are more than {MOST_BUCKETS:,} {query.unit}s{remedy}", "by")


def fitting_unit(asked: Range) -> str:
    """The unit of time that makes a chart of the range readable."""
    if asked.since is None:
        return "month"
    days = (asked.until - asked.since) / timedelta(days=1)
    return "hour" if days <= 3 else "day" if days <= 100 else "week" if days <= 500 else "month"
