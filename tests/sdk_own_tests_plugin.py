"""A plugin of pytest for the SDKs' own tests: writes down what became of each test and, if told a folder for events,
installs us before the first of them is read. See sdk_own_tests.py."""

import json
import os
import traceback
from pathlib import Path

import pytest

OUTCOMES = "OWN_TESTS_OUTCOMES"
"""The variable that names the file for what became of each test."""
SPOOL = "OWN_TESTS_SPOOL"
"""The variable that names the folder for events. Unset, nothing of ours is imported."""
GUARDED = "guarded-errors"

outcomes: dict[str, list[str]] = {}

if SPOOL in os.environ:
    import usage_tracker.guard

    spool = Path(os.environ[SPOOL])

    def keep(guard: usage_tracker.guard.Guard, error: Exception) -> None:
        """Write down an error that the app would never see, and the test that was running."""
        with (spool.parent / GUARDED).open("a", encoding="utf-8") as file:
            said = {"test": os.environ.get("PYTEST_CURRENT_TEST"), "error": traceback.format_exception(error)}
            file.write(json.dumps(said) + "\n")
        usage_tracker.guard.count(guard, error)

    usage_tracker.guard.report = keep
    usage_tracker.install(ship=False, spool_dir=spool, app="sdk-own-tests")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        outcomes.setdefault(report.nodeid, []).append(f"{report.outcome} ({report.when})")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.outcome != "passed":
        outcomes[report.nodeid] = [f"{report.outcome} (collection)"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # of pytest-xdist, which hears of all its workers' tests
        Path(os.environ[OUTCOMES]).write_text(json.dumps(outcomes), encoding="utf-8")
