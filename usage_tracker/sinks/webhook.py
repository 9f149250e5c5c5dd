"""A webhook: POST of {"id": …, "events": […]}, signed as alerts are. What is posted again has the same id."""

import http.client
import time
from contextlib import closing, suppress

from usage_tracker.addresses import Address, Secret
from usage_tracker.budgets.receivers import SIGNATURE, NotSent, connected, retry_after, sign
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.event_json import event_json
from usage_tracker.sinks.sink import CLOSED, NotTaken, Parcel, not_taken


class WebhookSink:
    """See Sink. A receiver that knows ids, of posts or of events, has each event once."""

    most = 500
    repeats = None
    remark = None

    def __init__(self, address: SinkAddress, secret: Secret | None) -> None:
        [(host, port)] = address.hosts
        self._address = Address(address.transport, host, port, address.path)
        self._secret = secret

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        events = b",".join(map(event_json, parcel.events))
        body = b'{"id":"%b","events":[%b]}' % (parcel.key.encode(), events)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "usage-tracker",
            "Idempotency-Key": parcel.key,
            "X-Usage-Tracker-Id": parcel.key,
        }
        if self._secret:
            headers[SIGNATURE] = sign(self._secret, body, int(time.time()))
        self._post(body, headers)
        return state

    def _post(self, body: bytes, headers: dict[str, str]) -> None:
        """Redirects are not followed. Raises NotTaken."""
        address = self._address
        try:
            with connected(address) as wire:
                connection = http.client.HTTPConnection(address.host, address.port)
                connection.sock = wire
                with suppress(*CLOSED):
                    connection.request("POST", str(address.path), body, headers)
                with closing(connection.getresponse()) as answer:
                    status, later = answer.status, answer.getheader("Retry-After")
        except NotSent as reason:
            raise NotTaken(str(reason)) from None
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"{address.shown} can't be reached ({type(error).__name__})") from None
        if not 200 <= status < 300:
            raise not_taken(address.shown, status, retry_after(later))

    def close(self) -> None:
        """Nothing is kept open."""
