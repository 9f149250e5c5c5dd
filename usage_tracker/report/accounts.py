"""What a provider's own admin API says that was used and paid, day by day: its pages, read into one form.

Sources: the response types of `/organization/costs` and `/organization/usage/*` in the openai SDK
(https://github.com/openai/openai-python/tree/main/src/openai/types/admin/organization), and Anthropic's reference of
`/v1/organizations/cost_report` and `/v1/organizations/usage_report/messages`
(https://platform.claude.com/docs/en/manage-claude/usage-cost-api).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple

from usage_tracker.dates import ONE_DAY

Kind = Literal["costs", "usage"]
DIGITS = 15
"""Before the point: nobody was billed so many dollars, and sums of them are exact."""


class Figures(NamedTuple):
    """What was used and what it costs. None: not said."""

    calls: int | None = None
    """Those that were answered."""
    input_tokens: int | None = None
    """Cached tokens included."""
    cache_read_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    """US dollars."""

    def plus(self, other: "Figures") -> "Figures":
        return Figures._make(
            mine if yours is None else yours if mine is None else mine + yours
            for mine, yours in zip(self, other, strict=True)
        )


USED = Figures(input_tokens=0, cache_read_tokens=0, output_tokens=0)


class Entry(NamedTuple):
    """One result of a day."""

    day: date
    model: str | None
    """Or, of what is no model's, the provider's words for it, such as `web search tool calls`."""
    project: str | None
    """The provider's id of its project or workspace."""
    figures: Figures


class BadPage(ValueError):
    """What was read is no page of this API, or can't be compared. Says which part."""


@dataclass
class Account:
    """All that was read of an account."""

    provider: str
    entries: list[Entry] = field(default_factory=list)
    days: dict[Kind, set[date]] = field(default_factory=dict)
    """The days that were told about, also those without a result."""

    def add(self, pages: Iterable[object], kind: Kind | None = None) -> None:
        """Take in the pages of one answer, from the first to the last. `kind`: of what it is, where that is known
        otherwise than from its results. Raises BadPage."""
        days = []
        for bucket in (bucket for page in pages for bucket in items(page, "data")):
            day = DAYS[self.provider](bucket)
            days.append(day)
            for result in items(bucket, "results"):
                found = RESULTS[self.provider](day, result)
                if found is not None:
                    kind, entry = found
                    self.entries.append(entry)
        if kind is not None and days:
            self.days.setdefault(kind, set()).update(days)

    def span(self) -> tuple[date, date] | None:
        """The first day, and the one after the last, that all kinds tell about. None: there is none."""
        if not self.days:
            return None
        first = max(min(days) for days in self.days.values())
        after = min(max(days) for days in self.days.values()) + ONE_DAY
        return (first, after) if first < after else None

    def knows(self) -> Figures:
        """What the account tells of who doesn't appear in it: nothing used, nothing paid."""
        return (USED if "usage" in self.days else Figures())._replace(cost=Decimal(0) if "costs" in self.days else None)


def has_more(page: object) -> bool:
    """Whether another page follows. Raises BadPage where that isn't said."""
    if not isinstance(page, dict) or not isinstance(page.get("has_more"), bool):
        raise BadPage("a page says with has_more whether it is the last one")
    return page["has_more"] is True


def items(part: object, name: str) -> Iterator[Mapping[str, Any]]:
    found = part.get(name) if isinstance(part, dict) else None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadPage(f"it has no list of {name}")
    return iter(found)


def openai_day(bucket: Mapping[str, Any]) -> date:
    return whole_day(*(count(bucket, name, needed=True) for name in ("start_time", "end_time")))


def anthropic_day(bucket: Mapping[str, Any]) -> date:
    try:
        times = [datetime.fromisoformat(bucket[name]) for name in ("starting_at", "ending_at")]
        return whole_day(*(int(moment.timestamp()) for moment in times if moment.tzinfo))
    except (KeyError, TypeError, ValueError):
        raise BadPage("a bucket has no starting_at and ending_at") from None


def whole_day(*seconds: int | None) -> date:
    match seconds:
        case (int(start), int(end)) if start % 86_400 == 0 and end == start + 86_400:
            with suppress(OverflowError, OSError, ValueError):
                return datetime.fromtimestamp(start, UTC).date()
    raise BadPage("its buckets are no whole days of UTC; ask with bucket_width=1d")


def openai_result(day: date, result: Mapping[str, Any]) -> tuple[Kind, Entry] | None:
    """A result, by what it says that it is. None: of something that has neither tokens nor a model."""
    kind = result.get("object")
    project = text(result, "project_id")
    if kind == "organization.costs.result":
        amount = result.get("amount") or {}
        if not isinstance(amount, dict):
            raise BadPage("an amount has no value")
        cost = dollars(amount.get("value", 0), amount.get("currency", "usd"))
        return "costs", Entry(day, model_of(text(result, "line_item")), project, Figures(cost=cost))
    if not isinstance(kind, str) or not kind.startswith("organization."):
        raise BadPage("a result doesn't say what it is")
    if "num_model_requests" not in result or "web_search" in kind:
        return None
    figures = Figures(
        count(result, "num_model_requests"),
        count(result, "input_tokens"),
        count(result, "input_cached_tokens"),
        count(result, "output_tokens"),
    )
    return "usage", Entry(day, text(result, "model"), project, figures)


def model_of(line_item: str | None) -> str | None:
    """The model of `gpt-5.2-2025-12-11, input` or, of another line of the bill, the line."""
    if line_item is None:
        return None
    model, comma, what = line_item.rpartition(", ")
    return model if comma and PART.fullmatch(what) else line_item


PART = re.compile(r"[a-z ,_-]*(input|output|cached|cache)[a-z ,_-]*", re.IGNORECASE)
"""Which part of a call a line of the bill is about."""


def anthropic_result(day: date, result: Mapping[str, Any]) -> tuple[Kind, Entry]:
    project = text(result, "workspace_id")
    if "amount" in result:
        cost = dollars(result["amount"], result.get("currency")) / 100
        model = text(result, "model") or text(result, "description")
        return "costs", Entry(day, model, project, Figures(cost=cost))
    if "uncached_input_tokens" not in result:
        raise BadPage("a result has neither an amount nor tokens")
    written = result.get("cache_creation") or {}
    if not isinstance(written, dict):
        raise BadPage("cache_creation is no object")
    cached = count(result, "cache_read_input_tokens") or 0
    parts = [count(result, "uncached_input_tokens"), *(count(written, name) for name in written)]
    total = cached + sum(part or 0 for part in parts)
    figures = Figures(None, total, cached, count(result, "output_tokens"))
    return "usage", Entry(day, text(result, "model"), project, figures)


DAYS: dict[str, Callable[[Mapping[str, Any]], date]] = {"openai": openai_day, "anthropic": anthropic_day}
RESULTS: dict[str, Callable[[date, Mapping[str, Any]], tuple[Kind, Entry] | None]] = {
    "openai": openai_result,
    "anthropic": anthropic_result,
}


def dollars(amount: object, currency: object) -> Decimal:
    """An amount, a number or a decimal number as text, exactly as it was written. Raises BadPage."""
    if not isinstance(currency, str) or currency.upper() != "USD":
        raise BadPage(f"an amount is in {currency}, not in US dollars")
    try:
        found = Decimal(amount) if isinstance(amount, str | int | Decimal) else None
    except InvalidOperation:
        found = None
    if found is None or isinstance(amount, bool) or not found.is_finite():
        raise BadPage("an amount is no number")
    if found.adjusted() >= DIGITS:
        raise BadPage("an amount is beyond any measure")
    return found


def count(part: Mapping[str, Any], name: str, *, needed: bool = False) -> int | None:
    found = part.get(name)
    if (found is None and not needed) or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise BadPage(f"{name} is no whole number")


def text(part: Mapping[str, Any], name: str) -> str | None:
    found = part.get(name)
    if found is None or isinstance(found, str):
        return found or None
    raise BadPage(f"{name} is no text")
