"""A budget: how much of what, for which calls, in which window, and what happens at its limit."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Literal

import msgspec

from usage_tracker.budgets.windows import PERIODS, hours_of, is_duration
from usage_tracker.conditions import Condition, passes
from usage_tracker.errors import ConfigError
from usage_tracker.wildcards import WILD, pieces
from usage_tracker.zones import parse_zone

Measure = Literal["cost", "tokens", "calls"]
Unreachable = Literal["open", "closed"]

DIMENSIONS = (
    "app", "project", "team", "user", "session", "tag", "api_key", "host", "provider", "model", "operation", "sdk",
)  # fmt: skip
"""What is known of a call before it is made, and so may be the scope of a budget. `model` is the one that was asked
for; an answer may name it more precisely."""

LARGEST = {"cost": Decimal(10) ** 9, "tokens": Decimal(10) ** 15, "calls": Decimal(10) ** 12}
"""A limit above is a slip of the pen."""
SMALLEST_COST = Decimal("0.000001")
LONGEST_DELAY = 60.0
LEAST_SHARE = Decimal("0.000001")
MOST_SHARE = 10
"""A soft limit is at most ten times the limit. An exponent would be written out with all its zeros where it is less."""
NAME = re.compile(r"[\w.:@/+-]{1,100}", re.ASCII)
RESERVED = frozenset({"anomaly", "dropped", "unpriced"})
"""What alerts are about that no budget is behind."""
THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")
"""Where commas may stand. Elsewhere one is meant as a point: `1,50` is not 150 dollars."""
SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One budget, as the store keeps it in JSON. Fields may be added, with a default."""

    name: str
    limit: Decimal
    """US dollars, tokens or calls."""
    measure: Measure = "cost"
    per: str = "month"
    """`hour`, `day`, `week`, `month` of the calendar; a duration such as `24h` or `30d` that rolls; or `minute`, which
    makes it a limit of the rate."""
    zone: str = "UTC"
    """Whose hours, days, weeks and months."""
    where: tuple[Condition, ...] = ()
    """All hold for a call that counts."""
    each: str | None = None
    """The dimension of which each value has a budget of its own."""
    on_limit: Literal["alert", "throttle", "block"] = "alert"
    soft: tuple[Decimal, ...] = ()
    """Shares of the limit at which an alert is sent, beside the limit itself; 0.8 is 80 %."""
    strict: bool = False
    """Whether each call reserves what it may use, in the store, before it is made."""
    unreachable: Unreachable = "open"
    """What becomes of calls while what was spent can't be known: made, or refused."""
    unpriced: Literal["count", "refuse"] = "count"
    """What becomes of calls that nobody knows the price of."""
    delay: float = 5.0
    """The longest that `throttle` holds a call, in seconds."""

    @property
    def is_rate(self) -> bool:
        return self.per == "minute"

    @property
    def enforces(self) -> bool:
        """Whether a call may have to wait for it, or be refused."""
        return self.on_limit != "alert"

    @property
    def thresholds(self) -> tuple[Decimal, ...]:
        """The shares at which it alerts, ascending."""
        return tuple(sorted({*self.soft, Decimal(1)}))

    @property
    def scope(self) -> str:
        """Which calls, for people."""
        said = ", ".join(map(str, self.where)) or "all calls"
        return f"{said}, each {self.each}" if self.each else said


encode = msgspec.json.Encoder().encode
written = msgspec.json.Decoder(Budget)


def decode(text: str | bytes) -> Budget:
    """Raises msgspec.ValidationError. An earlier version stored as written that a budget is for each of nothing."""
    budget = written.decode(text)
    return msgspec.structs.replace(budget, each=None) if budget.each == "" else budget


def parse_limit(text: str) -> tuple[Decimal, Measure]:
    """What `100`, `$100`, `5M tokens` or `1000 calls` say. Raises ConfigError."""
    broken = ConfigError(f"{text!r} is no limit; write 100 (US dollars), '5M tokens' or '1000 calls'")
    match = re.fullmatch(r"\s*\$?\s*([-+\d.,eE_]*\d)\s*([kKmMbB]?)\s*(usd|dollars?|tokens?|calls?|requests?)?\s*", text)
    if match is None or ("," in match[1] and not THOUSANDS.fullmatch(match[1])):
        raise broken
    unit = (match[3] or "usd").lower()
    measure: Measure = "tokens" if unit[0] == "t" else "calls" if unit[0] in "cr" else "cost"
    try:
        return Decimal(match[1].replace(",", "").replace("_", "")) * SCALES[match[2].lower()], measure
    except ArithmeticError:
        raise broken from None


def parse_share(text: str) -> Decimal:
    """What `80%` or `0.8` says. Raises ConfigError."""
    stripped = text.strip()
    try:
        value = Decimal(stripped.removesuffix("%"))
        share = value / 100 if stripped.endswith("%") else value
    except ArithmeticError:
        share = Decimal("NaN")
    if not is_share(share):
        raise ConfigError(f"{text!r} is no share of a limit; write it like 80%")
    return share.normalize()


def is_share(share: Decimal) -> bool:
    return share.is_finite() and LEAST_SHARE <= share <= MOST_SHARE


def check(budget: Budget) -> None:
    """Raise ConfigError, with a sentence for people, for a budget that makes no sense or could never hold a call."""
    for sentence in mistakes(budget):
        raise ConfigError(sentence)


def mistakes(budget: Budget) -> Iterator[str]:
    if not NAME.fullmatch(budget.name):
        yield f"{budget.name!r} is no name for a budget; use up to 100 letters, digits and any of . : @ / + - _"
    if budget.name in RESERVED:
        yield f"{budget.name!r} is what an alert of another kind is called; give the budget another name"
    yield from mistakes_of_limit(budget)
    yield from unknown_words(budget)
    yield from mistakes_of_scope(budget)
    yield from mistakes_of_means(budget)


def unknown_words(budget: Budget) -> Iterator[str]:
    """What nobody here can count by."""
    if budget.per not in PERIODS and not is_duration(budget.per):
        yield f"{budget.per!r} is no window; use minute, hour, day, week, month, or a duration such as 24h or 30d"
    try:
        parse_zone(budget.zone)
    except ValueError as error:
        yield str(error)
    for name in (*(test.dimension for test in budget.where), *([] if budget.each is None else [budget.each])):
        if name not in DIMENSIONS:
            known = ", ".join(DIMENSIONS)
            yield f"{name!r} can't be the scope of a budget; what is known before a call is made: {known}"


def mistakes_of_limit(budget: Budget) -> Iterator[str]:
    limit, measure = budget.limit, budget.measure
    if not limit.is_finite() or limit <= 0:
        yield f"a limit is more than 0, not {limit}"
    elif limit > LARGEST[measure]:
        unit = measure if measure != "cost" else "dollars"
        yield f"a limit of more than {LARGEST[measure]:,f} {unit} would never hold anything back"
    elif measure == "cost" and limit < SMALLEST_COST:
        yield "a limit of less than a millionth of a dollar would hold back every call"
    elif measure != "cost" and limit != limit.to_integral_value():
        yield f"{limit} {measure} is no whole number"
    if budget.is_rate and measure == "cost":
        yield "a limit per minute is one of tokens or calls, such as '60 calls'"
    for share in budget.soft:
        if not is_share(share):
            yield f"{share} is no share of a limit; 0.8 is 80 %"


def mistakes_of_means(budget: Budget) -> Iterator[str]:
    if not 0 < budget.delay <= LONGEST_DELAY:
        yield f"a call is held for more than 0 and at most {LONGEST_DELAY:g} seconds, not {budget.delay:g}"
    if budget.strict and not budget.enforces:
        yield "a strict budget reserves what it may refuse; choose --on-limit block or throttle with --strict"
    if budget.is_rate and not budget.enforces:
        yield "a limit per minute holds calls back or refuses them; choose --on-limit throttle or block"
    if budget.unpriced == "refuse" and (budget.measure != "cost" or budget.on_limit != "block"):
        yield "calls without a price are refused by a limit in dollars with --on-limit block"


def mistakes_of_scope(budget: Budget) -> Iterator[str]:
    for dimension in dict.fromkeys(test.dimension for test in budget.where):
        tests = [test for test in budget.where if test.dimension == dimension]
        if contradict(tests, several=dimension == "tag"):
            yield f"no call can be {' and '.join(map(str, tests))} at once, so this budget could never match"
        if dimension == budget.each and any(test.equal and test.pattern is None for test in tests):
            yield f"calls without a {dimension} have none to be told apart by, so this budget could never match"


def contradict(tests: Sequence[Condition], *, several: bool) -> bool:
    """Whether nothing passes all of the tests. `several`: a call may have more than one value of the dimension."""
    asked = [test for test in tests if test.equal]
    if any(test.pattern is None for test in asked) and any(test.pattern is not None for test in asked):
        return True
    for test in tests:
        if test._replace(equal=not test.equal) in tests:
            return True
        if several or not test.equal or test.literal is None:
            continue
        if not all(passes(other, (test.literal,)) for other in tests):
            return True
    patterns = [] if several else [test.pattern for test in asked if test.pattern is not None]
    return any(apart(one, other) for one in patterns for other in patterns)


def apart(one: str, other: str) -> bool:
    """Whether no value meets both patterns, by what stands before their first wildcards, or after their last ones."""
    starts, ends = (firm_start(one), firm_start(other)), (firm_end(one), firm_end(other))
    return not (starts[0].startswith(starts[1]) or starts[1].startswith(starts[0])) or not (
        ends[0].endswith(ends[1]) or ends[1].endswith(ends[0])
    )


def firm_start(pattern: str) -> str:
    return "".join(piece[-1] for piece in takewhile(lambda piece: piece not in WILD, pieces(pattern)))


def firm_end(pattern: str) -> str:
    backwards = takewhile(lambda piece: piece not in WILD, reversed(pieces(pattern)))
    return "".join(piece[-1] for piece in backwards)[::-1]


def default_name(budget: Budget) -> str:
    """What it is called where nobody said."""
    values = [test.literal or "some" for test in budget.where] or ["all"]
    words = [*values, *([f"each-{budget.each}"] if budget.each else ()), budget.measure, budget.per]
    name = re.sub(r"[^\w.:@/+-]+", "-", "-".join(words), flags=re.ASCII)
    return name.lstrip("-")[:100]  # a command takes what begins so for an option


def about(budget: Budget) -> tuple[object, ...]:
    """What its name says where nobody said one."""
    return budget.where, budget.each, budget.measure, budget.per


def counted(budget: Budget) -> tuple[object, ...]:
    """Which calls count, what of them, and in which window."""
    return *about(budget), budget.zone


def rolls(budget: Budget) -> bool:
    """Whether its window ends now and moves along, instead of starting anew."""
    return hours_of(budget.per) is not None
