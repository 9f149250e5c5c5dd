"""From an SDK's call to one event: what is watched, and how, without the app noticing."""

from usage_tracker.capture.call import Call, Wrapper, finish_open_calls, open_calls
from usage_tracker.capture.nesting import nested
from usage_tracker.capture.recorder import Client, Recorder

__all__ = ["Call", "Client", "Recorder", "Wrapper", "finish_open_calls", "nested", "open_calls"]
