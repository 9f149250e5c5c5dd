"""What repeats from event to event: kinds of calls, owners, users, tags, hosts. Rows hold its key instead of itself."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from usage_tracker.event import Origin, PricedEvent
from usage_tracker.stores.values import encode_json, storable_parts

Content = tuple[object, ...]
"""The columns of a dimension's row, as they came."""

KEYS_AT_MOST = 50_000
"""How many keys of one dimension a store remembers before it starts anew."""


class Dimension(NamedTuple):
    table: str
    key: str
    columns: tuple[str, ...]


KIND = Dimension(
    "usage_kind",
    "kind_key",
    ("provider", "sdk", "operation", "request_model", "model", "service_tier", "streamed", "base_host"),
)
OWNER = Dimension("usage_owner", "owner_key", ("app", "project", "team", "api_key"))
USER = Dimension("usage_user", "user_key", ("user_id",))
TAG = Dimension("usage_tag", "tag_key", ("tag",))
TAGS = Dimension("usage_tags", "tags_key", ("tags",))
HOST = Dimension("usage_host", "host_key", ("host",))

NOBODY: Content = (None,)
UNTAGGED: Content = ((),)
NONE_KEYS: dict[Dimension, dict[Content, int]] = {USER: {NOBODY: 0}, TAG: {(None,): 0}, TAGS: {UNTAGGED: 0}}
"""The rows that say "none": every schema has them."""


def kind_of(priced: PricedEvent) -> Content:
    event, origin = priced.event, priced.origin
    return (
        origin.provider,
        origin.sdk,
        event.operation,
        event.request_model,
        event.model,
        event.service_tier,
        event.streamed,
        origin.base_host,
    )


class Who(NamedTuple):
    """Contents that come from an event's origin."""

    owner: Content
    user: Content
    tags: Content
    host: Content | None
    each_tag: tuple[Content, ...]

    @classmethod
    def of(cls, origin: Origin) -> "Who":
        return cls(
            (origin.app, origin.project, origin.team, origin.api_key),
            (origin.user_id,),
            (origin.tags,),
            None if origin.host is None else (origin.host,),
            tuple((tag,) for tag in dict.fromkeys(origin.tags)) or ((None,),),
        )


class WhoKeys(NamedTuple):
    """Keys that stand for an event's origin."""

    owner: int
    user: int
    tags: int
    host: int | None
    each_tag: tuple[int, ...]
    """What the event counts under in the rollup by tag: its tags, or the key 0."""


class Wanted(dict[Dimension, dict[Content, None]]):
    """The contents that a batch needs keys for."""

    def __init__(self, *dimensions: Dimension) -> None:
        super().__init__((dimension, {}) for dimension in (KIND, OWNER, USER, TAG, TAGS, HOST, *dimensions))

    def add_origins(self, events: Iterable[PricedEvent]) -> None:
        """Origins are usually shared: an origin object is looked at once."""
        origins = {id(priced.origin): priced.origin for priced in events}
        for origin in origins.values():
            who = Who.of(origin)
            self[OWNER][who.owner] = None
            self[USER][who.user] = None
            self[TAGS][who.tags] = None
            self[TAG].update(dict.fromkeys(who.each_tag))
            if who.host is not None:
                self[HOST][who.host] = None


class Keys(dict[Dimension, dict[Content, int]]):
    """The keys that a store knows, by content. Only of committed rows; forgotten with the connection that learned them."""

    def __missing__(self, dimension: Dimension) -> dict[Content, int]:
        self[dimension] = NONE_KEYS.get(dimension, {}).copy()
        return self[dimension]

    def unknown(self, wanted: Wanted) -> dict[Dimension, list[Content]]:
        """What has to be looked up before the batch can be written, in the order of dimensions that all writers keep."""
        found = {}
        for dimension, contents in wanted.items():
            if len(self[dimension]) > KEYS_AT_MOST:
                del self[dimension]
            known = self[dimension]
            if missing := [content for content in contents if content not in known]:
                found[dimension] = missing
        return found

    def of_origins(self, events: Iterable[PricedEvent]) -> Mapping[int, WhoKeys]:
        """The keys of each origin object, by its id()."""
        origins = {id(priced.origin): priced.origin for priced in events}
        owners, users, tag, tags, hosts = self[OWNER], self[USER], self[TAG], self[TAGS], self[HOST]
        found = {}
        for identity, origin in origins.items():
            who = Who.of(origin)
            found[identity] = WhoKeys(
                owners[who.owner],
                users[who.user],
                tags[who.tags],
                None if who.host is None else hosts[who.host],
                tuple(dict.fromkeys(tag[content] for content in who.each_tag)),
            )
        return found


def stored_form(content: Content) -> Content:
    """The content as the store holds it: storable text, tags as a list."""
    return tuple(storable_parts(value) for value in content)


def digest(stored: Content) -> bytes:
    """128 bits that identify a content as the store holds it; null and the empty text differ."""
    return hashlib.blake2b(encode_json(stored), digest_size=16).digest()
