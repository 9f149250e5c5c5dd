"""A budget as programs and forms say it, in the words of `usage-tracker budget set`."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from usage_tracker.budgets.budget import Budget, Measure, Unreachable, check, parse_limit, parse_share
from usage_tracker.errors import ConfigError
from usage_tracker.plain_values import exact
from usage_tracker.report import Condition, parse_conditions
from usage_tracker.report.spelling import without_options

Text = Annotated[str, msgspec.Meta(max_length=500)]
MOST_CONDITIONS = 20


class BudgetBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A budget, as `usage-tracker budget list -o json` has it. What is left out is as it usually is."""

    limit: Decimal
    """US dollars, tokens or calls."""
    name: Text | None = None
    """That of the address, or left out."""
    measure: Measure = "cost"
    per: Text = "month"
    """`hour`, `day`, `week`, `month`, a duration such as `24h` that rolls along, or `minute`, which limits the rate."""
    tz: Text = "UTC"
    where: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MOST_CONDITIONS)] = ()
    """Conditions such as `team=frontend`; all hold."""
    each: Text | None = None
    """The dimension of which each value has a budget of its own."""
    on_limit: Literal["alert", "throttle", "block"] = "alert"
    soft: Annotated[tuple[Decimal, ...], msgspec.Meta(max_length=MOST_CONDITIONS)] = ()
    """Shares at which to alert, beside the limit itself; 0.8 is 80 %."""
    strict: bool = False
    unreachable: Unreachable = "open"
    unpriced: Literal["count", "refuse"] = "count"
    delay: float = 5.0
    """The longest that `throttle` holds a call, in seconds."""


decode = msgspec.json.Decoder(BudgetBody).decode


def budget_of_body(name: str, content: bytes) -> Budget:
    """Raises ValueError with a sentence."""
    try:
        body = decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the body is no budget: {error}") from None
    if body.name not in (None, name):
        raise ValueError(f"the address is that of {name!r}, and the body that of another budget")
    said = [key for key in BudgetBody.__struct_fields__ if key not in ("name", "tz", "where", "each")]
    fields = {key: getattr(body, key) for key in said}
    # where a program's types know no null, it is empty
    each = body.each or None
    return checked(Budget(name=name, zone=body.tz, where=conditions(body.where), each=each, **fields))


def budget_of_form(fields: Mapping[str, str]) -> Budget:
    """Raises ValueError with a sentence."""
    said = {name: text.strip() for name, text in fields.items()}
    try:
        limit, measure = parse_limit(said.get("limit", ""))
        soft = tuple(parse_share(text) for text in said.get("soft", "").replace(",", " ").split())
        budget = Budget(
            name=said.get("name", ""),
            limit=limit,
            measure=measure,
            per=said.get("per") or "month",
            zone=said.get("tz") or "UTC",
            where=conditions(line for line in said.get("where", "").splitlines() if line.strip()),
            each=said.get("each") or None,
            on_limit=chosen(said, "on_limit", ("alert", "throttle", "block")),  # type: ignore[arg-type]  # one of them
            soft=soft,
            strict=bool(said.get("strict")),
            unreachable=chosen(said, "unreachable", ("open", "closed")),  # type: ignore[arg-type]
            unpriced=chosen(said, "unpriced", ("count", "refuse")),  # type: ignore[arg-type]
            delay=number(said.get("delay") or "5"),
        )
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return checked(budget)


def checked(budget: Budget) -> Budget:
    try:
        check(budget)
    except ConfigError as error:
        raise ValueError(without_options(str(error))) from None
    return budget


def conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """Raises ValueError."""
    return parse_conditions(text.strip() for text in texts)


def chosen(said: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    word = said.get(name) or words[0]
    if word not in words:
        raise ValueError(f"{name.replace('_', ' ')} is one of {', '.join(words)}")
    return word


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no number of seconds") from None


def form_of(budget: Budget | None) -> dict[str, str]:
    """What stands in the fields of the form at first."""
    if budget is None:
        return {"per": "month", "tz": "UTC", "delay": "5"}
    return {
        "name": budget.name,
        "limit": f"{budget.limit:f}" + ("" if budget.measure == "cost" else f" {budget.measure}"),
        "per": budget.per,
        "tz": budget.zone,
        "where": "\n".join(map(str, budget.where)),
        "each": budget.each or "",
        "on_limit": budget.on_limit,
        "soft": ", ".join(f"{exact(share * 100)}%" for share in budget.soft),
        **({"strict": "1"} if budget.strict else {}),
        "unreachable": budget.unreachable,
        "unpriced": budget.unpriced,
        "delay": f"{budget.delay:g}",
    }
