"""How ClickHouse says what Postgres and SQLite say otherwise. See dialects and the schema in stores/sql/clickhouse.

Values stand in the text, as old servers bind none, and the SQL is what 18.16 knows: no named queries, no positions in
GROUP BY, no FILTER.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import cast
from uuid import UUID

from usage_tracker.instants import SECOND, to_moment
from usage_tracker.report.plan import EVENTS, ROLLUPS, SKETCHES
from usage_tracker.report.statement import YEAR_1, Statement
from usage_tracker.stores.clickhouse.columns import MAY_BE_UNKNOWN, NONE
from usage_tracker.stores.clickhouse.literals import literal

NULL = literal(NONE)
GRAINS = {EVENTS.table: "event", **{each.table: each.table.removeprefix("by_") for each in (*ROLLUPS, *SKETCHES)}}
"""The names of tables that are rows of `usage`."""


class ClickHouseStatement(Statement):
    """Instants are microseconds everywhere; money is asked for as text."""

    rows_hold_values = True
    events = "usage PREWHERE grain = 'event'"
    event_columns = MappingProxyType(
        {
            "cost": "if(priced > 0, toString(cost), NULL) AS cost_text",
            "reported_cost": "if(reported > 0, toString(reported_cost), NULL) AS reported_cost_text",
            **{
                name: f"if(bitTest(known, {bit}), {name}, NULL) AS {name}_or_null"
                for bit, name in enumerate(MAY_BE_UNKNOWN)
            },
        }
    )
    has_schema = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'usage'"
    counted = "calls + completed > 0"
    awaited_flags = "['awaited']"

    def bind(self, value: object) -> str:
        return literal(value)

    def table(self, name: str) -> str:
        return f"usage PREWHERE grain = '{GRAINS[name]}'" if name in GRAINS else name

    def bind_instant(self, instant: int, column: str) -> str:
        return str(instant)

    def bind_event_id(self, event_id: UUID) -> str:
        return literal(str(event_id))

    def write_within(self, table: str, column: str, spans: Iterable[tuple[int, int]]) -> str:
        tests = " OR ".join(f"(at >= {start} AND at < {end})" for start, end in spans)
        return f"{self.table(table)} AND ({tests})"

    def write_first(self, column: str) -> str:
        return f"min(toNullable({column}))"

    def write_last(self, column: str) -> str:
        return f"max(toNullable({column}))"

    def write_cut(self, column: str, unit: str, offset: int) -> str:
        wall = f"(intDiv({column} + {YEAR_1 * SECOND}, {SECOND}) + {offset})"
        if unit == "month":
            return f"({write_month(f'intDiv({wall}, 86400)')}) * 86400"
        width = {"hour": 3600, "day": 86_400, "week": 604_800}[unit]
        return f"intDiv({wall}, {width}) * {width}"

    def read_cut(self, value: object) -> datetime:
        assert isinstance(value, int)
        return datetime(1, 1, 1) + timedelta(seconds=value)  # noqa: DTZ001  a wall clock

    def read_bucket(self, value: object) -> int:
        assert isinstance(value, int)
        return value

    def write_outside_hour(self, column: str, hour: int) -> str:
        return f"intDiv({column} + {YEAR_1 * SECOND}, {3600 * SECOND}) % 24 <> {hour}"

    def write_glob(self, value: str, pattern: list[tuple[str, bool]]) -> str:
        wildcards = {"*": ".*", "?": "."}
        regex = "".join(wildcards[text] if wild else re.escape(text) for text, wild in pattern)
        return f"({value} <> {NULL} AND match({value}, {literal(f'(?s)^{regex}$')}))"

    def write_contains(self, array: str, word: str) -> str:
        return f"has({array}, {literal(word)})"

    def read_money(self, value: object) -> Decimal:
        found = Decimal(str(value)).normalize()
        return found or Decimal(0)

    def read_value(self, value: object) -> str | None:
        return None if value == NONE else cast(str, value)

    def read_column(self, name: str, value: object) -> object:
        if value is None or value == NONE:
            return None
        if name == "started_at":
            return to_moment(cast(int, value))
        if name in ("cost", "reported_cost"):
            return self.read_money(value)
        if name in ("cost_parts", "units", "usage"):
            return json.loads(cast(str, value))
        return bool(value) if name in ("streamed", "estimated") else value


def write_month(days: str) -> str:
    """Days from the start of the year 1 to that of the month which a day is in: years that begin in March have their
    odd day at the end. https://howardhinnant.github.io/date_algorithms.html#civil_from_days"""
    since_march = f"({days} + 306)"
    day_of_era = f"({since_march} % 146097)"
    odd_days = f"intDiv({day_of_era}, 1460) - intDiv({day_of_era}, 36524) + intDiv({day_of_era}, 146096)"
    year = f"intDiv({day_of_era} - ({odd_days}), 365)"
    day_of_year = f"({day_of_era} - (365 * {year} + intDiv({year}, 4) - intDiv({year}, 100)))"
    month = f"intDiv(5 * {day_of_year} + 2, 153)"
    return f"{days} - ({day_of_year} - intDiv(153 * {month} + 2, 5))"
