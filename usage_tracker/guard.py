"""The one place where an error of ours is caught, so that an app never sees it.

Everything that runs on behalf of a host's call runs inside `guarded`. It swallows `Exception` (never `BaseException`: a
cancelled task, an interrupt or an exit belongs to the host, as does whatever its signal handlers raise), counts it, and
logs one line a minute for each place.
"""

import logging
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any

from usage_tracker.seldom import Seldom

logger = logging.getLogger("usage_tracker")

errors: Counter[str] = Counter()
"""How often each place failed since the process started."""

last_error: str | None = None


class Guard:
    """A reusable context manager for one place in our code: `with guarded("extract"): …`."""

    __slots__ = ("_place", "_warning")

    _ending = staticmethod(sys.is_finalizing)
    """Kept here, as this module's names may be gone by then."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._warning = Seldom()

    if TYPE_CHECKING:

        def __enter__(self) -> None: ...

    else:
        __enter__ = type(None)  # gives None without a line of Python, which costs the app's thread more

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if not self._ending():
            if is_from_signal_handler(error):
                return False
            report(self, error)
        return True


def is_from_signal_handler(error: Exception) -> bool:
    """Whether a signal handler of the host has raised it, such as one that limits how long something may take."""
    handlers = [handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))]
    handling = {code_of(handler) for handler in handlers}
    line = error.__traceback__
    while line is not None and line.tb_frame.f_code not in handling:
        line = line.tb_next
    return line is not None


def code_of(handler: Callable[..., object]) -> object:
    """Of a function, a method, a partial of one, or an object with `__call__`; None for what is written in C."""
    handler = getattr(handler, "func", handler)
    return getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None)


def count(guard: Guard, error: Exception) -> None:
    """Count the error and, at most once a minute for each place, log it. Messages of errors, and the variables that
    some handlers show, may hold what users typed, so only the error's type and line go to the log; DEBUG level adds the
    lines that led there."""
    global last_error
    errors[guard._place] += 1
    line = error.__traceback__
    while line is not None and line.tb_next is not None:
        line = line.tb_next
    where = f"{line.tb_frame.f_code.co_filename}:{line.tb_lineno}" if line is not None else "?"
    last_error = f"{guard._place}: {type(error).__name__} at {where}"
    if guard._warning.due():
        logger.warning("%s; your application is not affected, but an event may be incomplete", last_error)
        logger.debug("traceback of the error above:\n%s", "".join(traceback.format_tb(error.__traceback__)))


report = count
"""What is done with a guarded error. The test suite replaces it, so that a guarded error fails the test."""

guards: dict[str, Guard] = {}


def guarded(place: str) -> Guard:
    """The guard of that place; one object each, so that a guarded block allocates nothing."""
    found = guards.get(place)
    if found is None:
        found = guards.setdefault(place, Guard(place))
    return found


def finalizer(place: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Guard a function of one argument that may run at the interpreter's end, as `__del__` does: names of modules are
    None by then, also the one of its guard, and Python would print what it raises."""
    guard = guarded(place)

    def guarding(function: Callable[[Any], None]) -> Callable[[Any], None]:
        @wraps(function)
        def finalize(thing: Any) -> None:
            with guard:
                function(thing)

        return finalize

    return guarding
