"""What a collector gets over OTLP: GenAI's metrics, whose sums equal the store however often they are sent."""

import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from certificates import certificate
from feeding import begin, feed, stored
from made_events import made_event, random_event, store_events
from migrated import migrated
from msgspec.structs import replace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import (
    GenAiOperationNameValues,
    GenAiProviderNameValues,
)
from ports import free_port
from receivers import Receiver

from usage_tracker.providers import openai
from usage_tracker.sinks import NotTaken, otlp, refusals, series, standings
from usage_tracker.sinks.session import ReceiverSession
from usage_tracker.stores import Store


@pytest.fixture
def collector(receiver: Receiver) -> Receiver:
    return receiver


@pytest.fixture
def store() -> Iterator[Store]:
    with migrated("sqlite:///:memory:") as opened:
        yield opened


def points(collector: Receiver) -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """Of the last request: app, metric, attributes and point."""
    path, headers, body = collector.posts[-1]
    assert (path, headers["content-type"]) == ("/v1/metrics", "application/x-protobuf")
    request = ExportMetricsServiceRequest.FromString(body)
    for resource in request.resource_metrics:
        [app] = [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
        for scope in resource.scope_metrics:
            assert scope.scope.name == "usage_tracker"
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                assert data.aggregation_temporality == 2  # cumulative
                for point in data.data_points:
                    yield (
                        app,
                        metric.name,
                        {each.key: each.value.string_value or each.value.bool_value for each in point.attributes},
                        point,
                    )


def sums(collector: Receiver) -> Counter[str]:
    found: Counter[str] = Counter()
    for _, name, attributes, point in points(collector):
        kind = attributes.get("gen_ai.token.type", "")
        if name == "gen_ai.client.token.usage":
            found[f"{kind} tokens"] += int(point.sum)
            found[f"{kind} counted"] += point.count
        elif name == "gen_ai.client.operation.duration":
            found["calls"] += point.count
        elif name == "usage_tracker.cost":
            found["picodollars"] += round(point.as_double * 10**12)
        elif name == "usage_tracker.unpriced":
            found["unpriced"] += point.as_int
    return found


def expected(store: Store) -> Counter[str]:
    events = stored(store).values()
    found: Counter[str] = Counter()
    for kind in ("input", "output"):
        known = [event[f"{kind}_tokens"] for event in events if event[f"{kind}_tokens"] is not None]
        found[f"{kind} tokens"], found[f"{kind} counted"] = sum(known), len(known)
    calls = [event for event in events if event["completes"] is None and event["duration_ms"] is not None]
    found["calls"] = len(calls)
    found["picodollars"] = int(sum(event["cost"] or 0 for event in events) * 10**12)
    found["unpriced"] = sum("unpriced" in event["cost_flags"] for event in events)
    return found


@pytest.mark.parametrize("variable", ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_METRICS_HEADERS"])
@pytest.mark.parametrize(
    ("endpoints", "told"),
    [
        ({}, False),
        ({"": "https://api.example.com"}, False),
        ({"": "http://127.0.0.1:{port}"}, True),
        ({"": "http://127.0.0.1:{port}/other"}, True),
        ({"": "https://127.0.0.1:{port}"}, False),
        ({"": "http://127.0.0.1:{port}", "_METRICS": "https://api.example.com/v1/metrics"}, False),
        ({"": "https://api.example.com", "_METRICS": "http://127.0.0.1:{port}/v1/metrics"}, True),
        ({"": "127.0.0.1:{port}"}, False),
        ({"": "http://127.0.0.1:port"}, False),
    ],
)
def test_the_apps_own_credentials_go_to_its_own_collector_alone(
    store: Store,
    collector: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    endpoints: dict[str, str],
    told: bool,
) -> None:
    monkeypatch.setenv(variable, "api-key=of-the-app,x-tenant=app")
    for signal, endpoint in endpoints.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP{signal}_ENDPOINT", endpoint.format(port=collector.port))
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}?X-Tenant=ours")
    store_events(store, [made_event()])
    feed(feeder)
    assert list(points(collector))
    [(_, headers, _)] = collector.posts
    assert (headers.get("api-key"), headers["x-tenant"]) == ("of-the-app" if told else None, "ours")


@pytest.mark.parametrize("own", [False, True])
def test_the_certificates_of_the_apps_own_collector_are_for_that_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    served, others = (certificate(tmp_path / name, "localhost") for name in ("served", "others"))
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str((others if own else served)[0]))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str((served if own else others)[0]))
    with closing(Receiver(certificate=served)) as collector:
        address = f"https://localhost:{collector.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address if own else "https://api.example.com")
        with closing(begin(store, f"otlp+{address}")) as feeder:
            store_events(store, [made_event()])
            feed(feeder)
        assert list(points(collector))


def test_names_and_attributes_are_those_of_the_conventions(store: Store, collector: Receiver) -> None:
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    store_events(
        store,
        [
            made_event(
                provider="azure",
                base_host="x.openai.azure.com",
                request_model="gpt",
                model="gpt-1",
                project="alpha",
                ttft_ms=20.0,
                status="error",
                error_type="Timeout",
                input_tokens=17,
            )
        ],
    )
    feed(feeder)
    attributes = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "azure.ai.openai", "gen_ai.request.model": "gpt",
        "gen_ai.response.model": "gpt-1", "server.address": "x.openai.azure.com", "usage_tracker.project": "alpha",
    }  # fmt: skip
    found = {(name, *(kind for key, kind in seen.items() if key == "gen_ai.token.type")): (app, seen, point)
             for app, name, seen, point in points(collector)}  # fmt: skip
    assert {key: (app, seen) for key, (app, seen, _) in found.items()} == {
        ("gen_ai.client.token.usage", "input"): ("tests", attributes | {"gen_ai.token.type": "input"}),
        ("gen_ai.client.token.usage", "output"): ("tests", attributes | {"gen_ai.token.type": "output"}),
        ("gen_ai.client.operation.duration",): ("tests", attributes | {"error.type": "Timeout"}),
        ("gen_ai.client.operation.time_to_first_chunk",): ("tests", attributes),
        ("usage_tracker.cost",): ("tests", attributes),
    }
    tokens = found["gen_ai.client.token.usage", "input"][2]
    assert list(tokens.explicit_bounds) == [4.0**power for power in range(14)]
    assert list(tokens.bucket_counts).index(1) == 3, "17 is in (16, 64]"
    duration = found["gen_ai.client.operation.duration",][2]
    assert [duration.explicit_bounds[0], duration.explicit_bounds[-1], duration.sum] == [0.01, 81.92, 0.25]
    assert 0 < duration.start_time_unix_nano < duration.time_unix_nano
    feeder.close()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("chat", "chat"), ("completion", "text_completion"), ("embeddings", "embeddings"), ("responses", "chat")],
)
def test_operations_are_called_as_the_conventions_call_them(
    ours: str, theirs: str, store: Store, collector: Receiver
) -> None:
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    store_events(store, [made_event(operation=ours)])
    feed(feeder)
    assert {attributes["gen_ai.operation.name"] for _, _, attributes, _ in points(collector)} == {theirs}
    feeder.close()


def test_what_a_collector_got_last_equals_the_store(
    store: Store, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "POST_SECONDS", 3.0)  # the exporter itself asks again for as long as an attempt may take
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    chance = random.Random(5)
    for place in range(4):
        store_events(store, [random_event(chance) for _ in range(150)])
        if place == 2:
            collector.answers = [503] * 20
            with pytest.raises(NotTaken, match="answered 503"):
                feeder.step()
            collector.answers = []
            feeder.close()  # and another process goes on
            feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
        feed(feeder)
        found = sums(collector)
        difference = abs(Decimal(found.pop("picodollars")) - Decimal((wanted := expected(store)).pop("picodollars")))
        assert found == wanted
        assert difference <= 10**6, "a double holds 15 digits"
    feeder.close()


def test_money_goes_on_where_a_sum_has_more_than_64_bits(store: Store, collector: Receiver) -> None:
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    for _ in range(3):
        store_events(store, [made_event(cost="9000000"), made_event(cost="0.5")])
        feed(feeder)
    feeder.close()
    [amount] = [point.as_double for _, name, _, point in points(collector) if name == "usage_tracker.cost"]
    assert amount == 27_000_001.5


def test_beyond_a_number_of_series_calls_count_together(
    store: Store, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MOST_SERIES", 6)
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    for _ in range(2):
        store_events(store, [made_event(project=f"p-{number}") for number in range(9)])
        feed(feeder)
    assert sums(collector)["picodollars"] == expected(store)["picodollars"]
    calls = [
        (attributes.get("usage_tracker.project"), attributes.get("otel.metric.overflow"), point.count)
        for _, name, attributes, point in points(collector)
        if name == "gen_ai.client.operation.duration"
    ]
    assert [call[1:] for call in calls] == [(None, 2)] * 6 + [(True, 6)]
    assert len({project for project, *_ in calls}) == 7
    feeder.close()


def test_who_would_forget_is_told_again(store: Store, collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp.OtlpSink, "repeats", 0.0)
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    assert not collector.posts, "there is nothing to tell yet"
    store_events(store, [made_event()])
    feed(feeder)
    first, count = sums(collector), len(collector.posts)
    feed(feeder)
    assert len(collector.posts) == count + 1
    assert sums(collector) == first
    feeder.close()


def test_a_collector_that_is_away_is_tried_again_also_where_the_exporter_raises(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of 1.37 and before it did."""
    session = ReceiverSession()

    def export(*_: object) -> None:
        session.post(f"http://127.0.0.1:{free_port()}", timeout=1)

    monkeypatch.setattr(OTLPMetricExporter, "export", export)
    monkeypatch.setattr(otlp, "OursAlone", lambda headers: session)
    feeder = begin(store, f"otlp://127.0.0.1:{free_port()}")
    store_events(store, [made_event()])
    with pytest.raises(NotTaken, match=r"can't be reached \(ConnectionRefusedError\)"):
        feeder.step()
    assert "can't be reached" in (standings(store)[0].problem or "")
    feeder.close()


def test_a_collector_that_was_away_while_nothing_came_is_well_once_it_is_told_again(
    store: Store, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp.OtlpSink, "repeats", 0.0)
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    store_events(store, [made_event()])
    feed(feeder)
    collector.answers = [400]
    with pytest.raises(NotTaken):
        feeder.step()
    assert "answered 400" in (standings(store)[0].problem or "")
    feed(feeder)
    assert standings(store)[0].problem is None
    feeder.close()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_an_event_that_a_collector_refuses_holds_no_other_one_up(
    store: Store, collector: Receiver, status: int
) -> None:
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    collector.wrong = lambda body: b"unheard-of" in body
    collector.status_of_wrong = status
    wrong = made_event(model="unheard-of", cost="1")
    store_events(store, [*(made_event() for _ in range(5)), wrong, *(made_event() for _ in range(5))])
    with suppress(NotTaken):  # where it is the last one
        feed(feeder)
    store_events(store, [made_event()])
    feed(feeder)
    assert [each.event_id for each in refusals(store, "otlp")] == [str(wrong.event_id)]
    found, wanted = sums(collector), expected(store)
    assert found["calls"] == wanted["calls"] - 1 == 11
    assert found["picodollars"] == wanted["picodollars"] - 10**12
    feeder.close()


def test_sums_never_fall_while_a_collector_takes_now_this_and_now_that(store: Store, collector: Receiver) -> None:
    """Who reads them takes a sum that falls for one that began again at 0, and counts all of it once more."""
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    batch = [made_event(cost=cost) for cost in ("1", "8", "2", "4")]
    store_events(store, [replace(event, event_id=UUID(int=place)) for place, event in enumerate(batch)])
    collector.answers = [400] * 3 + [200, 401]  # four, two, and one by one
    with pytest.raises(NotTaken, match="answered 401"):
        feed(feeder)
    feeder.close()
    successor = begin(store, f"otlp://127.0.0.1:{collector.port}")
    successor.close()
    assert sums(collector) == expected(store)
    told = []
    while collector.posts:
        told.append(sums(collector)["picodollars"])
        collector.posts.pop()
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("same_feeder", [True, False])
def test_the_first_sums_began_when_they_did_also_when_they_are_told_again(
    store: Store, collector: Receiver, same_feeder: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they begin later, who tells changes from sums takes all that is in them for new."""
    monkeypatch.setattr("usage_tracker.sinks.session.ATTEMPT_SECONDS", 0.3)
    with monkeypatch.context() as patch:
        patch.setattr(otlp, "POST_SECONDS", 0.5)
        feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
        store_events(store, [made_event()])
        collector.answers = [-1] * 5
        with pytest.raises(NotTaken):
            feeder.step()
    collector.answers = []
    if not same_feeder:
        feeder.close()
        feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    feed(feeder)
    feeder.close()
    assert len(collector.posts) >= 2
    starts = set()
    while collector.posts:
        starts |= {point.start_time_unix_nano for _, _, _, point in points(collector)}
        collector.posts.pop()
    assert len(starts) == 1


def partly(rejected: int, message: str) -> tuple[str, bytes]:
    """What a collector answers that took a part."""
    said = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    return "application/x-protobuf", ExportMetricsServiceResponse(partial_success=said).SerializeToString()


def test_what_a_collector_takes_only_a_part_of_is_said_in_its_words_without_secrets(
    store: Store, collector: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp.OtlpSink, "repeats", 0.0)
    address = f"otlp://someone:pass-word@127.0.0.1:{collector.port}/tenant-9/v1/metrics?Other=Bearer%20k-123"
    feeder = begin(store, address)
    store_events(store, [made_event()])
    collector.said = partly(3, f"label too long\x1b[2J\n(k-123, pass-word, /tenant-9/v1/metrics): {'x' * 9000}")
    feed(feeder)
    [standing] = standings(store)
    assert (standing.events, standing.waiting) == (1, 0), "it is not to be sent again, by OTLP's specification"
    problem = standing.problem or ""
    assert problem.startswith(
        f"otlp://127.0.0.1:{collector.port}/… left out 3 of the data points: label too long [2J (…, …, …): xxx"
    )
    assert len(problem) < 300
    assert [record.message for record in caplog.records] == [f"the sink otlp lacks a part: {problem}"]
    feed(feeder)  # what is told again, where nothing has come
    assert standings(store)[0].problem == problem
    collector.said = partly(0, "")
    feed(feeder)
    assert standings(store)[0].problem is None
    store_events(store, [made_event()])
    collector.said = partly(1, "")
    assert feeder.step()
    assert standings(store)[0].problem == f"otlp://127.0.0.1:{collector.port}/… left out 1 of the data points"
    collector.said = ("application/json", b"{}")
    store_events(store, [made_event()])
    assert feeder.step()
    assert standings(store)[0].problem is None
    assert len(caplog.records) == 1
    feeder.close()


def test_why_a_collector_takes_nothing_is_said_by_us_alone(
    store: Store, collector: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenTelemetry's exporter tells each attempt and, as 1.35 does, what was answered, which may repeat a secret."""
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}?authorization=Bearer%20k-123")
    store_events(store, [made_event()])
    collector.said = "application/x-protobuf", b"a wrong token: Bearer k-123"
    collector.answers = [401, 401, 503, 503, 503, 503, 503]
    for _ in range(3):
        with pytest.raises(NotTaken):
            feeder.step()
    assert [record.name for record in caplog.records] == ["usage_tracker"]
    feeder.close()
    logging.getLogger(OTLPMetricExporter.__module__).error("of the app's own")
    assert caplog.messages[-1] == "of the app's own"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xff", partly(-5, "x")[1], partly(0, "a hint")[1]])
def test_what_says_of_no_part_that_it_was_left_out_is_no_problem(
    store: Store, collector: Receiver, content: bytes
) -> None:
    collector.said = ("application/x-protobuf", content)
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    store_events(store, [made_event()])
    feed(feeder)
    [standing] = standings(store)
    assert (standing.events, standing.problem) == (1, None)
    feeder.close()


def test_headers_and_paths_come_from_the_address(store: Store, collector: Receiver) -> None:
    feeder = begin(store, f"otlp://u:p@127.0.0.1:{collector.port}/otlp/v1/metrics?x-scope-orgid=team")
    store_events(store, [made_event()])
    feed(feeder)
    path, headers, _ = collector.posts[-1]
    assert path == "/otlp/v1/metrics"
    assert (headers["x-scope-orgid"], headers["authorization"]) == ("team", "Basic dTpw")
    feeder.close()


@pytest.mark.parametrize(
    ("said", "provider", "operation"),
    [
        ({"operation": "completion"}, "openai", "text_completion"),
        ({"operation": "responses", "provider": "azure"}, "azure.ai.openai", "chat"),
        ({"operation": "embeddings", "provider": "moonshotai"}, "moonshot_ai", "embeddings"),
        ({"operation": "image", "provider": None}, "openai", "image"),
        ({"operation": "chat", "provider": None, "sdk": "google-genai"}, "gcp.gen_ai", "chat"),
        ({"operation": "chat", "provider": None, "sdk": "record"}, "unknown", "chat"),
    ],
)
def test_every_call_has_a_provider_and_an_operation_by_the_names_of_the_conventions(
    store: Store, collector: Receiver, said: dict[str, Any], provider: str, operation: str
) -> None:
    feeder = begin(store, f"otlp://127.0.0.1:{collector.port}")
    store_events(store, [made_event(**said)])
    feed(feeder)
    feeder.close()
    found = [attributes for _, _, attributes, _ in points(collector)]
    names = {(each["gen_ai.provider.name"], each["gen_ai.operation.name"]) for each in found}
    assert names == {(provider, operation)}


def test_the_names_are_those_of_the_registry() -> None:
    known = {each.value for each in GenAiProviderNameValues}
    assert set(series.PROVIDERS.values()) - known <= {"moonshot_ai"}, "which is newer than the package"
    assert set(series.OPERATIONS.values()) <= {each.value for each in GenAiOperationNameValues}
    assert set(series.OPERATIONS) <= set(openai.OPERATIONS.values())
