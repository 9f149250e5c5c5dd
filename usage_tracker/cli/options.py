"""The options that reading commands share, and how their values are understood."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from functools import wraps
from math import isnan
from typing import Any

import click

from usage_tracker.cli.hints import is_typed, tell_store
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.folders import default_dsn
from usage_tracker.report import Condition, Range, both_ends, parse_conditions, parse_range
from usage_tracker.zones import parse_zone

Given = str | tuple[str, ...] | None


def parsed(parse: Callable[[str], object]) -> Callable[[click.Context, click.Parameter, Given], object]:
    """A callback that reads an option's text, or each of its texts; a ValueError or ConfigError is a sentence for
    people."""

    def callback(_ctx: click.Context, _param: click.Parameter, given: Given) -> object:
        if given is None:
            return None
        try:
            return parse(given) if isinstance(given, str) else tuple(map(parse, given))
        except (ValueError, ConfigError) as error:
            raise click.BadParameter(str(error)) from None

    return callback


def read_conditions(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> tuple[Condition, ...]:
    try:
        return parse_conditions(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def choose_dsn(text: str | None) -> Dsn:
    return parse_dsn(text) if text else default_dsn()


def parse_typed(text: str) -> Dsn:
    """An address that is an option, whose name click says. Raises click.BadParameter."""
    try:
        return parse_dsn(text)
    except ConfigError as error:
        raise click.BadParameter(named(error, "it")) from None


def named(error: ConfigError, name: str) -> str:
    """What is wrong with an address that isn't TRACKER_DSN's."""
    return str(error).replace("TRACKER_DSN", name)


def read_dsn(ctx: click.Context, option: click.Parameter, text: str | None) -> Dsn:
    tell_typed(ctx, option, text)
    return choose_dsn(text)


def tell_typed(ctx: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Repeat a store that was typed in hints. The address is read later, together with other settings."""
    if text and is_typed(ctx, option):
        tell_store(ctx, option, parse_typed(text))
    return text


dsn_option = click.option(
    "--dsn",
    envvar="TRACKER_DSN",
    callback=read_dsn,
    metavar="DSN",
    help="The store; unset: TRACKER_DSN or, without it, an SQLite file in your data folder.",
)

since_option = click.option(
    "--since",
    metavar="WHEN",
    help="2026-08-31, 2026-08, 2026-08-31T14:30, today, yesterday, this-week, last-week, mtd, "
    "last-month, ytd, 90m, 24h, 7d, 4w or all.",
)
during_option = click.option(
    "--during", metavar="WHEN", help="All of it: --during last-month is --since last-month --until last-month."
)
until_option = click.option(
    "--until", metavar="WHEN", help="The same; the day, month or hour that it names is included. Unset: until now."
)
tz_option = click.option(
    "-z",
    "--tz",
    "zone",
    envvar="TRACKER_TZ",
    callback=parsed(parse_zone),
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="The time zone, such as Europe/Berlin, of all times and days.",
)
where_option = click.option(
    "-w",
    "--where",
    multiple=True,
    callback=read_conditions,
    metavar="KEY=VALUE",
    help="Only calls that are so: model=gpt-4o, 'model=gpt-*', team!=core, project=none. Repeated: all hold.",
)


def output_option(
    formats: Iterable[str], about: str = "The format."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`formats`: the default first."""
    first, *_ = listed = list(formats)
    return click.option("-o", "--output", type=click.Choice(listed), default=first, show_default=True, help=about)


class Span(click.FloatRange):
    """A number between two others; `nan` is between none."""

    name = "float range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found: float = super().convert(value, param, ctx)
        if isnan(found):
            self.fail(f"{value!r} is no number.", param, ctx)
        return found


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--since, --until, --during, --where, --tz and --dsn. The command is given --during as the other two."""

    @wraps(command)
    def selecting(*, since: str | None, until: str | None, during: str | None, **options: Any) -> Any:
        if during is not None:
            if since is not None or until is not None:
                raise click.UsageError("--during says both ends; leave out --since and --until")
            since, until = both_ends(during)
        return command(since=since, until=until, **options)

    for option in (dsn_option, tz_option, where_option, during_option, until_option, since_option):
        selecting = option(selecting)
    return selecting


def resolve_range(since: str | None, until: str | None, zone: tzinfo) -> Range:
    """Raises click.UsageError where the words name no range."""
    try:
        return parse_range(since, until, zone, datetime.now(UTC))
    except ValueError as error:
        raise click.UsageError(f"--since/--until: {error}") from None
    except OverflowError:
        raise click.UsageError("--since/--until: the range is beyond the calendar") from None


Conditions = tuple[Condition, ...]
