"""A process that ships for its leader, which starts it: `python -m usage_tracker.cli.crew_member N [once]`; see
`usage_tracker.cli.crew`."""

import os
import select
import sys
import time
from contextlib import suppress

from usage_tracker.cli.crew import Word, encode
from usage_tracker.cli.garbage import Garbage
from usage_tracker.config import load_usable
from usage_tracker.errors import StoreError
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.pipeline import make_shipper
from usage_tracker.shipper import Shipper
from usage_tracker.shipping import back_off


class Leader:
    """The leader, as this process has it."""

    def __init__(self, orders: int, words: int) -> None:
        self._orders = orders
        self._words = words
        self._said = Word()
        self.gone = False
        """Whether it is to end here: the leader wants so, or is no more."""

    def listen(self, seconds: float) -> None:
        """Wait until it rings, for so long at most."""
        poll = select.poll()
        poll.register(self._orders, select.POLLIN)
        if poll.poll(seconds * 1000):
            self.gone = not os.read(self._orders, 4096)

    def wait_for_end(self, seconds: float) -> None:
        """As `listen`, whether it rings or not."""
        until = time.monotonic() + seconds
        while not self.gone and (left := until - time.monotonic()) > 0:
            self.listen(left)

    def tell(self, stored: int, waits: str | None = None) -> None:
        """What is new."""
        word = Word(stored, waits)
        if word != self._said:
            self._said = word
            with suppress(OSError):
                os.write(self._words, encode(word) + b"\n")


def ship_for(leader: Leader, shipper: Shipper, pause: float, *, once: bool) -> None:
    """Ship until the leader ends or, `once`, what is there."""
    failures = 0
    with Garbage() as garbage:
        while not leader.gone:
            garbage.collect()
            try:
                more = shipper.step()
            except (StoreError, SpoolUnusable, OSError) as error:
                if once:  # the leader finds out, and says so
                    return
                failures += 1
                leader.tell(shipper.stored, str(error))
                leader.wait_for_end(back_off(failures))
            else:
                failures = 0
                leader.tell(shipper.stored)
                if once and not more:
                    return
                leader.listen(0.0 if more else pause)


def main() -> None:
    settings, _ = load_usable(ship=True)  # the leader says what is left out
    assert settings.dsn is not None
    shipper = make_shipper(settings, settings.dsn, processes=int(sys.argv[1]))
    leader = Leader(sys.stdin.fileno(), sys.stdout.fileno())
    ship_for(leader, shipper, settings.batch_seconds, once="once" in sys.argv)
    with suppress(StoreError, OSError):
        shipper.step()
    shipper.close()
    leader.tell(shipper.stored)


if __name__ == "__main__":
    main()
