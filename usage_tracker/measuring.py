"""What a block of the app used: `with usage_tracker.measure() as m: …`."""

from typing import TYPE_CHECKING, Self
from weakref import ref

from usage_tracker import tracker
from usage_tracker.attribution import Meter, Standing
from usage_tracker.decimals import EXACT
from usage_tracker.scopes import Scope

if TYPE_CHECKING:
    from decimal import Decimal

    from usage_tracker.event import Cost, Origin, UsageEvent


class measure(Scope, Meter):  # noqa: N801  it reads `with measure() as m:`
    """What the calls that began inside have used: by this block, the tasks that it started, and the threads that it
    started through `wrap()`; by nobody else. A call counts once it has ended, also after the block, as a stream may.

    Sums are over what is known; how many calls they lack is beside them. As long as it is referred to, it keeps each of
    its events, of about 1 KB. Blocks may be nested, and each counts what is inside.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[Origin, UsageEvent]] = []
        self._ref: ref[Meter] = ref(self)
        self._tracker: tracker.Tracker | None = None
        """The one that was installed at the last of them, which knows the prices."""

    def inside(self, before: Standing) -> Standing:
        return before if self._ref in before.meters else Standing(before.said, (*before.meters, self._ref))

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def add(self, origin: "Origin", event: "UsageEvent") -> None:
        self._tracker = tracker.installed or self._tracker
        self._calls.append((origin, event))  # one atomic step, from whichever thread

    @property
    def calls(self) -> int:
        """Calls that have ended. What completes an earlier one, such as a batch's result, is none by itself."""
        return sum(event.completes is None for _, event in self._calls)

    @property
    def errors(self) -> int:
        """Calls that failed."""
        return sum(event.status == "error" for _, event in self._calls)

    @property
    def input_tokens(self) -> int | None:
        """None: no call told."""
        return total([event.usage.input_tokens for _, event in self._calls])

    @property
    def output_tokens(self) -> int | None:
        """None: no call told."""
        return total([event.usage.output_tokens for _, event in self._calls])

    @property
    def uncounted(self) -> int:
        """Calls whose tokens are unknown, or which have none."""
        return sum(not event.usage.known() for _, event in self._calls)

    @property
    def cost(self) -> "Decimal | None":
        """US dollars, at the prices that the store's costs come of. None: no call has a known cost.

        Computed when it is asked for. The first time that takes 100 ms, and every 15 seconds at most the store is asked
        for its price book: in a coroutine, ask in a thread.
        """
        from decimal import Decimal, localcontext

        costs = self._costs()
        known = [cost.amount for cost in costs if cost.amount is not None]
        with localcontext(EXACT):
            return sum(known, Decimal(0)) if known or not costs else None

    @property
    def unpriced(self) -> int:
        """Calls that should have a cost and have none, so that `cost` lacks them; all of them while the store can't say
        if it has a price book."""
        return sum("unpriced" in cost.flags for cost in self._costs())

    def _costs(self) -> list["Cost"]:
        calls = self._calls[:]
        if not calls:
            return []
        if self._tracker is None:  # a stream may end after `uninstall()`
            from usage_tracker.event import UNPRICED

            return [UNPRICED for _ in calls]
        return self._tracker.costs().of(calls)

    def __repr__(self) -> str:
        return f"<measured: calls={self.calls} input_tokens={self.input_tokens} output_tokens={self.output_tokens}>"


def total(counts: list[int | None]) -> int | None:
    """The sum of what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known or not counts else None
