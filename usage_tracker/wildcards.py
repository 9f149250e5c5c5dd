"""Patterns in which `*` stands for any text and `?` for one character."""

import re
from collections.abc import Iterable

WILD = ("*", "?")


def pieces(pattern: str) -> list[str]:
    r"""The pattern's characters; wildcards are `*` and `?`, and a backslash stands before what is none."""
    return re.findall(r"\\.|.", pattern, re.DOTALL)


def escaped(text: str) -> str:
    """A pattern that only this text matches."""
    return re.sub(r"([*?\\])", r"\\\1", text)


def expression(pieces: Iterable[str]) -> str:
    """As a regular expression. `pieces`: those of a pattern, or the characters of a text in which nothing is escaped.

    What stands between two `*` is looked for once, where it comes first: to try each of its places with each of the
    others' takes minutes for a long name, which an app's own users may have chosen.
    """
    parts = [""]
    for piece in pieces:
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += "." if piece == "?" else re.escape(piece[-1])
    first, *between = parts
    last = f".*{between.pop()}" if between else ""
    return first + "".join(f"(?>.*?{part})" for part in between) + last
