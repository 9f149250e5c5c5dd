"""How what may go wrong again and again is said once in a while."""

import time

MINUTE = 60.0
HOUR = 3600.0


class Seldom:
    """Something that is said now and then: `if warning.due(): logger.warning(…)`."""

    __slots__ = ("_quiet_until", "_seconds")

    def __init__(self, seconds: float = MINUTE) -> None:
        """`seconds`: how long it isn't said again."""
        self._seconds = seconds
        self._quiet_until = 0.0

    def due(self) -> bool:
        """Whether to say it now; who asks is taken to do so."""
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + self._seconds
        return True
