"""What ClickHouse takes and answers as a store, beside Postgres: the same events, written by the same `Store.write`.

    python benchmarks/clickhouse.py [--events N] [--batch N] [--store NAME …] [--write]

Starts a throw-away Postgres, chdb's ClickHouse and, where Debian's packages `clickhouse-server` and `zookeeper` are
there, two replicas of version 18.16. Prints for each how many events a second one writer stores (with what encoding
takes, by the clock), bytes per event once all is merged and folded, and how long reports take, the quickest of three.
`--write` puts the table into RESULTS.md.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from clickhouse_cluster import Cluster, is_there  # noqa: E402  of the tests
from clickhouse_servers import ChdbServer  # noqa: E402
from postgres_server import PostgresServer  # noqa: E402

from usage_tracker.dsn import parse_dsn  # noqa: E402
from usage_tracker.errors import StoreUnavailable  # noqa: E402
from usage_tracker.event import Batch, Cost, CostLine, Origin, PricedEvent, Stretch, Usage, UsageEvent  # noqa: E402
from usage_tracker.report import Query, run  # noqa: E402
from usage_tracker.stores import Store, open_store  # noqa: E402

DAYS = 90
PATIENCE = 30
"""How often merges are waited for, for as long as a store waits for any answer."""
FIRST_DAY = datetime(2026, 8, 1, tzinfo=UTC)
STORES = ["postgres", "chdb", "replicas"]
QUESTIONS = {
    "total": Query(by=()),
    "model": Query(by=("model",)),
    "day, model": Query(by=("day", "model")),
    "user": Query(by=("user",), top=20),
    "tag": Query(by=("tag",)),
    "model, p95": Query(by=("model",), percentiles=True),
    "last day, session": Query(FIRST_DAY + timedelta(days=DAYS - 1), None, ("session",), top=20),
}


def made_up(events: int) -> Iterator[PricedEvent]:
    """In the order of time: users work on two projects each, which use three of 20 models and 4 of 200 keys."""
    chance = random.Random(1)
    step = DAYS * 86_400 * 10**9 // events
    first = int(FIRST_DAY.timestamp()) * 10**9
    for number in range(events):
        user = int(5000 * chance.random() * chance.random())
        project = (user * 31 + number % 2 * 17) % 50
        model = (project * 7 + int(3 * chance.random()) * 5) % 20
        tokens, answer = int(chance.lognormvariate(6, 1)), int(chance.lognormvariate(5, 1))
        origin = Origin(
            provider=("openai", "anthropic", "gemini", "azure", "groq")[model % 5], sdk="openai", app="app",
            base_host="api.example.com", api_key=f"key…{project * 4 + number % 4:04}", project=f"project-{project}",
            team=f"team-{project % 20}", user_id=f"user-{user}", session_id=f"session-{user}-{number // 5000}",
            tags=("tier:pro", f"feature:{user % 28}")[: number % 3], host=f"host-{user % 20}", pid=4711,
        )  # fmt: skip
        event = UsageEvent(
            started_at=first + number * step, duration_ms=chance.lognormvariate(7, 1), operation="chat",
            request_model=f"model-{model}", model=f"model-{model}-2026-05-01", response_id=f"resp-{number}",
            http_status=200, usage=Usage(input_tokens=tokens, output_tokens=answer, cache_read_tokens=tokens // 4),
        )  # fmt: skip
        event.raw = {"prompt_tokens": tokens, "completion_tokens": answer, "total_tokens": tokens + answer}
        price = Decimal(model + 1) / 10_000_000
        lines = CostLine("input_tokens", Decimal(tokens), price), CostLine("output_tokens", Decimal(answer), price * 4)
        cost = Cost(sum((line.count * line.price for line in lines), Decimal(0)), lines, "genai-prices", "1")
        yield PricedEvent(UUID(int=number << 64 | chance.getrandbits(64)), origin, event, cost)


def fill(store: Store, events: int, size: int) -> tuple[float, float]:
    """Events a second, by the clock and by the writer's own CPU time."""
    segment, batch, position = uuid4(), [], 0
    clock = cpu = 0.0
    for priced in made_up(events):
        batch.append(priced)
        if len(batch) == size or position + len(batch) == events:
            begun, begun_cpu = time.perf_counter(), time.process_time()
            assert store.write(Batch([Stretch(segment, position, position + len(batch), len(batch))], batch))
            clock, cpu = clock + time.perf_counter() - begun, cpu + time.process_time() - begun_cpu
            position, batch = position + len(batch), []
    return events / clock, events / cpu


def settle(store: Store) -> None:
    """Let merges and folding come to their end."""
    while store.compact():
        continue
    if store.dialect.name == "clickhouse":
        table = "usage" if store._server.address.cluster is None else "usage_shard"  # type: ignore[attr-defined]
        with suppress(StoreUnavailable):  # it goes on
            store._server.run(f"OPTIMIZE TABLE {table} FINAL")  # type: ignore[attr-defined]
        for _ in range(PATIENCE):
            with suppress(StoreUnavailable):
                while any(merges for (merges,) in store.select("SELECT count() AS merges FROM system.merges")):
                    time.sleep(1)
                return
        raise TimeoutError("the table's merges come to no end")


def measure(name: str, dsn: str, events: int, size: int) -> list[str]:
    with closing(open_store(parse_dsn(dsn))) as store:
        store.migrate()
        by_clock, by_cpu = fill(store, events, size)
        settle(store)
        row = [name, f"{by_clock:,.0f}", f"{by_cpu:,.0f}", f"{store.describe().bytes / events:.0f}"]
        for query in QUESTIONS.values():
            taken = []
            for _ in range(3):
                begun = time.perf_counter()
                assert run(store, query).total.calls
                taken.append(time.perf_counter() - begun)
            row.append(f"{min(taken) * 1000:.0f}")
        return row


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--batch", type=int, default=5000)
    asked.add_argument("--store", nargs="+", choices=STORES, default=STORES)
    asked.add_argument("--write", action="store_true")
    options = asked.parse_args()
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        places = []
        if "postgres" in options.store:
            postgres = PostgresServer()
            stack.callback(postgres.close)
            postgres.start()
            places.append(("Postgres", postgres.dsn(postgres.create(migrated=False))))
        if "chdb" in options.store:
            (folder / "chdb").mkdir()
            chdb = ChdbServer(folder / "chdb")
            stack.callback(chdb.kill)
            places.append(("ClickHouse 26.9 (chdb)", chdb.dsn("bench")))
        if "replicas" in options.store and is_there():
            (folder / "cluster").mkdir()
            cluster = Cluster(folder / "cluster", shards=1, replicas=2)
            stack.callback(cluster.stop)
            places.append(("ClickHouse 18.16, two replicas", cluster.dsn("bench")))
        for name, dsn in places:
            rows.append(measure(name, dsn, options.events, options.batch))
            print(*rows[-1], sep=" | ", flush=True)
    heads = ["store", "events/s", "events per CPU second of the writer", "bytes/event"]
    heads += [f"by {name}, ms" for name in QUESTIONS]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    made = f"{options.events:,} events of {DAYS} days in batches of {options.batch:,}, {os.cpu_count()} cores."
    if options.write:
        results = HERE / "RESULTS.md"
        text = results.read_text(encoding="utf-8")
        marks = r"(<!-- clickhouse: .*? -->\n).*?(<!-- /clickhouse -->)"
        written = re.sub(marks, lambda found: f"{found[1]}\n{made}\n\n{table}\n\n{found[2]}", text, flags=re.DOTALL)
        results.write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
