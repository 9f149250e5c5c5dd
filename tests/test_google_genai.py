"""The google-genai SDK: one event for each request to a model, whoever makes it; the app has what it would have had."""

import asyncio
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from budgeted import budget, known
from gemini_server import USAGE
from google.genai import errors, types
from google_clients import KEY, MODEL, QUIET, Google, google, has, since

import usage_tracker
from usage_tracker import tracker
from usage_tracker.demo.exchange import Reply

__all__ = ["google"]

pytestmark = QUIET

ASKED: dict[str, Any] = {"model": MODEL, "contents": "Say hello."}


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


TOOLS = types.GenerateContentConfig(tools=[weather])


def test_a_call_has_its_tokens_models_ids_and_times(google: Google) -> None:
    answer = google.client.models.generate_content(**ASKED)
    origin, event = google.one_call()
    usage = event.usage
    assert (usage.input_tokens, usage.output_tokens) == (29, 17)
    assert (usage.cache_read_tokens, usage.reasoning_tokens, usage.tool_tokens) == (7, 5, 4)
    assert (usage.input_audio_tokens, usage.output_audio_tokens) == (10, None)
    assert event.raw == USAGE
    assert (event.operation, event.request_model, event.model) == ("chat", MODEL, answer.model_version)
    assert (event.response_id, event.service_tier) == ("answer-1", "standard")
    assert (event.status, event.http_status, event.attempts, event.streamed) == ("ok", 200, 1, False)
    assert event.duration_ms > 0
    assert (origin.sdk, origin.provider, origin.base_host) == ("google-genai", "gemini", "127.0.0.1")


def test_an_async_call_is_the_same(google: Google) -> None:
    google.asks(lambda client: client.models.generate_content(**ASKED))
    event = google.one()
    assert (event.usage.input_tokens, event.usage.output_tokens, event.response_id) == (29, 17, "answer-1")
    assert (event.status, event.http_status, event.attempts) == ("ok", 200, 1)


def test_nothing_of_what_was_said_is_kept(google: Google) -> None:
    answer = google.client.models.generate_content(**ASKED)
    kept = repr(google.one_call())
    assert "Say hello" not in kept
    assert answer.text not in kept
    assert KEY[:-4] not in kept


def test_a_key_is_kept_as_a_fingerprint(google: Google) -> None:
    google.client.models.generate_content(**ASKED)
    assert str(google.one_call()[0].api_key).endswith("…wxyz")


def test_vertex_is_the_provider_whatever_its_host(google: Google) -> None:
    google.vertex.models.generate_content(**ASKED)
    assert google.one_call()[0].provider == "vertex"


def test_a_request_may_have_a_base_url_of_its_own(google: Google) -> None:
    elsewhere = types.HttpOptions(base_url=google.server.url.replace("127.0.0.1", "localhost"))
    config = types.GenerateContentConfig(http_options=elsewhere)
    google.client.models.generate_content(**ASKED, config=config)
    assert google.one_call()[0].base_host == "localhost"


@since(1, 2)
def test_labels_say_who_a_call_is_for(google: Google) -> None:
    labels = types.GenerateContentConfig(labels={"team": "search", "job": "7"})
    with usage_tracker.attribute(project="alpha", tags=["tier:pro"]):
        google.vertex.models.generate_content(**ASKED, config=labels)
    origin, _ = google.one_call()
    assert (origin.project, origin.team) == ("alpha", "search")
    assert set(origin.tags) == {"tier:pro", "job:7"}


def test_the_service_tier_may_stand_in_a_header_or_be_a_kind_of_traffic(google: Google) -> None:
    google.server.usage = {"promptTokenCount": 5, "totalTokenCount": 5}
    google.server.headers = {"x-gemini-service-tier": "priority"}
    google.client.models.generate_content(**ASKED)
    told = google.one().service_tier
    google.server.usage = {"promptTokenCount": 5, "trafficType": "PROVISIONED_THROUGHPUT"}
    google.client.models.generate_content(**ASKED)
    assert told == ("priority" if has(1, 2) else None)  # before, the SDK's function gave no headers
    assert google.one().service_tier == "provisioned_throughput"


def test_searches_are_counted_empty_and_repeated_ones_left_out(google: Google) -> None:
    google.server.grounding = {"webSearchQueries": ["", "weather paris", "weather paris", "news"]}
    google.client.models.generate_content(**ASKED)
    assert google.one().usage.units == {"searches": 2}


CALLS: dict[str, Any] = {
    "chat": lambda client: client.models.generate_content(**ASKED),
    "embeddings": lambda client: client.models.embed_content(model="gemini-embedding-001", contents="Hello"),
    "batch": lambda client: client.batches.create(model=MODEL, src="files/asked"),
    "cache": lambda client: client.caches.create(
        model=MODEL, config=types.CreateCachedContentConfig(contents="A long text.", ttl="3600s")
    ),
    "video": lambda client: client.models.generate_videos(
        model="veo-3.1", prompt="A cat", config=types.GenerateVideosConfig(duration_seconds=8, number_of_videos=2)
    ),
}
SINCE = {"batch": (1, 24), "video": (1, 10)}
OPERATIONS = [pytest.param(operation, marks=since(*SINCE.get(operation, (1, 0)))) for operation in CALLS]


def client_for(google: Google, operation: str) -> Any:
    """Videos are made by Vertex only, from 3.0 on."""
    return google.vertex if operation == "video" else google.client


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_gives_one_event(google: Google, operation: str) -> None:
    client = client_for(google, operation)
    CALLS[operation](client)
    event = google.one()
    assert (event.operation, event.status, event.http_status) == (operation, "ok", 200)
    google.asks(CALLS[operation], client)
    assert google.one().usage == event.usage


def test_embeddings_are_counted_in_tokens(google: Google) -> None:
    CALLS["embeddings"](google.client)
    usage = google.one().usage
    assert (usage.input_tokens, usage.output_tokens, usage.units) == (6, None, None)


def test_embeddings_by_vertex_are_counted_in_tokens_and_characters(google: Google) -> None:
    google.vertex.models.embed_content(model="text-embedding-005", contents=["Hello", "world"])
    event = google.one()
    assert (event.operation, event.usage.input_tokens, event.usage.units) == ("embeddings", 6, {"characters": 11})


def test_images_are_counted_as_far_as_they_were_delivered(google: Google) -> None:
    config = types.GenerateImagesConfig(number_of_images=3)
    google.vertex.models.generate_images(model="imagen-4.0-generate-001", prompt="A cat", config=config)
    event = google.one()
    assert (event.operation, event.usage.units, event.usage.input_tokens) == ("image", {"images": 2}, None)


IMAGE = types.Image(image_bytes=b"png", mime_type="image/png")
MAKING: dict[str, Any] = {
    "generate": lambda models: models.generate_images(model="imagen-4.0-generate-001", prompt="A cat"),
    "edit": lambda models: models.edit_image(
        model="imagen-3.0-capability-001",
        prompt="A hat",
        reference_images=[types.RawReferenceImage(reference_id=1, reference_image=IMAGE)],
    ),
    "upscale": lambda models: models.upscale_image(
        model="imagen-4.0-upscale-preview", image=IMAGE, upscale_factor="x2"
    ),
    "recontext": lambda models: models.recontext_image(
        model="imagen-product-recontext-preview-06-30", source=types.RecontextImageSource(person_image=IMAGE)
    ),
    "segment": lambda models: models.segment_image(
        model="image-segmentation-001", source=types.SegmentImageSource(image=IMAGE)
    ),
}


@since(1, 40)
@pytest.mark.parametrize("way", MAKING)
def test_every_way_of_making_images_gives_one_event(google: Google, way: str) -> None:
    MAKING[way](google.vertex.models)
    event = google.one()
    assert (event.operation, event.status, event.usage.units) == ("image", "ok", {"images": 1})


@since(1, 10)
def test_videos_are_counted_in_the_seconds_that_were_asked_for(google: Google) -> None:
    CALLS["video"](google.vertex)
    assert google.one().usage.units == {"seconds": 16}


def test_a_cache_is_no_input_of_a_model(google: Google) -> None:
    CALLS["cache"](google.client)
    event = google.one()
    assert (event.usage.input_tokens, event.usage.cache_write_tokens) == (None, None)
    assert event.usage.units == {"cached_tokens": 5000}


def test_counting_tokens_is_no_call(google: Google) -> None:
    google.client.models.count_tokens(**ASKED)
    google.asks(lambda client: client.models.count_tokens(**ASKED))
    assert google.all() == []


@since(1, 24)
def test_a_batch_awaits_what_it_used_and_brings_it_when_it_has_ended(google: Google) -> None:
    batch = CALLS["batch"](google.client)
    started = google.one()
    assert (started.awaits, started.usage.input_tokens, started.service_tier) == ("batches/b1", None, "batch")
    google.client.batches.get(name=batch.name)
    assert google.all() == []
    google.server.at_work = False
    google.client.batches.get(name=batch.name)
    parts = google.events()
    assert [(part.completes, part.response_id) for part in parts] == [("batches/b1", f"part-{i}") for i in range(3)]
    assert {(part.usage.input_tokens, part.usage.output_tokens, part.operation) for part in parts} == {
        (29, 17, "batch")
    }
    google.asks(lambda client: client.batches.get(name=batch.name))
    assert google.all() == []


@since(1, 24)
def test_a_batch_whose_answers_lie_in_a_file_brings_them_when_that_is_downloaded(google: Google) -> None:
    google.server.at_work, google.server.in_a_file = False, True
    assert google.client.files.download(file="files/answers-1")
    assert google.all() == []  # of what batch it is, nobody knows
    file = google.client.batches.get(name="batches/b1").dest.file_name
    assert google.all() == []
    assert google.client.files.download(file=file).count(b"\n") == 4
    parts = google.events()
    assert [(part.completes, part.response_id) for part in parts] == [("batches/b1", f"part-{i}") for i in range(3)]
    assert {(part.usage.input_tokens, part.operation, part.http_status) for part in parts} == {(29, "batch", 200)}


@since(3, 4)
def test_a_batchs_file_may_be_downloaded_into_a_file(google: Google, tmp_path: Path) -> None:
    google.server.at_work, google.server.in_a_file = False, True

    async def download(client: Any) -> None:
        file = (await client.batches.get(name="batches/b1")).dest.file_name
        await client.files.download(file=file, destination=tmp_path / "answers.jsonl")

    google.asks(download)
    assert len(google.events()) == (tmp_path / "answers.jsonl").read_text().count("responseId") == 3


@since(1, 24)
def test_a_batch_of_vertex_awaits_too(google: Google) -> None:
    config = types.CreateBatchJobConfig(dest="gs://there/answers")
    google.vertex.batches.create(model=MODEL, src="gs://here/asked.jsonl", config=config)
    assert google.one().awaits == "projects/p/locations/l/batchPredictionJobs/7"


def test_automatic_function_calling_is_one_event_for_each_request(google: Google) -> None:
    google.client.models.generate_content(**ASKED, config=TOOLS)
    assert [event.response_id for event in google.events()] == ["answer-1", "answer-2"]
    google.asks(lambda client: client.models.generate_content(**ASKED, config=TOOLS))
    assert [event.usage.input_tokens for event in google.events()] == [29, 29]


def test_a_chat_is_one_event_for_each_request(google: Google) -> None:
    chat = google.client.chats.create(model=MODEL, config=TOOLS)
    chat.send_message("And in Paris?")
    assert len(google.events()) == len(google.server.requests) == 2
    google.asks(lambda client: client.chats.create(model=MODEL).send_message("And in Paris?"))
    assert google.one().usage.output_tokens == 17


@since(2, 34)
def test_a_continuation_is_one_event_for_each_request(google: Google) -> None:
    answer = google.client.models.generate_content(model="gemini-continued", contents="Say hello.")
    first, second = google.events()
    assert answer.usage_metadata.prompt_token_count == 50
    assert (first.usage.input_tokens, second.usage.input_tokens) == (29, 29)


@since(1, 29)
def test_a_raw_response_is_counted_like_any_other(google: Google) -> None:
    config = types.GenerateContentConfig(should_return_http_response=True)
    answer = google.client.models.generate_content(**ASKED, config=config)
    assert answer.usage_metadata is None
    assert google.one().usage.input_tokens == 29


def test_a_refused_call_is_an_event_with_its_error(google: Google) -> None:
    google.server.fail_next(2, 429)
    with pytest.raises(errors.ClientError) as raised:
        google.client.models.generate_content(**ASKED)
    event = google.one()
    assert (event.status, event.error_type, event.http_status) == ("error", "ClientError", raised.value.code)
    assert event.usage.input_tokens is None
    with pytest.raises(errors.ClientError):
        google.asks(lambda client: client.models.generate_content(**ASKED))
    assert (event := google.one()).http_status == 429
    assert event.status == "error"


def test_an_answer_that_nobody_can_read_is_an_event(google: Google) -> None:
    google.server.reply = lambda asked: Reply(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(RecursionError):
        google.client.models.generate_content(**ASKED)
    event = google.one()
    # version 1.0 reads it where nobody can see the response
    assert (event.http_status, event.usage.input_tokens) == (200 if has(1, 24) else None, None)


@since(1, 10)
def test_what_was_asked_for_and_not_delivered_is_not_counted(google: Google) -> None:
    google.server.fail_next(1, 500)
    with pytest.raises(errors.ServerError):
        CALLS["video"](google.vertex)
    assert google.one().usage.units is None


def test_a_server_that_can_not_be_reached_is_an_error_without_http_status(google: Google) -> None:
    config = types.GenerateContentConfig(http_options=types.HttpOptions(base_url="http://127.0.0.1:9"))
    with pytest.raises(Exception, match=r"[Cc]onnect"):
        google.client.models.generate_content(**ASKED, config=config)
    event = google.one()
    assert (event.status, event.http_status) == ("error", None)


@since(1, 60)
def test_retries_are_one_event_that_counts_its_attempts(google: Google) -> None:
    client = google.make(retry_options=types.HttpRetryOptions(attempts=3, initial_delay=0.001, jitter=0))
    google.server.fail_next(2, 503)
    client.models.generate_content(**ASKED)
    assert (google.one().attempts, len(google.server.requests)) == (3, 3)
    google.server.fail_next(3, 503)
    with pytest.raises(errors.ServerError):
        google.asks(lambda asynchronous: asynchronous.models.generate_content(**ASKED), client)
    event = google.one()
    assert (event.attempts, event.status, event.http_status) == (3, "error", 503)


@since(1, 2)  # before, async calls were threads, which go on
def test_a_cancelled_call_is_cancelled(google: Google) -> None:
    google.server.delay = 5
    with pytest.raises(asyncio.TimeoutError):
        google.asks(lambda client: asyncio.wait_for(client.models.generate_content(**ASKED), 0.2))
    event = google.one()
    assert (event.status, event.error_type) == ("cancelled", "CancelledError")


def test_an_answer_without_usage_is_an_event_that_knows_none(google: Google) -> None:
    google.server.usage = None
    google.client.models.generate_content(**ASKED)
    event = google.one()
    assert (event.status, event.usage.input_tokens, event.usage.output_tokens, event.raw) == ("ok", None, None, None)


def test_the_answer_is_what_it_is_without_us(google: Google) -> None:
    mine = google.client.models.generate_content(**ASKED)
    google.one()
    usage_tracker.uninstall()
    google.server.requests.clear()
    theirs = google.client.models.generate_content(**ASKED)
    assert type(mine) is type(theirs) is types.GenerateContentResponse
    assert mine.model_dump(exclude={"sdk_http_response"}) == theirs.model_dump(exclude={"sdk_http_response"})
    assert pickle.loads(pickle.dumps(mine)) == copy.deepcopy(mine) == mine


@pytest.mark.guarded_errors_expected
def test_an_error_of_ours_is_not_the_apps(
    google: Google, monkeypatch: pytest.MonkeyPatch, guarded_errors: list[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("ours")

    for place in ("operation_of", "read_request", "observe", "usage_of"):
        before = len(guarded_errors)
        with monkeypatch.context() as broken:
            broken.setattr(f"usage_tracker.providers.google_genai.{place}", fail)
            assert google.client.models.generate_content(**ASKED).text
            assert list(google.client.models.generate_content_stream(**ASKED))
        assert len(guarded_errors) > before, place


def test_a_budget_refuses_a_call_before_its_request(google: Google) -> None:
    assert tracker.installed is not None
    tracker.installed.pipeline().enforcing.use(known(budget(), spent="1"))
    models, aio = google.client.models, google.client.aio.models

    async def pull() -> None:
        async for _ in await aio.generate_content_stream(model=MODEL, contents="Hi"):
            pass

    for ask in (
        lambda: models.generate_content(model=MODEL, contents="Hi"),
        lambda: list(models.generate_content_stream(model=MODEL, contents="Hi")),
        lambda: asyncio.run(aio.generate_content(model=MODEL, contents="Hi")),
        lambda: asyncio.run(pull()),
    ):
        with pytest.raises(usage_tracker.BudgetExceeded):
            ask()
    assert google.all() == []
