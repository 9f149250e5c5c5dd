"""Who hears of alerts: a webhook, Slack, a mailbox, a function of the app. Each attempt has a bound."""

import hashlib
import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from decimal import DefaultContext, localcontext
from email.message import EmailMessage
from typing import Any, NamedTuple, Protocol

from usage_tracker.addresses import Address, Secret, is_loopback
from usage_tracker.config import Settings
from usage_tracker.guard import guarded
from usage_tracker.outgoing import STEP_SECONDS, NotSent, connected, post, reason_of

Message = dict[str, Any]
"""What an alert says, as JSON has it; `text` is a sentence for people, `id` the same in every attempt."""


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
    """POST of the message as JSON, signed where there is a secret."""

    name: str
    shown: str
    address: Address
    secret: Secret | None

    def send(self, message: Message) -> None:
        body = json.dumps(message, separators=(",", ":")).encode()
        deliver(self.address, body, {"X-Usage-Tracker-Id": message["id"]}, self.secret)


class Slack(NamedTuple):
    """An incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks"""

    name: str
    shown: str
    address: Address

    def send(self, message: Message) -> None:
        text = message["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        deliver(self.address, json.dumps({"text": text}).encode(), {})


def deliver(address: Address, body: bytes, headers: dict[str, str], secret: Secret | None = None) -> None:
    """Raises NotSent where it isn't taken."""
    answer = post(address, body, headers, secret)
    if not answer.taken:
        raise NotSent(f"{address.shown} answered {answer.status}", answer.after)


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
            raise NotSent(f"{self.shown} can't be reached ({reason_of(error)})") from None
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
