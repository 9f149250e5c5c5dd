"""The tables of dimensions in Postgres. See stores.dimensions."""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Iterable, Sequence
from uuid import UUID

import psycopg2.sql  # noqa: F401  `execute_values()` would at its first use, when a fork no longer waits for imports
from psycopg2.extras import execute_values

from usage_tracker.stores.dimensions import Content, Dimension, digest, stored_form
from usage_tracker.stores.postgres.connection import Cursor


def learn(cursor: Cursor, dimension: Dimension, contents: Sequence[Content]) -> dict[Content, int]:
    """The keys of the contents; rows that are not there yet are added, in an order that all writers keep."""
    stored = {content: stored_form(content) for content in contents}
    digests = {content: str(UUID(bytes=digest(form))) for content, form in stored.items()}
    found = look_up(cursor, dimension, digests.values())
    rows = {digests[content]: form for content, form in stored.items() if digests[content] not in found}
    if rows:
        execute_values(
            cursor,
            f"INSERT INTO usage_tracker.{dimension.table} (digest, {', '.join(dimension.columns)}) VALUES %s "
            "ON CONFLICT (digest) DO NOTHING",
            [(key, *rows[key]) for key in sorted(rows)],
            page_size=1000,
            template=f"(%s::uuid, {', '.join('%s::text[]' if name == 'tags' else '%s' for name in dimension.columns)})",
        )
        found |= look_up(cursor, dimension, rows)
    return {content: found[digests[content]] for content in contents}


def look_up(cursor: Cursor, dimension: Dimension, digests: Iterable[str]) -> dict[str, int]:
    cursor.execute(
        f"SELECT digest, {dimension.key} FROM usage_tracker.{dimension.table} WHERE digest = ANY(%s::uuid[])",
        [list(digests)],
    )
    return dict(cursor.fetchall())
