"""How much was used in the last minute: what counts against a limit of the rate."""

MINUTE = 60


def sliding(previous: int, current: int, now: float) -> float:
    """What the last minute has used, of the sums of the minute of the clock and the one before, taken as even:
    https://blog.cloudflare.com/counting-things-a-lot-of-different-things/"""
    return current + previous * (MINUTE - now % MINUTE) / MINUTE


class Rate:
    """One part's, in this process. Its owner has a lock."""

    __slots__ = ("_current", "_minute", "_previous")

    def __init__(self) -> None:
        self._minute = 0
        self._current = 0
        self._previous = 0

    def used(self, now: float) -> float:
        self._move(now)
        return sliding(self._previous, self._current, now)

    def add(self, amount: int, now: float) -> None:
        self._move(now)
        self._current += amount

    def give_back(self, amount: int, then: float) -> None:
        """What was added then, and not used."""
        minute = int(then // MINUTE)
        if minute == self._minute:
            self._current -= amount
        elif minute == self._minute - 1:
            self._previous -= amount

    def _move(self, now: float) -> None:
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._previous = self._current if minute == self._minute + 1 else 0
            self._minute, self._current = minute, 0
