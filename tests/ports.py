"""Ports of the loopback for servers that are told theirs when they start, or start there again."""

import random
import socket
from contextlib import suppress

# Linux gives servers that choose none, and all connections, ports from 32768 on; other systems from 49152 on.
GIVEN_TO_NOBODY = range(10_000, 32_000)


def free_port() -> int:
    """One on which nobody listens, nor will before its server does: other tests choose at random as well."""
    chance = random.SystemRandom()  # what pytest-randomly seeds says the same in each of its workers
    while True:
        port = chance.choice(GIVEN_TO_NOBODY)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
