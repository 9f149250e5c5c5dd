"""What ClickHouse knows of awaited calls, as rows that become part of the batch's own block. See stores.awaited.

Without transactions, two leaders that store the same usage within the same moment would both find it new: of one host,
or of one sidecar, there is only one.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from usage_tracker.event import PricedEvent
from usage_tracker.instants import DAY
from usage_tracker.stores.awaited import KEPT_DAYS, Caller, Digest, Kept
from usage_tracker.stores.clickhouse.block import place, section
from usage_tracker.stores.clickhouse.columns import NONE, none_or
from usage_tracker.stores.clickhouse.literals import literal
from usage_tracker.stores.clickhouse.native import Section
from usage_tracker.stores.clickhouse.server import Server
from usage_tracker.stores.dimensions import KIND, OWNER, kind_of
from usage_tracker.stores.values import facts, storable

CALLER = ("app", "project", "team", "api_key", "user_id", "session_id")


class ClickHouseLedger:
    """The ledger of one batch: reads what is stored, and gathers what is to be."""

    def __init__(self, server: Server, table: str) -> None:
        self._server = server
        self._table = table
        self._sections: list[Section] = []
        self._fresh: dict[Digest, Caller] = {}
        """Who made the calls of this batch."""

    def sections(self) -> list[Section]:
        return self._sections

    def add_calls(self, calls: Mapping[Digest, PricedEvent]) -> None:
        noted = self._ids("awaited", calls)
        for call, priced in calls.items():
            if call in noted:
                continue
            origin = priced.origin
            kind = dict(zip(KIND.columns, kind_of(priced), strict=True))
            owner = {name: getattr(origin, name) for name in OWNER.columns}
            who = {"user_id": origin.user_id, "session_id": origin.session_id, "host": origin.host}
            texts = {name: None if text is None else storable(str(text)) for name, text in (kind | owner | who).items()}
            tags = [storable(tag) for tag in origin.tags]
            values: dict[str, Sequence[Any]] = {name: [none_or(text)] for name, text in texts.items()}
            values |= {"status": [storable(priced.event.status)], "streamed": [priced.event.streamed], "tags": [tags]}
            self._add("awaited", {**values, "at": [facts(priced).started_at], "id": [call]})
            self._fresh[call] = Caller._make((*(texts[name] for name in CALLER), tuple(tags)))

    def callers(self, awaited: Iterable[Digest]) -> dict[Digest, Caller]:
        wanted = set(awaited)
        found = {call: caller for call, caller in self._fresh.items() if call in wanted}
        if wanted - found.keys():
            columns, test = f"hex(id), tags, {', '.join(CALLER)}", f"id IN ({digests(wanted)})"
            for identity, tags, *texts in self._rows(columns, "awaited", test):
                assert isinstance(tags, list)
                caller = Caller._make((*(None if text == NONE else text for text in texts), tuple(tags)))
                found.setdefault(bytes.fromhex(str(identity)), caller)
        return found

    def complete(self, results: Mapping[Digest, Digest]) -> set[Digest]:
        fresh = set(results) - self._ids("completed", results, "at")
        for result in fresh:
            self._add("completed", {"at": [place(result)], "id": [result]})
        for call in {results[result] for result in fresh}:
            self._add("told", {"at": [place(call)], "id": [call]})
        return fresh

    def keep(self, usages: Sequence[Kept]) -> None:
        noted = self._ids("kept", [usage.result for usage in usages])
        for usage in usages:
            if usage.result not in noted:
                now = time.time_ns() // 1000
                event = usage.event.hex()
                self._add("kept", {"at": [now], "id": [usage.result], "batch": [usage.awaited], "usage": [event]})

    def take(self, awaited: Iterable[Digest]) -> list[Kept]:
        wanted = list(awaited)
        if not wanted:
            return []
        since = time.time_ns() // 1000 - KEPT_DAYS * DAY
        taken = []
        for result, call, event, at in self._rows(
            "hex(id), hex(any(batch)), any(usage), at",
            "kept",
            f"batch IN ({digests(wanted)}) AND at >= {since} GROUP BY at, id HAVING sum(rows) > 0",
        ):
            identity = bytes.fromhex(str(result))
            taken.append(Kept(identity, bytes.fromhex(str(call)), bytes.fromhex(str(event))))
            # a sum of no rows: merges take both away
            self._add("kept", {"at": [at], "id": [identity], "rows": [-1]})
        return taken

    def _add(self, grain: str, values: Mapping[str, Sequence[Any]]) -> None:
        self._sections.append(section(grain, 1, values))

    def _ids(self, grain: str, identities: Iterable[Digest], column: str = "id") -> set[Digest]:
        """Which of them there are, found by `at` where that is made of them."""
        wanted = list(identities)
        if not wanted:
            return set()
        test = f"id IN ({digests(wanted)})"
        if column == "at":
            test = f"at IN ({', '.join(str(place(identity)) for identity in wanted)}) AND {test}"
        rows = self._rows("hex(id)", grain, f"{test} GROUP BY id HAVING sum(rows) > 0")
        return {bytes.fromhex(str(identity)) for (identity,) in rows}

    def _rows(self, columns: str, grain: str, test: str) -> Iterable[tuple[object, ...]]:
        return self._server.select(f"SELECT {columns} FROM {self._table} PREWHERE grain = '{grain}' WHERE {test}")  # noqa: S608


def digests(found: Iterable[Digest]) -> str:
    return ", ".join(map(literal, found))
