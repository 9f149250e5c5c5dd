"""Charges as FOCUS 1.2 has them: its columns, its nulls, its sums."""

import csv
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_events import NOON, made_event, store_events
from migrated import migrated
from msgspec.structs import replace

from usage_tracker.event import CostLine, PricedEvent
from usage_tracker.exporting import Plan, open_exporter
from usage_tracker.exports.focus import COLUMNS
from usage_tracker.report import Query, run
from usage_tracker.stores import Store

# https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/tree/v1.2/specification/columns: what is mandatory, and
# whether it may be null
MANDATORY = {
    "BilledCost": False, "BillingAccountId": False, "BillingAccountName": True, "BillingCurrency": False,
    "BillingPeriodEnd": False, "BillingPeriodStart": False, "ChargeCategory": False, "ChargeClass": True,
    "ChargeDescription": True, "ChargePeriodEnd": False, "ChargePeriodStart": False, "ContractedCost": False,
    "EffectiveCost": False, "InvoiceIssuerName": False, "ListCost": False, "PricingQuantity": True, "PricingUnit": True,
    "ProviderName": False, "PublisherName": False, "ServiceCategory": False, "ServiceName": False,
}  # fmt: skip
OTHERS = """
AvailabilityZone BillingAccountType CapacityReservationId CapacityReservationStatus ChargeFrequency
CommitmentDiscountCategory CommitmentDiscountId CommitmentDiscountName CommitmentDiscountQuantity
CommitmentDiscountStatus CommitmentDiscountType CommitmentDiscountUnit ConsumedQuantity ConsumedUnit
ContractedUnitPrice InvoiceId ListUnitPrice PricingCategory PricingCurrency PricingCurrencyContractedUnitPrice
PricingCurrencyEffectiveCost PricingCurrencyListUnitPrice RegionId RegionName ResourceId ResourceName ResourceType
ServiceSubcategory SkuId SkuMeter SkuPriceDetails SkuPriceId SubAccountId SubAccountName SubAccountType Tags
""".split()
NOT_NULL_FOR_USAGE = ("PricingQuantity", "PricingUnit", "SkuId", "SkuPriceId", "ListUnitPrice", "ContractedUnitPrice",
                      "ConsumedQuantity", "ConsumedUnit", "PricingCategory")  # fmt: skip
DECIMALS = ("BilledCost", "EffectiveCost", "ContractedCost", "ListCost", "PricingQuantity", "ConsumedQuantity",
            "ListUnitPrice", "ContractedUnitPrice")  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with migrated(f"sqlite:///{tmp_path}/usage.db") as store:
        yield store


def charge_of(store: Store, tmp_path: Path) -> list[dict[str, str]]:
    open_exporter(store, Plan(str(tmp_path / "focus"), "focus")).run()
    rows: list[dict[str, str]] = []
    for path in sorted((tmp_path / "focus").rglob("*.csv")):
        with path.open(newline="") as file:
            rows += csv.DictReader(file)
    return rows


def priced(*lines: tuple[str, int, str], **fields: Any) -> PricedEvent:
    parts = tuple(CostLine(unit, Decimal(count), Decimal(price)) for unit, count, price in lines)
    made = made_event(cost=str(sum(part.count * part.price for part in parts)), **fields)
    return replace(made, cost=replace(made.cost, lines=parts))


EVENTS = (
    [
        priced(("input_tokens", 1000, "0.0000025"), ("output_tokens", 100, "0.00001"), tags=("tier:pro", "beta"))
        for _ in range(3)
    ]
    + [priced(("searches", 2, "0.01"), provider="anthropic", model="claude", project="alpha", team="core")]
    + [
        made_event(cost="0.000000000001"),
        made_event(cost=None, flags=("unpriced",)),
        made_event(NOON.replace(month=12, day=31)),
    ]
)


def test_the_columns_are_those_of_the_specification(store: Store, tmp_path: Path) -> None:
    store_events(store, EVENTS)
    rows = charge_of(store, tmp_path)
    assert set(MANDATORY) <= set(COLUMNS)
    assert {name for name in COLUMNS if not name.startswith("x_")} <= {*MANDATORY, *OTHERS}
    for row in rows:
        assert tuple(row) == COLUMNS
        assert [name for name, may_be_null in MANDATORY.items() if not may_be_null and row[name] == ""] == []
        assert [name for name in NOT_NULL_FOR_USAGE if row[name] == ""] == []


def test_values_have_the_forms_of_the_specification(store: Store, tmp_path: Path) -> None:
    store_events(store, EVENTS)
    rows = charge_of(store, tmp_path)
    assert rows
    for row in rows:
        assert all(re.fullmatch(r"-?\d+(\.\d+)?", row[name]) for name in DECIMALS)
        for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name])
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= row["BillingPeriodEnd"]
        assert (row["ChargeCategory"], row["ServiceCategory"]) == ("Usage", "AI and Machine Learning")
        assert isinstance(json.loads(row["Tags"]), dict)


def test_a_name_may_have_any_characters(store: Store, tmp_path: Path) -> None:
    names = ["a\rb", "a\nb", 'a"b', "a,b", "a;b", "größe"]
    store_events(store, [priced(("searches", 1, "0.01"), project=name) for name in names])
    assert sorted(row["SubAccountId"] for row in charge_of(store, tmp_path)) == sorted(names)


def test_the_first_and_the_last_day_that_a_store_holds_have_periods(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(NOON.replace(year=year, month=month, day=day))
                         for year, month, day in ((1, 1, 1), (9999, 12, 31))])  # fmt: skip
    assert [(row["ChargePeriodStart"], row["ChargePeriodEnd"]) for row in charge_of(store, tmp_path)] == [
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("9999-12-31T00:00:00Z", "9999-12-31T23:59:59Z"),
    ]


def test_price_times_quantity_is_the_cost(store: Store, tmp_path: Path) -> None:
    store_events(store, EVENTS)
    rows = charge_of(store, tmp_path)
    assert rows
    for row in rows:
        product = Decimal(row["ContractedUnitPrice"]) * Decimal(row["PricingQuantity"])
        assert abs(product - Decimal(row["BilledCost"])) < Decimal("1e-12") * int(row["x_Calls"])


def test_the_charges_add_up_to_what_a_report_says(store: Store, tmp_path: Path) -> None:
    rounded = priced(("audio_seconds", 3, "0.0000277777777"), ("searches", 1, "0.01"))
    rounded = replace(rounded, cost=replace(rounded.cost, amount=Decimal("0.010083333333")))
    store_events(store, [*EVENTS, rounded])
    assert sum(Decimal(row["BilledCost"]) for row in charge_of(store, tmp_path)) == run(store, Query()).total.cost


def test_where_an_answer_names_no_model_a_charge_is_of_the_one_that_was_asked_for(store: Store, tmp_path: Path) -> None:
    store_events(store, [priced(("images", 1, "0.04"), model=None, request_model="dall-e-3")])
    assert [row["x_Model"] for row in charge_of(store, tmp_path)] == ["dall-e-3"]


def test_calls_of_one_kind_are_one_charge_for_each_unit(store: Store, tmp_path: Path) -> None:
    store_events(store, EVENTS[:3])
    rows = charge_of(store, tmp_path)
    assert [(row["SkuMeter"], row["PricingUnit"], row["PricingQuantity"], row["x_Calls"]) for row in rows] == [
        ("Input Tokens", "Tokens", "3000", "3"),
        ("Output Tokens", "Tokens", "300", "3"),
    ]
    assert json.loads(rows[0]["Tags"]) == {"tier": "pro", "beta": True}


def test_a_price_keeps_its_id_when_it_changes(store: Store, tmp_path: Path) -> None:
    """https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec/blob/v1.2/specification/columns/skupriceid.md"""
    store_events(store, [priced(("input_tokens", 1000, price)) for price in ("0.0000025", "0.000002")])
    rows = charge_of(store, tmp_path)
    assert {row["ListUnitPrice"] for row in rows} == {"0.0000025", "0.000002"}
    assert len({row["SkuPriceId"] for row in rows}) == len({row["SkuId"] for row in rows}) == 1


def test_a_call_without_a_known_cost_is_no_charge(store: Store, tmp_path: Path) -> None:
    store_events(store, [made_event(cost=None, flags=("unpriced",))])
    assert charge_of(store, tmp_path) == []
