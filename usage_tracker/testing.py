"""For the tests of an app: what its code calls, in memory, without a database, a journal or a thread.

A fixture gives each test the calls that were made in it:

    @pytest.fixture
    def usage():
        with capture_usage() as usage:
            yield usage

    def test_summaries_are_cheap(usage):
        summarise(ARTICLE)
        [call] = usage
        assert (call.model, call.project) == ("gpt-4o-mini", "summaries")
        assert call.cost < Decimal("0.001")
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, overload
from uuid import UUID

from usage_tracker import tracker
from usage_tracker.config import load_settings
from usage_tracker.event import COLUMNS, Cost, Origin, PricedEvent, UsageEvent, flatten
from usage_tracker.instants import to_moment
from usage_tracker.pricing import Pricer


class CapturedCall:
    """One call, with the columns of the view `events` as attributes: `call.model`, `call.input_tokens`, `call.user_id`.

    `call.cost` is in US dollars, a Decimal by list price, and None where it is not known; `call.started_at` is a
    datetime of UTC.
    """

    def __init__(self, origin: Origin, event: UsageEvent, cost: Cost) -> None:
        started_at = to_moment(event.started_at // 1000)
        self._columns = {**flatten(PricedEvent(UUID(int=0), origin, event, cost)), "started_at": started_at}

    def __getattr__(self, name: str) -> Any:
        if name in COLUMNS and name != "event_id":
            return self._columns[name]
        raise AttributeError(f"a call has no {name!r}; its columns are {', '.join(COLUMNS[1:])}")

    def __dir__(self) -> Sequence[str]:
        return COLUMNS[1:]

    def __repr__(self) -> str:
        said = (f"{name}={value!r}" for name in COLUMNS[1:] if (value := self._columns[name]) not in (None, (), False))
        return f"CapturedCall({', '.join(said)})"


class CapturedUsage(Sequence[CapturedCall]):
    """The calls that have ended so far, in that order."""

    def __init__(self) -> None:
        self._calls: list[tuple[Origin, UsageEvent]] = []
        self._pricer = Pricer()

    def keep(self, origin: Origin, event: UsageEvent) -> None:
        self._calls.append((origin, event))

    def clear(self) -> None:
        """Forget the calls so far."""
        self._calls.clear()

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, place: int) -> CapturedCall: ...
    @overload
    def __getitem__(self, place: slice) -> list[CapturedCall]: ...
    def __getitem__(self, place: int | slice) -> CapturedCall | list[CapturedCall]:
        if isinstance(place, slice):
            return [self._read(*call) for call in self._calls[place]]
        return self._read(*self._calls[place])

    def _read(self, origin: Origin, event: UsageEvent) -> CapturedCall:
        return CapturedCall(origin, event, self._pricer.price(origin, event))

    def __repr__(self) -> str:
        return f"CapturedUsage({list(self)!r})"


@contextmanager
def capture_usage(**settings: Any) -> Iterator[CapturedUsage]:
    """The calls made inside, by any thread, as a sequence of CapturedCall. Nothing of them is written or shipped.

    `settings` are those of `install()`. An installed tracker sees nothing of them and goes on at the end; what the code
    inside installs is installed then. Raises ConfigError.
    """
    captured = CapturedUsage()
    with tracker.stand_in(load_settings(**{"ship": False, **settings})) as installed:
        recorder = installed.pipeline().recorder
        recorder.keep, recorder.tell = captured.keep, None
        yield captured
