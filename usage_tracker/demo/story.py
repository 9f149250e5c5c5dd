"""A day at a shop that uses language models: a few dozen calls of the real openai SDK, as an application makes them.

Nothing here knows of usage_tracker but `attribute()`: who each call is for.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from typing import NamedTuple

import openai
from openai.types.chat import ChatCompletionUserMessageParam

from usage_tracker.demo.standin import StandIn
from usage_tracker.scopes import attribute

POLICY = "Goods may be returned within thirty days if they are unused and in the packaging that they came in. " * 60
QUESTIONS = (
    "Where is my order 4711?",
    "May I return shoes that I wore once?",
    "Why was I charged twice for the same parcel?",
    "Do you ship to Iceland, and what does it cost?",
)


class Shop(NamedTuple):
    """What the applications of the shop call, and the provider, which has its bad moments."""

    client: openai.OpenAI
    azure: openai.AzureOpenAI
    provider: StandIn


class Chapter(NamedTuple):
    """A part of the story: what it is, in a sentence, and how many calls it makes."""

    sentence: str
    tell: Callable[[Shop], None]
    calls: int


def can_be_told() -> bool:
    """Whether the installed SDK has all that is called; the Responses API came with its version 1.66."""
    return find_spec("openai.resources.responses") is not None


def tell(provider: StandIn) -> Iterator[Chapter]:
    """Make the calls, chapter by chapter."""
    key = "sk-demo-key-of-nobody"
    with (
        openai.OpenAI(base_url=provider.base_url, api_key=key) as client,
        openai.AzureOpenAI(azure_endpoint=provider.url, api_key=key, api_version="2024-10-21") as azure,
    ):
        for chapter in CHAPTERS:
            chapter.tell(Shop(client, azure, provider))
            yield chapter


def ask(question: str) -> list[ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": question}]


@attribute(project="support-bot", team="support")
def answer_customers(shop: Shop) -> None:
    for number, question in enumerate(QUESTIONS):
        with attribute(user=f"customer-{number % 3}", session=f"conversation-{number}", tags=["tier:free"]):
            shop.client.chat.completions.create(model="gpt-4o-mini", messages=ask(question))
            shop.client.chat.completions.create(model="gpt-4o-mini", messages=ask(f"{question} Please be brief."))


@attribute(project="support-bot", team="support", tags=["tier:pro"])
def stream_to_customers(shop: Shop) -> None:
    for number, question in enumerate(QUESTIONS):
        with attribute(user=f"customer-{number}"):
            stream = shop.client.chat.completions.create(model="gpt-4o", messages=ask(POLICY + question), stream=True)
            for _ in stream:
                pass


@attribute(project="support-bot", team="support", user="customer-1")
def lose_a_customer(shop: Shop) -> None:
    with shop.client.chat.completions.create(model="gpt-4o", messages=ask(POLICY), stream=True) as stream:
        next(iter(stream))


@attribute(project="search", team="platform")
def index_catalogue(shop: Shop) -> None:
    for page in range(6):
        texts = [f"Article {number}: {POLICY[:400]}" for number in range(page * 20, page * 20 + 20)]
        shop.client.embeddings.create(model="text-embedding-3-small", input=texts)


@attribute(project="search", team="platform")
def answer_searches_at_once(shop: Shop) -> None:
    async def search(number: int) -> None:
        with attribute(user=f"visitor-{number}"):
            await client.chat.completions.create(
                model="gpt-4.1-mini", messages=ask(f"Rewrite this search: boots {number}")
            )

    async def searches() -> None:
        async with client:
            await asyncio.gather(*(search(number) for number in range(8)))

    client = openai.AsyncOpenAI(base_url=shop.provider.base_url, api_key=shop.client.api_key)
    asyncio.run(searches())


@attribute(project="reports", team="finance")
def write_reports(shop: Shop) -> None:
    for month in ("January", "February", "March", "April"):
        shop.client.responses.create(model="gpt-5", input=f"Summarise the returns of {month}. {POLICY}")
    stream = shop.client.responses.create(model="gpt-5", input=f"Summarise the year. {POLICY}", stream=True)
    for _ in stream:
        pass


@attribute(project="reports", team="finance", tags=["nightly"])
def write_reports_cheaply(shop: Shop) -> None:
    for month in ("May", "June"):
        # as a field of the body, because the first SDKs with the Responses API don't know the argument
        asked = f"Summarise {month}. {POLICY}"
        shop.client.responses.create(model="gpt-5", input=asked, extra_body={"service_tier": "flex"})


@attribute(project="marketing", team="marketing")
def make_pictures_and_sound(shop: Shop) -> None:
    shop.client.images.generate(model="gpt-image-1", prompt="Boots in the snow, seen from above", quality="high")
    shop.client.audio.speech.create(model="tts-1", voice="alloy", input=POLICY[:600])
    shop.client.audio.transcriptions.create(model="whisper-1", file=("call.mp3", bytes(1_600_000)))


@attribute(project="marketing", team="marketing")
def check_reviews(shop: Shop) -> None:
    for review in ("Warm and dry.", "They fell apart.", "My dog loves them."):
        shop.client.moderations.create(model="omni-moderation-latest", input=review)


@attribute(project="search", team="platform")
def ask_azure(shop: Shop) -> None:
    for question in QUESTIONS[:2]:
        shop.azure.chat.completions.create(model="our-gpt-4o", messages=ask(question))


@attribute(project="search", team="platform", tags=["experiment"])
def try_a_model_of_our_own(shop: Shop) -> None:
    for question in QUESTIONS[:3]:
        shop.client.chat.completions.create(model="acme-llm-7b", messages=ask(question))


@attribute(project="support-bot", team="support", user="customer-2")
def meet_errors(shop: Shop) -> None:
    shop.provider.fail_next(2, 429, retry_after=0.02)
    shop.client.chat.completions.create(model="gpt-4o-mini", messages=ask(QUESTIONS[0]))
    shop.provider.fail_next(1, 404)
    with suppress(openai.NotFoundError):
        shop.client.chat.completions.create(model="gpt-4o-minni", messages=ask(QUESTIONS[1]))
    shop.provider.fail_next(1, 503)
    with suppress(openai.InternalServerError):
        shop.client.with_options(max_retries=0).chat.completions.create(model="gpt-4o", messages=ask(QUESTIONS[2]))


CHAPTERS = (
    Chapter("answers to customers (gpt-4o-mini), each with its user, session and tag", answer_customers, 8),
    Chapter("answers streamed to customers (gpt-4o)", stream_to_customers, 4),
    Chapter("stream that the customer closed at its first word", lose_a_customer, 1),
    Chapter("pages of the catalogue embedded (text-embedding-3-small)", index_catalogue, 6),
    Chapter("searches at once, asynchronously (gpt-4.1-mini)", answer_searches_at_once, 8),
    Chapter("reports through the Responses API (gpt-5), with reasoning and cached tokens", write_reports, 5),
    Chapter("more of them in the flex tier, which is cheaper", write_reports_cheaply, 2),
    Chapter("picture, speech and transcription (gpt-image-1, tts-1, whisper-1)", make_pictures_and_sound, 3),
    Chapter("reviews moderated, which is free", check_reviews, 3),
    Chapter("calls to a deployment at Azure", ask_azure, 2),
    Chapter("calls in trouble: one succeeds at its third request, two fail", meet_errors, 3),
    Chapter("calls to a model that has no known price (acme-llm-7b)", try_a_model_of_our_own, 3),
)
