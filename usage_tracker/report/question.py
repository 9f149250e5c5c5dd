"""A question to a store: who used what, when and what for."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal, get_args

from usage_tracker.conditions import Condition
from usage_tracker.report.dimensions import UNITS, check_dimensions, key_of_tags, of_tags
from usage_tracker.report.ranges import Range

CostBasis = Literal["recorded", "current", "reported"]
"""Which cost of calls counts."""


@dataclass(frozen=True)
class Query:
    """A question. Raises ValueError, with a sentence for people, where it makes no sense."""

    since: datetime | None = None
    """None: from the first event on."""
    until: datetime | None = None
    """Up to and without this instant; None: up to the last event."""
    by: tuple[str, ...] = ("model",)
    """Up to three dimensions, one unit of time among them; none: only the total."""
    where: tuple[Condition, ...] = ()
    """What every call that counts must be like."""
    tz: tzinfo = UTC
    """Whose hours, days, weeks and months."""
    top: int | None = None
    """How many values are shown, time apart, before the rest is one row of Others; None: all."""

    before: Range | None = None
    """An earlier range that each group is held against."""
    percentiles: bool = False
    """Whether to find out, too, how long half and 95 % of the calls took at most."""
    cost: CostBasis = "recorded"
    """`recorded`: priced when they were stored, at prices of their time; `current`: at prices of today; `reported`:
    what providers and gateways said."""

    def __post_init__(self) -> None:
        check_dimensions(self.by)
        if self.cost not in get_args(CostBasis):
            raise ValueError(f"{self.cost!r} is no cost to count; there are: {', '.join(get_args(CostBasis))}")
        if self.top is not None and self.top < 1:
            raise ValueError("top is at least 1")
        if self.before is not None and (self.since is None or self.before.since is None):
            raise ValueError("a comparison needs a --since, of both ranges")
        if any(moment is not None and moment.utcoffset() is None for moment in (self.since, self.until)):
            raise ValueError("since and until need a time zone")
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("since is after until")

    @property
    def unit(self) -> str | None:
        """The unit of time among `by`."""
        return next((name for name in self.by if name in UNITS), None)

    @property
    def tags(self) -> str | None:
        """The dimension of tags among `by`, by which a call may be in several groups: `tag` or `tag:KEY`."""
        return of_tags(self.by)

    @property
    def tag_key(self) -> str | None:
        """The KEY of a `tag:KEY` among `by`."""
        return key_of_tags(self.tags or "")
