"""Where in a TOML document something stands. Python's parser says so of what is no TOML, and of nothing else."""

import tomllib

Path = tuple[str | int, ...]
"""From the top of the document: keys of tables and places in arrays."""


def line_of(text: str, path: Path) -> int:
    """The line, counted from 1, on which the value at that path begins or, where there is no such value, the nearest
    table around it. `text` is valid TOML."""
    lines = text.splitlines(keepends=True)
    document = tomllib.loads(text)
    while path and not holds(document, path):
        path = path[:-1]
    first, last = 1, max(1, len(lines))
    while first < last:  # the more lines, the more there is: halve them
        middle = (first + last) // 2
        complete, document = parse_at_least(lines, middle)
        if holds(document, path):
            last = middle
        else:
            first = complete + 1
    return first


def parse_at_least(lines: list[str], count: int) -> tuple[int, dict[str, object]]:
    """The document up to that line, or up to the next one on which a value that spans lines is complete."""
    while True:
        try:
            return count, tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            count += 1


def holds(document: object, path: Path) -> bool:
    for step in path:
        places = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
        if step not in places:
            return False
        document = document[step]  # type: ignore[index]  # it has that place
    return True
