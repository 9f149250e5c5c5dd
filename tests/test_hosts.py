"""Who serves a model: by host, or by a model's name where only one vendor has it."""

import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import find_provider_by_id

from usage_tracker.providers.hosts import HOSTS, MODELS, ROUTES, VENDORS, bare_name, platform_of, provider_of


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("API.OpenAI.com:443", "openai"),
        ("api.openai.com.", "openai"),
        ("acme.openai.azure.com", "azure"),
        ("acme.services.ai.azure.com", "azure"),
        ("generativelanguage.googleapis.com", "gemini"),
        ("us-central1-aiplatform.googleapis.com", "vertex"),
        ("aiplatform.googleapis.com", "vertex"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock"),
        ("bedrock-mantle.eu-west-1.api.aws", "bedrock"),
        ("dashscope-intl.aliyuncs.com", "alibaba"),
        ("llm-1234.eu-central-1.maas.aliyuncs.com", "alibaba"),
        ("openrouter.ai", "openrouter"),
        ("api.groq.com", "groq"),
        ("us-east-1.api.x.ai", "xai"),
        ("adb-1.2.azuredatabricks.net", "databricks"),
        ("api.doubleword.ai", "doubleword"),
        ("api.quicksilverpro.io", "quicksilverpro"),
        ("api.typesafe.ai", "typesafe"),
    ],
)
def test_a_known_host_tells_whatever_the_model(host: str, provider: str) -> None:
    assert provider_of(host, "claude-sonnet-4-5") == provider
    assert provider_of(host, None) == provider


@pytest.mark.parametrize("host", ["notapi.openai.com.evil.example", "xapi.openai.com", "openai.azure.com.example"])
def test_a_host_that_only_looks_alike_is_unknown(host: str) -> None:
    assert provider_of(host, None) is None


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("AsyncAzureOpenAI", "azure"),
        ("AnthropicFoundry", "azure"),
        ("AnthropicBedrockMantle", "bedrock"),
        ("AsyncAnthropicVertex", "vertex"),
        ("AnthropicAWS", None),
        ("AnthropicGoogleCloud", None),
        ("OpenAI", None),
    ],
)
def test_a_client_that_is_made_for_a_clouds_service_tells_by_its_class(name: str, provider: str | None) -> None:
    made_by_the_sdk = type(name, (), {})
    assert platform_of(made_by_the_sdk) == platform_of(type("Ours", (made_by_the_sdk,), {})) == provider


def test_the_azure_client_is_azure_behind_any_gateway() -> None:
    assert provider_of("gateway.corp.example", "my-deployment", azure=True) == "azure"


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("GPT-4.1-nano-2025-04-14", "openai"),
        ("gpt-3.5-turbo-instruct", "openai"),
        ("gpt-5.2-codex", "openai"),
        ("gpt-6-astra", "openai"),
        ("gpt-6.1-terra-2026-09-01", "openai"),
        ("gpt-image-1", "openai"),
        ("chatgpt-image-latest", "openai"),
        ("gpt-transcribe", "openai"),
        ("gpt-live-1", "openai"),
        ("gpt-4o-mini-tts", "openai"),
        ("chatgpt-4o-latest", "openai"),
        ("o1", "openai"),
        ("o3-pro-2025-06-10", "openai"),
        ("o4-mini-deep-research", "openai"),
        ("ft:gpt-4o-mini-2024-07-18:acme::b1", "openai"),
        ("text-embedding-3-small", "openai"),
        ("whisper-1", "openai"),
        ("dall-e-3", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "gemini"),
        ("models/gemini-2.5-flash", "gemini"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "bedrock"),
        ("grok-4-fast", "xai"),
        ("sonar-pro", "perplexity"),
        ("openai/gpt-4o", "openai"),
        ("google/gemini-2.5-flash", "gemini"),
        ("x-ai/grok-4", "xai"),
        ("azure/gpt-4o", "azure"),
        ("vertex_ai/gemini-2.5-pro", "vertex"),
        ("openrouter/openai/gpt-4o", "openrouter"),
    ],
)
@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1:4000", "gateway.example", "ai-gateway.vercel.sh"])
def test_behind_an_unknown_host_a_name_that_only_one_vendor_has_tells(
    host: str | None, model: str, provider: str
) -> None:
    assert provider_of(host, model) == provider


@pytest.mark.parametrize(
    "model",
    [
        None, "", "default", "gpt-oss-120b", "openai/gpt-oss-20b", "gpt-j-6b", "gpt2", "gpt-4-x-alpaca", "o1-7b",
        "o3000", "llama-3.3-70b", "mistral-small", "deepseek-chat", "grok-1", "google/gemma-3-27b", "whisper-large-v3",
        "my-team/gpt-4o", "anthropic/gpt-4o", "azure/my-deployment", "Groq/Llama-3-Groq-8B-Tool-Use",
    ],
)  # fmt: skip
def test_a_name_that_anybody_may_serve_tells_nothing(model: str | None) -> None:
    assert provider_of("localhost", model) is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("bedrock", "aws"), ("gemini", "google"), ("vertex", "google"), ("xai", "x-ai")]
    + [(provider.id, provider.id) for provider in providers if provider.id in HOSTS],
)
def test_our_names_are_those_of_the_price_list_or_known_to_it(ours: str, theirs: str) -> None:
    found = find_provider_by_id(providers, ours)
    assert found is not None
    assert found.id == theirs


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::b1", "ft:gpt-4o-mini-2024-07-18:acme::b1"),
        ("azure", "azure/gpt-4o", "gpt-4o"),
        ("anthropic", "Anthropic/claude-sonnet-4.5", "claude-sonnet-4.5"),
        ("xai", "x-ai/grok-4", "grok-4"),
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("vertex", "google/gemini-2.5-flash", "gemini-2.5-flash"),
        ("vertex", "projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@1", "claude-sonnet-4@1"),
        ("bedrock", "bedrock/us.amazon.nova-pro-v1:0", "us.amazon.nova-pro-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
    ],
)
def test_a_model_is_named_without_whose_it_is(provider: str, model: str, name: str) -> None:
    assert bare_name(provider, model) == name


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("groq", "openai/gpt-oss-20b"),
        ("openrouter", "google/gemini-2.5-flash"),
        ("perplexity", "perplexity/sonar"),
        ("gemini", "tunedModels/gemini-2.5-flash"),
        ("vertex", "projects/p/locations/l/endpoints/123"),
        ("vertex", "meta/llama-3.3-70b-instruct-maas"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/amazon.nova-pro-v1:0"),
    ],
)
def test_what_is_a_part_of_its_name_stays(provider: str, model: str) -> None:
    assert bare_name(provider, model) == model


def test_every_table_names_providers_of_the_one_list() -> None:
    assert {*MODELS, *ROUTES.values(), *VENDORS.values()} <= HOSTS.keys()
