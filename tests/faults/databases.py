"""Postgres goes away, comes back, refuses, stands still or is full, while apps call."""

from contextlib import AbstractContextManager, ExitStack

from postgres_server import LOCKED_ROLE

from faults import breaking
from faults.bench import Bench
from faults.cases import case
from faults.targets import PASSWORD, PostgresTarget
from faults.traps import Constants, Trap

IMPATIENT = Constants(
    {
        f"usage_tracker.stores.postgres.connection:Connections.transaction.__wrapped__.__kwdefaults__.{name}": 1
        for name in ("seconds", "statement_seconds")
    }
)
"""Gives a server up after a second instead of a minute."""


GIVEN_UP = "events wait in the journal"
"""What an app logs that noticed the fault."""


def strike(
    bench: Bench, broken: AbstractContextManager[None], *traps: Trap | Constants, noticed: str = GIVEN_UP
) -> None:
    """Two apps call before, during and after it, notice it and recover by themselves."""
    first = bench.start("work()", *traps)
    bench.leader()
    second = bench.start("work()", *traps)
    bench.more_calls(50)
    with broken:
        bench.more_calls(100)
        bench.wait_until_said(noticed)
    bench.recover()
    bench.more_calls(20)
    assert first.runs(), bench.said()
    assert second.runs(), bench.said()


@case("Postgres stopped and started")
def stopped(bench: Bench) -> None:
    strike(bench, breaking.stopped(bench))


@case("Postgres restarted")
def restarted(bench: Bench) -> None:
    strike(bench, breaking.restarted(bench), noticed="")


@case("Postgres killed -9")
def crashed(bench: Bench) -> None:
    strike(bench, breaking.crashed(bench))


@case("a backend of Postgres killed -9")
def backend_killed(bench: Bench) -> None:
    strike(bench, breaking.backend_killed(bench), noticed="")


@case("Postgres refuses connections")
def refusing(bench: Bench) -> None:
    strike(bench, breaking.refusing(bench))


@case("Postgres frozen")
def frozen(bench: Bench) -> None:
    strike(bench, breaking.frozen(bench), noticed="")


@case("Postgres frozen: what a call costs meanwhile")
def unhurt(bench: Bench) -> None:
    bench.start()
    bench.leader()
    bench.start()
    with ExitStack() as broken, bench.calls_cost_the_same():
        broken.enter_context(breaking.frozen(bench))
    bench.recover()


@case("Postgres frozen for longer than every timeout")
def frozen_for_long(bench: Bench) -> None:
    strike(bench, breaking.frozen(bench), IMPATIENT)


@case("a backend frozen with its locks, given up, and thawed")
def backend_frozen(bench: Bench) -> None:
    strike(bench, breaking.backend_frozen(bench), IMPATIENT)


@case("pg_terminate_backend in the middle of COPY")
def terminated(bench: Bench) -> None:
    slow = Trap("usage_tracker.stores.postgres.copy_lines:CopyLines.read", act="sleep", seconds=0.05, every=True)
    strike(bench, breaking.terminated(bench), slow)


@case("disk full at Postgres")
def disk_full(bench: Bench) -> None:
    strike(bench, breaking.disk_full(bench))


@case("a lock held on our tables")
def locked(bench: Bench) -> None:
    strike(bench, breaking.locked(bench), IMPATIENT)


@case("a lock held on the rollups")
def rollups_locked(bench: Bench) -> None:
    often = Constants({"usage_tracker.shipper:COMPACT_SECONDS": 0.1})
    bench.start("work()", IMPATIENT, often)
    bench.more_calls(50)
    with breaking.rollups_locked(bench):
        bench.more_calls(300)
        bench.recover(seconds=20)
    bench.more_calls(20)


@case("Postgres read-only")
def read_only(bench: Bench) -> None:
    strike(bench, breaking.read_only(bench))


@case("password changed")
def password_changed(bench: Bench) -> None:
    assert isinstance(bench.target, PostgresTarget)
    server = breaking.server(bench)
    server.let_in(PASSWORD, "SUPERUSER")
    bench.target.dsn = bench.target.dsn.replace("//postgres:", f"//{LOCKED_ROLE}:")
    bench.afterwards.append(lambda: server.let_in("another"))
    strike(bench, breaking.password_changed(bench, LOCKED_ROLE))
