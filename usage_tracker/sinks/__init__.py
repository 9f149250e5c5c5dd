"""Live sinks: receivers that get each event as it comes into the store. One file for each kind, each with a place of
its own in the order of arrival, so that a slow one delays nobody and loses nothing."""

from usage_tracker.sinks.feeder import Feeder
from usage_tracker.sinks.ledger import Refusal, Standing, forget_sink, refusals, standings
from usage_tracker.sinks.opening import load_sink, open_sink
from usage_tracker.sinks.sink import NotTaken, Parcel, Refused, Sink

__all__ = [
    "Feeder",
    "NotTaken",
    "Parcel",
    "Refusal",
    "Refused",
    "Sink",
    "Standing",
    "forget_sink",
    "load_sink",
    "open_sink",
    "refusals",
    "standings",
]
