"""`usage-tracker reconcile`: a provider's own figures beside ours."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from usage_tracker.cli.admin_api import APIS, ask, check_address, read_files, write_answers
from usage_tracker.cli.options import (
    Conditions,
    dsn_option,
    output_option,
    parsed,
    resolve_range,
    since_option,
    until_option,
    where_option,
)
from usage_tracker.cli.output import say, write_file
from usage_tracker.cli.reconciled import show, summary
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn
from usage_tracker.report.accounts import Account, BadPage
from usage_tracker.report.reconciling import KEYS, Tolerance, compare_account

APART = 6
"""The exit code where figures are further apart than they may be."""
MODEL_GROUPS = {"openai": "line_item", "anthropic": "description"}
"""What a provider's costs have to be grouped by to name models."""


def parse_by(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names or len(set(names)) < len(names) or set(names) - set(KEYS):
        raise ValueError(f"{text!r} can't be grouped by; name some of {', '.join(KEYS)}, with commas between them")
    return names


def parse_share(text: str) -> Decimal:
    try:
        share = Decimal(text.removesuffix("%")) / 100
    except InvalidOperation:
        share = Decimal(-1)
    if not share.is_finite() or not 0 <= share <= 1:
        raise ValueError(f"{text!r} is no share; write it like 1%")
    return share


def parse_dollars(text: str) -> Decimal:
    try:
        dollars = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or dollars < 0:
        raise ValueError(f"{text!r} is no amount of US dollars; write it like 0.01")
    return dollars


def parse_project(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not (theirs and equals and ours):
        raise ValueError(f"{text!r} names no project; write the provider's id and yours, like proj_abc=web")
    return theirs, ours


@click.command(
    help="""A provider's own figures beside ours: cost and tokens by day, model and project, with the difference.

    They come from the provider's admin API, with an admin key in OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY, or from its
    answers in JSON files. Only days that are over are compared, whole days of UTC, the last seven unless you say so.
    Exit code 6 where a cost or a count of tokens is further apart than --tolerance and --ignore allow.

    What explains a difference: calls that weren't recorded, or aren't this store's (--only, --where); calls without a
    price, which are counted under Unpriced (`usage-tracker prices unpriced`); discounts and credits; tools, which
    providers bill on lines of their own, while they are part of a call's cost here: --by day has both in one sum.

    \b
    Examples:
      usage-tracker reconcile openai
      usage-tracker reconcile anthropic --since last-month --until last-month --by model --tolerance 2%
      usage-tracker reconcile openai --by day,project --project proj_abc=web --project proj_def=jobs
      usage-tracker reconcile openai --save pages.json
      usage-tracker reconcile openai --from pages.json
    """
)
@click.argument("provider", type=click.Choice(list(APIS)))
@since_option
@until_option
@click.option(
    "--by",
    callback=parsed(parse_by),
    default="day,model",
    show_default=True,
    metavar="KEY[,KEY]",
    help="What to compare by: day, model, project.",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    callback=parsed(parse_project),
    metavar="ID=NAME",
    help="The provider's project or workspace is this one of yours. Repeat it for others.",
)
@click.option("--only", multiple=True, metavar="ID", help="Of the provider's projects or workspaces, only this one.")
@where_option
@click.option(
    "--tolerance",
    "share",
    callback=parsed(parse_share),
    default="1%",
    show_default=True,
    help="The share of the provider's figure that ours may be apart.",
)
@click.option(
    "--ignore",
    callback=parsed(parse_dollars),
    default="0.01",
    show_default=True,
    metavar="DOLLARS",
    help="An amount that never matters.",
)
@click.option(
    "--from",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The provider's answers in a JSON file, instead of asking for them. Repeat it for others, in their order.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the answers to this file, for --from.",
)
@click.option(
    "--base-url",
    callback=lambda ctx, param, text: text and parsed(check_address)(ctx, param, text),
    metavar="URL",
    help="Where the API is; unset: the provider's own address.",
)
@dsn_option
@output_option(("table", "json", "csv"))
def reconcile(
    provider: str,
    since: str | None,
    until: str | None,
    by: tuple[str, ...],
    projects: tuple[tuple[str, str], ...],
    only: tuple[str, ...],
    where: Conditions,
    share: Decimal,
    ignore: Decimal,
    paths: tuple[Path, ...],
    save: Path | None,
    base_url: str | None,
    dsn: Dsn,
    output: str,
) -> None:
    if paths and (save or base_url):
        raise click.UsageError(f"--{'save' if save else 'base-url'} goes without --from: nothing is asked for then")
    asked = finished_days(since, until)
    account = Account(provider)
    try:
        if paths:
            for answer in read_files(paths):
                account.add(answer.pages, answer.kind)
            first, after = told_days(account, asked if since or until else None)
        else:
            first, after = asked
            fetch_account(account, base_url or APIS[provider].address, asked, save)
    except BadPage as error:
        raise click.ClickException(f"What {provider} answered can't be compared: {error}.") from None
    check_grouped(account, by, only)
    if only:
        account.entries = [entry for entry in account.entries if entry.project in only]
    tolerance = Tolerance(share, ignore)
    names = dict(projects)
    remark = None
    try:
        with reading(dsn) as store:
            found = compare_account(store, account, first, after, by, where, names, tolerance)
    except NothingYet as nothing:
        found = compare_account(None, account, first, after, by, where, names, tolerance)
        remark = str(nothing)
    show(found, provider, tolerance, output)
    say(remark or summary(found, provider))
    if found.apart:
        raise click.exceptions.Exit(APART)


def finished_days(since: str | None, until: str | None) -> tuple[date, date]:
    """The first day of the range, and the one after its last: providers count whole days, and today isn't over."""
    span = resolve_range(since or "7d", until or "yesterday", UTC)
    today = datetime.now(UTC).date()
    if span.since is None:
        raise click.UsageError("--since: say from which day on, such as --since 2026-01-01")
    if any(moment != moment.replace(hour=0, minute=0) for moment in (span.since, span.until)):
        raise click.UsageError("--since/--until: providers tell whole days of UTC only; name days, weeks or months")
    first, after = span.since.date(), min(span.until.date(), today)
    if first >= after:
        raise click.UsageError("--since/--until: no day of this range is over yet, by UTC")
    return first, after


def told_days(account: Account, asked: tuple[date, date] | None) -> tuple[date, date]:
    """The days that the files tell about or, of those, the ones that were asked for, as far as they are over."""
    told = account.span()
    if told is None:
        raise BadPage("its pages hold no costs and no usage of common days")
    first, after = told if asked is None else (max(told[0], asked[0]), min(told[1], asked[1]))
    after = min(after, datetime.now(UTC).date())
    if first >= after:
        said = f"the files are about {told[0]} to {told[1] - timedelta(days=1)}"
        raise click.UsageError(f"--since/--until: {said}, and no day of these that is asked for is over yet, by UTC")
    return first, after


def fetch_account(account: Account, address: str, asked: tuple[date, date], save: Path | None) -> None:
    api = APIS[account.provider]
    key = os.environ.get(api.key, "").strip()
    if not key:
        raise click.UsageError(
            f"{api.key} isn't set: an admin key, which an organization's owner makes in {account.provider}'s console; "
            "or read saved answers with --from"
        )
    answers = list(ask(account.provider, address, key, *asked))
    for answer in answers:
        account.add(answer.pages, answer.kind)
    if save is not None:
        write_file(save, write_answers(answers))


def check_grouped(account: Account, by: Sequence[str], only: Sequence[str]) -> None:
    """Answers that were asked for without groups can't be told apart. Raises click.UsageError."""
    for costs in (True, False):
        entries = [entry for entry in account.entries if (entry.figures.cost is not None) == costs]
        if "model" in by and entries and all(entry.model is None for entry in entries):
            needed = MODEL_GROUPS[account.provider] if costs else "model"
            raise click.UsageError(
                f"--by model: the files' answers aren't grouped by {needed}; ask for that, or say --by day"
            )
        if only and entries and all(entry.project is None for entry in entries):
            raise click.UsageError("--only: the files' answers aren't grouped by project or workspace")
