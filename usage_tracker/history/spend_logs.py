"""`LiteLLM_SpendLogs`, the table in which LiteLLM's proxy writes each of its requests. Its rows: `spend_lines`."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from usage_tracker.attribution import clean, clean_tags
from usage_tracker.capture.fingerprint import fingerprint_of_caller
from usage_tracker.dsn import Dsn
from usage_tracker.errors import StoreUnavailable, UsageTrackerError
from usage_tracker.event import COUNTS, Origin, Usage, UsageEvent
from usage_tracker.history.importing import Found, microseconds, optional
from usage_tracker.history.spend_lines import Line, read_text, select
from usage_tracker.instants import to_moment
from usage_tracker.providers import litellm, litellm_asked
from usage_tracker.providers.answer import Answer, Request, figures, word
from usage_tracker.providers.hosts import host_of, provider_of
from usage_tracker.providers.packed_ids import provider_id
from usage_tracker.providers.usage_fields import dollars, tokens

ROWS_AT_ONCE = 5000
NOTHING = Usage(input_tokens=0, output_tokens=0)
WRITES = frozenset(("chat", "completion", "responses"))
"""Operations that write tokens: a zero in their row is a count, and in the rows of others says nothing."""
CALL_TYPES = {
    **dict.fromkeys(litellm_asked.HANDED_ON, "chat"),
    "_arealtime": "realtime",
    "_aresponses_websocket": "responses",
    "acreate_interaction": "interaction",
    "acreate_video": "video",
    "aretrieve_batch": "batch",
    "create_interaction": "interaction",
    "create_video": "video",
    "retrieve_batch": "batch",
}
"""Operations by those words for a call that name none of LiteLLM's functions that are one."""
PRISMA = frozenset(
    """
    connection_limit max_connection_lifetime max_idle_connection_lifetime pgbouncer pool_timeout schema socket_timeout
    sslaccept statement_cache_size
    """.split()
)
"""Options of an address that the proxy's client takes, and libpq doesn't:
https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments"""


class SpendLogs:
    """See Source. `until`: calls that began before it. Without `sessions` they are left out, as the proxy makes up one
    for each request that has none. `schema`: where the table is; None: wherever the role looks."""

    kind = "litellm"

    def __init__(
        self,
        dsn: Dsn,
        app: str | None,
        until: datetime | None,
        sessions: bool,
        schema: str | None,
        fingerprint_key: str,
    ) -> None:
        if dsn.scheme != "postgresql":
            raise UsageTrackerError("LiteLLM's proxy keeps its spend logs in Postgres; --from takes postgresql://…")
        self.place = dsn.shown if schema is None else f"{dsn.shown} (schema {schema})"
        self._dsn = dsn
        self._schema = schema
        self._app = app
        self._until = until
        self._sessions = sessions
        self._fingerprint_key = fingerprint_key

    def count(self, since: int | None) -> int:
        with self._said(), closing(self._connect()) as connection, connection.cursor() as cursor:
            where, bounds = self._range(since)
            cursor.execute(f'SELECT count(*) FROM "LiteLLM_SpendLogs"{where}', bounds)  # noqa: S608  tests of ours
            [count] = cursor.fetchone()
            return int(count)

    def read(self, since: int | None) -> Iterator[Found]:
        """In the order of their start, from one moment's view of the table. Raises StoreUnavailable, and
        UsageTrackerError for a table that can't be read."""
        with self._said(), closing(self._connect()) as connection:
            with connection.cursor() as cursor:
                cursor.execute('SELECT * FROM "LiteLLM_SpendLogs" LIMIT 0')
                there = {column.name for column in cursor.description}
            with connection.cursor("spend_logs") as cursor:
                cursor.itersize = ROWS_AT_ONCE
                where, bounds = self._range(since)
                cursor.execute(f'{select(there)}{where} ORDER BY "startTime", request_id', bounds)
                for row in cursor:
                    line = read_text(Line._make(row))
                    if not is_management(line):
                        yield self.found(line)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """The driver's errors as ours."""
        import psycopg2

        try:
            yield
        except psycopg2.OperationalError as error:
            raise StoreUnavailable(f"the source is lost: {str(error).strip()}") from None
        except psycopg2.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise UsageTrackerError(f"the source {self.place} can't be read: {reason}") from None

    def _connect(self) -> Any:
        """Raises StoreUnavailable, and UsageTrackerError where there is no such table."""
        import psycopg2

        try:
            connection = psycopg2.connect(
                self._dsn.text, application_name="usage-tracker import", client_encoding="UTF8"
            )
        except psycopg2.OperationalError as error:
            raise StoreUnavailable(f"the source {self.place} can't be reached: {str(error).strip()}") from None
        connection.set_session(readonly=True)
        with connection.cursor() as cursor:
            if self._schema is not None:
                cursor.execute("SELECT set_config('search_path', quote_ident(%s), false)", [self._schema])
            cursor.execute("SELECT to_regclass('\"LiteLLM_SpendLogs\"')")
            if cursor.fetchone() == (None,):
                connection.close()
                raise UsageTrackerError(f'{self.place} has no table "LiteLLM_SpendLogs"; is it the proxy\'s database?')
            cursor.execute("SET TIME ZONE 'UTC'")
        return connection

    def _range(self, since: int | None) -> tuple[str, list[datetime]]:
        first = None if since is None else to_moment(since)
        tests = {'"startTime" >= %s': first, '"startTime" < %s': self._until}
        bounds = {test: moment for test, moment in tests.items() if moment is not None}
        # the column has no time zone, and means UTC
        return (" WHERE " if bounds else "") + " AND ".join(bounds), [
            moment.astimezone(UTC).replace(tzinfo=None) for moment in bounds.values()
        ]

    def found(self, line: Line) -> Found:
        """A row as an event."""
        operation = operation_of(line) or clean(line.call_type)
        host = host_of(line.api_base)
        named = line.custom_llm_provider or None
        model, asked = line.model or None, line.model_group or line.model or None
        provider = litellm.provider_named(named, model, host) or provider_of(host, model)
        cached = (line.cache_hit or "").lower() == "true"
        failed = is_failed(line)
        raw = figures(line.usage) if isinstance(line.usage, Mapping) else None
        if cached:
            raw = {**(raw or {}), "cache_hit": True}
        started = microseconds(line.startTime)
        ended = started if line.endTime is None else max(started, microseconds(line.endTime))
        first = optional(line.completionStartTime) or started
        streamed = started < first < ended
        cost = dollars(line.spend, Decimal(1)) if line.spend else None
        event = UsageEvent(
            started_at=started * 1000,
            duration_ms=(ended - started) / 1000,
            ttft_ms=(first - started) / 1000 if streamed else None,
            operation=operation or "chat",
            service_tier="batch" if operation == "batch" else word((raw or {}).get("service_tier")),
            request_model=clean(litellm.bare_model(asked, named)),
            model=None if failed else clean(litellm.bare_model(model, named)),
            streamed=streamed,
            response_id=None if failed else clean(provider_id(line.request_id.partition("_cache_hit")[0])),
            status="error" if failed else "ok",
            error_type=(clean(line.error_class) or "Error") if failed else None,
            http_status=number(line.error_code) if failed else None,
            attempts=1 + (number(line.retries) or 0),
            usage=NOTHING if cached else usage_of(line, operation or "chat", raw),
            raw=raw,
            reported_cost="0" if cached else cost,
            cached=cached,
        )
        return Found(line.request_id, self._origin(line, provider, host), event)

    def _origin(self, line: Line, provider: str | None, host: str | None) -> Origin:
        return origin(
            provider,
            host,
            fingerprint_of_caller(line.api_key, self._fingerprint_key),
            self._app,
            clean(line.project_alias or line.project_id),
            clean(line.team_alias or line.team_id),
            clean(line.end_user or line.user),
            clean(line.session_id) if self._sessions else None,
            clean_tags(line.tags) if isinstance(line.tags, list | str) else (),
        )


def without_prisma(address: str) -> tuple[str, str | None]:
    """An address of the proxy's as libpq takes it, and the schema that it names."""
    head, mark, query = address.partition("?")
    options = [option.partition("=") for option in query.split("&")]
    schema = next((unquote(value) for name, _, value in options if name == "schema"), None)
    kept = "&".join("".join(option) for option in options if option[0] not in PRISMA)
    return head + (mark if kept else "") + kept, schema or None


@lru_cache(maxsize=4096)
def origin(
    provider: str | None, host: str | None, key: str | None, app: str | None, project: str | None, team: str | None,
    user: str | None, session: str | None, tags: tuple[str, ...],
) -> Origin:  # fmt: skip
    """The same object for what repeats."""
    return Origin(
        provider=provider, sdk=litellm.SDK, base_host=host, api_key=key, app=app, project=project, team=team,
        user_id=user, session_id=session, tags=tags,
    )  # fmt: skip


def operation_of(line: Line) -> str | None:
    """None where it is no call of a model, or one that we don't know."""
    call_type = (line.call_type or "").removeprefix("litellm.")  # as the first versions wrote it
    return litellm_asked.operation_of(call_type) or CALL_TYPES.get(call_type)


def is_failed(line: Line) -> bool:
    return "failure" in (line.status, line.failure)


def is_management(line: Line) -> bool:
    """Whether a request was about files, vector stores and the like, or looked at a batch that isn't done: the proxy
    has a row of each, of no tokens and no spend, and the callback has no event of them."""
    call_type = line.call_type or ""
    if line.spend or line.prompt_tokens or line.completion_tokens or line.usage:
        return False
    if call_type in litellm_asked.HANDED_ON:
        return line.model in (None, "", litellm_asked.UNKNOWN_MODEL)
    calls_none = operation_of(line) is None or litellm_asked.retrieval_of(call_type) is not None
    return bool(call_type) and calls_none and not is_failed(line)


def usage_of(line: Line, operation: str, raw: dict[str, Any] | None) -> Usage:
    """Its parts come from the provider's own usage object, where the proxy kept one, and its totals from the row. Where
    a request failed, or nobody told what it used, there are zeros in both, which stand for nothing known."""
    answer = Answer()
    answer.raw = raw
    usage = litellm.usage_of(operation, answer, Request(operation)) if raw else Usage()
    if not any(getattr(usage, name) for name in COUNTS):
        usage = Usage(units=usage.units)
    if line.prompt_tokens or line.completion_tokens:
        written = tokens(line.completion_tokens or 0)
        usage.input_tokens = tokens(line.prompt_tokens or 0)
        usage.output_tokens = written if written or operation in WRITES else None
    return usage


def number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else None
