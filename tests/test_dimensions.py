"""The keys that a store knows of who called: one set for all who call on behalf of the same, and of nobody else."""

from dataclasses import dataclass, field
from itertools import count

import msgspec

from usage_tracker.event import Origin
from usage_tracker.stores.dimensions import Keys, WhoKeys

ANN = Origin(
    provider="openai", sdk="openai", project="shop", user_id="ann", tags=("tier:pro", "eu"), host="host-1", pid=1
)


@dataclass
class Known:
    """Keys of a store that gives numbers from 1 on."""

    keys: Keys = field(default_factory=Keys)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def who(self, origin: Origin) -> WhoKeys:
        self.keys.whos([origin])
        unknown = self.keys.unknown()
        self.keys.learn(
            {dimension: {each: next(self.numbers) for each in found} for dimension, found in unknown.items()}
        )
        return self.keys.whos([origin])[id(origin)]


def test_processes_that_call_on_behalf_of_the_same_have_one_set_of_keys() -> None:
    known = Known()
    assert known.who(ANN) is known.who(msgspec.structs.replace(ANN, pid=2))


def test_whoever_differs_in_anything_that_has_a_key_has_others() -> None:
    known = Known()
    others = [
        msgspec.structs.replace(ANN, **{name: value})
        for name, value in {"user_id": None, "tags": (), "host": None, "project": "blog", "team": "web"}.items()
    ]
    found = [known.who(origin) for origin in [ANN, *others]]
    assert len(set(found)) == len(found)
    assert found[1].user == 0
    assert found[2].each_tag == (0,)


def test_who_is_not_known_yet_is_asked_for_and_never_taken_for_nobody() -> None:
    known = Known()
    known.who(msgspec.structs.replace(ANN, user_id=None, tags=()))
    known.keys.whos([ANN])
    assert {dimension.table for dimension in known.keys.unknown()} == {"usage_user", "usage_tag", "usage_tags"}
    who = known.who(ANN)
    assert who.known(ANN)
    assert len(who.each_tag) == 2
