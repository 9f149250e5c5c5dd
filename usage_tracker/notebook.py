"""Reports in Python, above all in notebooks: `usage_tracker.report(by="model")`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext
from html import escape
from pathlib import Path
from typing import Any

from usage_tracker import tracker
from usage_tracker.cli.columns import FIELDS, PERCENTILES, report_columns
from usage_tracker.cli.notes import explain
from usage_tracker.cli.price_books import open_books, open_pricer
from usage_tracker.cli.pruned import report_note
from usage_tracker.cli.render import title
from usage_tracker.cli.stores import NothingYet, reading
from usage_tracker.config_file import with_config
from usage_tracker.decimals import EXACT
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.folders import default_dsn, located
from usage_tracker.report import (
    OTHERS,
    CostBasis,
    Query,
    Report,
    both_ends,
    no_calls,
    parse_conditions,
    parse_range,
    run,
)
from usage_tracker.report.comparison import earlier
from usage_tracker.report.spelling import without_options
from usage_tracker.zones import parse_zone

FLUSH_SECONDS = 2.0
"""How long a report waits for what this process has captured."""


class Rows(list[dict[str, Any]]):
    """The rows of a report, each a dict of its group's values and its figures. A notebook shows them as a table;
    `pandas.DataFrame(rows)` and `polars.DataFrame(rows)` take them as they are.

    Money is Decimal, in US dollars; what is unknown is None.
    """

    def __init__(self, report: Report, fields: Sequence[str], pruned: str | None = None) -> None:
        super().__init__(
            {
                **{name: value_of(value) for name, value in zip(report.query.by, row.group, strict=True)},
                **{name: getattr(row, name) for name in fields or FIELDS},
                **({"cost_before": report.before[row.group].cost} if report.before else {}),
            }
            for row in report.rows
        )
        self.report = report
        """The report itself, with its total."""
        self.notes = [*explain(report), *([pruned] if pruned else [])]
        """What has to be known to read the figures right, in sentences."""
        self._fields = tuple(fields)

    def _repr_html_(self) -> str:
        """The table that `usage-tracker report` prints."""
        with localcontext(EXACT):
            columns = report_columns(self.report, self._fields)
        right, left = ' style="text-align: right; white-space: nowrap"', ' style="text-align: left"'
        align = [right if column.number else left for column in columns]

        def line(cell: str, texts: Iterable[str]) -> str:
            cells = [f"<{cell}{style}>{escape(text)}</{cell}>" for style, text in zip(align, texts, strict=True)]
            return f"<tr>{''.join(cells)}</tr>"

        body = [line("td", cells) for cells in zip(*(column.cells for column in columns), strict=True)]
        notes = [f"<p>{escape(note)}</p>" for note in self.notes]
        # dollars are no formulas: MathJax, whichever version the notebook has, passes over what has these classes
        return (
            '<div class="tex2jax_ignore mathjax_ignore">'
            f"<table><caption>{escape(title(self.report))}</caption>"
            f"<thead>{line('th', [column.header for column in columns])}</thead>"
            f"<tbody>{''.join(body)}</tbody>"
            f"<tfoot>{line('th', [column.total for column in columns])}</tfoot></table>{''.join(notes)}</div>"
        )

    def to_pandas(self) -> Any:
        """As a pandas DataFrame, with money as float so that it can be summed and drawn. Needs pandas."""
        import pandas as pd

        return pd.DataFrame(self._floats(), columns=self._names())

    def to_polars(self) -> Any:
        """As a polars DataFrame, with money as float. Needs polars."""
        import polars as pl

        return pl.DataFrame(self._floats(), schema=self._names(), infer_schema_length=None)

    def _floats(self) -> list[dict[str, Any]]:
        return [
            {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()} for row in self
        ]

    def _names(self) -> list[str]:
        before = ["cost_before"] if self.report.query.before else []
        return [*self.report.query.by, *(self._fields or FIELDS), *before]


@contextmanager
def saying_parameters() -> Iterator[None]:
    """What makes no sense is said with names of parameters, and not of the command's options."""
    try:
        yield
    except ValueError as error:
        error.args = (without_options(str(error)),)
        raise


@saying_parameters()
def report(
    by: str | Iterable[str] = "model",
    *,
    since: str | date | None = None,
    until: str | date | None = None,
    during: str | None = None,
    where: str | Iterable[str] = (),
    tz: str | None = None,
    top: int | None = None,
    compare: str | None = None,
    cost: CostBasis = "recorded",
    fields: str | Iterable[str] = (),
    dsn: str | None = None,
) -> Rows:
    """Who used what, and what it cost: as `usage-tracker report`, with its words for ranges, conditions and dimensions.

    Of the month to date by model, in UTC or `TRACKER_TZ`, unless said otherwise. The store is that of `install()` or,
    without it, of `TRACKER_DSN`; both may stand in the config file. What this process has captured is stored first.
    Raises ValueError, with a sentence for people, for what makes no sense, ConfigError, and StoreError.
    """
    environ = with_config()
    zone = parse_zone(tz or environ.get("TRACKER_TZ") or "UTC")
    if during is not None:
        if since is not None or until is not None:
            raise ValueError("during says both ends; leave out since and until")
        since, until = both_ends(during)
    now = datetime.now(UTC)
    asked = parse_range(written(since), written(until), zone, now)
    before = None if compare is None else earlier(compare, asked, zone, now)
    shown = names_in(fields)
    for name in shown:
        if name not in FIELDS:
            raise ValueError(f"{name!r} is not a figure; there are: {', '.join(FIELDS)}")
    query = Query(
        *asked,
        names_in(by),
        parse_conditions([where] if isinstance(where, str) else where),
        zone,
        top,
        before,
        bool(PERCENTILES.intersection(shown or FIELDS)),
        cost,
    )
    found, pruned = ask(*choose_store(dsn, environ), query)
    return Rows(found, shown, pruned)


def names_in(words: str | Iterable[str]) -> tuple[str, ...]:
    """One text with commas, as the command takes it, or several."""
    return tuple(map(str.strip, words.split(","))) if isinstance(words, str) else tuple(words)


def written(moment: str | date | None) -> str | None:
    """A day, a time, or a word for one, as the command takes it."""
    return moment.isoformat() if isinstance(moment, date) else moment


def value_of(value: Any) -> Any:
    return str(value) if value is OTHERS else value


def choose_store(dsn: str | None, environ: Mapping[str, str]) -> tuple[Dsn, Path | None]:
    """The store, and the file of the price book that goes before its own."""
    settings = tracker.installed.settings if tracker.installed is not None else None
    if dsn is None and settings is not None and settings.dsn is not None:
        return settings.dsn, settings.prices
    text, book = dsn or environ.get("TRACKER_DSN"), environ.get("TRACKER_PRICES")
    return parse_dsn(text) if text else default_dsn(environ), located(book) if book else None


def ask(dsn: Dsn, price_book: Path | None, query: Query) -> tuple[Report, str | None]:
    """The answer, and a sentence where events that it needs are gone."""
    tracker.flush(FLUSH_SECONDS)
    prices = open_pricer(open_books(dsn, price_book)) if query.cost == "current" else None
    try:
        with reading(dsn) as store, localcontext(EXACT):
            found = run(store, query, prices)
            return found, report_note(store, found.query)
    except NothingYet:
        return no_calls(query), None
