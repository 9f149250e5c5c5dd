"""Events in ClickHouse, exactly once, without transactions.

A batch is one block for one table: its events, what they add to the rollups, and how far its segments are stored by
then. The server stores a block whole or not at all, and drops it where it has it already; sums are put together by its
merges. So nothing is ever half there, and what is sent again changes nothing.

Three rules make that hold across crashes. A block is sent only where the segments stand at its start, on a replica that
has all that the others have. While it isn't known whether a block has arrived, the very same one is sent again before
anything else, by whoever leads next. And there is one leader for each spool folder, which its lock sees to.
"""
# ruff: noqa: S608  names of tables and columns are our own, and values are written as literals

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from usage_tracker.dsn import Dsn
from usage_tracker.errors import EventsRefused, SchemaError, StoreError, StoreUnavailable
from usage_tracker.event import Batch, Stretch
from usage_tracker.instants import to_instant
from usage_tracker.stores import migrations
from usage_tracker.stores.awaited import any_late, settle
from usage_tracker.stores.clickhouse import pruning
from usage_tracker.stores.clickhouse.address import address_of
from usage_tracker.stores.clickhouse.awaited import ClickHouseLedger
from usage_tracker.stores.clickhouse.block import make_block, place, token_of
from usage_tracker.stores.clickhouse.columns import COLUMNS
from usage_tracker.stores.clickhouse.literals import literal, with_values
from usage_tracker.stores.clickhouse.schema import ClickHouseSchema, own_table
from usage_tracker.stores.clickhouse.server import Server
from usage_tracker.stores.clickhouse.unanswered import Keeper, Unanswered
from usage_tracker.stores.description import Description
from usage_tracker.stores.pruning import Prunable
from usage_tracker.stores.repricing import Repriced
from usage_tracker.stores.store import Dialect, Execute, Result

CATCH_UP_SECONDS = 5.0
"""How long a replica is given to get what others have stored."""


class ClickHouseStore:
    """See Store. Connects at the first request."""

    takes_alike = False
    dialect = Dialect("clickhouse", "", "?")

    def __init__(self, dsn: Dsn, spool: Path | None = None) -> None:
        self._server = Server(address_of(dsn))
        self._keeper = Keeper(spool)

    def migrate(self) -> list[str]:
        return migrations.migrate(ClickHouseSchema(self._server), self.dialect.name)

    def positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        self._keeper.look_again()
        self._find_out()
        self._catch_up()
        return self._read_positions(segments)

    def write(self, batch: Batch) -> bool:
        self._find_out()
        self._catch_up()
        known = self._read_positions([stretch.segment for stretch in batch.stretches])
        if any(known.get(stretch.segment, 0) != stretch.start for stretch in batch.stretches):
            return False
        events, more = batch.events, []
        if any_late(batch.events):
            ledger = ClickHouseLedger(self._server, own_table(self._server))
            events = settle(ledger, batch.events)
            more = ledger.sections()
        block = make_block(batch.stretches, events, more)
        columns = ", ".join(column.name for column in COLUMNS)
        sql = f"INSERT INTO {own_table(self._server)} ({columns}) FORMAT Native"
        self._keeper.keep(Unanswered(list(batch.stretches), sql, token_of(batch.stretches).hex(), block))
        self._send()
        return True

    def _send(self, again: str = "") -> None:
        """Send the block that is kept. Its outcome is known where this returns, or EventsRefused is raised."""
        kept = self._keeper.kept()
        assert kept is not None
        try:
            self._server.run(kept.sql, kept.block, self._server.version.insert_settings(kept.token + again))
        except EventsRefused:
            self._keeper.forget()
            raise
        self._keeper.forget()

    def _find_out(self) -> None:
        """Bring the block whose outcome isn't known to its end."""
        kept = self._keeper.kept()
        if kept is None:
            return
        self._catch_up()
        if self._arrived(kept.stretches):
            self._keeper.forget()
            return
        # it is on its way still, or never arrived: sent again it is stored once, whichever comes first
        self._server.run(kept.sql, kept.block, self._server.version.insert_settings(kept.token))
        if not self._arrived(kept.stretches):
            # a server that was killed remembers the name of a block that it had no time to store
            self._send(" again")
        self._keeper.forget()

    def _arrived(self, stretches: Sequence[Stretch]) -> bool:
        """Whether the block of these stretches is stored. It is whole or not there, so one of them tells."""
        [first, *_] = stretches
        return self._read_positions([first.segment]).get(first.segment, 0) > first.start

    def _read_positions(self, segments: Collection[UUID]) -> dict[UUID, int]:
        if not segments:
            return {}
        places = ", ".join(str(place(segment.bytes)) for segment in segments)
        identities = ", ".join(literal(segment.bytes) for segment in segments)
        rows = self._server.select(
            f"SELECT hex(id), sum(position) FROM {own_table(self._server)} PREWHERE grain = 'offset' "
            f"WHERE at IN ({places}) AND id IN ({identities}) GROUP BY id"
        )
        return {UUID(str(identity)): int(str(position)) for identity, position in rows}

    def _catch_up(self) -> None:
        """Wait until this replica has all that any has stored: what it lacks would be stored twice."""
        if self._server.address.cluster is None:
            return
        deadline = time.monotonic() + CATCH_UP_SECONDS
        while self._lags():
            if time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"the replica at {self._server.address.shown} lacks what others have stored; events wait until it "
                    "has caught up"
                )
            time.sleep(0.05)

    def _lags(self) -> bool:
        database, table = literal(self._server.address.database), literal(own_table(self._server))
        rows = list(
            self._server.select(
                "SELECT log_pointer <= log_max_index, is_readonly, log_pointer, zookeeper_path, replica_path "
                f"FROM system.replicas WHERE database = {database} AND table = {table}"
            )
        )
        if not rows:
            return False
        [(behind, readonly, pointer, path, own_path)] = rows
        if behind and pointer == 0:
            # of a table that is new, both are 0 before the first entry and after it
            log = literal(f"{path}/log")
            [(behind,)] = self._server.select(f"SELECT count() FROM system.zookeeper WHERE path = {log}")
        if behind or readonly:
            return True
        # as ZooKeeper has it, where a block goes from the log to this queue at once; the server hears of it later
        queue = literal(f"{own_path}/queue")
        [(queued,)] = self._server.select(
            f"SELECT count() FROM system.zookeeper WHERE path = {queue} AND position(value, '\\nget\\n') > 0"
        )
        return bool(queued)

    def compact(self) -> int:
        """Nothing to do: merges put sums together by themselves."""
        return 0

    def reprice(self, repriced: Sequence[Repriced]) -> int:
        raise SchemaError(
            "ClickHouse can't change what is stored, so calls in it can't be priced again; `usage-tracker report "
            "--cost current` shows what they would cost now"
        )

    def describe(self) -> Description:
        database = literal(self._server.address.database)
        [(version, now)] = self._server.select("SELECT version(), toUnixTimestamp(now()) AS now")
        [(size,)] = self._server.select(
            f"SELECT toInt64(sum(bytes_on_disk)) FROM system.parts WHERE active AND database = {database}"
        )
        moment = datetime.fromtimestamp(int(str(now)), UTC)
        return Description(f"ClickHouse {version}", moment, int(str(size)), 0, [])

    def prunable(self, before: datetime) -> list[Prunable]:
        return pruning.look(self._server, to_instant(before))

    def prune(self, before: datetime) -> Iterator[int]:
        return pruning.prune(self._server, to_instant(before))

    def free_bytes(self) -> tuple[int, int]:
        return 0, 0

    def vacuum(self) -> None:
        """Nothing to do: what was pruned is gone from the disk."""

    def change(self, work: Callable[[Execute], Result]) -> Result:
        raise StoreError(
            "ClickHouse has no transactions, so budgets and a price book can't be kept in it; a price book can be a "
            "file, which TRACKER_PRICES names"
        )

    def select(self, sql: str, parameters: Sequence[object] = ()) -> Iterator[tuple[object, ...]]:
        """Read rows as they come: numbers, text, lists. Times are microseconds since 1970; money is best asked for as
        text. With parameters, a question mark stands for nothing else."""
        return self._server.select(with_values(sql, self.dialect.placeholder, parameters))

    def interrupt(self) -> None:
        self._server.interrupt()

    def close(self) -> None:
        self._server.close()
