"""`usage-tracker doctor`: what is set up, what is wrong, and how to mend it."""

import importlib
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import click

from usage_tracker.choke_points import ChokePoint
from usage_tracker.cli.output import emit
from usage_tracker.cli.plain import SCHEMA_VERSION, json_text
from usage_tracker.cli.price_books import stored_book_in
from usage_tracker.config import Dsn, Settings, data_folder, load_settings
from usage_tracker.errors import ConfigError, StoreError
from usage_tracker.journal import Spool
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.patching import Patches, version_of
from usage_tracker.pipeline import Pipeline, open_spool
from usage_tracker.pricing.book import load_book
from usage_tracker.stores import Store, open_store
from usage_tracker.tracker import choke_points


class Finding(NamedTuple):
    """One line of the examination."""

    what: str
    found: str
    remedy: str | None = None
    """What to do, where something is wrong."""


@click.command(
    help="""Examine settings, store, journal and SDKs; each problem comes with what to do.

    Exit code 5 where there is one.

    Nothing is changed: no migration is applied and no event is moved.
    """
)
@click.option(
    "--dsn", metavar="DSN", help="The store; unset: TRACKER_DSN or, without it, an SQLite file in your data folder."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of findings, each with its remedy.")
def doctor(dsn: str | None, as_json: bool) -> None:
    findings = list(examine(dsn))
    if as_json:
        emit([json_text({"schema_version": SCHEMA_VERSION, "findings": [found._asdict() for found in findings]})])
    else:
        emit(as_lines(findings))
    if any(finding.remedy for finding in findings):
        raise click.exceptions.Exit(5)


def as_lines(findings: list[Finding]) -> Iterator[str]:
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "!" if finding.remedy else " "
        yield f"{mark} {finding.what:{width}}  {finding.found}\n"
        if finding.remedy:
            yield f"  {'':{width}}  → {finding.remedy}\n"


def examine(dsn: str | None) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("usage_tracker", version_of("usage-tracker-llm") or "run from its source")
    try:
        settings = load_settings(dsn=dsn)
    except ConfigError as error:
        yield Finding("settings", "can't be used", str(error))
        settings = load_settings({"HOME": str(Path.home())})
    else:
        yield from examine_store(settings)
        yield from examine_prices(settings)
    yield from examine_spool(settings)
    yield from examine_sdks(settings)


def examine_store(settings: Settings) -> Iterator[Finding]:
    if settings.dsn is None:
        yield Finding("store", "none: TRACKER_SHIP is off, so another process ships")
        return
    if settings.dsn.scheme == "sqlite" and not Path(settings.dsn.text).exists():
        yield Finding("store", f"{settings.dsn.shown} (not there yet; the first event makes it)")
        return
    store = open_store(settings.dsn)
    try:
        rows = list(store.select(f"SELECT count(*), max(name) FROM {store.dialect.prefix}schema_migration"))  # noqa: S608
    except StoreError as error:
        yield Finding("store", settings.dsn.shown, str(error))
    else:
        yield Finding("store", f"{settings.dsn.shown} (schema {rows[0][1]})")
        yield from examine_upkeep(store)
    finally:
        store.close()


def examine_upkeep(store: Store) -> Iterator[Finding]:
    """What nobody has done in a database whose programs may not do it themselves."""
    if store.dialect.name == "postgres":
        from usage_tracker.stores.postgres.upkeep import undone

        with suppress(StoreError):  # a writer may not see it
            for found, remedy in undone(store):
                yield Finding("upkeep", found, remedy)


def examine_prices(settings: Settings) -> Iterator[Finding]:
    """The price books; while one has a mistake, calls may be stored without a cost."""
    for place in (settings.prices, settings.dsn):
        if place is None:
            continue
        where = place.shown if isinstance(place, Dsn) else str(place)
        try:
            book = stored_book_in(place) if isinstance(place, Dsn) else load_book(place)
        except ConfigError as error:
            yield Finding("prices", f"the price book in {where}", str(error))
        except StoreError:
            continue  # said of the store already
        else:
            if book is not None:
                count = len(book.entries)
                yield Finding("prices", f"{count} of your own in {where} (version {book.version})")


def examine_spool(settings: Settings) -> Iterator[Finding]:
    spool = open_spool(settings)
    leader = spool.leader()
    yield Finding("spool", str(settings.spool_dir))
    if leader:
        away = leader[1] != "leading"
        yield Finding(
            "leader",
            f"process {leader[0]}, {leader[1]}",
            "its store is away: see its log, or the line above" if away else None,
        )
    else:
        yield Finding("leader", "none: nobody ships this folder now")
    folders = {settings.spool_dir, *(path for path in (data_folder() / "spool").glob("*") if path.is_dir())}
    for folder in sorted(folders):
        try:
            waiting = Spool(folder).waiting()
        except (OSError, SpoolUnusable) as error:
            yield Finding("waiting", f"{folder} can't be read", str(error))
            continue
        own = folder == settings.spool_dir
        if waiting and not (own and leader):
            command = "usage-tracker ship --once" + ("" if own else f" --from '{folder}'")
            yield Finding("waiting", f"{waiting} events in {folder}", f"`{command}` ships them to this store")
        elif own:
            yield Finding("waiting", f"{waiting} events")
        for name, meaning in (
            ("refused.jsonl", "events that the store refused"),
            ("corrupt", "unreadable journal bytes"),
        ):
            if (folder / name).exists():
                yield Finding("set aside", f"{meaning}: {folder / name}", "look at them, then delete them")


def examine_sdks(settings: Settings) -> Iterator[Finding]:
    """Imports the installed SDKs, to see whether their choke points are where we expect them."""
    pipeline = Pipeline(settings)
    patches = Patches(choke_points(settings), pipeline.wrapper)
    patches.apply()
    for sdk in dict.fromkeys(point.sdk for point in patches.points):
        if version_of(sdk) is None:
            yield Finding(sdk, "not installed")
            continue
        for point in patches.points:
            if point.sdk == sdk:
                yield examine_choke_point(patches, point)
    patches.revert()


def examine_choke_point(patches: Patches, point: ChokePoint) -> Finding:
    what, remedy = f"{point.sdk} {version_of(point.sdk)}", None
    try:
        importlib.import_module(point.module)
    except ImportError as error:
        state, remedy = "not in this version", None if point.optional else f"can't be imported: {error}"
    else:
        state = patches.states()[point]
        if state == "shape unknown":
            remedy = "this version is not known yet: its calls are not counted"
    return Finding(what, f"{point.attribute}: {state}", remedy)
