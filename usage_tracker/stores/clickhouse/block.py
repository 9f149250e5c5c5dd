"""The rows of a batch as one block: its events, what they add to the rollups, and how far its segments are stored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from usage_tracker.event import PricedEvent, Stretch
from usage_tracker.instants import SECOND
from usage_tracker.stores.clickhouse.columns import COLUMNS, GRAINS, KEPT_APART, NONE, TEXTS, none_or
from usage_tracker.stores.clickhouse.native import Section, write_block, write_text
from usage_tracker.stores.dimensions import (
    KIND,
    OWNER,
    TAG,
    TAGS,
    USER,
    Content,
    Dimension,
    Keys,
    Known,
    WhoKeys,
    digest,
    kind_of,
    stored_form,
)
from usage_tracker.stores.rollups import MEASURES, Grain, Key, Rollups, Sums, latency_bucket, with_coarser
from usage_tracker.stores.values import Facts, cost_parts, facts, json_text, storable

Values = dict[str, Sequence[Any]]


class Numbered(Known):
    """Numbers what it is asked for. They mean something within one block only: rows hold contents, not keys."""

    def __missing__(self, content: Content) -> int:
        number = self[content] = len(self)
        return number


class BlockKeys(Keys):
    """The keys of one block."""

    def __init__(self) -> None:
        super().__init__()
        for dimension, known in self.items():
            self[dimension] = Numbered(next(iter(known), None))

    def texts(self, dimension: Dimension) -> dict[str, list[Any]]:
        """Each column's text of each key, encoded."""
        contents = [stored_form(content) for content in self[dimension]]
        return {
            name: [write_text(none_or(value)) for value in values]
            for name, values in zip(dimension.columns, zip(*contents, strict=True), strict=True)
            if name != "streamed"
        }


def token_of(stretches: Iterable[Stretch]) -> bytes:
    """What stands for a batch: its offsets."""
    return digest(tuple(sorted((str(each.segment), each.start, each.end) for each in stretches)))


def make_block(stretches: Sequence[Stretch], events: Sequence[PricedEvent], more: Sequence[Section]) -> bytes:
    """The block. `more`: rows of other grains. Raises EventsRefused for content that no store can hold."""
    keys, rollups = BlockKeys(), Rollups()
    whos = keys.whos(priced.origin for priced in events)
    sections = [offset_rows(stretches)]
    if events:
        sections += [event_rows(events, keys, whos, rollups), tag_sets(keys)]
        texts = {dimension: keys.texts(dimension) for dimension in (KIND, OWNER, USER, TAG)}
        texts[KIND]["streamed"] = [content[KIND.columns.index("streamed")] for content in keys[KIND]]
        sections += [rollup_rows(grain, rows, texts) for grain, rows in with_coarser(rollups.rows()).items() if rows]
    return write_block(COLUMNS, [*sections, *more])


def section(grain: str, rows: int, values: Mapping[str, Sequence[Any]]) -> Section:
    return Section(rows, {"grain": [GRAINS[grain]] * rows, "rows": [1] * rows, **values})


def place(identity: bytes) -> int:
    """Where in the table's order a row is that is looked up by its id, and has no time."""
    return int.from_bytes(identity[:8], "little", signed=True)


def offset_rows(stretches: Sequence[Stretch]) -> Section:
    """How far segments are stored: the sum of their stretches, which begin at 0 and leave nothing out."""
    identities = [each.segment.bytes for each in stretches]
    return section(
        "offset",
        len(stretches),
        {
            "at": [place(identity) for identity in identities],
            "id": identities,
            "position": [each.end - each.start for each in stretches],
            "events": [each.events for each in stretches],
            # without it, two stretches of one length would be the same block to a server that compares contents
            "batch": [token_of(stretches)] * len(stretches),
        },
    )


def tag_sets(keys: Keys) -> Section:
    """Each set of tags, so that a report knows whether any has several of one KEY without asking all events."""
    sets: list[Any] = [stored_form(content)[0] for content in keys[TAGS]]
    return section("tags", len(sets), {"tag": [json_text(tags) for tags in sets], "tags": sets})


def event_rows(
    events: Sequence[PricedEvent], keys: BlockKeys, whos: Mapping[int, WhoKeys], rollups: Rollups
) -> Section:
    """The events; counts them in the rollups, too."""
    found = [facts(priced) for priced in events]
    kinds = [keys[KIND][kind_of(priced)] for priced in events]
    those = [whos[id(priced.origin)] for priced in events]
    sums = [rollups.add(*each) for each in zip(events, found, kinds, those, strict=True)]
    columns: Values = dict(zip(MEASURES, zip(*sums, strict=True), strict=True))
    columns |= dict(zip(TEXTS, zip(*map(texts_of, events), strict=True), strict=True))
    owners, users = [who.owner for who in those], [who.user for who in those]
    for dimension, stored in ((KIND, kinds), (OWNER, owners), (USER, users)):
        columns |= {name: [column[key] for key in stored] for name, column in keys.texts(dimension).items()}
    columns |= {name: [getattr(priced.event.usage, name) for priced in events] for name in KEPT_APART}
    sets = [stored_form(content)[0] for content in keys[TAGS]]
    columns |= {
        "at": [fact.started_at for fact in found],
        "streamed": [priced.event.streamed for priced in events],
        "status": [storable(priced.event.status) for priced in events],
        "bucket": [bucket(fact.duration_ms) for fact in found],
        "id": [priced.event_id.bytes for priced in events],
        # what completes a call is none itself and has no part in the sums; it has its figures all the same
        "duration_ms": [fact.duration_ms or 0.0 for fact in found],
        "ttft_ms": [fact.ttft_ms or 0.0 for fact in found],
        "known": [known(priced, fact) for priced, fact in zip(events, found, strict=True)],
        "ttft_bucket": [bucket(fact.ttft_ms) for fact in found],
        "pid": [priced.origin.pid for priced in events],
        "http_status": [priced.event.http_status for priced in events],
        "attempts": [priced.event.attempts for priced in events],
        "cost_flags": [[storable(flag) for flag in priced.cost.flags] for priced in events],
        "tags": [sets[who.tags] for who in those],
    }
    return section("event", len(events), columns)


def bucket(milliseconds: float | None) -> int:
    return 0 if milliseconds is None else latency_bucket(milliseconds)


def known(priced: PricedEvent, fact: Facts) -> int:
    """See MAY_BE_UNKNOWN."""
    usage = priced.event.usage
    return (
        (usage.input_tokens is not None)
        | (usage.output_tokens is not None) << 1
        | (usage.cache_read_tokens is not None) << 2
        | (usage.cache_write_tokens is not None) << 3
        | (usage.reasoning_tokens is not None) << 4
        | (fact.duration_ms is not None) << 5
        | (fact.ttft_ms is not None) << 6
    )


def texts_of(priced: PricedEvent) -> tuple[str, ...]:
    """The event's TEXTS, as their columns hold them."""
    event, origin, cost = priced.event, priced.origin, priced.cost
    return (
        none_or(origin.session_id and storable(origin.session_id)),
        none_or(origin.host and storable(origin.host)),
        none_or(event.response_id and storable(event.response_id)),
        none_or(event.error_type and storable(event.error_type)),
        none_or(event.awaits and storable(event.awaits)),
        none_or(event.completes and storable(event.completes)),
        none_or(cost.source and storable(cost.source)),
        none_or(cost.version and storable(cost.version)),
        cost_parts(cost.lines) if cost.lines or cost.source is not None or cost.version is not None else NONE,
        NONE if event.usage.units is None else json_text(event.usage.units),
        NONE if event.raw is None else json_text(event.raw),
    )


def rollup_rows(
    grain: Grain, rows: Mapping[Key, Sums], texts: Mapping[Dimension, Mapping[str, Sequence[Any]]]
) -> Section:
    columns: Values = dict(zip(grain.measures, zip(*rows.values(), strict=True), strict=True))
    for name, keys in zip(grain.keys, zip(*rows, strict=True), strict=True):
        dimension = DIMENSIONS.get(name)
        if dimension is not None:
            columns |= {column: [each[key] for key in keys] for column, each in texts[dimension].items()}
        elif name == "bucket_at":
            columns["at"] = [at * SECOND for at in keys]
        else:
            columns[name] = keys
    return section(grain.name, len(rows), columns)


DIMENSIONS = {dimension.key: dimension for dimension in (KIND, OWNER, USER, TAG)}
