"""Which budgets a call counts in, and whose part of them it is."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import NamedTuple

from usage_tracker.budgets.budget import Budget
from usage_tracker.conditions import Values, passes
from usage_tracker.event import Origin

WHOLE = ""
"""The part of a budget that has only one."""
NOBODY = " none"
"""The part of calls that have no value of the dimension; they share one budget. No name begins with a blank."""


class Described(NamedTuple):
    """What is known of a call before it is made."""

    origin: Origin
    model: str | None
    """As it was asked for."""
    operation: str


READ: dict[str, Callable[[Described], Values]] = {
    "app": lambda call: (call.origin.app,),
    "project": lambda call: (call.origin.project,),
    "team": lambda call: (call.origin.team,),
    "user": lambda call: (call.origin.user_id,),
    "session": lambda call: (call.origin.session_id,),
    "tag": lambda call: call.origin.tags or (None,),
    "api_key": lambda call: (call.origin.api_key,),
    "host": lambda call: (call.origin.host,),
    "provider": lambda call: (call.origin.provider,),
    "model": lambda call: (call.model,),
    "operation": lambda call: (call.operation,),
    "sdk": lambda call: (call.origin.sdk,),
}


def counts_in(budget: Budget, call: Described) -> bool:
    return all(passes(test, READ[test.dimension](call)) for test in budget.where)


class Scopes:
    """Which budgets a call counts in. Of thousands, such as one for each team, few are looked at: a budget that names a
    value is found by it."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self._by_value: dict[str, dict[str, list[tuple[int, Budget]]]] = {}
        self._others: list[tuple[int, Budget]] = []
        for place, budget in enumerate(budgets):
            equals = [(test.dimension, test.literal) for test in budget.where if test.equal]
            named = [(dimension, value) for dimension, value in equals if value is not None]
            if named:
                dimension, value = named[0]
                self._by_value.setdefault(dimension, {}).setdefault(value, []).append((place, budget))
            else:
                self._others.append((place, budget))

    def of(self, call: Described) -> list[Budget]:
        """In the order in which they were given."""
        near = list(self._others)
        for dimension, by_value in self._by_value.items():
            for value in READ[dimension](call):
                near += by_value.get(value, ()) if value is not None else ()
        return [budget for _, budget in sorted(near, key=itemgetter(0)) if counts_in(budget, call)]


def parts_of(budget: Budget, call: Described) -> Iterable[str]:
    """The parts of the budget that the call counts in: one, or one for each of its tags."""
    if budget.each is None:
        return (WHOLE,)
    return [NOBODY if value is None else value for value in READ[budget.each](call)]


def named(part: str) -> str | None:
    """A part for people; None: it is the whole."""
    return None if part == WHOLE else "(none)" if part == NOBODY else part
