"""Any question to a store, for property tests; of times around which the clocks of some zone change."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from made_events import INSTANTS

from usage_tracker.report import DIMENSIONS, FILTERS, UNITS, Condition, Query
from usage_tracker.report.dimensions import MOST_DIMENSIONS

ZONES = (
    "UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo",
    "America/Havana", "Pacific/Auckland",
)  # fmt: skip
PATTERNS = (
    "gpt-4o", "gpt*", "*", "u-?", "none", "tier:*", "tier:pro", "eu", r"be\\ta", "[g]*", r"a\*b", "a*b", "A_b", "a?b",
    "50%", "pro", "p*", "ok", "error", "openai", "gr*e", "*ö*", "box-1",
    "unpriced", "*unpriced",
)  # fmt: skip


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    near = datetime.fromisoformat(draw(st.sampled_from(INSTANTS)))
    size = draw(
        st.sampled_from([timedelta(days=1), timedelta(hours=1), timedelta(minutes=7), timedelta(microseconds=1)])
    )
    return near + draw(st.integers(-40, 40)) * size


@st.composite
def queries(draw: st.DrawFn) -> Query:
    unit = draw(st.sampled_from([None, *UNITS]))
    most = MOST_DIMENSIONS - (unit is not None)
    one_of_tags = [name for name in DIMENSIONS if name != "tag"] + [draw(st.sampled_from(["tag", "tag:tier", "tag:e"]))]
    by = draw(st.lists(st.sampled_from(one_of_tags), unique=True, max_size=most))
    since, until = draw(st.none() | moments()), draw(st.none() | moments())
    if since is not None and until is not None and since > until:
        since, until = until, since
    conditions = st.builds(
        Condition,
        st.sampled_from([*FILTERS, "tag", "tag:tier"]),
        st.booleans(),
        st.none() | st.sampled_from([*PATTERNS, r"\none"]),
    )
    return Query(
        since,
        until,
        tuple(by) if unit is None else tuple(draw(st.permutations([*by, unit]))),
        tuple(draw(st.lists(conditions, max_size=2))),
        ZoneInfo(draw(st.sampled_from(ZONES))),
        percentiles=draw(st.booleans()),
    )
