"""Before a call is made: budgets let it go, hold it back or refuse it.

The check is one for sync and async calls. It lets almost every call go at once; otherwise it gives a `Hold`, whose
steps say what to wait for, and which is passed by blocking or by awaiting, whichever the call is.
"""

import asyncio
import time
from collections.abc import Generator
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from usage_tracker.errors import BudgetExceeded
from usage_tracker.event import CallKind, Origin, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.scoped import CO_COROUTINE, innermost, kind_of

if TYPE_CHECKING:
    from usage_tracker.capture.call import Call

guard_admission = guarded("budgets")

LOOK_SECONDS = 0.005
"""How often it is looked for an answer where there is no other way to wait for one."""


class Answered(NamedTuple):
    """Wait for an answer, or until so many seconds have passed."""

    future: Future[Any]
    seconds: float


Step = float | Answered
"""Seconds to sleep, or an answer to wait for."""
Hold = Generator[Step, None, None]
"""Raises BudgetExceeded where the call is refused; its end lets the call go."""


class Gate(Protocol):
    """What knows the budgets."""

    def admit(self, call: "Call", body: object) -> Hold | None:
        """None: the call may be made. `body` is what is asked, as the SDK has it: a mapping, an object, or bytes."""

    def spent(self, origin: Origin, event: UsageEvent) -> object:
        """A call has ended."""

    def told(self, kind: CallKind, told: tuple[Any, ...]) -> None:
        """A call has ended that is still to be read; `told` are the fields of `Told`."""


class Reserved(Protocol):
    """What a call has taken of budgets before it was made."""

    def settle(self, origin: Origin, event: UsageEvent) -> None:
        """What it used is known."""

    def release(self) -> None:
        """It has ended. What was not settled is given back."""


def hold_of(call: "Call", body: object) -> Hold | None:
    """What the call has to wait for before it is made, if anything."""
    gate = call.recorder.gate
    if gate is not None and not call.request.retrieves:
        with guard_admission:
            return gate.admit(call, body)
    return None


def is_async(function: Any) -> bool:
    """Whether nothing is sent before what the function hands back is awaited."""
    return bool(kind_of(innermost(function)) & CO_COROUTINE)


def next_step(hold: Hold) -> Step | None:
    """None: the call may be made. Raises BudgetExceeded; an error of ours lets the call go."""
    refusal: BudgetExceeded | None = None
    with guard_admission:
        try:
            return next(hold, None)
        except BudgetExceeded as error:
            refusal = error
    if refusal is not None:
        raise refusal
    return None


def leave(hold: Hold, call: "Call") -> None:
    """The call is not made; what it waited for is given back."""
    with guard_admission:
        hold.close()
    call.drop()


def pass_hold(hold: Hold, call: "Call") -> None:
    """Wait as long as the hold says. Raises BudgetExceeded."""
    try:
        while (step := next_step(hold)) is not None:
            if isinstance(step, Answered):
                wait([step.future], step.seconds)
            else:
                time.sleep(step)
        call.begin_now()
    except BaseException:  # a refusal, or an interrupt: no call was made
        leave(hold, call)
        raise


def hold_to_await(call: "Call", body: object, function: Any) -> Hold | None:
    """What an async call has to await before it is made, if anything. A sync one waits for it in here. Raises
    BudgetExceeded."""
    hold = hold_of(call, body)
    if hold is None or is_async(function):
        return hold
    pass_hold(hold, call)
    return None


async def await_hold(hold: Hold, call: "Call", made: Any = None) -> None:
    """As `pass_hold`, without blocking the event loop. `made` is what would be awaited next, and never will be where
    the call is refused."""
    try:
        while (step := next_step(hold)) is not None:
            await (take(step) if in_asyncio() else take_elsewhere(step))
        call.begin_now()
    except BaseException:  # a refusal, or a cancelled task: no call was made
        leave(hold, call)
        if hasattr(made, "close"):
            made.close()
        raise


def in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def take(step: Step) -> None:
    if isinstance(step, Answered):
        loop = asyncio.get_running_loop()
        told = loop.create_future()

        def tell(_: Future[Any]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(told.set_result, None)

        # not by `wrap_future`: the loop would tell the app of an error that nobody looks at there
        step.future.add_done_callback(tell)
        await asyncio.wait([told], timeout=step.seconds)
    else:
        await asyncio.sleep(step)


async def take_elsewhere(step: Step) -> None:
    """In trio, by what brings an SDK's own client there."""
    import anyio

    if isinstance(step, Answered):
        deadline = time.monotonic() + step.seconds
        while not step.future.done() and time.monotonic() < deadline:  # noqa: ASYNC110  another thread answers
            await anyio.sleep(LOOK_SECONDS)
    else:
        await anyio.sleep(step)
