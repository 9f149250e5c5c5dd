"""A webhook: POST of {"id": …, "events": […]}, signed as alerts are. What is posted again has the same id."""

from usage_tracker.addresses import Address, Secret
from usage_tracker.outgoing import NotSent, post
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.event_json import event_json
from usage_tracker.sinks.sink import NotTaken, Parcel, not_taken


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
        headers = {"Idempotency-Key": parcel.key, "X-Usage-Tracker-Id": parcel.key}
        try:
            answer = post(self._address, body, headers, self._secret)
        except NotSent as reason:
            raise NotTaken(str(reason)) from None
        if not answer.taken:
            raise not_taken(self._address.shown, answer.status, answer.after)
        return state

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """Nothing is kept open."""
