"""The engines that read exported events: DuckDB in this process, or Apache Spark, here or on a cluster."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote
from uuid import uuid4

from usage_tracker.errors import ConfigError
from usage_tracker.event import COLUMNS
from usage_tracker.exports.delta import find_table
from usage_tracker.exports.places import holds_secrets, is_remote, open_system, reaching, shown_of

if TYPE_CHECKING:
    import ibis.expr.types as ir

S3_TRIES = 2
"""How often s3fs reads before it gives up. Each time it asks as often again, and botocore five times whenever it is
asked: with s3fs's own five, that took minutes where a server cuts its connections."""

ENGINES = "duckdb, spark, or the address of a Spark master such as spark://host:7077"


class Lake(NamedTuple):
    """A table of exported events on an engine."""

    events: "ir.Table"
    rows: Callable[[Any], Iterator[Mapping[str, Any]]]
    """Computes those of one of Ibis's tables."""
    close: Callable[[], None]


def open_lake(address: str, engine: str = "duckdb") -> Lake:
    """The events that were exported there, as Parquet or Delta. Raises ConfigError."""
    shown = shown_of(address)
    files = find_files(address if is_remote(address) else shown)
    if engine == "duckdb":
        lake = on_duckdb(files, address)
    elif engine == "spark" or engine.startswith(("spark://", "local[")):
        lake = on_spark(files, address, "local[*]" if engine == "spark" else engine)
    else:
        raise ConfigError(f"{engine!r} is no engine; there are {ENGINES}")
    if lacking := [name for name in COLUMNS if name not in lake.events.columns]:
        lake.close()
        raise ConfigError(
            f"the files in {shown} have no column {lacking[0]!r}: these are no exported events, or those of an older "
            "version, which `usage-tracker export --again` replaces"
        )
    return lake


class Found(NamedTuple):
    """Files of one export, and the folder that their partitions are named from."""

    root: str
    files: list[str]
    system: Any
    """Of fsspec, where they aren't on this machine."""


def find_files(address: str) -> Found:
    """Raises ConfigError where nothing was exported, UsageTrackerError where the place can't be reached."""
    with reaching(address):
        system, root = open_for_reading(address) if is_remote(address) else (None, address)
        files, is_table = parquet_files(root, system)
        if system is not None:
            files = [f"{address.partition('://')[0]}://{path}" for path in files]
        if is_table or not files:  # Delta's own client may know a place by another name
            files = delta_files(address, is_table=is_table) or files  # of a table that never got any, those beside it
    if not files:
        raise ConfigError(
            f"no exported events in {shown_of(address)}; `usage-tracker export --format parquet --to` or "
            "`--format delta` puts them there"
        )
    return Found(root, files, system)


def parquet_files(root: str, system: Any) -> tuple[list[str], bool]:
    """The files of days below a folder, without those of a Delta table; and whether there is one."""
    if system is None:
        folder = Path(root)
        return sorted(map(str, folder.glob("day=*/*.parquet"))), (folder / "_delta_log").exists()
    try:
        # no pattern, which would be asked for folder by folder, and brackets in the root's name were a part of it
        paths = system.find(root)
    except FileNotFoundError:
        return [], False
    names = {path: path.removeprefix(root.rstrip("/")) for path in sorted(paths)}
    return (
        [path for path, name in names.items() if OF_DAYS.fullmatch(name)],
        any(name.startswith("/_delta_log/") for name in names.values()),
    )


OF_DAYS = re.compile(r"/day=[^/]*/[^/]*\.parquet")


def delta_files(address: str, *, is_table: bool) -> list[str]:
    """The files of the newest version of a Delta table; none where it is none."""
    try:
        import_module("deltalake")
    except ImportError:
        if is_table:
            raise ConfigError(f"{shown_of(address)} is a Delta table: pip install 'usage-tracker-llm[delta]'") from None
        return []
    table = find_table(address)
    # which has spaces of a folder's name as %20
    return [] if table is None else [unquote(name) for name in table.file_uris()]


def open_for_reading(address: str) -> tuple[Any, str]:
    """The file system of a URL, which gives up in time, and the path in it. Raises ConfigError."""
    system, root = open_system(address, own=True)
    if address.startswith(("s3://", "s3a://")):
        system.retries = S3_TRIES
    return system, root


@contextmanager
def readable(address: str, refusal: type[Exception]) -> Iterator[None]:
    """Raises ConfigError in place of an engine's error: a file is damaged, none of ours, or gone since it was found; or
    it can't be reached, in words that hold no secret."""
    try:
        yield
    except refusal as error:
        why = "" if holds_secrets(address) else words_of(error)
        raise ConfigError(
            f"the exported events in {shown_of(address)} can't be read: {why or type(error).__name__}"
        ) from error


def words_of(error: Exception) -> str:
    """What an engine says, without where: of an error of the file system's client, DuckDB repeats the traceback."""
    first, _, rest = str(error).partition("\n")
    said = RAISED.search(rest.rpartition(TRACEBACK)[2]) if TRACEBACK in first else None
    return first if said is None else said[1]


TRACEBACK = "Traceback (most recent call last):"
RAISED = re.compile(r"^(?:\w+\.)*(\S.*)", re.MULTILINE)
"""In a traceback, the first line that is not about a frame, and in it what follows the name of the error's module."""


def on_duckdb(found: Found, address: str) -> Lake:
    ibis = import_ibis("duckdb")
    from duckdb import Error

    backend = ibis.duckdb.connect()
    backend.raw_sql("SET TimeZone = 'UTC'")
    if found.system is not None:
        backend.con.register_filesystem(found.system)
    # not by Ibis, which would have DuckDB download its own client of object stores
    files = ", ".join("'{}'".format(WILD.sub(r"[\1]", name).replace("'", "''")) for name in found.files)
    # a folder above that is named like a partition, such as `team=ml`, would stand for the files' own column
    alone = "=" not in found.root
    day = "" if alone else ", CAST(started_at AS date) AS day"
    view = f"CREATE VIEW events AS SELECT *{day} FROM read_parquet([{files}], hive_partitioning = {alone})"  # noqa: S608
    with readable(address, Error):
        backend.raw_sql(view)
    events = backend.table("events")

    def compute(table: "ir.Table") -> Iterator[Mapping[str, Any]]:
        with readable(address, Error):
            rows = backend.to_pyarrow(table).to_pylist()
        yield from rows

    return Lake(events.mutate(day=events.day.cast("date")), compute, backend.disconnect)


WILD = re.compile(r"([*?\[])")
"""What DuckDB takes for a pattern: a folder `usage [1]` would be read from one that is `usage 1`."""


def on_spark(found: Found, address: str, master: str) -> Lake:
    ibis = import_ibis("spark")
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    apps_own = SparkSession.getActiveSession()
    session = (
        SparkSession.builder.master(master)
        .appName("usage-tracker report")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.ui.showConsoleProgress", "false")
        .getOrCreate()
    )
    backend = ibis.pyspark.connect(session)
    view = f"usage_tracker_{uuid4().hex}"
    with readable(address, PySparkException):
        session.read.option("basePath", found.root).parquet(*found.files).createOrReplaceTempView(view)
    events = backend.table(view)

    def compute(table: "ir.Table") -> Iterator[Mapping[str, Any]]:
        # not by Ibis, which goes through pandas and makes floats of counts that may be null
        with readable(address, PySparkException):
            rows = session.sql(backend.compile(table)).collect()
        for row in rows:
            yield row.asDict()

    def close() -> None:
        session.catalog.dropTempView(view)
        if apps_own is None:
            session.stop()

    return Lake(events.mutate(day=events.day.cast("date")), compute, close)


def import_ibis(extra: str) -> Any:
    try:
        import ibis

        getattr(ibis, "pyspark" if extra == "spark" else extra)
    except (ImportError, AttributeError):
        raise ConfigError(f"reports on exported events need: pip install 'usage-tracker-llm[{extra}]'") from None
    return ibis
