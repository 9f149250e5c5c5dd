"""A sink whose feeder is run by hand."""

from functools import partial
from uuid import UUID

from msgspec.structs import replace
from receivers import Receiver

from usage_tracker.addresses import Secret
from usage_tracker.event import PricedEvent, event_number
from usage_tracker.report import Event, list_events
from usage_tracker.sink_addresses import SinkAddress, parse_sinks
from usage_tracker.sinks import Feeder, open_sink
from usage_tracker.stores import Store

SECRET = "whsec-not-to-be-shown"


def webhook(receiver: Receiver) -> SinkAddress:
    [address] = parse_sinks((f"hook=http://127.0.0.1:{receiver.port}/{SECRET}",))
    return address


def begin(store: Store, text: str, secret: str | None = None) -> Feeder:
    """A feeder whose sink is known, so that it gets what is stored from now on."""
    [address] = parse_sinks((text,))
    return begin_at(store, address, secret)


def begin_at(store: Store, address: SinkAddress, secret: str | None = None) -> Feeder:
    feeder = Feeder(address, store, partial(open_sink, secret=None if secret is None else Secret(secret)))
    feed(feeder)
    return feeder


def feed(feeder: Feeder) -> None:
    """All that has come."""
    while feeder.step():
        pass


def stored(store: Store) -> dict[str, Event]:
    return {event["event_id"]: event for event in list_events(store)}


def in_order(priced: PricedEvent, place: int) -> PricedEvent:
    """The same under an id as events have them that came by a journal."""
    return replace(priced, event_id=UUID(int=event_number(1, place, priced.event.started_at)))
