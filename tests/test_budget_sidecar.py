"""A sidecar looks after the budgets of programs that ship nothing themselves, and send no alerts."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from budgeted import budget
from migrated import migrated
from receivers import Receiver

from usage_tracker.budgets.book import set_budget
from usage_tracker.conditions import Condition
from usage_tracker.demo.standin import StandIn
from usage_tracker.stores import Store

APP = """
import sys, time, openai, usage_tracker
usage_tracker.install(team=sys.argv[2])
client = openai.OpenAI(api_key="sk-test", base_url=sys.argv[1], max_retries=0)
made = 0
for _ in range(int(sys.argv[3])):
    try:
        client.chat.completions.create(
            model="gpt-4o-mini", max_tokens=20, messages=[{"role": "user", "content": "Hello"}]
        )
        made += 1
    except usage_tracker.BudgetExceeded as error:
        print(made, error.budget)
        break
else:
    print(made)
"""


class Pod:
    """A sidecar that ships a folder, and programs that share it."""

    def __init__(self, home: Path, dsn: str, provider: StandIn, receiver: Receiver) -> None:
        self.dsn = dsn
        self.provider = provider
        self.environ = {
            "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(Path(__file__).parent.parent),
            "TRACKER_SPOOL_DIR": str(home / "spool"),
        }  # fmt: skip
        self.sidecar = subprocess.Popen(
            [sys.executable, "-m", "usage_tracker", "ship"],
            env={**self.environ, "TRACKER_DSN": dsn, "TRACKER_ALERT_WEBHOOK": f"http://127.0.0.1:{receiver.port}/x"},
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.sidecar.stderr is not None
        assert self.sidecar.stderr.readline().startswith("Shipping ")
        wait_for((home / "spool" / "budgets.json").exists)

    def ask(self, team: str, calls: int, **environ: str) -> str:
        """What a program that makes so many calls says."""
        done = subprocess.run(
            [sys.executable, "-c", APP, self.provider.base_url, team, str(calls)],
            env={**self.environ, "TRACKER_SHIP": "off", "TRACKER_BUDGETS": "wait", **environ},
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def stop(self) -> None:
        self.sidecar.terminate()
        self.sidecar.communicate(timeout=60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with migrated(f"sqlite:///{tmp_path}/usage.db") as opened:
        for name, limit, team in (("free", 3, "a"), ("strict", 4, "b")):
            where = (Condition("team", True, team),)
            set_budget(
                opened,
                budget(name=name, limit=Decimal(limit), measure="calls", where=where, strict=name == "strict"),
            )
        yield opened


@pytest.fixture
def pod(store: Store, tmp_path: Path, provider: StandIn, receiver: Receiver) -> Iterator[Pod]:
    found = Pod(tmp_path, f"sqlite:///{tmp_path}/usage.db", provider, receiver)
    yield found
    found.stop()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(180)
def test_it_reads_what_was_spent_tells_its_neighbours_and_alerts_once(
    pod: Pod, receiver: Receiver, store: Store
) -> None:
    assert pod.ask("a", 5) == "3 free", "without the store, by what the sidecar has read"
    wait_for(lambda: bool(receiver.posts))
    assert pod.ask("a", 5) == "0 free", "what another program has used"
    [alert] = receiver.bodies()
    assert (alert["budget"], alert["spent"], alert["threshold"]) == ("free", "3", "1")


@pytest.mark.timeout(180)
def test_it_settles_what_strict_budgets_have_reserved(pod: Pod, store: Store) -> None:
    assert pod.ask("b", 2, TRACKER_DSN=pod.dsn) == "2"
    wait_for(lambda: not list(store.select("SELECT 1 FROM budget_reservation")))
    assert list(store.select("SELECT budget, used FROM budget_account")) == [("strict", 2)]
    assert pod.ask("b", 5, TRACKER_DSN=pod.dsn) == "2 strict"
