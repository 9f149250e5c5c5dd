"""Budgets made up for tests, what a process knows of them, and calls that are held to them."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from capturing import ASK, Capturing

import usage_tracker
from usage_tracker import tracker
from usage_tracker.budgets import holding
from usage_tracker.budgets.accounts import start_of
from usage_tracker.budgets.amounts import whole
from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.view import View
from usage_tracker.demo.standin import StandIn
from usage_tracker.enforcing import Enforcing

MODEL = "gpt-4o-mini"
MESSAGES: Any = ASK


def budget(**said: Any) -> Budget:
    return Budget(**{"name": "b", "limit": Decimal(1), "per": "day", "on_limit": "block", **said})


def known(*budgets: Budget, spent: str = "0", part: str = "", age: float = 0.0) -> View:
    """What the store said, so many seconds ago."""
    now = time.time()
    return View(
        read_at=now - age,
        budgets=list(budgets),
        used={each.name: {part: whole(Decimal(spent), each.measure)} for each in budgets},
        since={each.name: start_of(each, now) for each in budgets},
    )


@pytest.fixture
def enforcing(capturing: Capturing, monkeypatch: pytest.MonkeyPatch) -> Enforcing:
    """What holds the calls of `capturing` to budgets; none waits long for the first look into the store."""
    monkeypatch.setattr(holding, "FIRST_SECONDS", 0.1)
    assert tracker.installed is not None
    return tracker.installed.pipeline().enforcing


@pytest.fixture
def plain_client(provider: StandIn) -> Iterator[openai.OpenAI]:
    """A client at the stand-in, made before we are installed."""
    with openai.OpenAI(api_key="sk-test", base_url=provider.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def fresh_start(tmp_path: Path) -> Iterator[Path]:
    """A folder for a test that installs us by itself."""
    yield tmp_path
    usage_tracker.uninstall()


def ask(capturing: Capturing, **said: Any) -> Any:
    return capturing.client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "max_tokens": 20, **said})
