r"""How a price book is read: from a TOML file or from the store, always a whole. A book with a mistake in it isn't used
at all.

    [[price]]
    match = "acme-chat-*"        # or regex = '^acme-chat-\d+$'; see `names_of`
    provider = "acme"            # may have * and ?; without it, any
    from = 2026-01-01            # the first day, UTC; without it, ever since
    until = 2026-07-01           # the first day that it doesn't hold any more
    input = 2.5                  # US dollars for a million tokens
    output = 10
    above = [{ input_tokens = 200_000, input = 5, output = 15 }]   # the whole request, once its input is longer
    tier.flex.multiplier = 0.5   # or prices of its own

    [[price]]
    match = "prod-chat"          # an Azure deployment, a Bedrock profile, a fine-tuned model:
    provider = "azure"
    model = "gpt-4o-2024-11-20"  # priced as that one

    [[price]]
    match = "*"
    multiplier = 0.85            # a discount on what other lists say; prices of one's own stand above it
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

from usage_tracker.errors import ConfigError
from usage_tracker.pricing.book import Book, Entry, Table, Tier
from usage_tracker.pricing.money import DOLLARS
from usage_tracker.pricing.occasion import FIELDS, HOST, STANDARD
from usage_tracker.pricing.price_keys import PRICE_KEYS, TOKEN_KEYS, TOOL_KEYS
from usage_tracker.pricing.rates import Price, Stepped
from usage_tracker.pricing.toml_lines import line_of
from usage_tracker.wildcards import expression

MILLION = Decimal(1_000_000)
MOST = 1_000_000
"""A price for a million tokens, or for one of something else, or a multiplier."""
MOST_PLACES = 50
"""Before the first digit of one. Written out, a number may take more memory than there is."""
OTHER_KEYS = (
    "match", "regex", "provider", "from", "until", "when", "above", "tier", "model", "as_provider", "multiplier",
    "token_multiplier", "add", "replace", "label", "note", "source", "as_of",
)  # fmt: skip
TIER_KEYS = ("multiplier", "above")
UNUSED = "nothing of this price book is used until it is mended"


class Mistake(Exception):
    """What is wrong with an entry, and where in it."""

    def __init__(self, path: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.path = path


def read_book(text: str, name: str) -> Book:
    """A book from TOML, under a version that is made of its content. `name` is how its file is called in messages.

    Raises ConfigError, with the line and what to do, for anything that isn't understood: nothing is skipped.
    """
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}{at_line(str(error))}; {UNUSED}") from None
    except (ArithmeticError, RecursionError, ValueError):
        raise ConfigError(
            f"{name}: a number has more digits, or a list more depth, than can be read; {UNUSED}"
        ) from None
    try:
        for key in document:
            if key != "price":
                raise Mistake((key,), f"{key!r} is unknown; entries begin with [[price]]")
        listed = document.get("price", [])
        if not isinstance(listed, list) or not all(isinstance(table, dict) for table in listed):
            raise Mistake(("price",), "entries begin with [[price]], in double brackets")
        entries = []
        for place, table in enumerate(listed):
            try:
                entries.append(read_entry(table))
            except Mistake as mistake:
                raise Mistake(("price", place, *mistake.path), str(mistake)) from None
    except Mistake as mistake:
        raise ConfigError(f"{name}, line {line_of(text, mistake.path)}: {mistake}; {UNUSED}") from None
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Book(entries, f"file {digest}")


def at_line(words: str) -> str:
    """Python's parser puts the place at the end of its words: https://docs.python.org/3/library/tomllib.html"""
    found = re.fullmatch(r"(.*) \(at line (\d+), column \d+\)", words)
    return f", line {found[2]}: this is no TOML ({found[1]})" if found else f": this is no TOML ({words})"


def load_book(path: Path) -> Book:
    """Raises ConfigError for a file that can't be read or understood."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"the price book {path} can't be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the price book {path} is no UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return read_book(text, str(path))


def read_entry(table: Table) -> Entry:
    """Raises Mistake."""
    for key in table:
        if key not in OTHER_KEYS and key not in PRICE_KEYS:
            near = get_close_matches(key, [*PRICE_KEYS, *OTHER_KEYS], 1)
            there = f"did you mean {near[0]!r}?" if near else f"prices are: {', '.join(PRICE_KEYS)}"
            raise Mistake((key,), f"{key!r} is unknown; {there}")
    prices = read_prices(table)
    first, last = read_day(table, "from", 0), read_day(table, "until", date.max.toordinal())
    if first >= last:
        raise Mistake(
            ("until",), "'until' is the first day on which the price doesn't hold any more: it is after 'from'"
        )
    provider = read_word(table, "provider")
    entry = Entry(
        table,
        read_pattern(table),
        glob(provider) if provider else None,
        first,
        last,
        read_when(table, provider),
        prices,
        read_tiers(table, prices),
        read_word(table, "model"),
        read_word(table, "as_provider"),
        read_number(table, "multiplier", Decimal(1)),
        read_number(table, "token_multiplier", Decimal(1)),
        read_more(table, "add"),
        read_more(table, "replace"),
    )
    for key in ("label", "note", "source"):
        read_word(table, key)
    refuse_mixtures(entry)
    return entry


def refuse_mixtures(entry: Entry) -> None:
    """Raises Mistake for an entry that says several things at once, or none."""
    table = entry.table
    changes = [key for key in ("multiplier", "token_multiplier", "add", "replace") if key in table]
    if entry.model and (entry.prices or entry.tiers or changes):
        raise Mistake(("model",), "an entry with 'model' is priced as that model, and has no prices of its own")
    if entry.as_provider and not entry.model:
        raise Mistake(("as_provider",), "'as_provider' says whose 'model' it is priced as, which is missing")
    if entry.prices and changes:
        raise Mistake((changes[0],), f"{changes[0]!r} changes the prices of other lists; this entry has its own")
    fees = [key for key in TOOL_KEYS if key in table]
    if fees and not table.keys() & (PRICE_KEYS.keys() - set(TOOL_KEYS)):
        raise Mistake(
            (fees[0],),
            f"{fees[0]!r} is billed beside tokens, which have no price here: write add = {{ {fees[0]} = … }}",
        )
    if not (entry.prices or entry.model or entry.tiers or changes):
        raise Mistake((), "the entry has no price; add some, such as input = 2.5 and output = 10 for a million tokens")


def read_pattern(table: Table) -> re.Pattern[str]:
    match, regex = read_word(table, "match"), read_word(table, "regex")
    if (match is None) == (regex is None):
        raise Mistake(("regex",) if match else (), "an entry has either 'match', with * and ?, or 'regex'")
    if match is not None:
        return glob(match)
    try:
        return re.compile(str(regex), re.IGNORECASE)
    except re.error as error:
        raise Mistake(("regex",), f"{regex!r} is no regular expression ({error.msg})") from None
    except (OverflowError, RecursionError) as error:
        raise Mistake(("regex",), f"the regular expression can't be used ({error})") from None


@lru_cache(1024)
def glob(text: str) -> re.Pattern[str]:
    """* is any text, ? any character; the whole name, whatever its case."""
    return re.compile(rf"\A{expression(text)}\Z", re.IGNORECASE | re.DOTALL)


def read_word(table: Table, key: str) -> str | None:
    value = table.get(key)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise Mistake((key,), f'{key!r} is a text, such as {key} = "…"')


def read_number(table: Table, key: str, default: Decimal) -> Decimal:
    return price_of(table[key], (key,)) if key in table else default


def price_of(value: object, path: tuple[str | int, ...]) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Mistake(path, f"{path[-1]!r} is a number in US dollars, such as 0.25")
    number = Decimal(value)
    if not number.is_finite() or number < 0:
        raise Mistake(path, f"{path[-1]!r} is not below zero, and finite")
    if number.adjusted() < -MOST_PLACES:
        raise Mistake(path, f"{path[-1]!r} has its first digit within {MOST_PLACES} decimals, or is 0")
    if number > MOST:
        raise Mistake(path, f"{path[-1]!r} is at most {MOST:,}: what a call costs by more, no store can hold")
    return number


def read_day(table: Table, key: str, default: int) -> int:
    """Days since 1970."""
    value = table.get(key)
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = "?"
    if value is None:
        return default
    if type(value) is not date:
        raise Mistake((key,), f"{key!r} is a day, such as {key} = 2026-08-31")
    return value.toordinal() - date(1970, 1, 1).toordinal()


def read_when(table: Table, provider: str | None) -> Mapping[str, re.Pattern[str]]:
    said = table.get("when", {})
    if not isinstance(said, dict):
        raise Mistake(("when",), "'when' is a table, such as when = { host = \"eu.*\" }")
    known = FIELDS.get(provider, (HOST,)) if provider and "*" not in provider else {*sum(FIELDS.values(), ()), HOST}
    for name in said:
        if name not in known:
            raise Mistake(("when", name), f"no price can depend on {name!r} here; there is: {', '.join(sorted(known))}")
        read_word(said, name)
    return {name: glob(text) for name, text in said.items()}


def read_prices(table: Table, base: Mapping[str, Price] | None = None) -> dict[str, Price]:
    """The prices of a table with its steps (`above`), for one of each unit. Those of a tier stand on the standard ones,
    `base`."""
    found: dict[str, Price] = {}
    for key in table.keys() & PRICE_KEYS.keys():
        price = for_one(key, price_of(table[key], (key,)))
        for unit in PRICE_KEYS[key]:
            found[unit] = price
    steps = table.get("above", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise Mistake(("above",), "'above' is an array, such as above = [{ input_tokens = 200_000, input = 5 }]")
    above: dict[str, list[tuple[int, Decimal]]] = {}
    previous = 0
    for place, step in enumerate(steps):
        start = step.get("input_tokens")
        if type(start) is not int or start <= previous:
            raise Mistake(
                ("above", place, "input_tokens"), "'input_tokens' is the number above which the step holds, and ascends"
            )
        previous = start
        for key in step:
            if key == "input_tokens":
                continue
            if key not in PRICE_KEYS or not all(unit in found for unit in PRICE_KEYS[key]):
                raise Mistake(("above", place, key), f"{key!r} has no price below that step")
            for unit in PRICE_KEYS[key]:
                above.setdefault(unit, []).append((start, for_one(key, price_of(step[key], ("above", place, key)))))
    for unit, prices in above.items():
        lowest = found[unit]
        assert isinstance(lowest, Decimal)
        found[unit] = Stepped(lowest, tuple(prices))
    return {**(base or {}), **found}


def for_one(key: str, price: Decimal) -> Decimal:
    return DOLLARS.divide(price, MILLION) if key in TOKEN_KEYS else price


def read_tiers(table: Table, prices: Mapping[str, Price]) -> Mapping[str, Tier]:
    said = table.get("tier", {})
    if not isinstance(said, dict):
        raise Mistake(("tier",), "'tier' is a table of tiers, such as tier.flex.multiplier = 0.5")
    found = {}
    for name, terms in said.items():
        try:
            found[name.lower()] = read_tier(terms, prices)
        except Mistake as mistake:
            raise Mistake(("tier", name, *mistake.path), str(mistake)) from None
        if name.lower() == STANDARD:
            raise Mistake(("tier", name), "the prices of the standard tier are those of the entry itself")
    return found


def read_tier(terms: object, prices: Mapping[str, Price]) -> Tier:
    if not isinstance(terms, dict):
        raise Mistake((), "a tier is a table, such as tier.flex.multiplier = 0.5")
    for key in terms:
        if key not in TIER_KEYS and key not in PRICE_KEYS:
            raise Mistake((key,), f"{key!r} is unknown; a tier has prices or a multiplier")
    if "multiplier" in terms:
        if len(terms) > 1:
            raise Mistake(("multiplier",), "a tier has either a multiplier or prices of its own")
        return Tier(multiplier=price_of(terms["multiplier"], ("multiplier",)))
    own = read_prices(terms, prices)
    if not prices or not terms:
        raise Mistake((), "a tier of an entry without prices of its own has a multiplier")
    return Tier(own)


def read_more(table: Table, key: str) -> Mapping[str, Price]:
    """The prices of `add` and `replace`."""
    said = table.get(key, {})
    if not isinstance(said, dict):
        raise Mistake((key,), f"{key!r} is a table of prices, such as {key} = {{ search = 0.01 }}")
    for name in said:
        if name not in PRICE_KEYS and name != "above":
            raise Mistake((key, name), f"{name!r} is no price; prices are: {', '.join(PRICE_KEYS)}")
    try:
        return read_prices(said)
    except Mistake as mistake:
        raise Mistake((key, *mistake.path), str(mistake)) from None
