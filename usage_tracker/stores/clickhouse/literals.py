"""Values as literals of ClickHouse's SQL. Old servers bind none, so statements carry them."""

from collections.abc import Sequence

ESCAPES = str.maketrans({"\\": r"\\", "'": r"\'", "\0": r"\0", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def literal(value: object) -> str:
    """The value as SQL. Bytes are what FixedString(16) holds."""
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(int(value))
        case float():
            return repr(value)
        case bytes():
            return f"toFixedString(unhex('{value.hex()}'), 16)"
    return f"'{str(value).translate(ESCAPES)}'"


def with_values(sql: str, mark: str, parameters: Sequence[object]) -> str:
    """The statement with each mark as the next value."""
    if not parameters:
        return sql
    first, *rest = sql.split(mark)
    assert len(rest) == len(parameters), "a value for each mark"
    return first + "".join(literal(value) + text for value, text in zip(parameters, rest, strict=True))
