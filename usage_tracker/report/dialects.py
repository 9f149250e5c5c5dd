"""The few things that Postgres and SQLite say differently, and the statements of whichever store is asked."""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import cast
from uuid import UUID

from usage_tracker.decimals import EXACT
from usage_tracker.instants import SECOND, to_instant, to_moment
from usage_tracker.report.statement import YEAR_1, Statement
from usage_tracker.stores import Dialect, Store
from usage_tracker.stores.values import PICODOLLAR, sum_of_picodollars


class PostgresStatement(Statement):
    each = "LATERAL unnest({array}) AS one(value)"
    events = "usage_tracker.events"
    by_character = ' COLLATE "C"'
    has_schema = "SELECT to_regclass('usage_tracker.usage_event') IS NOT NULL"
    awaited_flags = "ARRAY['awaited']"

    def bind_instant(self, instant: int, column: str) -> str:
        return self.bind(to_moment(instant))

    def write_within(self, table: str, column: str, spans: Iterable[tuple[int, int]]) -> str:
        # OFFSET keeps the planner from joining all rows with all spans
        return (
            f"{self.write_spans(spans, column)} AS span CROSS JOIN LATERAL (SELECT * FROM {self.table(table)} "  # noqa: S608
            f"WHERE {column} >= span.column1 AND {column} < span.column2 OFFSET 0) AS {table}"
        )

    def bind_event_id(self, event_id: UUID) -> str:
        return f"{self.bind(str(event_id))}::uuid"

    def write_cut(self, column: str, unit: str, offset: int) -> str:
        # not a literal: some settings of a server take the sign of its days for that of its seconds, too
        return f"date_trunc('{unit}', {column} AT TIME ZONE 'UTC' + make_interval(secs => {self.bind(offset)}))"

    def read_cut(self, value: object) -> datetime:
        assert isinstance(value, datetime)
        return value

    def read_bucket(self, value: object) -> int:
        assert isinstance(value, datetime)
        return to_instant(value)

    def write_outside_hour(self, column: str, hour: int) -> str:
        return f"extract(hour FROM {column} AT TIME ZONE 'UTC') <> {self.bind(hour)}"

    def write_glob(self, value: str, pattern: list[tuple[str, bool]]) -> str:
        wildcards = {"*": "%", "?": "_"}
        like = "".join(wildcards[text] if wild else re.sub(r"([\\%_])", r"\\\1", text) for text, wild in pattern)
        return f"{value} LIKE {self.bind(like)}"

    def write_contains(self, array: str, word: str) -> str:
        return f"{self.bind(word)} = ANY({array})"

    def read_money(self, value: object) -> Decimal:
        assert isinstance(value, Decimal)
        return value

    def read_column(self, name: str, value: object) -> object:
        return value


MONEY = ("cost", "reported_cost")


class SqliteStatement(Statement):
    """Instants are integers, seconds in rollups and microseconds in events; money is in units of 1e-12 dollars."""

    each = "json_each({array}) AS one"
    # not the view: its `started_at` is text that no index finds, and its money is rounded
    events = (
        "usage_event JOIN usage_kind USING (kind_key) JOIN usage_owner USING (owner_key) "
        "JOIN usage_user USING (user_key) JOIN usage_tags USING (tags_key) "
        "LEFT JOIN usage_host USING (host_key) LEFT JOIN usage_price USING (price_key)"
    )
    event_columns = MappingProxyType({"price_source": "source", "price_version": "version"})
    has_schema = "SELECT count(*) FROM sqlite_master WHERE name = 'usage_event'"
    awaited_flags = "'[\"awaited\"]'"

    def bind_instant(self, instant: int, column: str) -> str:
        return self.bind(instant // SECOND if column == "bucket_at" else instant)

    def write_within(self, table: str, column: str, spans: Iterable[tuple[int, int]]) -> str:
        span = f"{self.write_spans(spans, column)} AS span"
        return f"{span} CROSS JOIN {table} ON {column} >= span.column1 AND {column} < span.column2"

    def bind_event_id(self, event_id: UUID) -> str:
        return self.bind(event_id.bytes)

    def write_cut(self, column: str, unit: str, offset: int) -> str:
        seconds = column if column == "bucket_at" else f"({column} + {YEAR_1 * SECOND}) / {SECOND} - {YEAR_1}"
        wall = f"({seconds} + {self.bind(offset)})"
        if unit == "month":
            return f"CAST(strftime('%s', {wall}, 'unixepoch', 'start of month') AS INTEGER) + {YEAR_1}"
        width = {"hour": 3600, "day": 86_400, "week": 604_800}[unit]
        return f"({wall} + {YEAR_1}) / {width} * {width}"

    def read_cut(self, value: object) -> datetime:
        assert isinstance(value, int)
        return datetime(1, 1, 1) + timedelta(seconds=value)  # noqa: DTZ001  a wall clock

    def read_bucket(self, value: object) -> int:
        assert isinstance(value, int)
        return value * SECOND

    def write_outside_hour(self, column: str, hour: int) -> str:
        return f"({column} + {YEAR_1}) % 86400 <> {self.bind(hour * 3600)}"

    def write_glob(self, value: str, pattern: list[tuple[str, bool]]) -> str:
        glob = "".join(text if wild or text not in "*?[" else f"[{text}]" for text, wild in pattern)
        return f"{value} GLOB {self.bind(glob)}"

    def write_contains(self, array: str, word: str) -> str:
        return f"{self.bind(word)} IN (SELECT value FROM json_each({array}))"  # noqa: S608  our own names

    def write_sum(self, column: str) -> str:
        if column not in MONEY:
            return super().write_sum(column)
        return sum_of_picodollars(column)

    def read_money(self, value: object) -> Decimal:
        assert isinstance(value, int | float)
        exact = Decimal(value) if isinstance(value, int) else Decimal(f"{value:.15g}")
        return EXACT.scaleb(exact, -12).quantize(PICODOLLAR, context=EXACT)

    def read_column(self, name: str, value: object) -> object:
        if value is None:
            return [] if name == "cost_flags" else None
        if name == "event_id":
            assert isinstance(value, bytes)
            return str(UUID(bytes=value))
        if name == "started_at":
            assert isinstance(value, int)
            return to_moment(value)
        if name in ("cost", "reported_cost"):
            return self.read_money(value)
        if name in ("tags", "cost_flags", "cost_parts", "units", "usage"):
            return json.loads(cast(str, value))
        return bool(value) if name in ("streamed", "estimated") else value


STATEMENTS: dict[str, type[Statement]] = {"postgres": PostgresStatement, "sqlite": SqliteStatement}


def open_statement(dialect: Dialect) -> Statement:
    """An empty statement for a store of that dialect."""
    if dialect.name == "clickhouse":
        from usage_tracker.report.clickhouse_dialect import ClickHouseStatement

        return ClickHouseStatement(dialect)
    return STATEMENTS[dialect.name](dialect)


def has_schema(store: Store) -> bool:
    """Whether anything was ever laid into the store. Raises StoreError."""
    [(found,)] = store.select(open_statement(store.dialect).has_schema)
    return bool(found)
