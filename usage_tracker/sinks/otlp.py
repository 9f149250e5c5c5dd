"""Metrics for OpenTelemetry, by its official exporter over OTLP/HTTP. See series."""

import os
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import requests
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from usage_tracker.addresses import Secret
from usage_tracker.sink_addresses import SinkAddress
from usage_tracker.sinks.series import COST, INSTRUMENTS, Attributes, Instrument, Kept, Series, add, pack, unpack
from usage_tracker.sinks.session import ReceiverSession, check_reachable, hush, quiet
from usage_tracker.sinks.sink import NotTaken, Parcel, not_taken

POST_SECONDS = 10.0
PROTOBUF = "application/x-protobuf"
LONGEST_REMARK = 200
SCOPE = InstrumentationScope("usage_tracker")
CUMULATIVE = AggregationTemporality.CUMULATIVE
PLAIN_HEADERS = frozenset(
    ("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "user-agent")
)
"""What an exporter without credentials sends."""

hush(OTLPMetricExporter.__module__)


class OtlpSink:
    """See Sink. An app is a `service.name`."""

    most = 5000
    repeats = 60.0
    """Collectors forget what they are not told for some minutes."""
    remark: str | None = None

    def __init__(self, address: SinkAddress, secret: Secret | None) -> None:
        self._address = address
        path = address.bare_path
        headers = {name: str(value) for name, value in address.options}
        if address.user is not None:
            account = f"{address.user!s}:{address.password or ''!s}"
            headers["Authorization"] = f"Basic {b64encode(account.encode()).decode()}"
        self._session = ReceiverSession(PROTOBUF) if is_apps_own(address, os.environ) else OursAlone(headers)
        self._exporter = OTLPMetricExporter(
            address.base_url + ("/v1/metrics" if path == "/" else path),
            headers=headers,
            timeout=POST_SECONDS,
            session=self._session,
        )

    def send(self, parcel: Parcel, state: bytes | None) -> bytes | None:
        check_reachable(self._address)
        kept = add(unpack(state, time.time_ns()), parcel.events)
        if kept.series:
            self._export(as_metrics(kept, time.time_ns()))
        return pack(kept) if parcel.events or state is None else state

    def _export(self, metrics: MetricsData) -> None:
        """The exporter takes a redirect for success and, up to 1.37, raises where there is no connection. Raises
        NotTaken."""
        taken = False
        self._session.forget()
        with quiet(), suppress(OSError):
            taken = self._exporter.export(metrics) is MetricExportResult.SUCCESS
        if (answer := self._session.answered) is None:
            why = self._session.why or "nothing was sent"
            raise NotTaken(f"{self._address.shown} can't be reached ({why})")
        if not taken or answer.status_code >= 300:
            raise not_taken(self._address.shown, answer.status_code, self._session.after)
        left_out, why = what_was_left_out(answer)
        self.remark = f"{self._address.shown} left out {left_out} of the data points{why}" if left_out else None

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        self._exporter.shutdown()


class OursAlone(ReceiverSession):
    """The exporter adds OTEL_EXPORTER_OTLP_HEADERS, …_CERTIFICATE and …_CLIENT_CERTIFICATE to what we give it: those of
    the app's own collector, and its credentials, which are for nobody else."""

    def __init__(self, headers: Iterable[str]) -> None:
        super().__init__(PROTOBUF)
        self._known = PLAIN_HEADERS.union(name.lower() for name in headers)

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        self.verify, self.cert = True, None
        return super().merge_environment_settings(url, proxies, stream, None, None)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        for name in [name for name in request.headers if name.lower() not in self._known]:
            del request.headers[name]
        return super().send(request, **kwargs)


def is_apps_own(address: SinkAddress, environ: Mapping[str, str]) -> bool:
    """Whether it is where the app's own metrics go, by OpenTelemetry's variables:
    https://opentelemetry.io/docs/specs/otel/protocol/exporter"""
    named = environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    try:
        parts = urlsplit(named or "http://localhost:4318")
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return False
    return (address.transport, *address.hosts) == (parts.scheme, (parts.hostname, port))


def what_was_left_out(answer: requests.Response) -> tuple[int, str]:
    """How many data points a collector did not take of those that it was sent, and why, in its own words but without
    what nobody else may know: https://opentelemetry.io/docs/specs/otlp/#partial-success-1"""
    try:
        said = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    except DecodeError:
        return 0, ""
    why: str = said.error_message
    for secret in secrets_of(answer.request):
        why = why.replace(secret, "…")
    why = " ".join("".join(char if char.isprintable() else " " for char in why).split())[:LONGEST_REMARK]
    return max(0, said.rejected_data_points), f": {why}" if why else ""


def secrets_of(request: requests.PreparedRequest) -> list[str]:
    """What a request holds of them, the longest first."""
    found = {request.path_url}
    for name, value in request.headers.items():
        if name.lower() not in PLAIN_HEADERS:
            text = value if isinstance(value, str) else value.decode("latin-1")
            found.update((text, *text.split()))
            with suppress(ValueError):
                found.update(b64decode(text.removeprefix("Basic "), validate=True).decode().split(":", 1))
    return sorted(found - {""}, key=len, reverse=True)


def as_metrics(kept: Kept, now: int) -> MetricsData:
    apps: dict[str, dict[str, list[tuple[Attributes, Series]]]] = defaultdict(lambda: defaultdict(list))
    for key, series in kept.series:
        apps[key.app][key.instrument].append((key.attributes, series))
    return MetricsData(
        [
            ResourceMetrics(
                Resource({"service.name": app}),
                [
                    ScopeMetrics(
                        SCOPE,
                        [as_metric(INSTRUMENTS[name], found, kept.began_at, now) for name, found in metrics.items()],
                        "",
                    )
                ],
                "",
            )
            for app, metrics in apps.items()
        ]
    )


def as_metric(instrument: Instrument, found: list[tuple[Attributes, Series]], began_at: int, now: int) -> Metric:
    data: Sum | Histogram
    if instrument.bounds is None:
        scale = 10**12 if instrument is COST else 1  # a whole number: then the quotient is the nearest that there is
        data = Sum(
            [
                NumberDataPoint(dict(attributes), began_at, now, series.total / scale if scale != 1 else series.total)
                for attributes, series in found
            ],
            CUMULATIVE,
            is_monotonic=True,
        )
    else:
        data = Histogram(
            [
                HistogramDataPoint(
                    dict(attributes), began_at, now, series.count, series.total, series.buckets,
                    instrument.bounds, series.least, series.most,
                )
                for attributes, series in found
            ],
            CUMULATIVE,
        )  # fmt: skip
    return Metric(instrument.name, instrument.description, instrument.unit, data)
