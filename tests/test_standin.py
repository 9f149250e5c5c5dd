"""The stand-in provider answers the real SDK as OpenAI's API would."""

import asyncio
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from usage_tracker.demo.exchange import Reply
from usage_tracker.demo.standin import StandIn

HELLO: Any = [{"role": "user", "content": "Where is my order?"}]
LONG: Any = [{"role": "user", "content": "Goods may be returned within thirty days. " * 200}]


@pytest.fixture
def client(provider: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.base_url, api_key="sk-test") as client:
        yield client


def test_totals_include_their_parts(client: openai.OpenAI) -> None:
    usage = client.chat.completions.create(model="gpt-5", messages=LONG).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.prompt_tokens_details is not None
    assert 0 < (usage.completion_tokens_details.reasoning_tokens or 0) < usage.completion_tokens
    assert 0 <= (usage.prompt_tokens_details.cached_tokens or 0) <= usage.prompt_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_the_same_request_has_the_same_usage_and_another_id(client: openai.OpenAI) -> None:
    first, second = (client.chat.completions.create(model="gpt-4o", messages=LONG) for _ in range(2))
    assert first.usage == second.usage
    assert first.id != second.id


def test_usage_varies_from_request_to_request(client: openai.OpenAI) -> None:
    questions: list[Any] = [[{"role": "user", "content": f"Where is order {number}?"}] for number in range(10)]
    answers = [client.chat.completions.create(model="gpt-4o", messages=question) for question in questions]
    assert len({answer.usage and answer.usage.completion_tokens for answer in answers}) > 5


def test_another_seed_is_another_provider() -> None:
    counts = set()
    for seed in range(5):
        with StandIn(seed=seed) as provider, openai.OpenAI(base_url=provider.base_url, api_key="sk-test") as client:
            usage = client.chat.completions.create(model="gpt-4o", messages=HELLO).usage
            counts.add(usage and usage.completion_tokens)
    assert len(counts) > 1


def test_a_prompt_is_cached_in_steps_and_only_if_it_is_long(client: openai.OpenAI) -> None:
    cached = []
    for number in range(10):
        question: Any = [{"role": "user", "content": f"{number} {LONG[0]['content']}"}]
        usage = client.chat.completions.create(model="gpt-4o", messages=question).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        cached.append(usage.prompt_tokens_details.cached_tokens or 0)
    assert any(cached)
    assert all(count % 128 == 0 for count in cached)
    short = client.chat.completions.create(model="gpt-4o", messages=HELLO).usage
    assert short is not None
    assert short.prompt_tokens_details is not None
    assert short.prompt_tokens_details.cached_tokens == 0


def test_an_alias_is_answered_by_its_dated_model(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model="gpt-4o-mini", messages=HELLO).model == "gpt-4o-mini-2024-07-18"
    assert client.chat.completions.create(model="acme-llm-7b", messages=HELLO).model == "acme-llm-7b"


def test_a_chat_stream_has_usage_only_if_it_was_asked_for(client: openai.OpenAI) -> None:
    plain = list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    asked = list(
        client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert min(len(plain), len(asked)) > 2
    assert all(chunk.usage is None and chunk.choices for chunk in plain)
    assert all(chunk.usage is None and chunk.choices for chunk in asked[:-1])
    assert asked[-1].choices == []
    assert asked[-1].usage is not None
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain)


def test_the_stream_helper_puts_a_stream_together(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    with client.chat.completions.stream(model="gpt-4o", messages=HELLO, stream_options=options) as stream:
        stream.until_done()
    whole = stream.get_final_completion()
    assert whole.usage is not None
    assert whole.choices[0].finish_reason == "stop"


def test_max_tokens_ends_an_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=3)
    assert answer.choices[0].finish_reason == "length"


def test_each_of_n_choices_is_answered(client: openai.OpenAI) -> None:
    assert len(client.chat.completions.create(model="gpt-4o", messages=HELLO, n=3).choices) == 3


class Order(BaseModel):
    number: int
    articles: list[str]


def test_structured_outputs_fit_their_schema(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Order)
    assert isinstance(parsed.choices[0].message.parsed, Order)
    assert isinstance(client.responses.parse(model="gpt-4o", input="?", text_format=Order).output_parsed, Order)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_where_it_is_required(client: openai.OpenAI, stream: bool) -> None:
    tools: Any = [{"type": "function", "function": {"name": "find", "parameters": Order.model_json_schema()}}]
    if stream:
        with client.chat.completions.stream(
            model="gpt-4o", messages=HELLO, tools=tools, tool_choice="required"
        ) as told:
            told.until_done()
        message: Any = told.get_final_completion().choices[0].message
    else:
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO, tools=tools, tool_choice="required")
        message = answer.choices[0].message
    assert Order.model_validate_json(message.tool_calls[0].function.arguments).articles


def test_a_response_streams_its_events_in_order(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="gpt-5", input="Where is my order?", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[0].response.usage is None
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == last.response.output_text


def test_a_background_response_has_its_usage_when_it_is_retrieved(client: openai.OpenAI) -> None:
    begun = client.responses.create(model="gpt-5", input="Think.", background=True)
    assert (begun.status, begun.usage) == ("queued", None)
    finished = client.responses.retrieve(begun.id)
    assert finished.status == "completed"
    assert finished.usage is not None
    assert client.responses.cancel(begun.id).status == "cancelled"


def test_responses_search_the_web_and_count_tokens_for_nothing(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="gpt-4o", input="News?", tools=[{"type": "web_search"}])
    assert [item.type for item in answer.output] == ["web_search_call", "message"]
    assert answer.usage is not None
    counted = client.responses.input_tokens.count(model="gpt-4o", input="News?", tools=[{"type": "web_search"}])
    assert counted.input_tokens == answer.usage.input_tokens


def test_a_response_is_compacted(client: openai.OpenAI) -> None:
    assert client.responses.compact(model="gpt-4o", input="A long story.").usage.total_tokens > 0


def test_the_tier_that_was_asked_for_is_named(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model="gpt-5", messages=HELLO, service_tier="flex").service_tier == "flex"
    assert client.chat.completions.create(model="gpt-5", messages=HELLO, service_tier="auto").service_tier == "default"


def test_older_completions_stream_too(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once")
    assert whole.usage is not None
    *chunks, last = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="Once", stream=True, stream_options={"include_usage": True}
    )
    assert "".join(chunk.choices[0].text for chunk in chunks)
    assert last.usage is not None


def test_embeddings_have_as_many_rows_as_inputs_and_as_many_numbers_as_asked(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=8)
    assert [len(row.embedding) for row in answer.data] == [8, 8]
    assert answer.usage.total_tokens == 2
    plain = client.embeddings.create(model="text-embedding-3-large", input="a", encoding_format="float")
    assert len(plain.data[0].embedding) == 3072


def test_images_say_what_they_used_unless_they_are_of_the_older_kind(client: openai.OpenAI) -> None:
    new = client.images.generate(model="gpt-image-1", prompt="Boots", n=2, quality="low")
    old = client.images.generate(model="dall-e-3", prompt="Boots")
    assert new.usage is not None
    assert new.usage.output_tokens == 2 * 272
    assert new.data is not None
    assert [b64decode(image.b64_json or "")[1:4] for image in new.data] == [b"PNG", b"PNG"]
    assert old.usage is None
    *_, last = client.images.generate(model="gpt-image-1", prompt="Boots", stream=True)
    assert last.type == "image_generation.completed"
    edited = client.images.edit(model="gpt-image-1", prompt="Boots", image=("boots.png", b"\x00\r\n\xff"))
    assert edited.usage is not None
    assert edited.usage.input_tokens_details.image_tokens > 0


def test_transcriptions_come_in_all_their_shapes(client: openai.OpenAI, provider: StandIn) -> None:
    sound = bytes(range(256)) * 250
    transcribe: Any = client.audio.transcriptions.create
    by_time = transcribe(model="whisper-1", file=("a.mp3", sound))
    assert (by_time.usage.type, by_time.usage.seconds) == ("duration", 4)
    by_token = transcribe(model="gpt-4o-transcribe", file=("a.mp3", sound))
    assert by_token.usage.input_token_details.audio_tokens == by_token.usage.input_tokens > 0
    assert float(transcribe(model="whisper-1", file=("a.mp3", sound), response_format="verbose_json").duration) == 4
    assert isinstance(transcribe(model="whisper-1", file=("a.mp3", sound), response_format="text"), str)
    *_, last = transcribe(model="gpt-4o-transcribe", file=("a.mp3", sound), stream=True)
    assert (last.type, last.usage.type) == ("transcript.text.done", "tokens")
    assert provider.requests[0].body["file"] == sound


def test_speech_is_sound(client: openai.OpenAI) -> None:
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="Hello").read().startswith(b"ID3")


def test_moderations_judge_each_input(client: openai.OpenAI) -> None:
    assert len(client.moderations.create(input=["a", "b"]).results) == 2


def test_a_batch_is_finished_when_it_is_asked_for_again(client: openai.OpenAI) -> None:
    begun = client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert begun.status == "validating"
    finished = client.batches.retrieve(begun.id)
    assert finished.status == "completed"
    assert finished.usage is not None


def test_a_stored_completion_can_be_retrieved(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="gpt-4o", messages=HELLO, store=True)
    assert client.chat.completions.retrieve(made.id) == made


def test_azure_answers_a_deployment_with_its_model_and_begins_streams_with_its_filter(provider: StandIn) -> None:
    with openai.AzureOpenAI(azure_endpoint=provider.url, api_key="key", api_version="2024-10-21") as client:
        assert client.chat.completions.create(model="ours", messages=HELLO).model == "gpt-4o-2024-08-06"
        first, *rest = client.chat.completions.create(model="ours", messages=HELLO, stream=True)
        assert client.embeddings.create(model="vectors", input="a", dimensions=4).model == "text-embedding-3-small"
    assert (first.choices, first.usage) == ([], None)
    assert rest
    assert all(chunk.choices for chunk in rest)
    assert provider.requests[0].path == "/openai/deployments/ours/chat/completions"
    assert provider.requests[0].query == {"api-version": "2024-10-21"}


def test_requests_are_kept_without_the_key(client: openai.OpenAI, provider: StandIn) -> None:
    client.chat.completions.create(model="gpt-4o", messages=HELLO, user="u-1")
    (asked,) = provider.requests
    assert (asked.method, asked.endpoint, asked.body["user"]) == ("POST", "chat/completions", "u-1")
    assert "sk-test" not in repr(asked)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
def test_the_next_requests_fail_as_told(
    client: openai.OpenAI, provider: StandIn, status: int, error: type[openai.APIStatusError]
) -> None:
    provider.fail_next(1, status)
    with pytest.raises(error):
        client.with_options(max_retries=0).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO).usage is not None


def test_the_sdk_tries_again_after_the_time_it_is_told(client: openai.OpenAI, provider: StandIn) -> None:
    provider.fail_next(2, 429, retry_after=0.01)
    answer = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert answer.retries_taken == 2
    assert len(provider.requests) == 3


def test_a_stream_is_cut_after_some_events(client: openai.OpenAI, provider: StandIn) -> None:
    received: list[object] = []
    provider.cut_next(after=3)
    with pytest.raises(openai.APIConnectionError):
        received.extend(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    assert len(received) == 3
    provider.cut_next(after=0)
    with pytest.raises(openai.APIConnectionError):
        list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))


def test_a_stream_says_that_it_failed(client: openai.OpenAI, provider: StandIn) -> None:
    provider.break_next_stream(after=3)
    with pytest.raises(openai.APIError, match="had an error"):
        list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))
    provider.break_next_stream(after=3)
    *_, last = client.responses.create(model="gpt-4o", input="?", stream=True)
    assert last.type == "error"


def test_stream_options_are_refused_by_a_server_that_does_not_know_them(
    client: openai.OpenAI, provider: StandIn
) -> None:
    provider.refuses_stream_options = True
    with pytest.raises(openai.BadRequestError, match="stream_options"):
        client.chat.completions.create(
            model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    assert list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True))


def test_a_reply_of_ones_own_goes_first(client: openai.OpenAI, provider: StandIn) -> None:
    made = client.chat.completions.create(model="gpt-4o", messages=HELLO).model_dump()
    provider.reply = lambda asked: Reply({**made, "usage": None})
    assert client.chat.completions.create(model="gpt-4o", messages=HELLO).usage is None


def test_what_takes_too_long_times_out(client: openai.OpenAI, provider: StandIn) -> None:
    provider.delay = 0.5
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.05, max_retries=0).chat.completions.create(model="gpt-4o", messages=HELLO)


def test_a_request_without_key_or_model_or_to_nowhere_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="model"):
        client.post("/chat/completions", cast_to=object, body={"messages": HELLO})
    with pytest.raises(openai.NotFoundError):
        client.post("/no/such/endpoint", cast_to=object, body={})
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, extra_headers={"Authorization": openai.Omit()})


def test_many_ask_at_once(provider: StandIn) -> None:
    async def ask() -> set[str]:
        async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-test") as client:
            calls = (client.chat.completions.create(model="gpt-4o", messages=HELLO) for _ in range(50))
            return {answer.id for answer in await asyncio.gather(*calls)}

    assert len(asyncio.run(ask())) == 50


def test_it_runs_only_inside_its_context() -> None:
    provider = StandIn()
    with pytest.raises(RuntimeError, match="context"):
        _ = provider.url
