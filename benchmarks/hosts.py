"""How many events a second many app hosts bring into one Postgres, directly and through pgbouncer in transaction mode.

    PYTHONPATH=tests python benchmarks/hosts.py [--events N] [--hosts N,N,…]

Each host is a spool folder with a process of its own that leads it. All of them make their calls at once; the clock
stops when the last event is stored. Both ways run in turn, on a throw-away Postgres that syncs commits; the pool has
four sessions. Capture, pricing and the server share this machine's processors.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from faults.pgbouncer import PgBouncer
from many_hosts import run_hosts
from postgres_server import PostgresServer
from psycopg2.extensions import parse_dsn

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000, help="in all, whatever the number of hosts")
    parser.add_argument("--hosts", default="1,4,16")
    asked = parser.parse_args()
    server = PostgresServer()
    server.start()
    server.run("ALTER SYSTEM SET fsync = on")
    server.run("SELECT pg_reload_conf()")
    bouncer = PgBouncer(int(parse_dsn(server.dsn("postgres"))["port"]))
    bouncer.start()
    try:
        print("| hosts | direct, events/s | through pgbouncer, events/s | ratio |\n|---|---|---|---|")
        for hosts in map(int, asked.hosts.split(",")):
            rates: dict[bool, list[float]] = {False: [], True: []}
            for _ in range(ROUNDS):
                for bounced, found in rates.items():
                    found.append(rate(server, bouncer if bounced else None, hosts, asked.events))
            direct, through = (statistics.median(found) for found in rates.values())
            print(f"| {hosts} | {direct:,.0f} | {through:,.0f} | {through / direct:.2f} |", flush=True)
    finally:
        bouncer.close()
        server.close()


def rate(server: PostgresServer, bouncer: PgBouncer | None, hosts: int, events: int) -> float:
    name = server.create(migrated=True)
    dsn = server.dsn(name)
    if bouncer is not None:
        dsn = f"postgresql://postgres@127.0.0.1:{bouncer.port}/{name}"
    with tempfile.TemporaryDirectory() as folder:
        seconds = run_hosts(dsn, Path(folder), hosts, 1, events // hosts)
    [(stored,)] = server.run("SELECT count(*) FROM usage_tracker.usage_event", name)
    assert stored == events // hosts * hosts
    server.drop(name)
    return float(stored / seconds)


if __name__ == "__main__":
    main()
