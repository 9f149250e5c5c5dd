"""Who hears of alerts: a webhook, Slack, a mailbox, a function of the app. Each attempt has a bound."""

import hashlib
import hmac
import http.client
import json
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from decimal import DefaultContext, localcontext
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol

from usage_tracker.addresses import Address, Secret, forbidden, is_loopback
from usage_tracker.config import Settings
from usage_tracker.errors import UsageTrackerError
from usage_tracker.guard import guarded

ATTEMPT_SECONDS = 10.0
"""A receiver that takes longer is tried again later."""
STEP_SECONDS = 5.0
SIGNATURE = "X-Usage-Tracker-Signature"

Message = dict[str, Any]
"""What an alert says, as JSON has it; `text` is a sentence for people, `id` the same in every attempt."""


class NotSent(UsageTrackerError):
    """Why a receiver did not take an alert."""

    def __init__(self, sentence: str, after: float | None = None) -> None:
        super().__init__(sentence)
        self.after = after
        """Seconds, where the receiver said when to come again."""


class Receiver(Protocol):
    @property
    def name(self) -> str:
        """A kind and a hash of its address: the same in every process."""

    @property
    def shown(self) -> str:
        """For people, without secrets."""

    def send(self, message: Message) -> None:
        """Raises NotSent."""


class Webhook(NamedTuple):
    """POST of the message as JSON. With a secret, the header is `t=SECONDS,v1=HMAC`: SHA-256 of the seconds, a dot and
    the body, keyed by the secret, in hexadecimal."""

    name: str
    shown: str
    address: Address
    secret: Secret | None

    def send(self, message: Message) -> None:
        body = json.dumps(message, separators=(",", ":")).encode()
        headers = {"X-Usage-Tracker-Id": message["id"]}
        if self.secret:
            headers[SIGNATURE] = sign(self.secret, body, int(time.time()))
        post(self.address, body, headers)


class Slack(NamedTuple):
    """An incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"""

    name: str
    shown: str
    address: Address

    def send(self, message: Message) -> None:
        text = message["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        post(self.address, json.dumps({"text": text}).encode(), {})


class Mail(NamedTuple):
    """SMTP, encrypted unless the server is on this machine."""

    name: str
    shown: str
    server: Address
    sender: str
    to: tuple[str, ...]

    def send(self, message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = " ".join(message["text"].split())[:150]
        mail["From"], mail["To"] = self.sender, ", ".join(self.to)
        mail["Message-ID"] = f"<{message['id']}@usage-tracker>"
        mail.set_content(message["text"] + "\n\n" + json.dumps(message, indent=2) + "\n")
        server = self.server
        try:
            with connected(server) as wire, speaking(server, wire) as smtp:
                if server.user is not None:
                    smtp.login(server.user, str(server.password or ""))
                smtp.send_message(mail)
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"{self.shown} answered {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(f"{self.shown} can't be reached ({type(error).__name__})") from None
        except UnicodeError:
            raise NotSent(f"{self.shown} takes no user, password or address with other letters than ASCII's") from None


class Callback(NamedTuple):
    """A function of the app, called in a background thread of the process that sends; of a coroutine function, with a
    loop of its own."""

    name: str
    shown: str
    function: Callable[[Message], object]

    def send(self, message: Message) -> None:
        done = False
        with localcontext(DefaultContext), guarded("on_alert"):  # as in a thread of the app's
            if hasattr(answer := self.function(message), "__await__"):
                import asyncio

                asyncio.run(awaited(answer))
            done = True
        if not done:
            raise NotSent(f"{self.shown} failed")


async def awaited(answer: Any) -> None:
    await answer


def receivers_of(settings: Settings) -> list[Receiver]:
    found: list[Receiver] = [
        Webhook(named("webhook", address), address.shown, address, settings.alert_secret)
        for address in settings.alert_webhook
    ]
    found += [Slack(named("slack", address), address.shown, address) for address in settings.alert_slack]
    if (server := settings.alert_smtp) is not None:
        name = named("mail", (server.host, *settings.alert_email))
        found.append(Mail(name, server.shown, server, settings.alert_from, settings.alert_email))
    if settings.on_alert is not None:
        function = settings.on_alert
        place = f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', type(function).__name__)}"
        found.append(Callback(named("callback", place), place, function))
    return found


def named(kind: str, address: object) -> str:
    plain = tuple(map(str, address)) if isinstance(address, tuple) else str(address)
    return f"{kind}:{hashlib.blake2b(repr(plain).encode(), digest_size=8).hexdigest()}"


def sign(secret: str, body: bytes, seconds: int) -> str:
    """The value of the header."""
    mac = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={mac}"


def post(address: Address, body: bytes, headers: dict[str, str]) -> None:
    """Raises NotSent for anything but a 2xx: redirects are not followed."""
    try:
        with connected(address) as wire:
            connection = http.client.HTTPConnection(address.host, address.port)
            connection.sock = wire
            said = {"Content-Type": "application/json", "User-Agent": "usage-tracker", **headers}
            connection.request("POST", str(address.path), body, said)
            with closing(connection.getresponse()) as answer:
                status, later = answer.status, answer.getheader("Retry-After")
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{address.shown} can't be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise NotSent(f"{address.shown} answered {status}", retry_after(later))


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


@contextmanager
def speaking(server: Address, wire: socket.socket) -> Iterator[smtplib.SMTP]:
    """SMTP over the connection, encrypted unless it is on this machine."""
    smtp = smtplib.SMTP(timeout=STEP_SECONDS)
    smtp.sock, smtp.file = wire, None
    code, said = smtp.getreply()
    if code != 220:
        raise smtplib.SMTPConnectError(code, said)
    smtp._host = server.host  # type: ignore[attr-defined]  # what `connect` would set: the name of the certificate
    if server.scheme == "smtp" and not is_loopback(server.host):
        smtp.starttls(context=ssl.create_default_context())
    with closing(smtp):  # with STARTTLS, its socket is another one than `wire`
        yield smtp
        with suppress(smtplib.SMTPException, OSError):
            smtp.quit()
