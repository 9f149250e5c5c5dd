"""A sink whose feeder is run by hand."""

from functools import partial

from usage_tracker.addresses import Secret
from usage_tracker.report import Event, list_events
from usage_tracker.sink_addresses import SinkAddress, parse_sinks
from usage_tracker.sinks import Feeder, open_sink
from usage_tracker.stores import Store


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
