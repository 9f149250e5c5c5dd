"""Calls that took several passes over models, each of which is billed by itself: at the price of its own model, and by
the length of its own prompt.

An advisor is another model than the one that answers, and so may be who refused before; which are beyond a step is
told by their own counts. https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool,
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback,
https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/types/beta/beta_usage.py
"""

from collections.abc import Sequence

from msgspec.structs import replace

from usage_tracker.event import Cost, CostLine, Usage, UsageEvent
from usage_tracker.pricing.money import DOLLARS, NOTHING
from usage_tracker.pricing.occasion import SPEED
from usage_tracker.providers.anthropic_usage import PASSES, added, read_passes


def passes_of(event: UsageEvent) -> list[UsageEvent]:
    """The call as one for each of its passes; nearly always itself. What isn't a token goes with the last, which is the
    one that answered."""
    raw = event.raw
    if raw is None or PASSES not in raw:
        return [event]
    said, passes = read_passes(raw), list[UsageEvent]()
    if not said or totals(added(said)) != totals(event.usage):
        return [event]
    beside = {name: figure for name, figure in raw.items() if name != PASSES}
    for model, usage in said:
        one = replace(event, usage=usage, raw=beside)
        if model is not None and model != event.model:
            one.model = one.request_model = model
            one.raw = {name: figure for name, figure in beside.items() if name != SPEED}
        passes.append(one)
    passes[-1].usage.units = event.usage.units
    return passes


def totals(usage: Usage) -> tuple[int | None, int | None]:
    return usage.input_tokens, usage.output_tokens


def together(costs: Sequence[Cost]) -> Cost:
    """What the passes cost; unknown where that is unknown of one of them."""
    if len(costs) == 1:
        return costs[0]
    missing = next((cost for cost in costs if cost.amount is None), None)
    if missing is not None:
        return missing
    amount, counts = NOTHING, dict[tuple[str, object], CostLine]()
    for cost in costs:
        assert cost.amount is not None
        amount = DOLLARS.add(amount, cost.amount)
        for line in cost.lines:
            known = counts.get((line.unit, line.price))
            count = line.count if known is None else DOLLARS.add(known.count, line.count)
            counts[line.unit, line.price] = CostLine(line.unit, count, line.price)
    versions = dict.fromkeys(cost.version for cost in costs if cost.version is not None)
    return Cost(amount, tuple(counts.values()), costs[-1].source, " + ".join(versions) or None)
