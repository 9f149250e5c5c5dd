"""What the SQLite file knows of awaited calls. See stores.awaited."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from usage_tracker.event import PricedEvent
from usage_tracker.stores.awaited import KEPT_DAYS, Caller, Digest, Kept
from usage_tracker.stores.dimensions import KIND, Keys, WhoKeys, kind_of
from usage_tracker.stores.values import facts, storable


class SqliteLedger:
    """The ledger, within a transaction: there is one writer at a time."""

    def __init__(self, connection: sqlite3.Connection, keys: Keys, whos: Mapping[int, WhoKeys]) -> None:
        self._connection = connection
        self._keys = keys
        self._whos = whos

    def add_calls(self, calls: Mapping[Digest, PricedEvent]) -> None:
        self._connection.executemany(
            "INSERT INTO usage_awaited (digest, started_at, kind_key, owner_key, user_key, tags_key, host_key, "
            "session_id, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO NOTHING",
            [(digest, *self._call(priced)) for digest, priced in calls.items()],
        )

    def _call(self, priced: PricedEvent) -> tuple[object, ...]:
        event, origin, who = priced.event, priced.origin, self._whos[id(priced.origin)]
        session = origin.session_id and storable(origin.session_id)
        return (
            facts(priced).started_at, self._keys[KIND][kind_of(priced)],
            who.owner, who.user, who.tags, who.host, session, storable(event.status),
        )  # fmt: skip

    def callers(self, awaited: Iterable[Digest]) -> dict[Digest, Caller]:
        found = {}
        for digest in awaited:
            for *who, tags in self._connection.execute(
                "SELECT o.app, o.project, o.team, o.api_key, u.user_id, a.session_id, t.tags FROM usage_awaited a "
                "JOIN usage_owner o USING (owner_key) JOIN usage_user u USING (user_key) "
                "JOIN usage_tags t USING (tags_key) WHERE a.digest = ?",
                [digest],
            ):
                found[digest] = Caller._make((*who, tuple(json.loads(tags))))
        return found

    def complete(self, results: Mapping[Digest, Digest]) -> set[Digest]:
        noted = "INSERT INTO usage_completed (digest) VALUES (?) ON CONFLICT (digest) DO NOTHING"
        fresh = {result for result in results if self._connection.execute(noted, [result]).rowcount == 1}
        self._connection.executemany(
            "UPDATE usage_awaited SET completed = 1 WHERE digest = ? AND NOT completed",
            {(results[result],) for result in fresh},
        )
        return fresh

    def keep(self, usages: Sequence[Kept]) -> None:
        self._connection.executemany(
            "INSERT INTO usage_kept_aside (digest, awaited, event) VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING",
            usages,
        )
        self._connection.execute(
            "DELETE FROM usage_kept_aside WHERE kept_at < strftime('%Y-%m-%dT%H:%M:%fZ', 'now', ?)",
            [f"-{KEPT_DAYS} days"],
        )

    def take(self, awaited: Iterable[Digest]) -> list[Kept]:
        taken: list[Kept] = []
        for digest in awaited:
            taken += map(
                Kept._make,
                self._connection.execute(
                    "SELECT digest, awaited, event FROM usage_kept_aside WHERE awaited = ?", [digest]
                ),
            )
            self._connection.execute("DELETE FROM usage_kept_aside WHERE awaited = ?", [digest])
        return taken
