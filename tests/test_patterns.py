"""Calls that are alike come into a store as they would one by one: the same events, the same sums."""

import random
import shutil
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import EventsRefused
from usage_tracker.event import CallKind, Origin, Usage, UsageEvent
from usage_tracker.journal import Journal, Spool
from usage_tracker.lazy_pricer import LazyPricer
from usage_tracker.providers import alike, patterns
from usage_tracker.providers.alike import Unlike
from usage_tracker.providers.pattern_types import says_twice, template_of
from usage_tracker.providers.told import READERS, encode_usage
from usage_tracker.shipper import Shipper
from usage_tracker.stores import Store, open_store
from usage_tracker.stores.rollups import COARSER, DAY_LATENCY, DAY_OWNER_LATENCY, Grain

NOON = 1_790_000_000_000_000_000
HOUR = 3_600_000_000_000
CALLS = 700
SERVED = (
    ("openai", "openai", "gpt-4o-mini-2024-07-18"), ("openai", "openai", "gpt-5-2025-08-07"),
    ("openai", "openai", "ft:of-the-house"), ("deepseek", "openai", "deepseek-chat"),
    ("gemini", "openai", "gemini-2.5-flash"), ("anthropic", "anthropic", "claude-sonnet-4-20250514"),
    (None, "openai", "gpt-4.1-2025-04-14"),
)  # fmt: skip
USUAL = 0.9


class Calls:
    """Calls as apps keep them, most of them alike, and any of them odd in some way."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._origins: dict[object, Origin] = {}
        self._kinds: dict[object, CallKind] = {}

    def put(self, journal: Journal, count: int) -> None:
        for number in range(count):
            provider, reader, model = self._dice.choice(SERVED)
            if self._dice.random() < 0.7:
                kind = self._kind(self._origin(provider, reader), reader, model)
                journal.append_call(kind, (*self._times(number), *self._one((200, 1), (None, 3)), self._said(kind)))
            else:
                journal.append(self._origin(provider, reader), self._event(number, model))

    def _one(self, usual: Any, *odd: Any) -> Any:
        return usual if self._dice.random() < USUAL else self._dice.choice(odd)

    def _count(self) -> int:
        return self._one(self._dice.randint(1, 3000), 0, 0, 10**9, 10**11)  # type: ignore[no-any-return]

    def _times(self, number: int) -> tuple[int, float, float | None]:
        started_at = NOON + self._one(number * 10**10, -(10**18), NOON)
        duration = self._one(self._dice.expovariate(0.001) + 1, 0.0, float("nan"), 1e12)
        return started_at, duration, self._dice.choice((None, duration / 3))

    def _origin(self, provider: str | None, sdk: str) -> Origin:
        user, project = self._dice.randint(1, 5), self._dice.randint(1, 3)
        origin = Origin(
            provider=provider, sdk=sdk, base_host=f"api.{provider}.com", app="shop", project=f"project-{project}",
            user_id=self._one(f"user-{user}", None), session_id=self._one(None, "session", "a\0session"),
            tags=self._one(("tier:pro", "x"), (), ("x", "x")), host=self._one("host-1", None), pid=self._one(7, None),
        )  # fmt: skip
        return self._origins.setdefault(origin, origin)

    def _kind(self, origin: Origin, reader: str, model: str) -> CallKind:
        operation = self._one("chat", "embeddings") if reader == "openai" else "chat"
        asked, streamed = self._one(model, None), self._dice.random() < 0.3
        names = READERS[reader].PLAIN[operation].names
        made = CallKind(
            origin=origin, by_model=origin.provider is None, reader=reader, operation=operation, request_model=asked,
            streamed=streamed, names=names,
        )  # fmt: skip
        return self._kinds.setdefault((origin, operation, asked, streamed), made)

    def _said(self, kind: CallKind) -> tuple[tuple[Any, ...], ...]:
        values = {
            "type": "message",
            "id": self._id(),
            "model": self._one(kind.request_model, None, "another-model"),
            "service_tier": self._one("default", None, "flex", "priority"),
            "usage": msgspec.Raw(encode_usage(self._usage(kind.reader, kind.operation))),
        }
        piece = tuple(values[name] for name in kind.names)
        if kind.streamed and kind.reader == "openai":
            return (*piece[:-1], msgspec.Raw(b"\xc0")), piece
        return (piece,)

    def _id(self) -> str:
        return self._one(f"id-{self._dice.getrandbits(60):x}", "an id", " id", "ï-d", "i\0d", "i\td", "x" * 300)  # type: ignore[no-any-return]

    def _usage(self, reader: str, operation: str) -> Any:
        into, out = self._count(), self._count()
        read = self._one(into // 3, 0, into + 1)
        if reader == "anthropic":
            fields = {
                "cache_creation": [
                    {"ephemeral_1h_input_tokens": self._one(0, 5), "ephemeral_5m_input_tokens": 0}, None, False,
                ],
                "cache_creation_input_tokens": self._one(0, self._count()), "cache_read_input_tokens": read,
                "input_tokens": into, "output_tokens": out, "server_tool_use": None,
                "service_tier": self._one("standard", "batch", "50%", "a:5"),
            }  # fmt: skip
            return [fields, None, False]
        if operation == "embeddings":
            return [{"prompt_tokens": into, "total_tokens": into}, None, False]
        details = {"cached_tokens": read, "audio_tokens": self._one(0, 3)}
        fields = {
            "prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out + self._one(0, 1),
            "prompt_tokens_details": [details, None, False],
            "completion_tokens_details": self._one(
                [{"reasoning_tokens": out // 2}, None, False], None, {"reasoning_tokens": 9}
            ),
        }  # fmt: skip
        return self._one([fields, None, False], [fields, {"cost": 3}, False], fields, [fields, {}, False], None)

    def _event(self, number: int, model: str) -> UsageEvent:
        started_at, duration, ttft = self._times(number)
        into, out = self._count(), self._count()
        cached = self._one(into // 3, 0, into + 1)
        raw = {
            "total_token_count": into + out + self._one(0, 1), "cached_content_token_count": cached,
            "prompt_tokens_details": [{"modality": self._one("TEXT", "VIDEO", "AUDIO"), "token_count": into}],
        }  # fmt: skip
        usage = Usage(
            input_tokens=self._one(into, None), output_tokens=out, cache_read_tokens=cached,
            input_audio_tokens=self._one(0, 2), reasoning_tokens=self._one(out // 2, out + 1),
            units=self._one(None, {"searches": 2}), estimated=self._one(False, True),
        )  # fmt: skip
        failed = self._dice.random() < 0.2
        return UsageEvent(
            started_at=started_at, duration_ms=duration, ttft_ms=ttft,
            operation=self._one("chat", "moderation", "batch"), request_model=model,
            model=None if failed else model, response_id=None if failed else self._id(),
            status=self._one("error", "cancelled", "abandoned") if failed else "ok",
            error_type=self._one("RateLimitError", None, "a\0b") if failed else None,
            http_status=self._one(200, 429, None), usage=Usage() if failed else usage, raw=None if failed else raw,
            reported_cost=self._one(None, "0.25"), awaits=self._one(None, f"batch-{number}"),
            cached=self._one(False, True),
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have read is no pattern of these calls."""
    monkeypatch.setattr(patterns, "patterns", {})
    monkeypatch.setattr(alike, "plans", {})


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two empty ones of the same kind."""
    if request.param == "postgres":
        databases = request.getfixturevalue("postgres_databases")
        names = [databases.create(migrated=True) for _ in range(2)]
        addresses = [databases.dsn(name) for name in names]
    else:
        names, addresses = [], [f"sqlite:///{tmp_path}/{name}.db" for name in ("one", "other")]
    one, other = (open_store(parse_dsn(address)) for address in addresses)
    yield one, other
    one.close()
    other.close()
    for name in names:
        databases.drop(name)


def ship(spool: Path, store: Store, batch_size: int, calls: int = CALLS) -> int:
    """Ship all that is in the folder; how many calls were stored together and have a cost. What a store refuses is
    tried again one by one, which would hide that it can't store calls together."""
    together, refused = 0, list[EventsRefused]()
    shipper = Shipper(Spool(spool), lambda: store, LazyPricer(None), batch_size)
    write = store.write

    def count(batch: Any) -> bool:
        nonlocal together
        try:
            stored = write(batch)
        except EventsRefused as refusal:
            refused.append(refusal)
            raise
        together += sum(len(priced.amounts or ()) for priced in batch.alike)
        return stored

    store.write = count  # type: ignore[method-assign]
    assert shipper.spool.lead()
    while shipper.step():
        pass
    shipper.fold()
    assert (shipper.stored, refused) == (calls, [])
    shipper.spool.resign()
    return together


TEXTS = {
    "kind_key": "(SELECT concat_ws('/', provider, operation, request_model, model, service_tier, streamed) "
                "FROM {0}usage_kind k WHERE k.kind_key = g.kind_key)",
    "owner_key": "(SELECT project FROM {0}usage_owner o WHERE o.owner_key = g.owner_key)",
    "user_key": "(SELECT user_id FROM {0}usage_user u WHERE u.user_key = g.user_key)",
    "tag_key": "(SELECT tag FROM {0}usage_tag t WHERE t.tag_key = g.tag_key)",
}  # fmt: skip


def rows_of(store: Store, grain: Grain) -> list[tuple[Any, ...]]:
    prefix = store.dialect.prefix
    keys = ", ".join(TEXTS.get(name, f"g.{name}") for name in grain.keys).format(prefix)
    if store.dialect.name == "sqlite":
        keys = keys.replace("concat_ws('/', ", "json_array(")
    sums = ", ".join(f"sum({name})" for name in grain.measures)
    places = ", ".join(str(place + 1) for place in range(len(grain.keys)))
    sql = f"SELECT {keys}, {sums} FROM {prefix}by_{grain.name} g GROUP BY {places}"
    return sorted(store.select(sql), key=repr)


@pytest.mark.parametrize("batch_size", [40, 700])
def test_alike_calls_are_stored_as_one_by_one(stores: tuple[Store, Store], tmp_path: Path, batch_size: int) -> None:
    journal = Journal(Spool(tmp_path / "spool"))
    Calls(batch_size).put(journal, CALLS)
    journal.close()
    shutil.copytree(tmp_path / "spool", tmp_path / "copy")
    one, other = stores
    other.takes_alike = False
    together, apart = ship(tmp_path / "spool", one, batch_size), ship(tmp_path / "copy", other, batch_size)
    assert together > CALLS // 20
    assert apart == 0
    assert_same(one, other, CALLS)


def like(number: int, **more: Any) -> UsageEvent:
    into = number * 7 + 1
    given = {
        "operation": "chat", "request_model": "gpt-4o-mini", "model": "gpt-4o-mini-2024-07-18", "http_status": 200,
        "response_id": f"id-{number}", "usage": Usage(input_tokens=into, output_tokens=into * 2),
        "raw": {"prompt_tokens": into, "completion_tokens": into * 2},
    }  # fmt: skip
    return UsageEvent(started_at=NOON + number, duration_ms=number + 1.5, **{**given, **more})


OPENAI = Origin(provider="openai", sdk="openai", base_host="api.openai.com")
ODD: dict[str, Callable[[int], tuple[Origin, UsageEvent]]] = {
    "an empty error": lambda number: (OPENAI, like(number, status="error", error_type="")),
    "an empty session": lambda number: (msgspec.structs.replace(OPENAI, session_id=""), like(number)),
    "a session that no store can hold": lambda number: (
        msgspec.structs.replace(OPENAI, session_id="a\0b"), like(number),
    ),
    "calls that nobody has a price of": lambda number: (OPENAI, like(number, model="acme-1", request_model="acme-1")),
    "a name with quotes": lambda number: (OPENAI, like(number, raw={'a"b\\': number})),
    "parts of what is unknown": lambda number: (
        OPENAI, like(number, usage=Usage(cache_write_tokens=0, cache_write_1h_tokens=number + 1)),
    ),
    "calls of a model that is free": lambda number: (
        msgspec.structs.replace(OPENAI, provider="openrouter"), like(number, model="deepseek/deepseek-r1:free"),
    ),
    "figures that are no totals": lambda number: (OPENAI, like(number, raw={"a%": {"%s": number}, "ï": "50%"})),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_odd_calls_that_are_alike_are_stored_as_one_by_one(
    stores: tuple[Store, Store], tmp_path: Path, odd: str
) -> None:
    journal = Journal(Spool(tmp_path / "spool"))
    for number in range(20):
        journal.append(*ODD[odd](number))
    journal.close()
    assert_shipped_the_same(stores, tmp_path, 20)


SAID: dict[str, tuple[str, Callable[[int], Any]]] = {
    "a total of nothing known": ("anthropic", lambda number: {"total_tokens": number + 1}),
    "a field that is there twice": (
        "openai",
        lambda number: [{"prompt_tokens": None, "completion_tokens": number}, {"prompt_tokens": 1000 + number}, False],
    ),
}


@pytest.mark.parametrize("odd", SAID)
def test_odd_answers_that_are_alike_are_stored_as_one_by_one(
    stores: tuple[Store, Store], tmp_path: Path, odd: str
) -> None:
    reader, usage_of = SAID[odd]
    journal = Journal(Spool(tmp_path / "spool"))
    names = READERS[reader].PLAIN["chat"].names
    kind = CallKind(
        origin=OPENAI, by_model=False, reader=reader, operation="chat", request_model="gpt-4o-mini", streamed=False,
        names=names,
    )  # fmt: skip
    for number in range(20):
        values = {"id": f"id-{number}", "model": "gpt-4o-mini", "usage": msgspec.Raw(encode_usage(usage_of(number)))}
        journal.append_call(kind, (NOON + number, 1.5, None, 200, 1, (tuple(values.get(name) for name in names),)))
    journal.close()
    assert_shipped_the_same(stores, tmp_path, 20)


def test_calls_that_are_gathered_in_vain_more_often_than_not_are_gathered_no_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    journal = Journal(spool)
    for number in range(200):
        journal.append(OPENAI, like(number))
    journal.close()
    file = spool.open(spool.segments()[0])
    assert file is not None
    gathered = []
    for in_vain in (True, False, True, True):
        found = file.reader.read(40, ended=True, gather=True)
        file.reader.position = found.end
        gathered.append(sum(len(each.event_ids) for each in found.alike))
        for each in found.alike:
            assert len(list(each.events())) == len(each.event_ids) if in_vain else each.columns()
    file.close()
    assert gathered == [38, 40, 40, 0]


def assert_shipped_the_same(stores: tuple[Store, Store], folder: Path, calls: int) -> None:
    shutil.copytree(folder / "spool", folder / "copy")
    one, other = stores
    other.takes_alike = False
    ship(folder / "spool", one, 100, calls)
    ship(folder / "copy", other, 100, calls)
    assert_same(one, other, calls)


def assert_same(one: Store, other: Store, calls: int) -> None:
    for store in (one, other):
        assert list(store.select(f"SELECT count(*) FROM {store.dialect.prefix}usage_event")) == [(calls,)]
    events = f"SELECT * FROM {one.dialect.prefix}events ORDER BY event_id"
    for row, expected in zip(one.select(events), other.select(events), strict=True):
        assert plain(row) == plain(expected)
    for grain in (*COARSER, *(each for some in COARSER.values() for each in some), DAY_LATENCY, DAY_OWNER_LATENCY):
        found, expected_rows = rows_of(one, grain), rows_of(other, grain)
        assert len(found) == len(expected_rows)
        for row, expected in zip(found, expected_rows, strict=True):
            assert list(map(as_number, row)) == pytest.approx(list(map(as_number, expected)))


def plain(row: tuple[Any, ...]) -> list[Any]:
    """JSON as what it says."""
    return [
        msgspec.json.decode(value) if str(value)[:1] in ("{", "[") and type(value) is str else value for value in row
    ]


def as_number(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return value if isinstance(value, str) or value is None else float(value)


def test_a_template_has_each_figure_left_out() -> None:
    assert template_of({"a": 1, "parts": {"b": 23}, "list": [4], "tier": "x"}) == (
        '{"a":%s,"parts":{"b":%s},"list":[4],"tier":"x"}'
    )


@pytest.mark.parametrize("text", ["50%", "a:5", "{", "}", "back\\slash", 'qu"ote'])
def test_a_text_that_could_be_taken_for_a_part_of_a_template_has_none(text: str) -> None:
    for raw in ({"tier": text}, {text: 1}):
        with pytest.raises(Unlike):
            template_of(raw)


@pytest.mark.parametrize(
    ("value", "twice"),
    [([{"a": 1}, {"a": 2}, False], True), ([{"a": 1}, {"b": 2}, False], False), ([{"a": 1}, {"a": 2}], False)],
)
def test_an_object_says_a_name_twice_where_both_its_parts_do(value: list[Any], twice: bool) -> None:
    assert says_twice(value) is twice
