"""What a call must be like to count: in an answer to a question, and in a budget."""

import re
from functools import lru_cache
from typing import NamedTuple

from usage_tracker.wildcards import WILD, escaped, expression, pieces

Values = tuple[str | None, ...]
"""A call's values of one dimension: one, or all its tags; None for a call that has no such value."""


class Condition(NamedTuple):
    """What a call must be like, or with `equal` false: must not be like."""

    dimension: str
    equal: bool
    pattern: str | None
    """With wildcards and backslashes as written; None: the call has no such value."""

    def __str__(self) -> str:
        value = {None: "none", "none": r"\none"}.get(self.pattern, self.pattern)
        return f"{self.dimension}{'=' if self.equal else '!='}{value}"

    @property
    def literal(self) -> str | None:
        """The one value that the pattern stands for; None: it has wildcards, or asks for no value."""
        if self.pattern is None:
            return None
        found = pieces(self.pattern)
        return None if any(piece in WILD for piece in found) else "".join(piece[-1] for piece in found)


def exactly(dimension: str, value: object) -> Condition:
    """The condition that a call has just that value, or with None: none; wildcards in it are none."""
    return Condition(dimension, True, None if value is None else escaped(str(value)))


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(expression(pieces(pattern)), re.DOTALL)


def passes(test: Condition, values: Values) -> bool:
    """Whether a call with these values is as the test says."""
    if test.pattern is None:
        return (values == (None,)) == test.equal
    found = compiled(test.pattern)
    return any(value is not None and found.fullmatch(value) is not None for value in values) == test.equal
