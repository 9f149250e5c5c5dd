"""From an SDK's call to one event: what is watched, and how, without the app noticing.

`call` is one call, from its start to its event, and `recorder` where that goes; `nesting` tells which one counts of
calls within each other. How an SDK is called and what it hands back is a module of its own, the `style` of its choke
points: `stainless`, `websockets`, `google_genai` and, beside it, `google_interactions` and `google_live`,
`google_generativeai`, `litellm`. They share how budgets hold calls back (`admission`), how answers are watched that
come piece by piece (`streams`, `responses`, `bodies`, `pulling`), and which ones need no reading here (`shapes`).
"""

from usage_tracker.capture.call import Call, Wrapper, finish_open_calls, open_calls
from usage_tracker.capture.nesting import nested
from usage_tracker.capture.recorder import Client, Recorder

__all__ = ["Call", "Client", "Recorder", "Wrapper", "finish_open_calls", "nested", "open_calls"]
