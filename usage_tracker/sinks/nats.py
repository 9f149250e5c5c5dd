"""A subject of NATS that a stream of JetStream keeps, by nats-py: an event is a message of JSON, with the event's id.

Within the stream's `duplicate_window` the server refuses what it has; later, those who must not count an event twice
look at `Nats-Msg-Id`.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error, MaxPayloadError
from nats.js.errors import APIError, NoStreamResponseError

from usage_tracker.addresses import Secret
from usage_tracker.descriptors import Witness, never_free
from usage_tracker.outgoing import reason_of
from usage_tracker.sink_addresses import SinkAddress, bracketed
from usage_tracker.sinks.event_json import event_json
from usage_tracker.sinks.opening import check_addresses
from usage_tracker.sinks.sink import ATTEMPT_SECONDS, NotTaken, Parcel, Refused

CONNECT_SECONDS = 5
AT_ONCE = 250
"""Messages on their way together."""
TOO_LARGE = 10054
"""JetStream's number for a message beyond the stream's `max_msg_size`."""


class Unencrypted(Error):
    """A server wants no TLS."""


class EncryptedClient(Client):
    """One that tells its token and all else over TLS alone: where a server wants none, nats-py goes on without it."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise Unencrypted
        return super()._connect_command()


class NatsSink:
    """See Sink."""

    most = 2000
    repeats = None
    remark = None

    def __init__(self, address: SinkAddress, secret: Secret | None) -> None:
        self._address = address
        self._subject = address.bare_path.removeprefix("/")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Any = None
        self._witness: Witness | None = None
        self._heard: list[Exception] = []
        """What the client meets with in an attempt."""

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        shown = self._address.shown
        if self._witness is not None and self._witness.is_lost():
            self.close()
        if self._loop is None:
            check_addresses(self._address)
            self._loop = asyncio.new_event_loop()
            self._witness = Witness()
        self._heard.clear()
        try:
            self._loop.run_until_complete(asyncio.wait_for(self._publish(parcel), ATTEMPT_SECONDS))
        except NoStreamResponseError:
            self.close()
            raise NotTaken(f"{shown} has no stream that keeps the subject {self._subject}; add one") from None
        except (Error, OSError, ValueError) as error:
            self.close()
            raise refusal(error)(f"{shown} did not take messages ({why([error, *self._heard][-1])})") from None
        return state

    async def _publish(self, parcel: Parcel) -> None:
        if self._client is None or not self._client.is_connected:
            await self._connect()
        stream = self._client.jetstream(timeout=ATTEMPT_SECONDS / 2)
        for events in cut(parcel.events):
            await asyncio.gather(
                *(
                    stream.publish(self._subject, event_json(event), headers={"Nats-Msg-Id": event["event_id"]})
                    for event in events
                )
            )

    async def _connect(self) -> None:
        address = self._address
        options: dict[str, Any] = {}
        if address.user is not None and address.password is None:
            options["token"] = str(address.user)
        elif address.user is not None:
            options |= {"user": str(address.user), "password": str(address.password)}
        if address.transport == "tls":
            options["tls"] = ssl.create_default_context()
        self._client = Client() if address.transport == "nats" else EncryptedClient()
        await self._client.connect(
            [f"{address.transport}://{bracketed(host)}:{port}" for host, port in address.hosts],
            name="usage-tracker",
            allow_reconnect=False,
            connect_timeout=CONNECT_SECONDS,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=self._hear,
            **options,
        )

    async def _hear(self, error: Exception) -> None:
        self._heard.append(error)

    def rest(self) -> None:
        """While nobody reads from it, the server would hear no answer to its pings, and close it."""
        self.close()

    def close(self) -> None:
        """Where the app has closed its descriptors, by their numbers, closing it would close files of the app."""
        if self._witness is not None and self._witness.is_lost():
            never_free(self._loop)
            never_free(self._client)
        elif self._loop is not None:
            if self._client is not None:
                with suppress(Error, OSError, asyncio.TimeoutError, AttributeError):  # 2.9 without a connection
                    self._loop.run_until_complete(asyncio.wait_for(self._client.close(), 1.0))
            self._loop.close()
        if self._witness is not None:
            self._witness.close()
        self._loop = self._client = self._witness = None


def refusal(error: Exception) -> type[NotTaken]:
    """A message may be larger than the server, or the stream, lets one be."""
    too_large = isinstance(error, MaxPayloadError) or (isinstance(error, APIError) and error.err_code == TOO_LARGE)
    return Refused if too_large else NotTaken


def why(error: Exception) -> str:
    """What an error says, in words of ours: a server's may repeat a secret."""
    if isinstance(error.__context__, Error):  # the server's refusal, after which it has closed the connection
        return why(error.__context__)
    if isinstance(error, Unencrypted):
        return "it speaks no TLS"
    said = str(error).lower()
    if "authorization" in said or "authentication" in said:
        return "it lets nobody in with that user, password or token"
    if "permissions" in said:
        return "who the address names may not publish there"
    return reason_of(error)


def cut(events: list[Any]) -> list[list[Any]]:
    return [events[start : start + AT_ONCE] for start in range(0, len(events), AT_ONCE)]
