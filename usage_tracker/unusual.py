"""What nobody has set a budget for and somebody should hear of: a day far above its past, calls without a price, and
events that could not be kept."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import fmean, pstdev

from usage_tracker.budgets.alerts import Alert
from usage_tracker.report.query import Query, run
from usage_tracker.stores import Store

PAST_DAYS = 28
LEAST_DAYS = 7
"""Fewer days with calls are no past."""
DEVIATIONS = 3
TIMES = 2
LEAST_COST = Decimal(1)
"""A dollar more or less is no anomaly."""
MOST_NAMED = 5


def today(now: datetime | None = None) -> int:
    """When it began, UTC, in seconds since 1970."""
    return int((now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


def look_for(store: Store, dropped: int, host: str, now: datetime | None = None) -> list[Alert]:
    """What there is to say of today, UTC. Raises StoreError."""
    start = today(now)
    first = datetime.fromtimestamp(start, UTC)
    found = []
    report = run(store, Query(first - timedelta(days=PAST_DAYS), first + timedelta(days=1), ("day",)))
    costs = {row.group[0]: row.cost or Decimal(0) for row in report.rows}
    spent = costs.pop(first.date(), Decimal(0))
    if (message := anomaly(spent, list(costs.values()))) is not None:
        found.append(Alert("anomaly", "", start, "day", {"kind": "anomaly", "spent": f"{spent:f}", "text": message}))
    now_unpriced = run(store, Query(first, first + timedelta(days=1), ()))
    if count := now_unpriced.total.unpriced:
        models = ", ".join(name or "(no name)" for name in now_unpriced.unpriced_models[:MOST_NAMED])
        they = "1 call of today has" if count == 1 else f"{count} calls of today have"
        text = f"{they} no known cost ({models}); see `usage-tracker prices unpriced`."
        found.append(Alert("unpriced", "", start, "day", {"kind": "unpriced", "calls": count, "text": text}))
    if dropped:
        text = f"{dropped} events could not be kept on {host} and are lost; see `usage-tracker doctor` there."
        found.append(Alert("dropped", host, start, "day", {"kind": "dropped", "events": dropped, "text": text}))
    return found


def anomaly(today: Decimal, past: list[Decimal]) -> str | None:
    """A sentence where today has cost more than DEVIATIONS standard deviations, and TIMES the mean, of its past."""
    if len(past) < LEAST_DAYS or today < LEAST_COST:
        return None
    costs = [float(cost) for cost in past]
    mean, deviation = fmean(costs), pstdev(costs)
    if float(today) <= max(mean + DEVIATIONS * deviation, TIMES * mean):
        return None
    return f"Today has cost ${today:,.2f} so far; the {len(past)} days before cost ${mean:,.2f} on average."
