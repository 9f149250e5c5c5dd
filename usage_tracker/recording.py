"""Calls that no SDK of ours made, as an app tells of them itself."""

import logging
import time
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING

from usage_tracker import tracker
from usage_tracker.attribution import clean, standing
from usage_tracker.guard import guarded
from usage_tracker.seldom import Seldom

if TYPE_CHECKING:
    from usage_tracker.event import Status

logger = logging.getLogger("usage_tracker")

warning = Seldom()


def record(
    *,
    provider: str | None,
    model: str | None,
    operation: str = "chat",
    duration_ms: float | None = None,
    response_id: str | None = None,
    status: "Status" = "ok",
    reported_cost: str | Decimal | None = None,
    units: Mapping[str, float] | None = None,
    **usage: int | None,
) -> None:
    """Record a call that no SDK of ours made, for whom `attribute()` says. Without `install()` it does nothing.

    What isn't given is unknown. `usage` takes the other fields of `event.Usage`: `input_tokens`, `output_tokens`,
    `cache_read_tokens`, `reasoning_tokens` and so on. `units` is what is billed and isn't a token, such as
    `{"images": 2}`; `reported_cost` is a decimal number of US dollars. Raises TypeError for values that an event can't
    hold; a figure that no call has, such as a negative one, is unknown, and the log says so.
    """
    if tracker.installed is None:
        return
    from usage_tracker.capture import Client
    from usage_tracker.event import UNTIMED, Usage, UsageEvent
    from usage_tracker.journal.frames import check
    from usage_tracker.providers.usage_fields import leave_out_nonsense

    took = UNTIMED if duration_ms is None else milliseconds(duration_ms)
    event = UsageEvent(
        started_at=time.time_ns() - (0 if duration_ms is None else int(max(took, 0) * 1e6)),
        duration_ms=took,
        operation=clean(operation) or "chat",
        request_model=clean(model),
        model=clean(model),
        response_id=clean(response_id),
        status=status,
        usage=Usage(units=None if units is None else {**units}, **usage),  # type: ignore[arg-type]  # `estimated`
        reported_cost=str(reported_cost) if isinstance(reported_cost, Decimal) else reported_cost,
    )
    check(event)
    with guarded("record"):
        recorder = tracker.installed.pipeline().recorder
        stands = standing.get()
        origin = recorder.origin(Client("record"), clean(provider), stands.attribution())
        if (nonsense := leave_out_nonsense(event)) and warning.due():
            logger.warning(
                "record() was given what no call can have used; it counts as unknown: %s", ", ".join(nonsense)
            )
        recorder.record(origin, event, stands.meters)


def milliseconds(duration: float) -> float:
    """Raises TypeError for what is no duration."""
    try:
        if isfinite(duration):
            return float(duration)
    except (TypeError, OverflowError) as error:
        raise TypeError(f"duration_ms: {error}") from None
    raise TypeError(f"a call doesn't take {duration} milliseconds")
