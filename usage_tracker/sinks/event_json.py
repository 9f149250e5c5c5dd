"""Events as JSON, with the names and forms that `usage-tracker export` gives them."""

import json

from usage_tracker.plain_values import plain_fields
from usage_tracker.report import Event


def event_json(event: Event) -> bytes:
    return json.dumps(plain_fields(event), separators=(",", ":")).encode()
