"""LiteLLM, imported, installed around and left in every order, each in a process of its own."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from interpreters import Interpreters
from patch_orders import ORDERS, Sdk, check

from usage_tracker.choke_points import CHOKE_POINTS
from usage_tracker.demo.standin import StandIn
from usage_tracker.patching import owner_of

pytestmark = pytest.mark.xdist_group("orders")
"""The interpreters that they fork take their time to start, and so are started once."""

LITELLM = Sdk(
    name="litellm",
    imports="import litellm",
    client="litellm",
    from_imports="from types import SimpleNamespace; from litellm import completion",
    from_client="SimpleNamespace(completion=completion)",
    ask="client.completion",
    asked="model='openai/gpt-4o-mini', messages=[{'role': 'user', 'content': 'x'}], api_key='sk-none-at-all', "
    "api_base=BASE_URL",
    stream="client.completion(model='openai/gpt-4o-mini', messages=[{'role': 'user', 'content': 'x'}], stream=True, "
    "stream_options={'include_usage': True}, api_key='sk-none-at-all', api_base=BASE_URL)",
    close="pass",
    options=("-W", "ignore"),
)


@pytest.fixture(scope="module")
def interpreters() -> Iterator[Interpreters]:
    with Interpreters() as found:
        yield found


@pytest.mark.parametrize("order", [order for order in ORDERS if "raw" not in order])
def test_each_order_gives_one_event_for_each_call(
    order: str, provider: StandIn, own_environment: Path, interpreters: Interpreters
) -> None:
    check(interpreters, LITELLM, ORDERS[order], provider.base_url, own_environment)


def test_the_choke_points_are_where_this_version_has_them() -> None:
    points = [point for point in CHOKE_POINTS if point.sdk == "litellm"]
    assert points
    for point in points:
        try:
            module = import_module(point.module)
        except ImportError:
            assert point.optional, point
        else:
            found = owner_of(module, point.attribute) or (point.formerly and owner_of(module, point.formerly))
            assert found or point.optional, point


def test_uninstalling_puts_back_the_identical_objects(request: pytest.FixtureRequest) -> None:
    def held() -> dict[str, object]:
        found = {}
        for point in CHOKE_POINTS:
            if point.sdk == "litellm" and (owner := owner_of(sys.modules.get(point.module), point.attribute)):
                found[f"{point.module}:{point.attribute}"] = owner[2]
        return {**found, **{name: vars(sys.modules["litellm"])[name] for name in ("completion", "rerank", "aspeech")}}

    import usage_tracker

    usage_tracker.uninstall()  # the proxy's callback, which other tests import, has installed it
    before = held()
    request.getfixturevalue("captured")
    assert {name for name, value in held().items() if value is not before[name]} > {"litellm.main:completion", "rerank"}
    usage_tracker.uninstall()
    assert {name for name, value in held().items() if value is not before[name]} == set()
