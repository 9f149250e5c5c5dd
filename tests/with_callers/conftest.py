"""Frameworks keep HTTP clients of their own, of event loops that have ended, and nobody closes them: what Python says
of their sockets when it comes to collect them, in whichever test or after all, is no fault of a test."""

import warnings

import pytest


def pytest_configure(config: pytest.Config) -> None:
    for left_open in ("ignore:unclosed:ResourceWarning", "ignore:.*:pytest.PytestUnraisableExceptionWarning"):
        config.addinivalue_line("filterwarnings", left_open)
    # After the last test pytest collects once more, by the filters that it read before this file.
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)
