"""Many app hosts write into one Postgres through a pgbouncer whose pool is smaller than they are many."""

from pathlib import Path

import psycopg2
from faults.pgbouncer import PgBouncer
from many_hosts import run_hosts
from psycopg2.extensions import parse_dsn


def test_each_call_of_each_host_is_stored_once(postgres_dsn: str, tmp_path: Path) -> None:
    place = parse_dsn(postgres_dsn)
    bouncer = PgBouncer(int(place["port"]))
    bouncer.start()
    try:
        through = f"postgresql://postgres@127.0.0.1:{bouncer.port}/{place['dbname']}"
        run_hosts(through, tmp_path, hosts=5, processes=2, calls=300)
    finally:
        bouncer.close()
    with psycopg2.connect(postgres_dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT host, count(*), sum(input_tokens) FROM usage_tracker.events GROUP BY 1 ORDER BY 1")
        assert cursor.fetchall() == [(f"host-{host}", 600, 600_000) for host in range(5)]
        cursor.execute("SELECT sum(calls), sum(input_tokens) FROM usage_tracker.by_day")
        assert cursor.fetchone() == (3000, 3_000_000)
    connection.close()
