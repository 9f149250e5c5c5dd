"""What repeats from event to event: kinds of calls, owners, users, tags, hosts. Rows hold its key instead of itself."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from usage_tracker.event import AlikeCalls, Origin, PricedEvent
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

NONE: dict[Dimension, Content] = {USER: (None,), TAG: (None,), TAGS: ((),)}
"""What the key 0 stands for: every schema has these rows."""


def kind_of(priced: PricedEvent | AlikeCalls) -> Content:
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


class Known(dict[Content, int]):
    """What a store knows of one dimension: content to key, of committed rows only. What is asked for and isn't there is
    noted as unknown, and is 0 meanwhile."""

    def __init__(self, none: Content | None) -> None:
        super().__init__() if none is None else super().__init__({none: 0})
        self.unknown: dict[Content, None] = {}

    def __missing__(self, content: Content) -> int:
        self.unknown[content] = None
        return 0


class WhoKeys(msgspec.Struct, frozen=True):
    """Keys that stand for an event's origin."""

    owner: int
    user: int
    tags: int
    host: int | None
    each_tag: tuple[int, ...]
    """What the event counts under in the rollup by tag: each of its tags once, or 0 for none."""

    def known(self, origin: Origin) -> bool:
        """Whether no key is 0 for want of a better one."""
        return bool(
            self.owner
            and (self.user or origin.user_id is None)
            and (not origin.tags or (self.tags and 0 not in self.each_tag))
            and self.host != 0
        )


class Keys(dict[Dimension, Known]):
    """The keys that a store knows. They are forgotten with the connection that learned them."""

    def __init__(self, *more: Dimension) -> None:
        dimensions = (KIND, OWNER, USER, TAG, TAGS, HOST, *more)
        super().__init__({dimension: Known(NONE.get(dimension)) for dimension in dimensions})
        self._whos: dict[int, tuple[Origin, WhoKeys]] = {}
        """By the origin's id(), which stays its own as long as it is kept here."""
        self._same: dict[tuple[object, ...], WhoKeys] = {}
        """One for all origins with these keys, such as those of many processes, so that their calls are summed at once.
        """

    def whos(self, those: Iterable[Origin]) -> dict[int, WhoKeys]:
        """The keys of each origin object, by its id(): many events share one, also those of later batches."""
        found: dict[int, WhoKeys] = {}
        for identity, origin in {id(origin): origin for origin in those}.items():
            kept = self._whos.get(identity)
            found[identity] = self._who(origin) if kept is None else kept[1]
        return found

    def _who(self, origin: Origin) -> WhoKeys:
        """Kept, where all of it is known."""
        owner = self[OWNER][(origin.app, origin.project, origin.team, origin.api_key)]
        user, tags_key = self[USER][(origin.user_id,)], self[TAGS][(origin.tags,)]
        host = None if origin.host is None else self[HOST][(origin.host,)]
        who = self._same.get((owner, user, tags_key, host))
        if who is None or not who.known(origin):
            tags = self[TAG]
            each_tag = tuple(dict.fromkeys([tags[(tag,)] for tag in origin.tags or (None,)]))
            who = WhoKeys(owner, user, tags_key, host, each_tag)
            if not who.known(origin):
                return who
            self._same[owner, user, tags_key, host] = who
        self._whos[id(origin)] = origin, who
        return who

    def unknown(self) -> dict[Dimension, list[Content]]:
        """What was asked for in vain, in the order of dimensions that all writers keep."""
        return {dimension: list(known.unknown) for dimension, known in self.items() if known.unknown}

    def learn(self, found: Mapping[Dimension, Mapping[Content, int]]) -> None:
        for dimension, keys in found.items():
            self[dimension].update(keys)
            self[dimension].unknown.clear()

    def trim(self) -> None:
        """Between batches: start anew with what grew too large, and with what is unknown."""
        if len(self._whos) > KEYS_AT_MOST:
            self._whos.clear()
            self._same.clear()
        for dimension, known in self.items():
            known.unknown.clear()
            if len(known) > KEYS_AT_MOST:
                self[dimension] = Known(NONE.get(dimension))


def stored_form(content: Content) -> Content:
    """The content as the store holds it: storable text, tags as a list."""
    return tuple(storable_parts(value) for value in content)


def digest(stored: Content) -> bytes:
    """128 bits that identify a content as the store holds it; null and the empty text differ."""
    return hashlib.blake2b(encode_json(stored), digest_size=16).digest()
