"""What may stand in an address after the question mark: names, meanings and how each is read. One table for the pages,
the HTTP interface and its OpenAPI document."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, get_args

from starlette.requests import Request

from usage_tracker.report import DIMENSIONS, MOST_CONDITIONS, UNITS, CostBasis, parse_condition
from usage_tracker.report.conditions import is_text
from usage_tracker.report.spelling import did_you_mean
from usage_tracker.zones import parse_zone

LONGEST = 2000
"""Characters of one value."""


OPTION = re.compile(r"(?<![\w'\"-])--([a-z-]+)")


def without_options(sentence: str) -> str:
    """The sentence of the command line with the names of its options as parameters and fields have them."""
    return OPTION.sub(lambda option: option[1].replace("-", "_"), sentence)


class Refused(ValueError):
    """What was asked for can't be understood. The message is a sentence for people."""

    def __init__(self, sentence: str, parameter: str | None = None) -> None:
        super().__init__(without_options(sentence))
        self.parameter = parameter


class Parameter(NamedTuple):
    name: str
    meaning: str
    read: Callable[[str], Any] = str
    """Raises ValueError with a sentence."""
    schema: Mapping[str, Any] = {"type": "string"}
    many: bool = False
    default: Any = None


def read_parameters(request: Request, *parameters: Parameter) -> dict[str, Any]:
    """What the address says of these, by name, defaults included; of `many`, tuples. An empty value counts as not
    given. Raises Refused, also for any other parameter."""
    known = {parameter.name: parameter for parameter in parameters}
    found: dict[str, list[Any]] = {}
    for name, text in request.query_params.multi_items():
        if name not in known:
            meant = did_you_mean(name, known)
            raise Refused(f"there is no parameter {name!r}{meant} There are: {', '.join(known) or 'none'}", name)
        if text == "":
            continue
        if len(text) > LONGEST:
            raise Refused(f"{name} is longer than {LONGEST} characters", name)
        if not is_text(text):
            raise Refused(f"{name} is no text (a NUL character or broken UTF-8)", name)
        try:
            value = known[name].read(text)
        except ValueError as error:
            raise Refused(f"{name}: {error}", name) from None
        if not known[name].many and name in found:
            raise Refused(f"{name} is given twice", name)
        found.setdefault(name, []).append(value)
        if len(found[name]) > MOST_CONDITIONS:
            raise Refused(f"{name} is given more than {MOST_CONDITIONS} times", name)
    return {
        name: tuple(found.get(name, ())) if parameter.many else found.get(name, [parameter.default])[0]
        for name, parameter in known.items()
    }


WHOLE = re.compile(r"-?\d{1,20}", re.ASCII)


def whole(name: str, meaning: str, least: int, most: int, default: int | None = None) -> Parameter:
    """A whole number of that range."""

    def read(text: str) -> int:
        if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most} is needed, not {text[:40]!r}")
        return int(text)

    return Parameter(name, meaning, read, {"type": "integer", "minimum": least, "maximum": most}, default=default)


def one_of(name: str, meaning: str, words: Sequence[str], default: str | None = None) -> Parameter:
    def read(text: str) -> str:
        if text not in words:
            meant = did_you_mean(text, words)
            raise ValueError(f"{text[:40]!r} is none of these{meant} There are: {', '.join(words)}")
        return text

    return Parameter(name, meaning, read, {"type": "string", "enum": list(words)}, default=default)


def read_by(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def switch(name: str, meaning: str, default: bool | None = None) -> Parameter:
    return Parameter(name, meaning, read_switch, {"type": "boolean"}, default=default)


def read_switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text[:40]!r} is neither true nor false")


def day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise ValueError(f"{text[:40]!r} is not a day such as 2026-08-31") from None


BY_WORDS = (*UNITS, *DIMENSIONS)

SINCE = Parameter(
    "since",
    "The start: 2026-08-31, 2026-08, 2026-08-31T14:30, today, yesterday, this-week, last-week, mtd, last-month, ytd, "
    "90m, 24h, 7d, 4w or all. Without it: the month to date.",
)
UNTIL = Parameter("until", "The end, in the same words; what it names is included. Without it: now.")
TZ = Parameter("tz", "The time zone of all times and days, such as Europe/Berlin.", parse_zone)
WHERE = Parameter(
    "where",
    "Only calls that are so: model=gpt-4o, model=gpt-*, team!=core, project=none. Repeated: all hold.",
    parse_condition,
    many=True,
)
BY = Parameter(
    "by",
    f"Up to three dimensions to group by, repeated or with commas. There are: {', '.join(BY_WORDS)}, and "
    "tag:KEY, of tags such as tier:pro.",
    read_by,
    many=True,
)
TOP = whole("top", "Only the most expensive, and a row of Others.", 1, 1000)
COST = one_of(
    "cost",
    "Which cost: recorded when calls were stored, current (at prices of today), or reported by providers.",
    get_args(CostBasis),
    default="recorded",
)
COMPARE = Parameter("compare", "Hold each row against an earlier time: previous, or a word of `since`.")
