"""`usage-tracker reprice`: another cost for stored calls, the original kept, and reports moved along."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from click.testing import Result
from commanding import invoke
from made_events import NOON, made_event, random_events, store_events
from migrated import migrated

from usage_tracker.event import Cost, PricedEvent
from usage_tracker.report import Query, list_events, run
from usage_tracker.report.conditions import parse_condition
from usage_tracker.stores import Store
from usage_tracker.stores.repricing import Repriced

AUGUST = ("--since", "2026-08", "--until", "2026-08")


@pytest.fixture(params=["sqlite", "postgres"])
def dsn(request: pytest.FixtureRequest, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    found = f"sqlite:///{tmp_path}/usage.db"
    if request.param == "postgres":
        found = str(request.getfixturevalue("empty_postgres_dsn"))
    monkeypatch.setenv("TRACKER_DSN", found)
    return found


@pytest.fixture
def store(dsn: str) -> Iterator[Store]:
    with migrated(dsn) as found:
        yield found


def command(*words: str) -> Result:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result


def reprice(*words: str) -> Any:
    return json.loads(command("reprice", *AUGUST, "-o", "json", *words).stdout)["rows"]


def acme(**fields: Any) -> PricedEvent:
    """A call of a model without a list, of 100 tokens in and 10 out."""
    return made_event(**{"cost": None, "flags": ["unpriced"], "provider": "acme", "model": "acme-1", **fields})


def set_price(dollars: str, *words: str) -> None:
    command("prices", "set", "acme-*", "--input", dollars, "--output", "0", *words)


def total(*words: str) -> Any:
    return json.loads(command("report", *AUGUST, "-o", "json", *words).stdout)["total"]


def test_without_apply_only_the_difference_is_shown(store: Store) -> None:
    store_events(store, [acme(), acme(), made_event(cost="0.00035")])
    set_price("10000")
    [row, other] = reprice()
    assert row == {
        "provider": "acme",
        "model": "acme-1",
        "calls": 2,
        "changed": 2,
        "refused": 0,
        "unpriced": 0,
        "before": None,
        "after": "2",
        "difference": "2",
    }
    assert (other["changed"], other["difference"]) == (0, "0")
    assert total()["cost"] == "0.00035"
    result = command("reprice", *AUGUST)
    assert "2 of 3 calls would cost something else; add --apply" in result.stderr
    assert [line.split() for line in result.stdout.splitlines()][4] == [
        "acme", "acme-1", "2", "2", "0", "0", "—", "$2.0000", "$2.0000"
    ]  # fmt: skip
    [first, *_] = csv.DictReader(io.StringIO(command("reprice", *AUGUST, "-o", "csv").stdout))
    assert (first["model"], first["difference"]) == ("acme-1", "2")


def test_applied_calls_and_reports_have_the_new_cost_and_the_original_is_kept(store: Store) -> None:
    event = acme(tags=("a", "b"), user_id="u-1")
    store_events(store, [event, made_event(cost="0.00035")])
    set_price("10000")
    assert "1 call has another cost now" in command("reprice", *AUGUST, "--apply").stderr
    assert (total()["cost"], total()["unpriced"]) == ("1.00035", 0)
    shown = json.loads(command("events", "show", str(event.event_id), "-o", "json").stdout)
    assert (shown["event"]["cost"], shown["event"]["price_version"]) == ("1", "1")
    assert shown["event"]["cost_flags"] == []
    assert shown["original"] == {"cost": None, "source": None, "version": None}
    assert shown["lines"][0]["cost"] == "1"
    assert "It had no cost, before it was priced again." in command("events", "show", str(event.event_id)).stdout
    assert [row["changed"] for row in reprice()] == [0, 0], "what was done is done"


def test_the_first_cost_stays_the_original_however_often_it_is_priced_again(store: Store) -> None:
    event = acme(cost="0.5", flags=[])
    store_events(store, [event])
    for dollars in ("10000", "20000"):
        set_price(dollars)
        reprice("--apply")
    shown = json.loads(command("events", "show", str(event.event_id), "-o", "json").stdout)
    assert (shown["event"]["cost"], shown["original"]["cost"], shown["event"]["price_version"]) == ("2", "0.5", "2")
    assert total()["cost"] == "2"


def test_calls_that_count_under_the_same_are_all_moved(store: Store) -> None:
    store_events(store, [acme(tags=("a",)) for _ in range(3)])
    set_price("10000")
    assert [row["changed"] for row in reprice("--apply")] == [3]
    for where in ((), ("--where", "tag=a")):
        assert (total(*where)["cost"], total(*where)["unpriced"], total(*where)["calls"]) == ("3", 0, 3)


def test_a_call_is_priced_at_its_own_time_or_keeps_its_cost(store: Store) -> None:
    early, late = acme(at=NOON - timedelta(days=5), cost="9"), acme(cost="9")
    unknown = acme(model="other-1", cost="7")
    store_events(store, [early, late, unknown])
    set_price("10000", "--from", "2026-08-15")
    rows = {row["model"]: row for row in reprice("--apply")}
    assert (rows["acme-1"]["changed"], rows["acme-1"]["refused"]) == (1, 1)
    assert (rows["other-1"]["refused"], rows["other-1"]["difference"]) == (1, "0")
    assert total()["cost"] == "17"
    assert "2 calls keep their cost" in command("reprice", *AUGUST).stderr


def test_only_the_calls_that_are_named_are_priced_again(store: Store) -> None:
    store_events(store, [acme(project="alpha"), acme(project="beta")])
    set_price("10000")
    reprice("--where", "project=alpha", "--apply")
    assert (total("--where", "project=alpha")["cost"], total("--where", "project=beta")["cost"]) == ("1", None)


def test_cached_answers_stay_free_and_a_range_has_to_be_named(store: Store) -> None:
    store_events(store, [acme(cost="0", flags=["cached"])])
    set_price("10000")
    assert [row["changed"] for row in reprice()] == [0]
    result = invoke("reprice")
    assert (result.exit_code, "--since" in result.stderr) == (2, True)


def test_on_a_terminal_of_eighty_columns_no_line_is_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    store_events(store, [acme(model="acme-has-models-with-long-names", cost="0.00035")])
    shown = command("reprice", *AUGUST).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "No room for Refused, No cost" in shown


def test_years_without_calls_are_not_gone_through_hour_by_hour(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one call of a clock that stood at 1970, a look at all took minutes."""
    asked: list[object] = []

    def look(*span: Any) -> Any:
        asked.append(span)
        return list_events(*span)

    monkeypatch.setattr("usage_tracker.report.repricing.list_events", look)
    store_events(store, [acme(), acme(at=NOON.replace(year=1970))])
    set_price("10000")
    [row] = json.loads(command("reprice", "--since", "all", "-o", "json").stdout)["rows"]
    assert (row["calls"], len(asked)) == (2, 48)


def test_without_calls_it_says_so(dsn: str) -> None:
    result = invoke("reprice", "--since", "all")
    assert result.exit_code == 0
    assert "No events yet" in result.stderr


def test_reports_are_as_if_calls_had_been_priced_like_that_at_once(store: Store) -> None:
    """By each dimension, over any events: what rollups sum is what the events hold."""
    events = random_events(7, 400)
    store_events(store, events[:200])
    store.compact()
    store_events(store, events[200:])
    changed = [priced for priced in events if priced.event.usage.output_tokens is not None][::2]
    new: list[Cost] = [
        Cost(Decimal("0.125"), source="again"),
        Cost(flags=("unpriced",)),
        Cost(Decimal(3), source="again"),
    ]
    repriced = [
        Repriced(priced.event_id, priced.event.started_at // 1000, new[place % 3])
        for place, priced in enumerate(changed)
    ]
    missing = Repriced(uuid4(), 0, Cost(Decimal(1), source="again"))
    assert store.reprice([*repriced, missing]) == len(repriced)
    for _ in range(2):
        compare_with_events(store)
        store.compact()
    unpriced = {str(each.event_id) for each in repriced if each.cost.source is None}
    prices = {
        (event["price_source"], str(event["cost_parts"]))
        for event in list_events(store)
        if event["event_id"] in unpriced
    }
    assert prices == {(None, "None")}


def compare_with_events(store: Store) -> None:
    stored: Sequence[Any] = list(list_events(store))
    names = {"model": None, "user": "user_id", "project": "project", "status": "status", "service_tier": "service_tier"}
    for dimension, column in names.items():
        found = run(store, Query(None, None, (dimension,)))
        for row in found.rows:
            (value,) = row.group
            same = [
                event
                for event in stored
                if (event[column] if column else event["model"] or event["request_model"]) == value
            ]
            costs = [event["cost"] for event in same if event["cost"] is not None]
            assert row.cost == (sum(costs, Decimal(0)) if costs else None), (dimension, value)
            assert row.unpriced == sum("unpriced" in event["cost_flags"] for event in same)
            assert row.calls == len(same)
    for tag in ("eu", "tier:pro"):
        tagged = run(store, Query(None, None, ("model",), (parse_condition(f"tag={tag}"),)))
        costs = [event["cost"] for event in stored if tag in event["tags"] and event["cost"] is not None]
        assert tagged.total.cost == sum(costs, Decimal(0))
    costs_of_hours: defaultdict[Any, Decimal] = defaultdict(Decimal)
    for event in stored:
        costs_of_hours[event["started_at"].replace(minute=0, second=0, microsecond=0)] += event["cost"] or 0
    hours = {row.group[0]: row.cost or 0 for row in run(store, Query(None, None, ("hour",))).rows if row.calls}
    assert hours == costs_of_hours
    untagged = sum(event["cost"] is not None for event in stored if not event["tags"])
    sums = store.select(f"SELECT sum(priced) FROM {store.dialect.prefix}by_day_tag WHERE tag_key = 0")
    assert list(sums) == [(untagged,)]
    days = run(store, Query(None, None, ("day",)))
    assert days.total.cost == sum((event["cost"] for event in stored if event["cost"] is not None), Decimal(0))
