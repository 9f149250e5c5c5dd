"""How long the dashboard's first page takes, by the server and until it is drawn, and what many viewers do to it.

    python benchmarks/dashboard.py [--events N] [--postgres | --dsn DSN] [--rounds N] [--viewers N] [--seconds N]
                                   [--no-browser]

The server is `usage-tracker serve` in a process of its own; the store is an SQLite file or, with --postgres, a
throw-away server, both filled as a shipper would; with --dsn, a store that is filled already, as `report_stores.py`
fills one with ten million events by SQL. Events are of ninety days, thirty projects or more and five thousand users.
Each page of the first part is asked for once, with a range of its own, so that no answer is a remembered one; beside it
stands `usage-tracker report` for the same question, which reads the same figures without a page. A viewer of the second
part looks at a page for some seconds, then at the next.
"""

import argparse
import asyncio
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from usage_tracker.dsn import parse_dsn
from usage_tracker.event import Batch, Cost, Origin, PricedEvent, Stretch, Usage, UsageEvent
from usage_tracker.stores import open_store

TOKEN = "a-token-of-the-benchmark"
DAYS = 90
BATCH = 5000
LOOK_SECONDS = 5.0
PAGES = ("/", "/?since=29d", "/?since=6d&by=project", "/?by=team&measure=calls", "/explore?by=day,project", "/events")


def events(count: int) -> Iterator[list[PricedEvent]]:
    """Batches, the oldest first."""
    chance = random.Random(8)
    origins = [
        Origin(
            provider=chance.choice(["openai", "anthropic", "gemini", "azure"]), sdk="benchmark",
            app=f"app-{project % 5}", project=f"project-{project}", team=f"team-{project % 9}", user_id=f"u-{user}",
            tags=(f"tier:{user % 3}",), host=f"box-{user % 20}", api_key=f"key…{project}", pid=1,
        )
        for user in range(5000) for project in (user % 30,)
    ]  # fmt: skip
    start = time.time_ns() - DAYS * 86_400 * 10**9
    step = DAYS * 86_400 * 10**9 // count
    costs = [Cost(Decimal(cents) / 10_000, source="benchmark") for cents in range(1, 200)]
    batch: list[PricedEvent] = []
    for place in range(count):
        event = UsageEvent(
            started_at=start + place * step, duration_ms=800.0, operation="chat", model=f"model-{chance.randrange(12)}",
            status="error" if place % 60 == 0 else "ok", usage=Usage(input_tokens=1000, output_tokens=100),
        )  # fmt: skip
        event_id = UUID(int=(event.started_at // 10**6) << 80 | 7 << 76 | 2 << 62 | place)
        batch.append(PricedEvent(event_id, chance.choice(origins), event, chance.choice(costs)))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def fill(dsn: str, count: int) -> float:
    """Store the events; how many a second."""
    store = open_store(parse_dsn(dsn))
    store.migrate()
    began = time.perf_counter()
    for batch in events(count):
        assert store.write(Batch([Stretch(uuid4(), 0, 1, len(batch))], batch))
    while store.compact():
        pass
    store.close()
    return count / (time.perf_counter() - began)


def serve(dsn: str) -> tuple[subprocess.Popen[str], str]:
    environment = {**os.environ, "TRACKER_SERVE_ADMIN_TOKEN": TOKEN}
    command = [sys.executable, "-m", "usage_tracker", "serve", "--dsn", dsn, "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stderr is not None
    for line in server.stderr:
        if line.startswith("Open"):
            return server, line.split()[1].partition("/login")[0]
    raise SystemExit("the server ended")


def server_times(client: httpx.Client, rounds: int) -> list[float]:
    """Milliseconds of the first page, each time of another range."""
    found = []
    for place in range(rounds):
        since = (datetime.now(UTC) - timedelta(days=29, minutes=60 * place)).strftime("%Y-%m-%dT%H:00")
        began = time.perf_counter()
        answer = client.get("/", params={"since": since})
        found.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
    return found


def weight(client: httpx.Client) -> int:
    """Bytes of the first page and all that it loads, as they are sent."""
    found = 0
    addresses = ["/"]
    for address in addresses:
        with client.stream("GET", address) as answer:
            found += sum(map(len, answer.iter_raw()))
        if address == "/":
            addresses += re.findall(r'(?:src|href)="(/static/[^"]*)"', client.get("/").text)
    return found


def report_time(dsn: str) -> float:
    """Milliseconds that the same questions take without a server: the command line's own reading."""
    from usage_tracker.report import Query, parse_range, previous, run

    now = datetime.now(UTC)
    store = open_store(parse_dsn(dsn))
    run(store, Query(*parse_range("today", None, UTC, now)))
    began = time.perf_counter()
    asked = parse_range("29d", None, UTC, now)
    run(store, Query(*asked, ("model",), (), UTC, 50, previous(asked, UTC, now)))
    run(store, Query(*asked, ("day", "model"), (), UTC, 8))
    run(store, Query(*parse_range("mtd", None, UTC, now), ()))
    taken = (time.perf_counter() - began) * 1000
    store.close()
    return taken


def draw_times(url: str, rounds: int) -> list[float]:
    """Milliseconds from the request of a page to its drawn chart, in a new tab of a browser that was here before."""
    from browsing import opened_browser

    found = []
    with opened_browser() as browser:
        # the pages forbid what the question below is made of
        context = browser.new_context(
            base_url=url, extra_http_headers={"Authorization": f"Bearer {TOKEN}"}, bypass_csp=True
        )
        context.add_init_script(
            "new MutationObserver((_, self) => { if (document.querySelector('[data-drawn]')) "
            "{ window.drawn = performance.now(); self.disconnect(); } })"
            ".observe(document, {subtree: true, attributes: true, childList: true});"
        )
        for place in range(rounds + 1):
            page = context.new_page()
            page.goto(f"/?since={29 - place % 9}d")
            page.wait_for_function("window.drawn")
            found.append(float(page.evaluate("window.drawn")))
            page.close()
    return found[1:]


async def view(url: str, viewers: int, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of every page that they looked at, and how many were no page."""
    times: list[float] = []
    wrong = 0
    end = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=viewers, max_keepalive_connections=viewers)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=None, trust_env=False) as client:

        async def look(viewer: int) -> None:
            nonlocal wrong
            chance = random.Random(viewer)
            await asyncio.sleep(chance.uniform(0, LOOK_SECONDS))
            while time.monotonic() < end:
                began = time.perf_counter()
                try:
                    answer = await client.get(chance.choice(PAGES))
                    wrong += answer.status_code != 200
                except httpx.HTTPError:
                    wrong += 1
                times.append((time.perf_counter() - began) * 1000)
                await asyncio.sleep(chance.uniform(0.5, 1.5) * LOOK_SECONDS)

        await asyncio.gather(*map(look, range(viewers)))
    return times, wrong


def cpu_seconds(pid: int) -> float:
    """What the process has computed so far. On a busy machine it says more than a clock does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shown(times: list[float]) -> str:
    ordered = sorted(times)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"median {statistics.median(ordered):.0f} ms, p99 {p99:.0f} ms (n={len(ordered)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--dsn", help="a store that has events of the last ninety days already")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--no-browser", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dsn, database = f"sqlite:///{folder}/usage.db", None
        if options.dsn:
            dsn = options.dsn
        elif options.postgres:
            from postgres_server import PostgresServer

            database = PostgresServer()
            database.start()
            dsn = database.dsn(database.create(migrated=False))
        print(f"load of this machine: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
        if options.dsn is None:
            print(f"{options.events:,} events stored, {fill(dsn, options.events):,.0f} a second")
        server, url = serve(dsn)
        try:
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
                print(f"a first visit, compressed: {weight(client) / 1000:.0f} KB")
                server_times(client, 2)
                before = cpu_seconds(server.pid)
                print(f"first page, from the request to the answer: {shown(server_times(client, options.rounds))}")
                each = (cpu_seconds(server.pid) - before) / options.rounds * 1000
                print(f"of it, CPU time of the server's process: {each:.0f} ms")
            print(f"its questions alone, one after the other: {report_time(dsn):.0f} ms")
            if not options.no_browser:
                print(f"first page, until its chart is drawn: {shown(draw_times(url, options.rounds))}")
            before = cpu_seconds(server.pid)
            times, wrong = asyncio.run(view(url, options.viewers, options.seconds))
            print(f"{options.viewers} viewers for {options.seconds:g} s: {wrong} errors, {shown(times)}")
            each = (cpu_seconds(server.pid) - before) / len(times) * 1000
            print(f"of it, CPU time of the server's process: {each:.0f} ms for each page")
        finally:
            server.terminate()
            server.wait()
            if database is not None:
                database.close()


if __name__ == "__main__":
    main()
