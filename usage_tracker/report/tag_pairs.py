"""Which tags a call counts under, by its set of tags: all, or those of one KEY, which are written `KEY:value`."""
# ruff: noqa: S608  names of tables and columns are our own

from usage_tracker.report.dialects import open_statement
from usage_tracker.report.statement import Statement
from usage_tracker.stores import Store


def write_tag_pairs(statement: Statement, key: str | None) -> str:
    """Each set of tags with each of its tags, of that KEY if one is given; a set without such a tag with none."""
    return (
        f"SELECT tags_key, tag_key FROM {statement.table('usage_tags')} "
        f"LEFT JOIN ({write_own_pairs(statement, key)}) AS own USING (tags_key)"
    )


def write_own_pairs(statement: Statement, key: str | None) -> str:
    """The same without sets that have no such tag. A tag that is in a set twice counts once."""
    return (
        f"SELECT DISTINCT tags_key, tag_key FROM {statement.table('usage_tags')} "
        f"JOIN {statement.write_each('tags')} ON TRUE JOIN {statement.table('usage_tag')} ON tag = one.value"
        + ("" if key is None else f" WHERE {write_of_key(statement, key)}")
    )


def write_none_again(statement: Statement, key: str | None) -> str:
    """Each set with none, once for each of its tags of that KEY but the first."""
    return (
        "SELECT tags_key, 0 AS tag_key FROM ("
        "SELECT tags_key, row_number() OVER (PARTITION BY tags_key) AS place "
        f"FROM ({write_own_pairs(statement, key)}) AS own) AS placed WHERE place > 1"
    )


def write_own_tags(statement: Statement, key: str) -> str:
    """Whether a row is about a tag of that KEY."""
    return f"tag_key IN (SELECT tag_key FROM {statement.table('usage_tag')} WHERE {write_of_key(statement, key)})"


def write_of_key(statement: Statement, key: str) -> str:
    return f"substr(tag, 1, {len(key) + 1}) = {statement.bind(f'{key}:')}"


def sets_with_several(store: Store, key: str | None) -> bool:
    """Whether any set of tags has more than one of that KEY. Raises StoreError."""
    if key is None:
        return False
    statement = open_statement(store.dialect)
    if statement.rows_hold_values:
        from usage_tracker.report import clickhouse

        return bool(list(store.select(clickhouse.write_several(key))))
    pairs = write_own_pairs(statement, key)
    several = f"SELECT 1 FROM ({pairs}) AS own GROUP BY tags_key HAVING count(*) > 1 LIMIT 1"
    return bool(list(store.select(several, statement.parameters)))
