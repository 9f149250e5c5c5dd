"""`record()`: calls that no SDK of ours made."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest

import usage_tracker
from usage_tracker import recording
from usage_tracker.seldom import Seldom
from usage_tracker.testing import capture_usage


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": 3.5},
        {"input_tokens": "7"},
        {"reported_cost": 0.5},
        {"duration_ms": float("nan")},
        {"units": 2},
        {"units": {"images": "2"}},
        {"no_such": 1},
    ],
)
def test_a_recorded_call_that_no_event_can_hold_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    usage_tracker.install(ship=False, spool_dir=tmp_path)
    try:
        with pytest.raises(TypeError):
            usage_tracker.record(provider="openai", model="m", **wrong)  # type: ignore[arg-type]  # that is the point
        assert usage_tracker.stats().captured == 0
    finally:
        usage_tracker.uninstall()


class Own(int):
    """A number of a library's own, as NumPy has them."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"input_tokens": "7"}, "input_tokens: Expected `int | null`, got `str`"),
        ({"reported_cost": 0.5}, "reported_cost: Expected `str | null`, got `float`"),
        ({"units": {"images": "2"}}, "units: Expected `int | float`, got `str`"),
        ({"units": {2: 2}}, "units: Expected `str`, got `int`"),
        ({"status": "fine"}, "status: Invalid enum value 'fine'"),
        ({"input_tokens": Own(7)}, "input_tokens: Encoding objects of type Own is unsupported"),
        ({"units": {"images": 1 << 70}}, "units: can't serialize ints < -2**63 or > 2**64 - 1"),
        ({"duration_ms": "5"}, "duration_ms: must be real number, not str"),
        ({"duration_ms": 10**400}, "duration_ms: int too large to convert to float"),
    ],
)
def test_what_a_recorded_call_can_not_have_is_named(wrong: dict[str, object], said: str) -> None:
    with capture_usage(), pytest.raises(TypeError) as refused:
        usage_tracker.record(provider="acme", model="m", **wrong)  # type: ignore[arg-type]  # that is the point
    assert str(refused.value) == said


def test_a_recorded_call_says_what_is_billed_by_the_unit_and_leaves_open_what_is_not_known() -> None:
    """Its words for that pass the type checker of who calls it, as those here pass ours."""
    made: int | None = None
    units = MappingProxyType({"images": 2})
    with capture_usage() as captured:
        usage_tracker.record(provider="acme", model="acme-paint-1", operation="image", input_tokens=made, units=units)
        usage_tracker.record(provider="acme", model="acme-7b", input_tokens=7, estimated=True)
    assert [(call.units, call.input_tokens, call.estimated) for call in captured] == [
        ({"images": 2}, None, False),
        (None, 7, True),
    ]


def test_a_recorded_call_may_have_its_cost_as_a_text_or_a_decimal_number() -> None:
    with capture_usage() as captured:
        for cost in ("0.08", Decimal("0.08"), Decimal("8E-2")):
            usage_tracker.record(provider="acme", model="acme-paint-1", reported_cost=cost)
    assert [call.cost for call in captured] == [Decimal("0.08")] * 3


def test_a_recorded_call_began_as_long_ago_as_it_took() -> None:
    with capture_usage() as captured:
        first = datetime.now(UTC)
        usage_tracker.record(provider="acme", model="acme-7b", duration_ms=60_000)
        last = datetime.now(UTC)
    assert first <= captured[0].started_at + timedelta(minutes=1) <= last


def test_a_figure_that_no_call_has_is_unknown_as_where_a_provider_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app goes on, and reports sum nothing that can't be."""
    monkeypatch.setattr(recording, "warning", Seldom())
    units = {"images": -2, "searches": 3}
    with capture_usage() as captured:
        for figures in (
            {"input_tokens": -1000, "output_tokens": 10},
            {"input_tokens": 10**15, "cache_read_tokens": -1},
            {"units": units},
            {"units": {"seconds": float("inf")}, "reported_cost": "-0.5"},
            {"reported_cost": "five", "duration_ms": -5000.0},
            {"input_tokens": 0, "output_tokens": 10**12, "reported_cost": "0", "duration_ms": 0},
        ):
            usage_tracker.record(provider="acme", model="m", **figures)
    columns = ("input_tokens", "output_tokens", "cache_read_tokens", "units", "reported_cost", "duration_ms")
    assert [tuple(getattr(call, column) for column in columns) for call in captured] == [
        (None, 10, None, None, None, None),
        (None, None, None, None, None, None),
        (None, None, None, {"searches": 3}, None, None),
        (None, None, None, None, None, None),
        (None, None, None, None, None, None),
        (0, 10**12, None, None, "0", 0),
    ]
    assert units == {"images": -2, "searches": 3}, "it is the app's"
    assert [record.getMessage() for record in caplog.records] == [
        "record() was given what no call can have used; it counts as unknown: input_tokens"
    ]
