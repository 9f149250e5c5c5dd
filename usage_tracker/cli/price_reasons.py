"""Why a call has no cost, and what would give it one."""

import shlex
from collections.abc import Collection
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from usage_tracker.cli.figures import printable
from usage_tracker.event import Origin, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.bill import TOOLS
from usage_tracker.pricing.occasion import FAST, SPEED, STANDARD, TIERS
from usage_tracker.pricing.rates import Rates
from usage_tracker.report import Condition, Event, Query, list_events, run
from usage_tracker.report.repricing import call_of
from usage_tracker.stores import Store

HOUR = timedelta(hours=1)
TOOL_OPTIONS = {
    "searches": "search", "map_searches": "map-search", "x_searches": "x-search", "file_searches": "file-search",
    "retrievals": "file-search", "code_executions": "code-execution",
}  # fmt: skip
MEASURE_OPTIONS = {"images": "image", "seconds": "second", "characters": "character", "pages": "page"}
"""Kinds of `units`, and the options of `prices set` that give one of them a price."""


class Reason(NamedTuple):
    why: str
    """In a few words."""
    remedy: str
    """A command, or a sentence where none helps."""


OF_SUMS = (
    "A batch, or a line of OpenAI's usage export, tells the sum of its prompts, and not which of them are beyond a "
    "step: an entry with prices of your own for the tier, and no steps, gives it one."
)
LEFT = ("abandoned", "cancelled")
"""The status of a call that the app gave up; it may have gone before there was a word of its usage."""
MOST_LEFT = 100
"""Such calls that are looked past."""


def telling_unpriced(store: Store, query: Query, group: Collection[Condition]) -> Event | None:
    """The newest call of the group that should have a cost and has none: of those that the app didn't leave, as far as
    that hour has one among its last. Raises StoreError.

    Rollups tell the hour, so that only that hour's calls are read.
    """
    where = (*query.where, *group)
    hours = [row.group[0] for row in run(store, Query(query.since, query.until, ("hour",), where)).rows if row.unpriced]
    newest = max((hour for hour in hours if isinstance(hour, datetime)), default=None)
    if newest is None:
        return None
    since = newest if query.since is None else max(newest, query.since)
    until = newest + HOUR if query.until is None else min(newest + HOUR, query.until)
    with closing(list_events(store, since, until, where)) as found:
        unpriced = (event for event in found if event["cost"] is None and "unpriced" in event["cost_flags"])
        last = next(unpriced, None)
        if last is None or last["status"] not in LEFT:
            return last
        return next((event for event in islice(unpriced, MOST_LEFT) if event["status"] not in LEFT), last)


def reason_of(pricer: Pricer, event: Event) -> Reason:
    """Why the call has no cost, by the prices that are known now."""
    origin, call = call_of(event)
    now, name = pricer.price(origin, call), name_of(call)
    named = typed(name) + (f" --provider {shlex.quote(printable(origin.provider))}" if origin.provider else "")
    if now.amount is not None:
        return Reason("it has a price now", f"usage-tracker reprice --since all --where {typed(f'model={name}')}")
    if not call.usage.known() and not call.usage.units:
        return Reason("no usage is known", no_usage(call))
    has_list = isinstance(pricer.lists.of(origin, call), Rates)
    if "tier_unpriced" in now.flags and has_list:
        return Reason("its list has steps by the length of a prompt", OF_SUMS)
    if "tier_unpriced" in now.flags and (call.raw or {}).get(SPEED) == FAST:
        return Reason("no price for fast answers", "No list has a price for fast answers of that model.")
    if "tier_unpriced" in now.flags:
        return Reason(f"no price for the tier {tier_of(call)}", tier_entry(origin, call))
    if "tool_unpriced" in now.flags:
        kinds = [kind for kind in call.usage.units or () if kind in TOOLS]
        fees = "".join(f" --{TOOL_OPTIONS[kind]} USD" for kind in kinds)
        told = f"usage-tracker prices set {named}{fees}    for one" if fees else "No list has a price for that tool."
        return Reason(f"no price for {', '.join(kinds) or 'a hosted tool'}".replace("_", " "), told)
    if has_list:
        if "sum_mismatch" in now.flags:
            return Reason("its counts contradict each other", "No bill can be made of counts that can't be right.")
        known = f"usage-tracker prices show {named}"
        return Reason("its list lacks a price for some of it", f"{known}    says what the list has")
    if call.model is None and call.request_model is None:
        return Reason("no model is named", "Neither the request nor the answer names the model.")
    kinds = [] if call.usage.known() else [kind for kind in call.usage.units or () if kind in MEASURE_OPTIONS]
    prices = "".join(f" --{MEASURE_OPTIONS[kind]} USD" for kind in kinds)
    prices += "    for one" if kinds else " --input USD --output USD    for a million tokens"
    return Reason("no price is known", f"usage-tracker prices set {named}{prices}")


def no_usage(call: UsageEvent) -> str:
    if call.status in LEFT:
        return "No price helps: the app left those calls before the provider said what they used."
    if call.streamed:
        return "No price helps: those streams didn't say what they used; TRACKER_STREAM_USAGE=always asks them to."
    return "No price helps: the answers didn't say what they used."


def typed(word: str) -> str:
    """A word of a command that is there to be copied: whatever a provider calls its model, a shell runs none of it."""
    return "'" + word.replace("'", "'\"'\"'") + "'"


def name_of(call: UsageEvent) -> str:
    return printable(call.model or call.request_model or "")


def tier_of(call: UsageEvent) -> str:
    said = "batch" if call.operation == "batch" else (call.service_tier or STANDARD).lower()
    return printable(TIERS.get(said, said))


def tier_entry(origin: Origin, call: UsageEvent) -> str:
    provider = f'provider = "{printable(origin.provider)}", ' if origin.provider else ""
    return (
        f'An entry with match = "{name_of(call)}", {provider}tier.{tier_of(call)}.multiplier = NUMBER in the file of '
        "`usage-tracker prices import` gives it a price."
    )
