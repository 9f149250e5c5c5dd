"""What an app's own tests see of its calls."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import openai
import pytest
from capturing import ASK, KEY

import usage_tracker
from usage_tracker import testing, tracker
from usage_tracker.demo.standin import StandIn
from usage_tracker.errors import ConfigError, UsageTrackerError
from usage_tracker.journal import Spool
from usage_tracker.journal.backlog import read_backlog
from usage_tracker.testing import CapturedUsage, capture_usage


@pytest.fixture
def usage() -> Iterator[CapturedUsage]:
    """As our docstring shows it."""
    with capture_usage() as usage:
        yield usage


@pytest.fixture
def client(provider: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=provider.base_url) as client:
        yield client


def ask(client: openai.OpenAI, user: str = "u-1") -> None:
    with usage_tracker.attribute(project="summaries", user=user, tags=["tier:pro"]):
        client.chat.completions.create(model="gpt-4o-mini", messages=ASK)  # type: ignore[arg-type]  # a dict


def test_the_example_of_the_module_can_be_copied() -> None:
    assert testing.__doc__ is not None
    example = ast.parse(dedent(testing.__doc__.partition(":\n\n")[2]))
    names = [each.name for each in example.body if isinstance(each, ast.FunctionDef)]
    assert names == ["usage", "test_summaries_are_cheap"]


def test_each_call_tells_its_columns(usage: CapturedUsage, client: openai.OpenAI) -> None:
    ask(client)
    [call] = usage
    assert (call.sdk, call.operation, call.request_model, call.status) == ("openai", "chat", "gpt-4o-mini", "ok")
    assert (call.project, call.user_id, call.tags) == ("summaries", "u-1", ("tier:pro",))
    assert call.input_tokens > 0
    assert call.cost > 0
    assert call.error_type is None
    assert "project='summaries'" in repr(usage)
    assert "input_tokens" in dir(call)
    with pytest.raises(AttributeError, match="its columns are"):
        assert call.prompt_tokens


def test_costs_are_those_of_the_lists(usage: CapturedUsage) -> None:
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1_000_000, output_tokens=0)
    assert [call.cost for call in usage] == [Decimal("0.15")]


def test_how_long_a_call_took_that_nobody_timed_is_not_known(usage: CapturedUsage) -> None:
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1, duration_ms=7)
    assert [call.duration_ms for call in usage] == [None, 7.0]


def test_a_call_began_at_a_moment_as_the_view_has_it(usage: CapturedUsage) -> None:
    before = datetime.now(UTC)
    usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1)
    [call] = usage
    assert before <= call.started_at <= datetime.now(UTC)


def test_it_is_a_sequence_that_grows_and_can_be_cleared(usage: CapturedUsage, client: openai.OpenAI) -> None:
    for user in ("u-1", "u-2", "u-3"):
        ask(client, user)
    assert [call.user_id for call in usage[1:]] == ["u-2", "u-3"]
    assert usage[-1].user_id == "u-3"
    usage.clear()
    assert not usage


def test_nothing_is_written_and_the_installed_tracker_goes_on(client: openai.OpenAI, tmp_path: Path) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path / "spool")
    before = tracker.installed
    ask(client)
    with capture_usage(spool_dir=tmp_path / "none", app="tests") as usage:
        ask(client)
        assert usage[0].app == "tests"
    assert not (tmp_path / "none").exists()
    ask(client)
    assert tracker.installed is before
    assert (usage_tracker.stats().captured, len(usage)) == (2, 1)
    usage_tracker.uninstall()


def test_what_the_code_under_test_installs_takes_effect_afterwards(client: openai.OpenAI, tmp_path: Path) -> None:
    with capture_usage() as usage:
        usage_tracker.install(app="shop", ship=False, spool_dir=tmp_path / "spool")
        ask(client)
    assert [call.app == "shop" for call in usage] == [False]
    assert tracker.installed
    assert tracker.installed.settings.app == "shop"
    with capture_usage():
        usage_tracker.uninstall()
    assert tracker.installed is None


def test_the_sdks_are_as_they_were_at_the_end() -> None:
    original = openai.OpenAI.request
    with capture_usage():
        assert openai.OpenAI.request is not original
    assert openai.OpenAI.request is original


def test_what_a_forked_child_calls_is_captured_there_and_written_nowhere(
    usage: CapturedUsage, client: openai.OpenAI, own_environment: Path
) -> None:
    child = os.fork()
    if child == 0:
        try:
            ask(client)
        finally:
            os._exit(len(usage))
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), len(usage)) == (1, 0)
    assert list(own_environment.iterdir()) == []


def test_a_child_that_is_forked_meanwhile_leaves_the_installed_trackers_journal_to_its_parent(tmp_path: Path) -> None:
    """It goes on with that tracker where it leaves the block; the parent would have died of what it did there."""
    script = f"""if True:
        import os, sys, usage_tracker
        from usage_tracker.testing import capture_usage
        usage_tracker.install(ship=False, spool_dir={str(tmp_path)!r})
        usage_tracker.record(provider="acme", model="m")
        with capture_usage():
            if os.fork() == 0:
                sys.exit()
            os.wait()
        for _ in range(3000):
            usage_tracker.record(provider="acme", model="m")
    """
    program = [sys.executable, "-W", "ignore", "-c", script]  # Python 3.12 and newer warn of a fork beside any thread
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_backlog(Spool(tmp_path)).events == 3001


def test_one_at_a_time_and_with_settings_that_exist(usage: CapturedUsage) -> None:
    with pytest.raises(UsageTrackerError, match="already"), capture_usage():
        pass
    with pytest.raises(ConfigError), capture_usage(dsn="mysql://"):
        pass
