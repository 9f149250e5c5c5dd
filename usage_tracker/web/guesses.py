"""Wrong tokens, and how many an address may send: a proxy or an office is one address, so that a valid one is let in
whatever its neighbours send, and guessing is bounded all the same."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

FAILURES = 5
"""Wrong ones of a minute that are told to be wrong; what more come are told to wait."""
MOST_GUESSES = 1000
"""Different ones of a minute; of an address that sends more, none is looked at before the minute has passed."""
MINUTE = 60.0
MOST_PEERS = 10_000
MOST_WRONG = 10_000
"""Wrong ones that are remembered. A program that goes on with an old token has guessed once, however often it asks."""


class TooManyFailures(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__("too many failed logins; try again in a minute")
        self.seconds = seconds


@dataclass(slots=True)
class Minute:
    """What an address has sent since its first failure."""

    ends: float
    failures: int = 0
    guesses: int = 0


class Guesses:
    """What was wrong of late, by address; both are bounded, and the oldest goes."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[str, Minute] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._key = secrets.token_bytes()

    def check(self, peer: str) -> None:
        """Before a token of this address is looked at. Raises TooManyFailures."""
        minute = self._minutes.get(peer)
        if minute is not None and minute.guesses >= MOST_GUESSES and (left := minute.ends - time.monotonic()) > 0:
            raise TooManyFailures(left)

    def refuse(self, word: str, peer: str) -> None:
        """It was wrong. Raises TooManyFailures."""
        minute, now = self._minutes.get(peer), time.monotonic()
        if minute is None or minute.ends <= now:
            minute = self._minutes[peer] = Minute(now + MINUTE)
        self._minutes.move_to_end(peer)
        while len(self._minutes) > MOST_PEERS:
            self._minutes.popitem(last=False)
        minute.failures += 1
        minute.guesses += self._is_new(word)
        if minute.failures > FAILURES:
            raise TooManyFailures(minute.ends - now)

    def _is_new(self, word: str) -> bool:
        wrong, digest = self._wrong, blake2b(word.encode(), key=self._key, digest_size=16).digest()
        is_new = digest not in wrong
        wrong[digest] = None
        wrong.move_to_end(digest)
        while len(wrong) > MOST_WRONG:
            wrong.popitem(last=False)
        return is_new
