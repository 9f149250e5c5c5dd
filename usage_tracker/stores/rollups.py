"""Sums of a batch: the rows that it adds to the rollups by hour, day and user, day and tag, and to sketches of latency.

Sums are over what is known. `counted` counts the calls with known tokens, `priced` those with a known cost, `unpriced`
those that should have a cost and have none, `reported` those whose provider stated a cost, `awaited` those whose usage
is told later. An event that tells it is no call: its tokens and cost count, and with known tokens it is `completed`.
`input_counted`, `output_counted` and so on count the events that say such tokens at all: many providers never do.
`untimed` counts the calls of which nobody says how long they took.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from math import ceil, log
from operator import add, itemgetter
from typing import NamedTuple

from usage_tracker.errors import EventsRefused
from usage_tracker.event import PricedCalls, PricedEvent
from usage_tracker.stores.dimensions import WhoKeys
from usage_tracker.stores.values import LARGEST_SUMMAND, Facts

MEASURES = (
    "calls", "errors", "counted", "estimated", "priced", "unpriced",
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens",
    "cost", "reported", "reported_cost", "duration_ms", "ttft_calls", "ttft_ms", "awaited", "completed",
    "output_counted", "cache_read_counted", "cache_write_counted", "reasoning_counted", "untimed", "input_counted",
)  # fmt: skip
Sums = tuple[int | float, ...]
"""One number for each of a grain's measures; money in picodollars."""
Key = tuple[int | str, ...]
Rows = dict[Key, Sums]
Summands = defaultdict[Key, list[Sums]]
Timings = defaultdict[tuple[int, int], list[int]]
"""The buckets of latency that calls were in, by day and kind_key or owner_key."""

HOUR_SECONDS, DAY_SECONDS, WEEK_SECONDS = 3600, 86_400, 604_800
LATENCY_BASE = log(1.04)
LARGE_BITS = LARGEST_SUMMAND.bit_length() - 1


class Grain(NamedTuple):
    """A rollup: the table `rollup_…` and the rows' key in the order of its index; `bucket_at` is the start of
    its hour or day in UTC, or of its week, counted from 1970."""

    name: str
    keys: tuple[str, ...]
    measures: tuple[str, ...] = MEASURES

    @property
    def seconds(self) -> int:
        """How long a bucket is."""
        return {"hour": HOUR_SECONDS, "day": DAY_SECONDS, "week": WEEK_SECONDS}[self.name.partition("_")[0]]


HOUR = Grain("hour", ("bucket_at", "kind_key", "owner_key", "status"))
DAY = Grain("day", HOUR.keys)
DAY_USER = Grain("day_user", ("bucket_at", "user_key", *HOUR.keys[1:]))
DAY_TAG = Grain("day_tag", ("bucket_at", "tag_key", *HOUR.keys[1:]))
TIMED = ("calls", "ttft_calls")
"""Of a sketch, for each bucket of latency: the calls that took so long, and those whose first chunk did."""
HOUR_KIND = Grain("hour_kind", ("bucket_at", "kind_key"))
DAY_KIND = Grain("day_kind", HOUR_KIND.keys)
HOUR_OWNER = Grain("hour_owner", ("bucket_at", "owner_key"))
DAY_OWNER = Grain("day_owner", HOUR_OWNER.keys)
DAY_USER_TOTAL = Grain("day_user_total", ("bucket_at", "user_key"))
WEEK_USER_TOTAL = Grain("week_user_total", DAY_USER_TOTAL.keys)
DAY_TAG_TOTAL = Grain("day_tag_total", ("bucket_at", "tag_key"))
COARSER: Mapping[Grain, tuple[Grain, ...]] = {
    HOUR: (DAY, HOUR_KIND, DAY_KIND, HOUR_OWNER, DAY_OWNER),
    DAY_USER: (DAY_USER_TOTAL, WEEK_USER_TOTAL),
    DAY_TAG: (DAY_TAG_TOTAL,),
}
"""What is summed from the rows of another grain, so that most reports read few rows."""
NEAREST: Mapping[Grain, Grain] = {DAY_KIND: DAY, DAY_OWNER: DAY, WEEK_USER_TOTAL: DAY_USER_TOTAL}
"""Of these, which are summed from a grain that comes before them and has fewer rows."""
DAY_LATENCY = Grain("day_latency", ("bucket_at", "kind_key", "bucket"), TIMED)
DAY_OWNER_LATENCY = Grain("day_owner_latency", ("bucket_at", "owner_key", "bucket"), TIMED)


class Rollups:
    """What a batch adds to each rollup. `bucket_at` in seconds since 1970."""

    def __init__(self) -> None:
        self._hour: Summands = defaultdict(list)
        self._day_user: Summands = defaultdict(list)
        self._day_tag: Summands = defaultdict(list)
        self._took: dict[Grain, Timings] = {DAY_LATENCY: defaultdict(list), DAY_OWNER_LATENCY: defaultdict(list)}
        self._began: dict[Grain, Timings] = {DAY_LATENCY: defaultdict(list), DAY_OWNER_LATENCY: defaultdict(list)}

    def add(self, priced: PricedEvent, facts: Facts, kind_key: int, who: WhoKeys) -> Sums:
        """Count the event in each grain; its MEASURES. Raises EventsRefused for counts that no sum can hold."""
        sums = measures(priced, facts)
        status, owner_key = priced.event.status, who.owner
        second = facts.started_at // 1_000_000
        day = second - second % DAY_SECONDS
        self._hour[second - second % HOUR_SECONDS, kind_key, owner_key, status].append(sums)
        self._day_user[day, who.user, kind_key, owner_key, status].append(sums)
        for tag_key in who.each_tag:
            self._day_tag[day, tag_key, kind_key, owner_key, status].append(sums)
        if priced.event.completes is None:
            if facts.duration_ms is not None:
                note(self._took, day, kind_key, owner_key, latency_bucket(facts.duration_ms))
            if facts.ttft_ms is not None:
                note(self._began, day, kind_key, owner_key, latency_bucket(facts.ttft_ms))
        return sums

    def add_alike(self, priced: PricedCalls, kind_key: int, whos: Sequence[WhoKeys]) -> None:
        """Count calls that are alike. `whos`: of each of them."""
        calls = priced.calls
        second = calls.started_at[0] // 1_000_000_000
        hour, day, status = second - second % HOUR_SECONDS, second - second % DAY_SECONDS, calls.event.status
        for who, sums in sums_by_who(priced, whos):
            owner_key = who.owner
            self._hour[hour, kind_key, owner_key, status].append(sums)
            self._day_user[day, who.user, kind_key, owner_key, status].append(sums)
            for tag_key in who.each_tag:
                self._day_tag[day, tag_key, kind_key, owner_key, status].append(sums)
        owners = [who.owner for who in whos]
        for timings, column in ((self._took, calls.duration_ms), (self._began, calls.ttft_ms)):
            buckets = [None if took is None else latency_bucket(took) for took in column]
            timings[DAY_LATENCY][day, kind_key] += [bucket for bucket in buckets if bucket is not None]
            by_owner = timings[DAY_OWNER_LATENCY]
            for owner_key, bucket in zip(owners, buckets, strict=True):
                if bucket is not None:
                    by_owner[day, owner_key].append(bucket)

    def rows(self) -> dict[Grain, Rows]:
        """The rows of each grain that isn't summed from another one's."""
        return {
            HOUR: summed(self._hour),
            DAY_USER: summed(self._day_user),
            DAY_TAG: summed(self._day_tag),
            DAY_LATENCY: self._sketch(DAY_LATENCY),
            DAY_OWNER_LATENCY: self._sketch(DAY_OWNER_LATENCY),
        }

    def _sketch(self, grain: Grain) -> Rows:
        rows: Rows = {}
        all_took, all_began = self._took[grain], self._began[grain]
        for at in {**all_took, **all_began}:
            took, began = Counter(all_took.get(at)), Counter(all_began.get(at))
            for bucket in {**took, **began}:
                rows[*at, bucket] = took.get(bucket, 0), began.get(bucket, 0)
        return rows


def note(timings: dict[Grain, Timings], day: int, kind_key: int, owner_key: int, bucket: int) -> None:
    # counted later, all at once: half the CPU of counting each as it comes
    timings[DAY_LATENCY][day, kind_key].append(bucket)
    timings[DAY_OWNER_LATENCY][day, owner_key].append(bucket)


def sums_by_who(priced: PricedCalls, whos: Sequence[WhoKeys]) -> list[tuple[WhoKeys, Sums]]:
    """MEASURES of the calls of each, by the identity of the keys: some that stand for the same may be apart."""
    calls = priced.calls
    nothing = [0] * len(whos)
    into, out, read, written, _, reasoning, *_ = calls.counts
    rows: Iterable[Sums] = zip(
        into or nothing, out or nothing, read or nothing, written or nothing, reasoning or nothing,
        priced.amounts or nothing, calls.duration_ms, [0 if began is None else 1 for began in calls.ttft_ms],
        [began or 0.0 for began in calls.ttft_ms],
        strict=True,
    )  # fmt: skip
    found: dict[int, tuple[WhoKeys, list[Sums]]] = {}
    for who, row in zip(whos, rows, strict=True):
        known = found.get(id(who))
        if known is None:
            found[id(who)] = who, [row]
        else:
            known[1].append(row)
    failed, counted = calls.event.status == "error", into is not None or out is not None
    is_priced, is_unpriced = priced.amounts is not None, "unpriced" in priced.flags
    made = []
    for who, each in found.values():
        size, sums = len(each), each[0] if len(each) == 1 else sum_of(each)
        own = size, size * failed, size * counted, 0, size * is_priced, size * is_unpriced
        *told, input_told = [0 if column is None else size for column in (out, read, written, reasoning, into)]
        made.append((who, (*own, *sums[:6], 0, 0, sums[6], sums[7], sums[8], 0, 0, *told, 0, input_told)))
    return made


def summed(summands: Summands) -> Rows:
    return {key: found[0] if len(found) == 1 else sum_of(found) for key, found in summands.items()}


def sum_of(found: list[Sums]) -> Sums:
    if len(found) > FEW:
        return tuple(map(sum, zip(*found, strict=True)))
    return tuple(reduce(partial(map, add), found))


FEW = 4
"""Up to so many, adding two rows at a time is faster than adding up each measure."""


def with_coarser(rows: Mapping[Grain, Rows]) -> dict[Grain, Rows]:
    """The rows and what is summed from them, for stores that have no deltas to fold later."""
    found = dict(rows)
    for source in rows:
        for target in COARSER.get(source, ()):
            nearest = NEAREST.get(target, source)
            found[target] = coarser(found[nearest], nearest, target)
    return found


def coarser(rows: Rows, source: Grain, target: Grain) -> Rows:
    pick, seconds = itemgetter(*(source.keys.index(name) for name in target.keys)), target.seconds
    found: Summands = defaultdict(list)
    for key, sums in rows.items():
        at, *rest = pick(key)
        found[at - at % seconds, *rest].append(sums)
    return summed(found)


def measures(priced: PricedEvent, facts: Facts) -> Sums:
    """One event's MEASURES."""
    event, usage = priced.event, priced.event.usage
    tokens = (
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        usage.cache_read_tokens or 0,
        usage.cache_write_tokens or 0,
        usage.reasoning_tokens or 0,
    )
    # nearly all are small and have no sign, which their bits tell in a fifth of the time
    if (tokens[0] | tokens[1] | tokens[2] | tokens[3] | tokens[4]) >> LARGE_BITS and (
        max(tokens) > LARGEST_SUMMAND or min(tokens) < -LARGEST_SUMMAND
    ):
        raise EventsRefused("a token count is beyond any measure; the event can't be stored")
    call = 1 if event.completes is None else 0
    return (
        call,
        call if event.status == "error" else 0,
        call if usage.known() else 0,
        1 if usage.estimated else 0,
        0 if facts.cost is None else 1,
        1 if "unpriced" in priced.cost.flags else 0,
        *tokens,
        facts.cost or 0,
        0 if facts.reported_cost is None else 1,
        facts.reported_cost or 0,
        (facts.duration_ms or 0.0) if call else 0.0,
        0 if facts.ttft_ms is None else call,
        (facts.ttft_ms or 0.0) if call else 0.0,
        call if event.awaits is not None else 0,
        0 if call or not usage.known() else 1,
        0 if usage.output_tokens is None else 1,
        0 if usage.cache_read_tokens is None else 1,
        0 if usage.cache_write_tokens is None else 1,
        0 if usage.reasoning_tokens is None else 1,
        call if facts.duration_ms is None else 0,
        0 if usage.input_tokens is None else 1,
    )


def latency_bucket(duration_ms: float) -> int:
    """The b such that the call took (1.04^(b-1), 1.04^b] milliseconds; 0 for a millisecond and less."""
    return ceil(log(duration_ms) / LATENCY_BASE) if duration_ms > 1 else 0
