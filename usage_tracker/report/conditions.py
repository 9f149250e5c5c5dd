r"""Filters as people write them, `model=gpt-*` or `project!=none`, and as SQL.

* `*` stands for any characters, `?` for one; `\*` `\?` `\\` for these characters themselves
* `none` stands for calls that have no such value; `\none` for the word
* `!=` is the exact opposite of `=`, so it also keeps calls that have no such value
* a call meets `tag=x` when one of its tags is x, and `tag=none` when it has no tag
* `flag=x` is about the flags of a call's cost in the same way
* `tag:KEY=x` is about the tags that are written `KEY:value`: `tag:tier=pro` is `tag=tier:pro`

Upper and lower case differ. Several conditions hold together.
"""

import re
from collections.abc import Collection, Iterable

from usage_tracker.conditions import Condition
from usage_tracker.report.dimensions import (
    ARRAYS,
    FILTERS,
    FLAG,
    NULLABLE_KEYS,
    UNITS,
    Dimension,
    is_filter,
    key_of_tags,
    unknown,
)
from usage_tracker.report.statement import Statement
from usage_tracker.wildcards import WILD, escaped, pieces

MOST_CONDITIONS = 200
"""Of one question. SQLite nests no more than a thousand expressions, of which a condition may take several."""


def is_text(value: str) -> bool:
    """Whether every store can be asked for it: it has no NUL character and no half of a surrogate pair."""
    return "\0" not in value and not any("\ud800" <= char <= "\udfff" for char in value)


def parse_condition(text: str) -> Condition:
    """The condition that was written as `dimension=value` or `dimension!=value`. Raises ValueError with a sentence."""
    match = re.fullmatch(r"([^=!]*)(!?=)(.*)", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{text!r} is not a condition; write dimension=value or dimension!=value")
    name, operator, pattern = match.groups()
    if name in UNITS:
        raise ValueError(f"{name!r} can't be a condition; use --since and --until to choose a time")
    if not is_filter(name):
        raise ValueError(unknown(name, tuple(FILTERS)))
    if pattern == "":
        raise ValueError(f"{text!r} has no value; {name}=none finds calls without a {name}")
    if not is_text(pattern):
        raise ValueError(f"{name} can't be compared with what is no text (a NUL character or broken UTF-8)")
    return Condition(name, operator == "=", None if pattern == "none" else pattern)


def parse_conditions(texts: Iterable[str]) -> tuple[Condition, ...]:
    """All conditions of one question. Raises ValueError with a sentence."""
    found = tuple(map(parse_condition, texts))
    if len(found) > MOST_CONDITIONS:
        raise ValueError(
            f"{len(found):,} conditions are too many for one question, which takes {MOST_CONDITIONS}; a pattern such "
            "as app!=test-* stands for many values"
        )
    return found


def about_tags(condition: Condition) -> Condition:
    """A condition on `tag:KEY` as one on `tag`; others as they are."""
    key = key_of_tags(condition.dimension)
    if key is None:
        return condition
    prefix = f"{escaped(key)}:"
    if condition.pattern is None:
        return Condition("tag", not condition.equal, f"{prefix}*")
    return Condition("tag", condition.equal, prefix + condition.pattern)


def split_pattern(pattern: str) -> list[tuple[str, bool]]:
    """The pattern's characters, each with whether it is a wildcard; backslashes are resolved."""
    return [(piece[-1], piece in WILD) for piece in pieces(pattern)]


def write_among(statement: Statement, dimension: Dimension, values: Collection[str]) -> str:
    """SQL for: a row has one of these values of the dimension."""
    key, table = dimension.key, dimension.table
    test = f"{dimension.value} IN ({', '.join(map(statement.bind, sorted(values)))})"
    return test if table is None else f"{key} IN (SELECT {key} FROM {statement.table(table)} WHERE {test})"  # noqa: S608  our own names


def write_filter(
    statement: Statement, where: Collection[Condition], *, rollup: bool, flags: str = ARRAYS[FLAG]
) -> list[str]:
    """SQL tests that rows of a rollup, or of `usage_event`, pass when they meet the conditions. `flags`: their array of
    flags."""
    by_key: dict[str, list[Condition]] = {}
    for condition in map(about_tags, where):
        by_key.setdefault(FILTERS[condition.dimension].key, []).append(condition)
    tests = []
    for key, conditions in by_key.items():
        table = FILTERS[conditions[0].dimension].table
        if conditions[0].dimension == FLAG:
            tests += [write_match_of_some(statement, flags, condition) for condition in conditions]
            continue
        if key == "tag_key" and not rollup:
            rows = f"tags_key IN (SELECT tags_key FROM {statement.table('usage_tags')}, "  # noqa: S608  our own names
            tests += [write_match_of_some(statement, "tags", condition, rows) for condition in conditions]
            continue
        matches = [write_match(statement, FILTERS[condition.dimension].value, condition) for condition in conditions]
        test = " AND ".join(matches)
        if table is not None:
            test = f"{key} IN (SELECT {key} FROM {statement.table(table)} WHERE {test})"  # noqa: S608  our own names
            if key in NULLABLE_KEYS and all((condition.pattern is None) == condition.equal for condition in conditions):
                test = f"({test} OR {key} IS NULL)"
        tests.append(test)
    return tests


def write_match_of_some(
    statement: Statement, array: str, condition: Condition, rows: str = "EXISTS (SELECT 1 FROM "
) -> str:
    """SQL for: the array is as the condition says. `rows`: how the rows are found that have such an element."""
    each = statement.write_each(array)
    some = "TRUE" if condition.pattern is None else write_match(statement, "one.value", condition._replace(equal=True))
    negated = condition.equal == (condition.pattern is None)
    return f"{'NOT ' if negated else ''}{rows}{each} WHERE {some})"


def write_match(statement: Statement, value: str, condition: Condition) -> str:
    """SQL for: the expression `value` is as the condition says."""
    if condition.pattern is None:
        return f"{value} IS NULL" if condition.equal else f"{value} IS NOT NULL"
    literal = condition.literal
    if literal is not None:
        test = f"{value} = {statement.bind(literal)}"
    else:
        test = statement.write_glob(value, split_pattern(condition.pattern))
    return test if condition.equal else f"({test}) IS NOT TRUE"
