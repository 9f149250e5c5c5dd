"""Whatever order a program imports, makes clients and installs us in, a call is one event; once we are gone, none."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from patch_orders import ORDERS, OTHERS, Sdk, check

from usage_tracker.demo.standin import StandIn

OPENAI = Sdk(
    "openai",
    imports="import openai",
    client="openai.OpenAI(api_key='sk-none-at-all', base_url=BASE_URL)",
    from_imports="from openai import OpenAI",
    from_client="OpenAI(api_key='sk-none-at-all', base_url=BASE_URL)",
    ask="client.chat.completions.create",
    asked="model='gpt-4o-mini', messages=[{'role': 'user', 'content': 'x'}]",
    stream="client.responses.create(model='gpt-5-mini', input='x', stream=True)",
    raw="client.chat.completions.with_raw_response.create",
)
SDKS = {sdk.name: sdk for sdk in (OPENAI,)}

INSTRUMENTATIONS = {
    ("openai", "OpenTelemetry"): "from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as Theirs",
    ("openai", "OpenInference"): "from openinference.instrumentation.openai import OpenAIInstrumentor as Theirs",
}
"""By SDK and whose it is."""


@pytest.fixture(scope="module")
def base_urls() -> Iterator[dict[str, str]]:
    """Where each SDK's provider listens."""
    with ExitStack() as servers:
        yield {"openai": servers.enter_context(StandIn()).base_url}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("sdk", SDKS)
def test_each_order_gives_one_event(sdk: str, order: str, base_urls: dict[str, str], tmp_path: Path) -> None:
    check(SDKS[sdk], ORDERS[order], base_urls[sdk], tmp_path)


@pytest.mark.parametrize("order", OTHERS)
@pytest.mark.parametrize(("sdk", "whose"), INSTRUMENTATIONS)
def test_another_instrumentation_and_ours_keep_out_of_each_others_way(
    sdk: str, whose: str, order: str, base_urls: dict[str, str], tmp_path: Path
) -> None:
    theirs = f"{INSTRUMENTATIONS[sdk, whose]}; theirs = Theirs()"
    check(SDKS[sdk], OTHERS[order], base_urls[sdk], tmp_path, theirs)
