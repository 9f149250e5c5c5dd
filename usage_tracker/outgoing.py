"""What is sent to addresses that users name: each attempt has a bound, and none goes to what can't be a receiver."""

import hashlib
import hmac
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from usage_tracker.addresses import Address, Secret, forbidden, is_loopback
from usage_tracker.errors import UsageTrackerError

ATTEMPT_SECONDS = 10.0
"""A receiver that takes longer is tried again later."""
STEP_SECONDS = 5.0
SIGNATURE = "X-Usage-Tracker-Signature"
"""`t=SECONDS,v1=HMAC`: SHA-256 of the seconds, a dot and the body, keyed by the secret, in hexadecimal."""
CLOSED = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)
"""What sending raises to whom nobody listens any more: who doesn't want all of a post has answered before."""


class NotSent(UsageTrackerError):
    """Why a receiver did not take something."""

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds, where the receiver said when to come again."""


class Answer(NamedTuple):
    """What a receiver made of a post."""

    status: int
    after: float | None
    """Seconds, where it says when to come again."""

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300


def post(address: Address, body: bytes, headers: Mapping[str, str], secret: Secret | None = None) -> Answer:
    """Post JSON, signed where there is a secret. Redirects are not followed. Raises NotSent where nothing answers."""
    said = {"Content-Type": "application/json", "User-Agent": "usage-tracker", **headers}
    if secret:
        said[SIGNATURE] = sign(secret, body, int(time.time()))
    try:
        with connected(address) as wire:
            connection = http.client.HTTPConnection(address.host, address.port)
            connection.sock = wire
            with suppress(*CLOSED):
                connection.request("POST", str(address.path), body, said)
            with closing(connection.getresponse()) as answer:
                return Answer(answer.status, retry_after(answer.getheader("Retry-After")))
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{address.shown} can't be reached ({reason_of(error)})") from None


def reason_of(error: BaseException) -> str:
    """Why a receiver can't be reached, by what an error has come of and without secrets: its own words may repeat
    an address."""
    cause = error.__cause__ or error.__context__
    if isinstance(cause, Exception) and not isinstance(cause, UsageTrackerError):
        return reason_of(cause)
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return type(error).__name__


def sign(secret: str, body: bytes, seconds: int) -> str:
    """The value of SIGNATURE."""
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={mac}"


def retry_after(said: str | None) -> float | None:
    """Seconds by the header `Retry-After`, a number of them or a date. None where it says nothing."""
    if said is None:
        return None
    if said.isascii() and said.isdecimal():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


@contextmanager
def connected(address: Address) -> Iterator[socket.socket]:
    """A connection to one of the addresses that the name has now, each checked, cut after ATTEMPT_SECONDS. Raises
    OSError and NotSent."""
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    numbers = [str(place[0]) for *_, place in found]
    for number in numbers:
        if (why := forbidden(number)) is not None:
            raise NotSent(f"{address.shown}: {why}")
        if address.scheme in ("http", "smtp") and is_loopback(address.host) and not is_loopback(number):
            raise NotSent(f"{address.shown} is not on this machine")
    with reached(numbers, address.port) as wire, cut_after(ATTEMPT_SECONDS, wire.dup()):
        if address.scheme in ("https", "smtps"):
            with ssl.create_default_context().wrap_socket(wire, server_hostname=address.host) as encrypted:
                yield encrypted
        else:
            yield wire


def reached(numbers: list[str], port: int) -> socket.socket:
    """A connection to the first of them that takes one, within ATTEMPT_SECONDS. Raises OSError."""
    deadline = time.monotonic() + ATTEMPT_SECONDS
    while True:
        number, *numbers = numbers
        left = deadline - time.monotonic()
        try:
            return socket.create_connection((number, port), min(STEP_SECONDS, left))
        except OSError:
            if not numbers or time.monotonic() >= deadline:
                raise


@contextmanager
def cut_after(seconds: float, wire: socket.socket) -> Iterator[None]:
    """End a connection unless the block is through by then. `wire`: a duplicate of its socket, which is closed: the
    socket itself is another one once it speaks TLS."""
    with wire:
        timer = threading.Timer(seconds, cut, [wire])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def cut(wire: socket.socket) -> None:
    with suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)
