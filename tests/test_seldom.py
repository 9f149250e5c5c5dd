"""What is said now and then."""

import pytest

from usage_tracker.seldom import Seldom


def test_it_is_due_at_once_and_then_after_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short the machine has run: its clock may begin at 0."""
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    warning, other = Seldom(60.0), Seldom(60.0)
    asked = []
    for clock[0] in (0.0, 1.0, 59.9, 60.0, 61.0, 120.0):
        asked.append(warning.due())
    assert asked == [True, False, False, True, False, True]
    assert other.due()
