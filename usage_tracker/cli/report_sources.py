"""What a report is asked of: a store, or events that were exported."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from usage_tracker.cli.hints import tell_other_store
from usage_tracker.cli.options import named
from usage_tracker.cli.pruned import report_note
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError, RightsError
from usage_tracker.folders import located
from usage_tracker.report import Query, Report, answer, no_calls, run
from usage_tracker.stores import Store

if TYPE_CHECKING:
    from usage_tracker.report.repricing import Prices


class Answer(NamedTuple):
    """A report, and what has to be said beside it."""

    report: Report
    missing: str | None = None
    """A sentence where there is no store yet."""
    budgets: Sequence[str] = ()
    """The table of them."""
    pruned: str | None = None
    """A sentence where events that it needs are gone."""


def ask(dsn: Dsn, query: Query, *, budgets: bool) -> Answer:
    """The answer, by one connection to the store. `budgets`: whether their table is wanted. Raises StoreError."""
    prices = prices_of(dsn, query)
    try:
        with reading(dsn) as store:
            report = run(store, query, prices)
            return Answer(report, None, lines_of_budgets(store) if budgets else (), report_note(store, report.query))
    except ValueError as error:
        raise refusal(query, error) from None
    except NothingYet as nothing:
        return Answer(no_calls(query), str(nothing))


def lines_of_budgets(store: Store) -> Sequence[str]:
    """What knows them is imported only where there are any."""
    try:
        if not list(store.select(f"SELECT name FROM {store.dialect.prefix}budget LIMIT 1")):  # noqa: S608  our own name
            return ()
        from usage_tracker.cli.budget_figures import budget_lines

        return budget_lines(store)
    except RightsError:  # who may read calls need not be one who may read budgets
        return ()


def prices_of(dsn: Dsn, query: Query) -> "Prices | None":
    """Those of today, where the query asks for them."""
    if query.cost != "current":
        return None
    from usage_tracker.cli.price_books import open_books, open_pricer

    path = os.environ.get("TRACKER_PRICES")
    return open_pricer(open_books(dsn, located(path) if path else None))


def find_source(origin: str) -> Dsn | str:
    """The store of that DSN, which hints are about then, or a place with exported events. Raises click.BadParameter."""
    if "://" not in origin and ("=" not in origin or Path(origin).is_dir()):
        return origin
    try:
        dsn = parse_dsn(origin)
    except ConfigError as error:
        if origin.partition("://")[0].lower() in PLACES:
            return origin
        raise click.BadParameter(named(error, "it"), param_hint="--from") from None
    tell_other_store(dsn)
    return dsn


def refusal(query: Query, error: ValueError) -> click.UsageError:
    """A question that can't be answered so."""
    return click.UsageError(f"--cost current: {error}" if query.cost == "current" else str(error))


PLACES = ("file", "s3", "gs", "gcs", "az", "abfs", "abfss", "memory", "hdfs", "sftp")


def ask_files(place: str, engine: str, dsn: Dsn, query: Query) -> Answer:
    """The answer of exported events. Prices of today are still those of the store."""
    try:
        from usage_tracker.lake import LakeFigures, open_lake
    except ImportError as error:
        extra = "duckdb" if engine == "duckdb" else "spark"
        raise ConfigError(f"{error.name} is missing; run: pip install 'usage-tracker-llm[{extra}]'") from None
    with closing(open_lake(place, engine)) as lake:
        try:
            return Answer(answer(LakeFigures(lake), query, prices_of(dsn, query)))
        except ValueError as error:
            raise refusal(query, error) from None
