"""A topic of Kafka, by confluent-kafka: an event is a message of JSON under the event's id.

The producer is idempotent, so its own retries double nothing. A feeder that dies sends its last parcel again: those who
must not count an event twice look at its key.
"""

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from usage_tracker.addresses import Secret
from usage_tracker.descriptors import Witness, never_free
from usage_tracker.sink_addresses import SinkAddress, bracketed
from usage_tracker.sinks.event_json import event_json
from usage_tracker.sinks.opening import check_addresses
from usage_tracker.sinks.sink import ATTEMPT_SECONDS, NotTaken, Parcel, Refused

quiet = logging.getLogger("usage_tracker.kafka")
quiet.setLevel(logging.CRITICAL + 1)


class KafkaSink:
    """See Sink."""

    most = 2000
    repeats = None
    remark = None

    def __init__(self, address: SinkAddress, secret: Secret | None) -> None:
        self._address = address
        self._topic = address.bare_path.removeprefix("/")
        self._producer: Producer | None = None
        self._witness: Witness | None = None
        self._heard: dict[str, None] = {}
        """What the client meets with in an attempt: names of errors, in their order."""

    def _open(self) -> Producer:
        address = self._address
        settings: dict[str, Any] = {
            "bootstrap.servers": ",".join(f"{bracketed(host)}:{port}" for host, port in address.hosts),
            "client.id": "usage-tracker",
            "enable.idempotence": True,
            "message.timeout.ms": int(ATTEMPT_SECONDS * 750),
            "compression.type": "zstd",
            "linger.ms": 5,
        }
        if address.user is not None:
            settings |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "PLAIN",
                "sasl.username": str(address.user),
                "sasl.password": str(address.password or ""),
            }
        settings |= {name: str(value) for name, value in address.options}
        try:
            return Producer({**settings, "error_cb": self._hear}, logger=quiet)
        except (KafkaException, TypeError, ValueError):
            raise NotTaken(f"{address.shown}: Kafka's client refuses an option of the address") from None

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        if self._witness is not None and self._witness.is_lost():
            self.close()
        if self._producer is None:
            check_addresses(self._address)
            self._producer = self._open()
            self._witness = Witness()
        self._heard.clear()
        failed: list[KafkaError] = []

        def noted(error: KafkaError | None, message: object) -> None:
            if error is not None:
                failed.append(error)

        try:
            for event in parcel.events:
                self._producer.produce(self._topic, event_json(event), event["event_id"], on_delivery=noted)
            left = self._producer.flush(ATTEMPT_SECONDS)
        except KafkaException as error:
            self.close()
            raise refusal(error.args[0])(
                f"{self._address.shown} does not take messages ({error.args[0].name()})"
            ) from None
        except BufferError:
            self.close()
            raise NotTaken(f"{self._address.shown} does not take messages") from None
        if left or failed:
            count, why = left + len(failed), failed[0].name() if failed else "no answer in time"
            why = ", ".join(dict.fromkeys((why, *self._heard)))
            self.close()
            raise refusal(*failed)(
                f"{self._address.shown} did not take {count} of {len(parcel.events)} messages ({why})"
            )
        return state

    def _hear(self, error: KafkaError) -> None:
        self._heard.setdefault(error.name())

    def rest(self) -> None:
        self.close()

    def close(self) -> None:
        """Where the app has closed its descriptors, by their numbers, closing it would close files of the app."""
        if self._witness is not None and self._witness.is_lost():
            never_free(self._producer)
        elif self._producer is not None:
            self._producer.purge()
            self._producer.flush(1.0)
        if self._witness is not None:
            self._witness.close()
        self._producer = self._witness = None


def refusal(*errors: KafkaError) -> type[NotTaken]:
    """A message may be too large, or as many as go into one batch; or the topic's schema has no room for it."""
    wrong = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)
    return Refused if any(error.code() in wrong for error in errors) else NotTaken
