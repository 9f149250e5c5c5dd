"""Whether a call is part of another one."""

import sys
from collections.abc import Awaitable
from types import FrameType
from typing import Any

from usage_tracker.attribution import inside
from usage_tracker.capture.admission import Hold, await_hold
from usage_tracker.capture.call import Call, open_calls

HERE = sys._getframe().f_code.co_filename.removesuffix("nesting.py")
"""As frames name it; `__file__` is that of the compiled code where the sources are left out."""


def nested() -> bool:
    """Whether a call that counts is under way in this context. Tasks and threads that it started and left behind, such
    as an SDK's own callbacks, make calls of their own once it has ended."""
    call = inside.get()
    return call is not None and id(call) in open_calls and not is_left(call)


def is_left(call: Call) -> bool:
    """Whether what runs in its context is no part of it. That is another task, where the app has several share one
    context; or an interrupt came at the one moment at which `with call` can't note that it is left. It ends here then,
    as all later calls would be taken for part of it."""
    if call.token is None or is_on_stack(call, sys._getframe(2)):
        return False
    try:
        inside.reset(call.token)
    except (RuntimeError, ValueError):
        return False  # it was entered in another context, of which this is a copy: another thread or task
    if not call.waits:
        call.finish("cancelled")
    return True


def is_on_stack(call: Call, frame: FrameType | None) -> bool:
    """Whether one of our wrappers is at that call, from here upwards."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(HERE) and frame.f_locals.get("call") is call:
            return True
        frame = frame.f_back
    return False


async def await_within(call: Call, answer: Awaitable[Any], hold: Hold | None = None) -> Any:
    """What the SDK's own coroutine comes to, as part of the call, once `hold` lets that be made. None where the server
    refused an option of ours; see `Call.refused`."""
    if hold is not None:
        await await_hold(hold, call, answer)
    found = None
    with call:
        call.waits = True
        found = await answer
        call.waits = False
    return found
