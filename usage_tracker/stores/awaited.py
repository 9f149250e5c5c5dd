"""Usage that is told later than the call that it belongs to: stored once, and as that call's.

A call that starts something, such as a batch, is an event that awaits; what it used comes as another event, of whoever
asks for it, from any process, once or often, perhaps before the call itself is stored.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from usage_tracker.errors import EventsRefused
from usage_tracker.event import Origin, PricedEvent
from usage_tracker.stores.dimensions import digest, stored_form
from usage_tracker.stores.rollups import measures
from usage_tracker.stores.values import facts

logger = logging.getLogger("usage_tracker")

KEPT_DAYS = 30
"""How long a usage is kept whose call is not known: what was started by something that isn't tracked."""

Digest = bytes
"""16 bytes that stand for an id."""

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(PricedEvent).decode


class Caller(NamedTuple):
    """Who made an awaited call: fields of Origin."""

    app: str | None
    project: str | None
    team: str | None
    api_key: str | None
    user_id: str | None
    session_id: str | None
    tags: tuple[str, ...]


class Kept(NamedTuple):
    """A usage on its way into, or out of, what is kept aside."""

    result: Digest
    awaited: Digest
    event: bytes


class Ledger(Protocol):
    """What a store knows of awaited calls, within the transaction of one batch and after all that wrote before it."""

    def add_calls(self, calls: Mapping[Digest, PricedEvent]) -> None:
        """Note awaited calls, unless they are noted."""

    def callers(self, awaited: Iterable[Digest]) -> dict[Digest, Caller]:
        """Who made them; those that are not known are left out."""

    def complete(self, results: Mapping[Digest, Digest]) -> set[Digest]:
        """Note results with the calls that they complete; those that were not noted before."""

    def keep(self, usages: Sequence[Kept]) -> None:
        """Keep them aside, each once; forget those that are older than KEPT_DAYS."""

    def take(self, awaited: Iterable[Digest]) -> list[Kept]:
        """Take out what is kept of these calls."""


def any_late(events: Iterable[PricedEvent]) -> bool:
    """Whether any of them awaits or completes."""
    return any(priced.event.awaits is not None or priced.event.completes is not None for priced in events)


def settle(ledger: Ledger, events: Sequence[PricedEvent]) -> list[PricedEvent]:
    """What is to be stored now: the calls, and each usage that is new and whose call is known. Raises EventsRefused."""
    calls = {awaited_of(priced): priced for priced in reversed(events) if awaits(priced)}
    results = {result_of(priced): priced for priced in reversed(events) if priced.event.completes is not None}
    if calls:
        ledger.add_calls(calls)
        for kept in ledger.take(calls):
            if (priced := read_kept(kept)) is not None:
                results.setdefault(kept.result, priced)
    awaited = {result: awaited_of(priced) for result, priced in results.items()}
    callers = ledger.callers(set(awaited.values()))
    fresh = ledger.complete({result: call for result, call in awaited.items() if call in callers})
    early = [result for result, call in awaited.items() if call not in callers]
    if early:
        ledger.keep([Kept(result, awaited[result], written(results[result])) for result in early])
    own = [priced for priced in events if priced.event.completes is None]
    origins: dict[tuple[Origin, Caller], Origin] = {}
    for result, priced in results.items():
        if result in fresh:
            whose = priced.origin, callers[awaited[result]]
            own.append(msgspec.structs.replace(priced, origin=origins.setdefault(whose, made_by(*whose))))
    return own


def awaits(priced: PricedEvent) -> bool:
    return priced.event.awaits is not None and priced.event.completes is None


def awaited_of(priced: PricedEvent) -> Digest:
    """What stands for the call that awaits, or is completed."""
    event = priced.event
    return digest(stored_form((event.awaits if event.completes is None else event.completes,)))


def result_of(priced: PricedEvent) -> Digest:
    """What stands for one usage: a batch has one for each of its messages."""
    event = priced.event
    return digest(stored_form((event.completes, event.response_id or event.completes)))


def made_by(origin: Origin, caller: Caller) -> Origin:
    """The origin as the caller's: who asks what was used is not who used it. A session that asks about another one's
    call has not used anything, and that other one may long be over, so the usage is in neither."""
    if origin.session_id is not None and origin.session_id != caller.session_id:
        caller = caller._replace(session_id=None)
    return msgspec.structs.replace(origin, **caller._asdict())


def written(priced: PricedEvent) -> bytes:
    """The event as it is kept aside. Raises EventsRefused where it could not be stored later."""
    measures(priced, facts(priced))
    try:
        return encode(priced)
    except (OverflowError, UnicodeEncodeError) as error:
        raise EventsRefused(f"the event can't be kept aside ({type(error).__name__})") from None


def read_kept(kept: Kept) -> PricedEvent | None:
    try:
        return decode(kept.event)
    except msgspec.DecodeError:
        logger.warning("a usage that was kept aside by another version of usage_tracker can't be read")
        return None
