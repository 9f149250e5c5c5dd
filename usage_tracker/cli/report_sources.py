"""What a report is asked of: a store, or events that were exported."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.report import Query, Report, answer, no_calls, run

if TYPE_CHECKING:
    from usage_tracker.report.repricing import Prices


def ask(dsn: Dsn, query: Query) -> tuple[Report, str | None]:
    """The answer, and a sentence where there is no store yet."""
    prices = prices_of(dsn, query)
    try:
        with reading(dsn) as store:
            return run(store, query, prices), None
    except ValueError as error:
        raise click.UsageError(f"--cost {query.cost}: {error}") from None
    except NothingYet as nothing:
        return no_calls(query), str(nothing)


def prices_of(dsn: Dsn, query: Query) -> "Prices | None":
    """Those of today, where the query asks for them."""
    if query.cost != "current":
        return None
    from usage_tracker.cli.price_books import open_books, open_pricer

    path = os.environ.get("TRACKER_PRICES")
    return open_pricer(open_books(dsn, Path(path) if path else None))


def find_source(origin: str) -> Dsn | str:
    """The store of that DSN, or a place with exported events. Raises click.BadParameter."""
    if "://" not in origin and ("=" not in origin or Path(origin).is_dir()):
        return origin
    try:
        return parse_dsn(origin)
    except ConfigError as error:
        if origin.partition("://")[0].lower() in PLACES:
            return origin
        raise click.BadParameter(str(error).replace("TRACKER_DSN", "it"), param_hint="--from") from None


PLACES = ("file", "s3", "gs", "gcs", "az", "abfs", "abfss", "memory", "hdfs", "sftp")


def ask_files(place: str, engine: str, dsn: Dsn, query: Query) -> Report:
    """The answer of exported events. Prices of today are still those of the store."""
    try:
        from usage_tracker.lake import LakeFigures, open_lake
    except ImportError as error:
        raise ConfigError(f"{error.name} is missing; run: pip install 'usage-tracker-llm[duckdb]'") from None
    lake = open_lake(place, engine)
    try:
        return answer(LakeFigures(lake), query, prices_of(dsn, query))
    except ValueError as error:
        raise click.UsageError(f"--cost {query.cost}: {error}") from None
    finally:
        lake.close()
