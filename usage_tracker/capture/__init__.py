"""From an SDK's call to one event: what is watched, and how, without the app noticing."""

from usage_tracker.capture.call import Call, Client, Recorder, finish_open_calls, open_calls

__all__ = ["Call", "Client", "Recorder", "finish_open_calls", "open_calls"]
