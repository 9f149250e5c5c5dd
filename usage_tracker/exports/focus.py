"""Charges for FinOps tools: FOCUS 1.2 as CSV. https://focus.finops.org/focus-specification/v1-2/

A row is what one model's one unit (input tokens, searches…) cost at one price on one day, for one project and its kin.
Calls without a known cost are left out, as FOCUS knows no unknown cost; `usage-tracker report` names them.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from usage_tracker.csv_text import csv_line
from usage_tracker.exports.buckets import LAST, Bucket
from usage_tracker.plain_values import exact
from usage_tracker.stores.values import read_cost_parts

NAMES = {
    "openai": "OpenAI", "anthropic": "Anthropic", "azure": "Microsoft", "gemini": "Google", "vertex": "Google",
    "bedrock": "AWS", "groq": "Groq", "together": "Together AI", "mistral": "Mistral AI", "cohere": "Cohere",
}  # fmt: skip
"""Who sends the invoice, by our name of the provider; others go by our name."""

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
    "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceIssuerName",
    "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId",
    "SubAccountName", "Tags", "x_App", "x_Calls", "x_Model", "x_Operation", "x_Team",
)  # fmt: skip


class Charge(NamedTuple):
    """What a row is about."""

    day: date
    provider: str
    operation: str
    model: str
    unit: str
    price: Decimal
    app: str | None
    project: str | None
    team: str | None
    tags: tuple[str, ...]


@dataclass
class Amount:
    quantity: Decimal = field(default_factory=Decimal)
    cost: Decimal = field(default_factory=Decimal)
    calls: int = 0


READ = (
    "started_at", "provider", "operation", "model", "request_model", "cost", "cost_parts", "app", "project", "team",
    "tags",
)  # fmt: skip


def write_focus(batches: Iterator[pa.RecordBatch], path: Path) -> int:
    """Write the file; how many events were read for it."""
    amounts: defaultdict[Charge, Amount] = defaultdict(Amount)
    events = 0
    for batch in batches:
        events += batch.num_rows
        for event in batch.select(READ).to_pylist():
            if event["cost"] is not None:
                add(amounts, event)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_line(COLUMNS))
        for charge in sorted(amounts, key=order):
            values = row(charge, amounts[charge])
            file.write(csv_line(values[name] for name in COLUMNS))
    return events


def order(charge: Charge) -> list[str]:
    return [str(value) for value in charge]


def add(amounts: defaultdict[Charge, Amount], event: dict[str, Any]) -> None:
    """Count an event under each unit that it was charged for. What its parts don't add up to, by less than a picodollar
    each, goes with the first."""
    lines = list(read_lines(event["cost_parts"])) or [("calls", Decimal(1), event["cost"])]
    left = event["cost"] - sum(count * price for _, count, price in lines)
    for place, (unit, count, price) in enumerate(lines):
        charge = Charge(
            event["started_at"].date(),
            event["provider"] or "unknown",
            event["operation"],
            event["model"] or event["request_model"] or "unknown",
            unit,
            price,
            event["app"],
            event["project"],
            event["team"],
            tuple(event["tags"]),
        )
        amount = amounts[charge]
        amount.quantity += count
        amount.cost += count * price + (0 if place else left)
        amount.calls += 1


def read_lines(parts: str | None) -> Iterator[tuple[str, Decimal, Decimal]]:
    """Unit, count and price of each part of a cost."""
    for unit, count, price in read_cost_parts(json.loads(parts or "{}", parse_float=Decimal)):
        if count is not None:
            yield unit, count, price


def row(charge: Charge, amount: Amount) -> dict[str, object]:
    name = NAMES.get(charge.provider, charge.provider)
    sku = f"{charge.provider}/{charge.model}/{charge.operation}/{charge.unit}"
    day = Bucket(datetime(charge.day.year, charge.day.month, charge.day.day, tzinfo=UTC), "day")
    month = day.start.replace(day=1)
    next_month = (min(month, LAST - timedelta(days=31)) + timedelta(days=31)).replace(day=1)
    cost, price, quantity = exact(amount.cost), exact(charge.price), exact(amount.quantity)
    unit = "Tokens" if charge.unit.endswith("_tokens") else words(charge.unit)
    return {
        "BilledCost": cost, "EffectiveCost": cost, "ContractedCost": cost, "ListCost": cost,
        "ContractedUnitPrice": price, "ListUnitPrice": price,
        "PricingQuantity": quantity, "PricingUnit": unit, "ConsumedQuantity": quantity, "ConsumedUnit": unit,
        "PricingCategory": "Standard",
        "BillingAccountId": charge.provider, "BillingAccountName": name, "BillingCurrency": "USD",
        "BillingPeriodStart": instant(month), "BillingPeriodEnd": instant(max(next_month, day.end)),
        "ChargePeriodStart": instant(day.start), "ChargePeriodEnd": instant(day.end),
        "ChargeCategory": "Usage", "ChargeClass": None, "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{words(charge.unit)} of {charge.model} ({charge.operation})",
        "InvoiceIssuerName": name, "ProviderName": name, "PublisherName": name,
        "ServiceCategory": "AI and Machine Learning", "ServiceSubcategory": "Generative AI",
        "ServiceName": f"{name} API",
        "SkuId": sku, "SkuMeter": words(charge.unit), "SkuPriceId": sku,  # which stays the same when the price changes
        "SubAccountId": charge.project, "SubAccountName": charge.project,
        "Tags": json.dumps(tags_of(charge), ensure_ascii=False, separators=(",", ":")),
        "x_App": charge.app, "x_Calls": amount.calls, "x_Model": charge.model, "x_Operation": charge.operation,
        "x_Team": charge.team,
    }  # fmt: skip


def tags_of(charge: Charge) -> dict[str, str | bool]:
    """`tier:pro` as a key and its value; a tag without a value is true. Of one key with two values, the last."""
    found: dict[str, str | bool] = {}
    for tag in charge.tags:
        key, colon, value = tag.partition(":")
        found[key] = value if colon else True
    return found


def words(unit: str) -> str:
    return unit.replace("_", " ").title()


def instant(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
