"""Whatever order a program imports, makes clients and installs us in, a call is one event; once we are gone, none."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from anthropic_server import AnthropicServer
from gemini_server import GeminiServer
from generative_service import GenerativeService, chunk
from interpreters import Interpreters
from patch_orders import ORDERS, OTHERS, Sdk, check

from usage_tracker.demo.standin import StandIn

MESSAGES = "[{'role': 'user', 'content': 'x'}]"

OPENAI = Sdk(
    "openai",
    imports="import openai",
    client="openai.OpenAI(api_key='sk-none-at-all', base_url=BASE_URL)",
    from_imports="from openai import OpenAI",
    from_client="OpenAI(api_key='sk-none-at-all', base_url=BASE_URL)",
    ask="client.chat.completions.create",
    asked=f"model='gpt-4o-mini', messages={MESSAGES}",
    stream="client.responses.create(model='gpt-5-mini', input='x', stream=True)",
    raw="client.chat.completions.with_raw_response.create",
)
ANTHROPIC = Sdk(
    "anthropic",
    imports="import anthropic",
    client="anthropic.Anthropic(api_key='none-at-all', base_url=BASE_URL)",
    from_imports="from anthropic import Anthropic",
    from_client="Anthropic(api_key='none-at-all', base_url=BASE_URL)",
    ask="client.messages.create",
    asked=f"model='claude-sonnet-5', max_tokens=9, messages={MESSAGES}",
    stream=f"client.messages.create(model='claude-sonnet-5', max_tokens=9, messages={MESSAGES}, stream=True)",
    raw="client.messages.with_raw_response.create",
)
GOOGLE_GENAI = Sdk(
    "google-genai",
    imports="from google import genai",
    client="genai.Client(api_key='none-at-all', http_options={'base_url': BASE_URL})",
    from_imports="from google.genai import Client",
    from_client="Client(api_key='none-at-all', http_options={'base_url': BASE_URL})",
    ask="client.models.generate_content",
    asked="model='gemini-2.5-flash', contents='x'",
    stream="client.models.generate_content_stream(model='gemini-2.5-flash', contents='x')",
)
CONFIGURED = "configure(api_key='none-at-all', transport='rest', client_options={'api_endpoint': BASE_URL})"
GOOGLE_GENERATIVEAI = Sdk(
    "google-generativeai",
    imports=f"import google.generativeai as genai; genai.{CONFIGURED}",
    client="genai.GenerativeModel('gemini-2.5-flash')",
    from_imports=f"from google.generativeai import GenerativeModel, configure; {CONFIGURED}",
    from_client="GenerativeModel('gemini-2.5-flash')",
    ask="client.generate_content",
    asked="'x'",
    stream="iter(client.generate_content('x', stream=True))",
    close="",
    options=("-W", "error", "-W", "ignore::FutureWarning"),
)
SDKS = {sdk.name: sdk for sdk in (OPENAI, ANTHROPIC, GOOGLE_GENAI, GOOGLE_GENERATIVEAI)}

OPENTELEMETRY = "from opentelemetry.instrumentation"
OPENINFERENCE = "from openinference.instrumentation"
INSTRUMENTATIONS = {
    ("openai", "OpenTelemetry"): f"{OPENTELEMETRY}.genai.openai import OpenAIInstrumentor as Theirs",
    ("openai", "OpenInference"): f"{OPENINFERENCE}.openai import OpenAIInstrumentor as Theirs",
    ("anthropic", "OpenTelemetry"): f"{OPENTELEMETRY}.genai.anthropic import AnthropicInstrumentor as Theirs",
    ("anthropic", "OpenInference"): f"{OPENINFERENCE}.anthropic import AnthropicInstrumentor as Theirs",
    ("google-genai", "OpenInference"): f"{OPENINFERENCE}.google_genai import GoogleGenAIInstrumentor as Theirs",
}
"""By SDK and whose it is. OpenTelemetry's for google-genai refuses the SDK's third major version."""


@pytest.fixture(scope="module")
def base_urls() -> Iterator[dict[str, str]]:
    """Where each SDK's provider listens."""
    with ExitStack() as servers:
        legacy = servers.enter_context(GenerativeService())
        legacy.answer = [chunk(), chunk(ends=True, promptTokenCount=3, candidatesTokenCount=2, totalTokenCount=5)]
        yield {
            "openai": servers.enter_context(StandIn()).base_url,
            "anthropic": servers.enter_context(AnthropicServer()).url,
            "google-genai": servers.enter_context(GeminiServer()).url,
            "google-generativeai": legacy.url,
        }


@pytest.fixture(scope="module")
def interpreters() -> Iterator[Interpreters]:
    with Interpreters() as found:
        yield found


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_order_gives_one_event(
    sdk: str, order: str, base_urls: dict[str, str], tmp_path: Path, interpreters: Interpreters
) -> None:
    check(interpreters, SDKS[sdk], ORDERS[order], base_urls[sdk], tmp_path)


@pytest.mark.parametrize("order", OTHERS)
@pytest.mark.parametrize(("sdk", "whose"), INSTRUMENTATIONS)
def test_another_instrumentation_and_ours_keep_out_of_each_others_way(
    sdk: str, whose: str, order: str, base_urls: dict[str, str], tmp_path: Path, interpreters: Interpreters
) -> None:
    theirs = f"{INSTRUMENTATIONS[sdk, whose]}; theirs = Theirs()"
    check(interpreters, SDKS[sdk], OTHERS[order], base_urls[sdk], tmp_path, theirs)
