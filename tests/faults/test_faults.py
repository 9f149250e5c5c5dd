"""Nothing lost, nothing twice: each fault once, in the time of a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from faults.bench import Bench
from faults.cases import Case, all_cases
from faults.nursery import Nursery
from faults.targets import PostgresTarget, SqliteTarget, Target
from usage_tracker.demo.standin import StandIn


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def bench(request: pytest.FixtureRequest, tmp_path: Path, nursery: Nursery, provider: StandIn) -> Iterator[Bench]:
    case: Case = request.getfixturevalue("case")
    target: Target
    if case.store == "postgres":
        server: PostgresServer = request.getfixturevalue("own_postgres")
        target = PostgresTarget(server, server.port, migrated=case.migrated)
    else:
        target = SqliteTarget(tmp_path / "usage.db")
    bench = Bench(tmp_path, nursery, provider, target)
    yield bench
    bench.close()
    if case.store == "postgres":
        server.start()
    target.close()


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_nothing_is_lost_and_nothing_is_stored_twice(case: Case, bench: Bench) -> None:
    case.run(bench)
    outcome = bench.settle()
    assert outcome.right(bench.unclaimed), (outcome, bench.said())
    assert outcome.made > 0
    assert outcome.left == []
    assert outcome.swallowed == {}
    assert bench.secrets() == []
