"""What a report can be grouped and filtered by, and where each of these words lives in the tables."""

from collections.abc import Iterable
from typing import NamedTuple

from usage_tracker.report.spelling import did_you_mean


class Dimension(NamedTuple):
    """A word of the command line and the column behind it."""

    key: str
    """The column of rollups and events that leads to it."""
    table: str | None
    """The dimension table that `key` points into; None: `key` is the value itself."""
    value: str
    """The value as an expression over `table`, and over the view `events`."""


KIND, OWNER = "usage_kind", "usage_owner"

DIMENSIONS: dict[str, Dimension] = {
    "provider": Dimension("kind_key", KIND, "provider"),
    "model": Dimension("kind_key", KIND, "coalesce(model, request_model)"),
    "request_model": Dimension("kind_key", KIND, "request_model"),
    "operation": Dimension("kind_key", KIND, "operation"),
    "sdk": Dimension("kind_key", KIND, "sdk"),
    "service_tier": Dimension("kind_key", KIND, "service_tier"),
    "app": Dimension("owner_key", OWNER, "app"),
    "project": Dimension("owner_key", OWNER, "project"),
    "team": Dimension("owner_key", OWNER, "team"),
    "api_key": Dimension("owner_key", OWNER, "api_key"),
    "user": Dimension("user_key", "usage_user", "user_id"),
    "session": Dimension("session_id", None, "session_id"),
    "host": Dimension("host_key", "usage_host", "host"),
    "status": Dimension("status", None, "status"),
    "tag": Dimension("tag_key", "usage_tag", "tag"),
}
"""The dimensions other than time."""

FLAG = "flag"
"""The flags of a call's cost, such as `sum_mismatch`. A call may have several, and no rollup is cut by them."""
FILTERS: dict[str, Dimension] = {**DIMENSIONS, FLAG: Dimension("cost_flags", None, "cost_flags")}
"""What conditions can be about."""
ARRAYS = {"tag": "tags", FLAG: "cost_flags"}
"""The filters of which a call may have several values, and the column of events that holds them."""

UNITS = ("hour", "day", "week", "month")
"""The dimensions of time. A week starts on Monday."""
CUTS = {"hour": ["cut", "shift"], "day": ["cut"], "week": ["cut"], "month": ["cut"]}
"""The columns of the dimensions of time."""

NULLABLE_KEYS = frozenset({"session_id", "host_key"})
"""The keys that are null in an event where others point at a row that says "none"."""

MOST_DIMENSIONS = 3


TAGGED = "tag:"
"""`tag:KEY` are the values of the tags that are written `KEY:value`."""


def find_dimension(name: str) -> Dimension:
    """The dimension of that name, which is known or `tag:KEY`."""
    key = key_of_tags(name)
    if key is None:
        return DIMENSIONS[name]
    return DIMENSIONS["tag"]._replace(value=f"substr(tag, {len(key) + 2})")


def key_of_tags(name: str) -> str | None:
    """The KEY of `tag:KEY`; None for another dimension."""
    return name.removeprefix(TAGGED) if name.startswith(TAGGED) else None


def of_tags(names: Iterable[str]) -> str | None:
    """The dimension, `tag` or `tag:KEY`, by which a call may be in several groups at once; None: there is none."""
    return next((name for name in names if name == "tag" or name.startswith(TAGGED)), None)


def is_dimension(name: str) -> bool:
    return name in DIMENSIONS or bool(key_of_tags(name))


def is_filter(name: str) -> bool:
    return name in FILTERS or bool(key_of_tags(name))


def check_dimensions(names: tuple[str, ...]) -> None:
    """Raise ValueError, with a sentence for people, where a report can't be grouped by these."""
    if len(names) > MOST_DIMENSIONS:
        raise ValueError(f"group by at most {MOST_DIMENSIONS} dimensions, not {len(names)}")
    for name in names:
        if not is_dimension(name) and name not in UNITS:
            raise ValueError(unknown(name, (*UNITS, *DIMENSIONS)))
    if len(set(names)) < len(names):
        raise ValueError(f"group by each dimension once: {', '.join(dict.fromkeys(names))}")
    if sum(name in UNITS for name in names) > 1:
        raise ValueError(f"group by one unit of time at once ({', '.join(UNITS)})")
    if sum(of_tags([name]) is not None for name in names) > 1:
        raise ValueError(
            "group by one of tag and tag:KEY at once; others can be conditions, such as --where tag:tier=pro"
        )


def unknown(name: str, valid: tuple[str, ...]) -> str:
    """The sentence about a word that is no dimension, with the one that was probably meant."""
    if name == TAGGED:
        return "tag: lacks its KEY; tag:tier are the values of tags such as tier:pro"
    if name == FLAG:
        return "flag can only be a condition, such as --where flag=sum_mismatch"
    return f"{name!r} is not a dimension{did_you_mean(name, valid)} There are: {', '.join(valid)}, {TAGGED}KEY"
