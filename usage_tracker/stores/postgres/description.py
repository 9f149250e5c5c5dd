"""What a Postgres store is like right now."""

from usage_tracker.stores.description import Description, Partition
from usage_tracker.stores.postgres.connection import Connections
from usage_tracker.stores.postgres.folding import TARGETS

SERVER = """
SELECT current_setting('server_version'), clock_timestamp(),
    pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean
"""
SIZE = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = 'usage_tracker'::regnamespace AND relkind IN ('r', 'm')
"""
PARTITIONS = """
SELECT partition.name, substring(partition.bound FROM $$FROM \\('([^']+)'\\)$$)::timestamptz,
    substring(partition.bound FROM $$TO \\('([^']+)'\\)$$)::timestamptz, partition.size
FROM (
    SELECT relname, pg_total_relation_size(oid), pg_get_expr(relpartbound, oid)
    FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'usage_tracker.usage_event'::regclass
) AS partition(name, size, bound)
ORDER BY 2 NULLS LAST, 1
"""
MAY_READ = "SELECT has_table_privilege(%s, 'SELECT')"


def describe(connections: Connections) -> Description:
    """Raises StoreError."""
    unfolded = 0
    with connections.transaction(read_only=True) as cursor:
        cursor.execute(SERVER)
        version, now, read_only = cursor.fetchone()
        cursor.execute(SIZE)
        (size,) = cursor.fetchone()
        cursor.execute(PARTITIONS)
        partitions = [Partition._make(row) for row in cursor.fetchall()]
        for delta in TARGETS:
            table = f"usage_tracker.delta_{delta.name}"
            cursor.execute(MAY_READ, [table])
            if cursor.fetchone() == (True,):
                cursor.execute(f"SELECT count(*) FROM {table}")  # noqa: S608  our own name
                unfolded += cursor.fetchone()[0]
    return Description(f"PostgreSQL {version.partition(' ')[0]}", now, size, unfolded, partitions, read_only)
