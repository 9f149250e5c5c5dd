"""A report's queries for ClickHouse, whose rows hold values instead of keys: no table is joined with another.

The plan is everybody's: which rollup answers which part of a range. Events hold the measures of the rollups, too.
"""
# ruff: noqa: S608  names of tables and columns are our own

from collections.abc import Collection, Iterable
from typing import NamedTuple

from usage_tracker.conditions import Condition
from usage_tracker.report.clickhouse_dialect import NULL
from usage_tracker.report.conditions import about_tags, split_pattern
from usage_tracker.report.dimensions import ARRAYS, CUTS, DIMENSIONS, FLAG, UNITS
from usage_tracker.report.keys import source_keys
from usage_tracker.report.plan import EVENTS, Part, Span, rollups_by
from usage_tracker.report.question import Query
from usage_tracker.report.statement import Statement
from usage_tracker.report.sums import COUNTED
from usage_tracker.stores.clickhouse.columns import DURATIONS, MAY_BE_UNKNOWN, MONEY
from usage_tracker.stores.clickhouse.literals import literal

NO_TAG = f"materialize({NULL})"
"""Not as a constant: old servers find that the rows of another server differ from theirs in it."""


class Summed(NamedTuple):
    """What is summed up of a part, by name, and what of its rows counts."""

    sums: dict[str, str]
    bucket: str | None = None
    """Of a sketch: the column of buckets."""
    test: str | None = None


def write_query(statement: Statement, query: Query, parts: Iterable[Part], *, holds_several: bool) -> str:
    """The sources of the plan, each summed by the query's groups, put together."""
    keys = source_keys(query)
    branches = []
    for part in joined(parts):
        tagged = "tag_key" in part.source.keys and query.tag_key is not None
        branches.append(write_part(statement, query, part, measures(part, " * -1" if part.taken else "")))
        if tagged:
            branches += write_none(statement, query, part, keys - {"tag_key"}, holds_several=holds_several)
    return write_groups(query, branches, [sum_of(name) for name in COUNTED])


def joined(parts: Iterable[Part]) -> list[Part]:
    """The parts with those of one source as one: each takes a server as long to plan as to read."""
    found: dict[Part, list[Span]] = {}
    for part in parts:
        found.setdefault(part._replace(spans=()), []).extend(part.spans)  # type: ignore[arg-type]  # as a key
    return [part._replace(spans=spans) for part, spans in found.items()]


def sum_of(name: str) -> str:
    return f"toString(sum(sum_{name}))" if name in MONEY else f"sum(sum_{name})"


def write_groups(query: Query, branches: Iterable[str], sums: Iterable[str], more: Iterable[str] = ()) -> str:
    columns = [column for place, name in enumerate(query.by) for column in CUTS.get(name) or [f"value_{place}"]]
    columns += more
    grouping = f" GROUP BY {', '.join(columns)}" if columns else ""
    return f"SELECT {', '.join([*columns, *sums])} FROM ({' UNION ALL '.join(branches)}){grouping}"


def measures(part: Part, factor: str = "") -> Summed:
    """What every source counts. `factor`: how often."""
    sums = {name: f"sum({name}{factor})" for name in COUNTED}
    if not part.source.grain:
        sums |= {name: f"sum({name} * calls{factor})" for name in DURATIONS}
    return Summed(sums)


def write_none(
    statement: Statement, query: Query, part: Part, keys: Collection[str], *, holds_several: bool
) -> Iterable[str]:
    """Of `tag:KEY` over whole days, the calls with no tag of that key: all, less those that have one. A call with two
    of them was taken away twice, so it is added once more, out of the events."""
    taken = measures(part)
    taken = Summed({name: f"-{each}" for name, each in taken.sums.items()})
    yield write_part(statement, query, part, taken, tag=NO_TAG)
    [all_calls] = [rollup for rollup in rollups_by(keys) if rollup.grain == part.source.grain]
    yield write_part(statement, query, part._replace(source=all_calls), measures(part), tag=NO_TAG)
    if holds_several:
        of_events = part._replace(source=EVENTS)
        again = measures(of_events, f" * (toInt64(length({own_tags(query.tag_key)})) - 1)")
        several = again._replace(test=f"length({own_tags(query.tag_key)}) > 1")
        yield write_part(statement, query, of_events, several, tag=NO_TAG)


def write_part(statement: Statement, query: Query, part: Part, summed: Summed, tag: str | None = None) -> str:
    """The sums of one source by the query's groups. `tag`: what stands for the value of tags."""
    source = part.source
    columns, groups = [], []
    for place, name in enumerate(query.by):
        if name in UNITS:
            columns += [f"{statement.write_cut('at', name, part.offset)} AS cut"]
            groups += ["cut"]
            if name == "hour":
                columns += [f"materialize(toInt32({part.offset})) AS shift"]
            continue
        if name == query.tags:
            value = tag or tag_value(query.tag_key, of_events=not source.grain, tagged="tag_key" in source.keys)
        else:
            value = column_of(name)
        columns.append(f"{value} AS value_{place}")
        groups.append(f"value_{place}")
    if summed.bucket is not None:
        columns.append(f"{summed.bucket} AS latency")
        groups.append("latency")
    tests = ["(" + " OR ".join(f"(at >= {start} AND at < {end})" for start, end in part.spans) + ")"]
    if summed.test is not None:
        tests.append(summed.test)
    if "tag_key" in source.keys and query.tag_key is not None:
        tests.append(f"startsWith(tag, {literal(f'{query.tag_key}:')})")
    if part.skipped_hour is not None:
        tests.append(statement.write_outside_hour("at", part.skipped_hour))
    tests += write_conditions(statement, query.where, of_events=not source.grain)
    sums = [f"{each} AS sum_{name}" for name, each in summed.sums.items()]
    grouping = f" GROUP BY {', '.join(groups)}" if groups else ""
    rows = f"{statement.table(source.table)} WHERE {' AND '.join(tests)}"
    return f"SELECT {', '.join([*columns, *sums])} FROM {rows}{grouping}"


def column_of(name: str) -> str:
    """Where rows hold a dimension's value, other than a tag."""
    return "model_name" if name == "model" else DIMENSIONS[name].value


def tag_value(key: str | None, *, of_events: bool, tagged: bool) -> str:
    """What a row counts under; an event under each of its tags."""
    if of_events:
        own = f"arrayDistinct({'tags' if key is None else own_tags(key)})"
        return f"arrayJoin(if(empty({own}), [{NULL}], {own}))"
    if not tagged:
        return NO_TAG
    return "tag" if key is None else f"substring(tag, {len(key.encode()) + 2})"


def own_tags(key: str | None) -> str:
    """An event's values of that KEY, each once."""
    prefix = f"{key}:"
    skip = len(prefix.encode()) + 1
    own = f"arrayFilter(one -> startsWith(one, {literal(prefix)}), tags)"
    return f"arrayDistinct(arrayMap(one -> substring(one, {skip}), {own}))"


def write_conditions(
    statement: Statement, where: Iterable[Condition], *, of_events: bool, flags: str = ARRAYS[FLAG]
) -> list[str]:
    """Tests that rows pass which meet the conditions. `flags`: their array of flags."""
    tests = []
    for condition in map(about_tags, where):
        if condition.dimension not in ARRAYS:
            tests.append(write_match(statement, column_of(condition.dimension), condition))
        elif not of_events:
            tests.append(write_match(statement, "tag", condition))
        else:
            array = flags if condition.dimension == FLAG else ARRAYS[condition.dimension]
            tests.append(write_match_of_some(statement, array, condition))
    return tests


def write_match_of_some(statement: Statement, array: str, condition: Condition) -> str:
    if condition.pattern is None:
        return f"{'empty' if condition.equal else 'notEmpty'}({array})"
    some = f"arrayExists(one -> {write_match(statement, 'one', condition._replace(equal=True))}, {array})"
    return some if condition.equal else f"NOT {some}"


def write_match(statement: Statement, value: str, condition: Condition) -> str:
    if condition.pattern is None:
        return f"{value} {'=' if condition.equal else '<>'} {NULL}"
    given = condition.literal
    test = f"{value} = {literal(given)}"
    if given is None:
        test = statement.write_glob(value, split_pattern(condition.pattern))
    return test if condition.equal else f"NOT ({test})"


def write_sketches(statement: Statement, query: Query, parts: Iterable[Part]) -> str:
    """The calls in each bucket of latency, and those whose first chunk was."""
    branches = []
    for part in joined(parts):
        if part.source.grain:
            branches.append(write_part(statement, query, part, Summed(SKETCHED, "bucket")))
            continue
        for name, column, sums in (
            ("duration_ms", "bucket", {"calls": EACH, "ttft_calls": NONE}),
            ("ttft_ms", "ttft_bucket", {"calls": NONE, "ttft_calls": EACH}),
        ):
            is_known = f"bitTest(known, {MAY_BE_UNKNOWN.index(name)}) AND calls = 1"
            branches.append(write_part(statement, query, part, Summed(sums, column, is_known)))
    return write_groups(query, branches, ["sum(sum_calls)", "sum(sum_ttft_calls)"], ["latency"])


SKETCHED = {"calls": "sum(calls)", "ttft_calls": "sum(ttft_calls)"}
EACH, NONE = "toInt64(count())", "sum(toInt64(0))"
"""Of events, what is counted in their place."""


def write_untold(statement: Statement, query: Query, span: Span) -> str:
    """How many of the calls that the query counts are awaited still."""
    tests = [f"at >= {span[0]}", f"at < {span[1]}"]
    tests += write_conditions(statement, query.where, of_events=True, flags=statement.awaited_flags)
    return (
        f"SELECT uniqExact(id) FROM usage PREWHERE grain = 'awaited' WHERE {' AND '.join(tests)} "
        "AND id GLOBAL NOT IN (SELECT id FROM usage PREWHERE grain = 'told')"
    )


def write_several(key: str) -> str:
    """Whether any set of tags has more than one of that KEY."""
    return f"SELECT 1 FROM usage PREWHERE grain = 'tags' WHERE length({own_tags(key)}) > 1 LIMIT 1"
