"""Time zones: by their names, and where their days begin."""

from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


@lru_cache(maxsize=256)
def parse_zone(name: str) -> tzinfo:
    """The time zone of that IANA name. Raises ValueError with a sentence for people.

    UTC is known without a database of zones, which slim containers lack.
    """
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(unknown(name)) from None


@lru_cache(maxsize=256)
def unknown(name: str) -> str:
    """A sentence. All zones are looked through for it, which takes 10 ms."""
    known = available_timezones()
    if not known:
        return f"no time zone but UTC is known here; for {name} run: pip install tzdata"
    import difflib  # an app that has budgets doesn't need it

    by_folded = {zone.lower(): zone for zone in sorted(known)}
    near = difflib.get_close_matches(name.lower().replace(" ", "_"), by_folded, 1) or [
        zone for zone in by_folded if zone.endswith("/" + name.lower().replace(" ", "_"))
    ]
    meant = f"; did you mean {by_folded[near[0]]}?" if near else "; use a name such as Europe/Berlin or UTC"
    return f"{name!r} is not a time zone{meant}"


def midnight(day: date, zone: tzinfo) -> datetime:
    """The start of the day in the zone; the first one, where the clock goes back over midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def begins_day(moment: datetime, zone: tzinfo) -> bool:
    """Whether a day of the zone starts then, which is at one o'clock where the clock goes on at midnight."""
    return moment.astimezone(UTC) == midnight(moment.astimezone(zone).date(), zone)
