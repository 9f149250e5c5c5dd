"""Events in ClickHouse, over HTTP: in one table, so that the insert of one block is the whole transaction."""

from usage_tracker.stores.clickhouse.store import ClickHouseStore

__all__ = ["ClickHouseStore"]
