"""The answer to a question, the same on every store: `run(store, Query(...))`.

Rollups answer as far as they can, so the time depends on the number of hours or days and of different kinds of calls,
not on the number of calls.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import cast

from usage_tracker.report.comparison import beside
from usage_tracker.report.contradicting import MOST_READ
from usage_tracker.report.costs import as_reported, price_anew, with_costs
from usage_tracker.report.figures import Figures, StoreFigures
from usage_tracker.report.question import Query
from usage_tracker.report.ranking import arrange, find_top, keep
from usage_tracker.report.repricing import Prices
from usage_tracker.report.sums import NOTHING, Group, Sums
from usage_tracker.report.unknown import count_unknown
from usage_tracker.stores import Store

__all__ = ["Query", "Report", "Row", "answer", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group's figures. What no call of the group had is None; a sum is over the calls that had it."""

    group: Group
    """A value for each of the query's `by`."""
    calls: int
    errors: int
    counted: int
    """Calls with known tokens."""
    estimated: int
    """Calls whose tokens are an estimate."""
    unpriced: int
    """Calls that should have a cost and have none: what they cost is in no sum."""
    input_tokens: int | None
    """Cached tokens included."""
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    """Reasoning tokens included."""
    reasoning_tokens: int | None
    cost: Decimal | None
    """US dollars."""
    reported_cost: Decimal | None
    """US dollars, as providers and gateways said."""
    timed: int
    """Calls of which somebody said how long they took."""
    mean_duration_ms: float | None
    mean_ttft_ms: float | None
    """Until the first chunk, of calls that streamed."""
    p50_duration_ms: float | None
    """What half of the calls took at most, within 2 %. None, like the next ones, where it wasn't asked for."""
    p95_duration_ms: float | None
    p50_ttft_ms: float | None
    p95_ttft_ms: float | None
    awaited: int
    """Calls whose tokens come later, of what they started; they are in the sums once they have come."""

    @property
    def tokens(self) -> int | None:
        """Input and output together, as far as they are known."""
        known = [count for count in (self.input_tokens, self.output_tokens) if count is not None]
        return sum(known) if known else None

    @classmethod
    def of(cls, group: Group, sums: Sums) -> "Row":
        nothing, timed = not sums.any(), sums.calls - max(0, sums.untimed)

        def known(value: int, said: int) -> int | None:
            # stores that were filled before it was counted who says something of a part have sums alone
            return value if said > 0 or value or nothing else None

        return cls(
            group=group,
            calls=sums.calls,
            errors=sums.errors,
            counted=sums.counted,
            estimated=sums.estimated,
            unpriced=sums.unpriced,
            input_tokens=known(sums.input_tokens, sums.input_counted),
            cache_read_tokens=known(sums.cache_read_tokens, sums.cache_read_counted),
            cache_write_tokens=known(sums.cache_write_tokens, sums.cache_write_counted),
            output_tokens=known(sums.output_tokens, sums.output_counted),
            reasoning_tokens=known(sums.reasoning_tokens, sums.reasoning_counted),
            cost=sums.cost if sums.priced or nothing else None,
            reported_cost=sums.reported_cost if sums.reported else None,
            timed=timed,
            mean_duration_ms=sums.duration_ms / timed if timed else None,
            mean_ttft_ms=sums.ttft_ms / sums.ttft_calls if sums.ttft_calls else None,
            p50_duration_ms=sums.durations.percentile(50),
            p95_duration_ms=sums.durations.percentile(95),
            p50_ttft_ms=sums.first_chunks.percentile(50),
            p95_ttft_ms=sums.first_chunks.percentile(95),
            awaited=sums.awaited,
        )

    @classmethod
    def unrecorded(cls, group: Group) -> "Row":
        """Of a range in which nothing was recorded: what it cost and used isn't known, and need not be nothing."""
        return replace(
            cls.of(group, NOTHING),
            input_tokens=None,
            cache_read_tokens=None,
            cache_write_tokens=None,
            output_tokens=None,
            reasoning_tokens=None,
            cost=None,
        )


@dataclass(frozen=True)
class Report:
    """The answer to a query. By time first to last, otherwise the most expensive first, then the most called."""

    query: Query
    rows: tuple[Row, ...]
    total: Row
    """Of all calls, each counted once, also where it is in several rows because it has several tags."""
    unpriced_models: tuple[str | None, ...]
    """The models whose calls are unpriced, most calls first."""
    before: Mapping[Group, Row] = field(default_factory=dict)
    """Each group's figures in the range before, where one was asked for; unknown where nothing was recorded in it."""
    total_before: Row | None = None
    untold: int = 0
    """Of the total's `awaited`, those whose usage has not come yet."""
    unknown: int = 0
    """Calls that should have tokens and have none, at least."""
    contradicting: int | None = None
    """Calls whose provider's counts of tokens contradict each other; None where there are too many calls to see."""
    without_percentiles: bool = False
    """Whether percentiles were asked for and are left out, because too many events would have to be read for them."""

    @property
    def overlaps(self) -> bool:
        """Whether a call is in several rows, because it has several tags."""
        return bool(self.query.tags) and self.total.calls < sum(row.calls for row in self.rows)


def run(store: Store, query: Query, prices: Prices | None = None) -> Report:
    """Answer the query from the store. `prices`: what calls cost today, where the query asks for that. Raises
    StoreError, and ValueError where it can't be answered."""
    return answer(StoreFigures(store), query, prices)


def answer(figures: Figures, query: Query, prices: Prices | None = None) -> Report:
    """As `run`, from whatever has the figures."""
    without_percentiles = query.percentiles and any(map(figures.without_percentiles, (query, *earlier_of(query))))
    if without_percentiles:
        query = replace(query, percentiles=False)
    read = reader(figures, query, prices)
    shortened = figures.top_groups(query) if query.top is not None else None
    groups = read(query) if shortened is None else shortened
    earlier: dict[Group, Sums] = {}
    for each in earlier_of(query):
        earlier = by_place(query, reader(figures, each, prices)(each))
    groups |= {group: NOTHING for group in earlier if group not in groups}
    if query.top is not None and shortened is None:
        top = find_top(query.by, groups, query.top)
        groups, earlier = keep(query.by, groups, top), keep(query.by, earlier, top)
    total = read_total(read, query, groups)
    then = sum_up(read_total(reader(figures, each, prices), each, earlier) for each in earlier_of(query))
    before = {group: earlier.get(group, NOTHING) for group in groups} if query.before else {}
    return Report(
        query,
        tuple(Row.of(group, groups[group]) for group in arrange(query.by, groups)),
        Row.of((), total),
        find_unpriced(read, query) if total.unpriced else (),
        {group: Row.of(group, sums) if then.any() else Row.unrecorded(group) for group, sums in before.items()},
        None if query.before is None else Row.of((), then) if then.any() else Row.unrecorded(()),
        figures.untold(query) if total.awaited else 0,
        count_unknown(figures.groups, query) if total.calls > total.counted + total.awaited else 0,
        figures.contradicting(query) if 0 < total.events <= MOST_READ else None,
        without_percentiles=without_percentiles,
    )


Reader = Callable[[Query], dict[Group, Sums]]
"""Reads the groups of a query."""


def reader(figures: Figures, query: Query, prices: Prices | None) -> Reader:
    """How groups of the query, and of the same with another `by`, are read, with the costs that it asks for."""
    costs = None
    if query.cost == "current":
        assert prices is not None, "prices of today are needed"
        costs = price_anew(figures, query, prices)

    def read(asked: Query) -> dict[Group, Sums]:
        groups = figures.groups(asked)
        if query.cost == "recorded":
            return groups
        others = with_costs(groups, costs(asked)) if costs else {at: as_reported(sums) for at, sums in groups.items()}
        # the usage of an earlier call may be nothing but its recorded cost
        return {group: sums for group, sums in others.items() if sums.any()}

    return read


def earlier_of(query: Query) -> tuple[Query, ...]:
    """The same question about the range before, if there is one."""
    if query.before is None:
        return ()
    return (replace(query, since=query.before.since, until=query.before.until, before=None),)


def by_place(query: Query, groups: dict[Group, Sums]) -> dict[Group, Sums]:
    """The range before, by the groups that it stands beside."""
    earlier: dict[Group, Sums] = {}
    for group, sums in groups.items():
        place = beside(query, group)
        earlier[place] = earlier.get(place, NOTHING).plus(sums)
    return earlier


def read_total(read: Reader, query: Query, groups: dict[Group, Sums]) -> Sums:
    """Of all calls, each counted once, also where it is in several groups because it has several tags."""
    return sum_up((read(replace(query, by=())) if query.tags else groups).values())


def no_calls(query: Query) -> Report:
    """The answer of a store that holds nothing."""
    nothing = Row.of((), NOTHING)
    return Report(query, (), nothing, (), total_before=None if query.before is None else Row.unrecorded(()))


def find_unpriced(read: Reader, query: Query) -> tuple[str | None, ...]:
    models = read(replace(query, by=("model",), percentiles=False))
    found = [(-sums.unpriced, cast(str | None, model)) for (model,), sums in models.items() if sums.unpriced]
    return tuple(model for _, model in sorted(found, key=lambda pair: (pair[0], pair[1] or "")))


def sum_up(many: Iterable[Sums]) -> Sums:
    total = NOTHING
    for sums in many:
        total = total.plus(sums)
    return total
