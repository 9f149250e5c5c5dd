"""What Postgres knows of awaited calls. See stores.awaited."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from psycopg2 import Binary
from psycopg2.extras import execute_values

from usage_tracker.event import PricedEvent
from usage_tracker.instants import to_moment
from usage_tracker.stores.awaited import KEPT_DAYS, Caller, Digest, Kept
from usage_tracker.stores.dimensions import KIND, Keys, WhoKeys, kind_of
from usage_tracker.stores.postgres.connection import Cursor
from usage_tracker.stores.values import facts, storable

AWAITED_LOCK = 0x7573616765_04


class PostgresLedger:
    """The ledger, for this transaction alone: until it ends, others wait who have awaited calls or their usage. Two
    that don't see each other's rows would leave a usage aside for ever."""

    def __init__(self, cursor: Cursor, keys: Keys, whos: Mapping[int, WhoKeys]) -> None:
        self._cursor = cursor
        self._keys = keys
        self._whos = whos
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AWAITED_LOCK])

    def add_calls(self, calls: Mapping[Digest, PricedEvent]) -> None:
        execute_values(
            self._cursor,
            "INSERT INTO usage_tracker.usage_awaited (digest, started_at, kind_key, owner_key, user_key, tags_key, "
            "host_key, session_id, status) VALUES %s ON CONFLICT (digest) DO NOTHING",
            [(as_uuid(digest), *self._call(priced)) for digest, priced in calls.items()],
            template="(%s::uuid, %s, %s, %s, %s, %s, %s, %s, %s)",
            page_size=1000,
        )

    def _call(self, priced: PricedEvent) -> tuple[object, ...]:
        event, origin, who = priced.event, priced.origin, self._whos[id(priced.origin)]
        session = origin.session_id and storable(origin.session_id)
        return (
            to_moment(facts(priced).started_at), self._keys[KIND][kind_of(priced)],
            who.owner, who.user, who.tags, who.host, session, storable(event.status),
        )  # fmt: skip

    def callers(self, awaited: Iterable[Digest]) -> dict[Digest, Caller]:
        self._cursor.execute(
            "SELECT a.digest, o.app, o.project, o.team, o.api_key, u.user_id, a.session_id, t.tags "
            "FROM usage_tracker.usage_awaited a JOIN usage_tracker.usage_owner o USING (owner_key) "
            "JOIN usage_tracker.usage_user u USING (user_key) JOIN usage_tracker.usage_tags t USING (tags_key) "
            "WHERE a.digest = ANY(%s::uuid[])",
            [[as_uuid(digest) for digest in awaited]],
        )
        return {UUID(digest).bytes: Caller._make((*who, tuple(tags))) for digest, *who, tags in self._cursor.fetchall()}

    def complete(self, results: Mapping[Digest, Digest]) -> set[Digest]:
        self._cursor.execute(
            "INSERT INTO usage_tracker.usage_completed (digest) SELECT unnest(%s::uuid[]) "
            "ON CONFLICT (digest) DO NOTHING RETURNING digest",
            [[as_uuid(digest) for digest in results]],
        )
        fresh = {UUID(digest).bytes for (digest,) in self._cursor.fetchall()}
        self._cursor.execute(
            "UPDATE usage_tracker.usage_awaited SET completed = true WHERE digest = ANY(%s::uuid[]) AND NOT completed",
            [[as_uuid(digest) for digest in {results[result] for result in fresh}]],
        )
        return fresh

    def keep(self, usages: Sequence[Kept]) -> None:
        execute_values(
            self._cursor,
            "INSERT INTO usage_tracker.usage_kept_aside (digest, awaited, event) VALUES %s "
            "ON CONFLICT (digest) DO NOTHING",
            [(as_uuid(result), as_uuid(awaited), Binary(event)) for result, awaited, event in usages],
            template="(%s::uuid, %s::uuid, %s)",
            page_size=1000,
        )
        self._cursor.execute(
            "DELETE FROM usage_tracker.usage_kept_aside WHERE kept_at < now() - make_interval(days => %s)", [KEPT_DAYS]
        )

    def take(self, awaited: Iterable[Digest]) -> list[Kept]:
        self._cursor.execute(
            "DELETE FROM usage_tracker.usage_kept_aside WHERE awaited = ANY(%s::uuid[]) "
            "RETURNING digest, awaited, event",
            [[as_uuid(digest) for digest in awaited]],
        )
        return [
            Kept(UUID(result).bytes, UUID(call).bytes, bytes(event)) for result, call, event in self._cursor.fetchall()
        ]


def as_uuid(digest: Digest) -> str:
    return str(UUID(bytes=digest))
