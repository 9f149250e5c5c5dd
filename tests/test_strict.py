"""Strict budgets around calls of a real SDK: what each kind of call reserves, and what becomes of that."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from budgeted import budget, known
from capturing import ASK, KEY
from migrated import migrated

import usage_tracker
from usage_tracker import tracker
from usage_tracker.budgets.view import Usual
from usage_tracker.demo.standin import StandIn
from usage_tracker.stores import Store

MODEL = "gpt-4o-mini"


class Strictly:
    """A process held to strict budgets, and what is reserved of them."""

    def __init__(self, store: Store, provider: StandIn) -> None:
        self.store = store
        self.client = openai.OpenAI(api_key=KEY, base_url=provider.base_url, max_retries=0)

    def hold_to(self, usual: Usual | None = None, **said: Any) -> None:
        view = known(budget(strict=True, **{"measure": "tokens", "limit": Decimal(10_000), **said}))
        if usual is not None:
            view.usual["b"] = {MODEL: usual}
        assert tracker.installed is not None
        tracker.installed.pipeline().enforcing.use(view)

    def ask(self, **said: Any) -> Any:
        return self.client.chat.completions.create(**{"model": MODEL, "messages": ASK, **said})

    def reserved(self, part: str = "") -> list[int]:
        rows = self.store.select("SELECT part, amount FROM budget_reservation ORDER BY amount")
        return [int(str(amount)) for each, amount in rows if each == part]

    def becomes(self, *amounts: int, part: str = "") -> bool:
        """Whether that is reserved before long: settling is no step of a call."""
        deadline = time.monotonic() + 20
        while self.reserved(part) != list(amounts) and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.reserved(part) == list(amounts)


@pytest.fixture
def strictly(tmp_path: Path, provider: StandIn) -> Iterator[Strictly]:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    with migrated(dsn) as store:
        usage_tracker.install(dsn=dsn, ship=False, spool_dir=tmp_path / "spool")
        made = Strictly(store, provider)
        yield made
        made.client.close()
        usage_tracker.uninstall()


PROMPT = 9
"""Tokens, of what is asked, by its length."""


def test_a_stream_keeps_its_estimate_until_it_has_ended(strictly: Strictly) -> None:
    strictly.hold_to()
    stream = strictly.ask(stream=True, stream_options={"include_usage": True}, max_tokens=100)
    assert strictly.reserved() == [PROMPT + 100]
    usage = [chunk.usage for chunk in stream][-1]
    assert strictly.becomes(usage.total_tokens)


def test_a_stream_that_nobody_reads_gives_back_what_it_reserved_when_it_is_dropped(strictly: Strictly) -> None:
    strictly.hold_to()
    stream = strictly.ask(stream=True, max_tokens=100)
    assert strictly.reserved() == [PROMPT + 100]
    stream.close()
    del stream
    gc.collect()
    assert strictly.becomes(0), "of what it used nothing is known"


@pytest.mark.guarded_errors_expected
def test_a_call_of_which_no_event_can_be_made_gives_back_what_it_reserved(
    strictly: Strictly, monkeypatch: pytest.MonkeyPatch
) -> None:
    strictly.hold_to()
    stream = strictly.ask(stream=True, max_tokens=100)
    assert strictly.reserved() == [PROMPT + 100]
    monkeypatch.delattr("usage_tracker.providers.openai.usage_of")
    stream.close()
    assert strictly.becomes()


def test_a_call_that_failed_gives_back_what_it_reserved(strictly: Strictly, provider: StandIn) -> None:
    strictly.hold_to()
    provider.fail_next(1, 500)
    with pytest.raises(openai.InternalServerError):
        strictly.ask(max_tokens=100)
    assert strictly.becomes(0)


def test_what_a_call_has_used_counts_where_its_event_could_not_be_kept(strictly: Strictly) -> None:
    assert tracker.installed is not None
    spool = tracker.installed.pipeline().journal.spool
    spool.max_bytes = 0
    strictly.hold_to()
    used = strictly.ask(max_tokens=500).usage.total_tokens
    assert usage_tracker.stats().dropped == 1
    assert strictly.becomes(used)


def test_a_call_that_does_not_say_how_much_reserves_what_is_usual(strictly: Strictly) -> None:
    strictly.hold_to(Usual(9, 9000))
    stream = strictly.ask(stream=True)
    assert strictly.reserved() == [PROMPT + 9000]
    with pytest.raises(usage_tracker.BudgetExceeded, match="this call may use 9,009 tokens"):
        strictly.ask()
    stream.close()


def test_embeddings_reserve_nothing_for_an_output(strictly: Strictly) -> None:
    strictly.hold_to(Usual(9, 9000), limit=Decimal(20))
    answer = strictly.client.embeddings.create(model="text-embedding-3-small", input="x" * 30)
    assert strictly.becomes(answer.usage.prompt_tokens)


def test_calls_without_a_price_are_let_go_and_reserve_nothing(strictly: Strictly) -> None:
    strictly.hold_to(measure="cost", limit=Decimal(1))
    strictly.ask(model="acme-1")
    assert strictly.becomes(0)
    strictly.hold_to(measure="cost", limit=Decimal(1), unpriced="refuse")
    with pytest.raises(usage_tracker.BudgetExceeded, match="'acme-1' has none"):
        strictly.ask(model="acme-1")


@pytest.mark.parametrize("per", ["2h", "24h", "30d"])
def test_windows_that_roll_are_held_to_alike(strictly: Strictly, per: str) -> None:
    strictly.hold_to(per=per, limit=Decimal(PROMPT + 100))
    stream = strictly.ask(stream=True, max_tokens=100)
    with pytest.raises(usage_tracker.BudgetExceeded, match=f"older than {per}"):
        strictly.ask(max_tokens=100)
    stream.close()


def test_a_strict_limit_per_minute_takes_what_calls_have_used(strictly: Strictly) -> None:
    strictly.hold_to(per="minute")
    usage = strictly.ask(max_tokens=1000).usage
    used, deadline = 0, time.monotonic() + 20
    while used != usage.total_tokens and time.monotonic() < deadline:  # until then, what it might use
        used = sum(int(str(each)) for (each,) in strictly.store.select("SELECT used FROM budget_account"))
    assert used == usage.total_tokens < PROMPT + 1000


def test_a_budget_of_calls_is_one_for_each(strictly: Strictly) -> None:
    strictly.hold_to(measure="calls", limit=Decimal(2))
    for _ in range(2):
        strictly.ask()
    with pytest.raises(usage_tracker.BudgetExceeded):
        strictly.ask()


def test_each_user_reserves_from_a_budget_of_their_own(strictly: Strictly) -> None:
    strictly.hold_to(each="user", limit=Decimal(PROMPT + 100))
    for user in ("u-1", "u-2"):
        with usage_tracker.attribute(user=user):
            stream = strictly.ask(stream=True, max_tokens=100)
            assert strictly.reserved(user) == [PROMPT + 100]
            with pytest.raises(usage_tracker.BudgetExceeded) as refused:
                strictly.ask(max_tokens=100)
            assert refused.value.part == user
            stream.close()


def test_throttling_holds_a_call_for_no_longer_than_its_bound(strictly: Strictly) -> None:
    strictly.hold_to(on_limit="throttle", delay=0.5, limit=Decimal(50))
    started = time.monotonic()
    assert strictly.ask(max_tokens=100)
    assert 0.5 <= time.monotonic() - started < 20


KILLED = """
import sys, openai, usage_tracker
usage_tracker.install(ship=False)
client = openai.OpenAI(api_key="sk-test", base_url=sys.argv[1], max_retries=0)
stream = client.chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "Say hello."}], max_tokens=100, stream=True
)
print("asked", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_has_reserved_is_given_back(
    strictly: Strictly, provider: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from usage_tracker.budgets import reservations
    from usage_tracker.budgets.view import ViewFile

    limit = Decimal(PROMPT + 100)
    (tmp_path / "spool").mkdir(mode=0o700, exist_ok=True)
    ViewFile(tmp_path / "spool").save(known(budget(strict=True, measure="tokens", limit=limit)))
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, provider.base_url],
        env={
            **os.environ, "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db", "TRACKER_SPOOL_DIR": str(tmp_path / "spool"),
        },
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        assert program.stdout.readline() == "asked\n"
        program.send_signal(signal.SIGKILL)
    strictly.hold_to(limit=limit)
    with pytest.raises(usage_tracker.BudgetExceeded):
        strictly.ask(max_tokens=100)
    later = time.time() + reservations.EXPIRE_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    strictly.hold_to(limit=limit)
    assert strictly.ask(max_tokens=100)
