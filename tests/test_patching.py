"""Patches: applied in any order of imports, reverted to the identical objects, and never in the app's way."""

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import openai
import pytest
from capturing import Capturing

import usage_tracker
from usage_tracker.choke_points import CHOKE_POINTS, ChokePoint
from usage_tracker.demo.standin import StandIn
from usage_tracker.patching import Patches, owner_of, version_of

BASE = openai._base_client.SyncAPIClient

ORDERS = {
    "import, then install": "import openai; INSTALL; ASK(CLIENT)",
    "install, then import": "INSTALL; import openai; ASK(CLIENT)",
    "from-import before install": "from openai import OpenAI; INSTALL; import openai; ASK(CLIENT)",
    "client before install": "import openai; client = CLIENT; INSTALL; ASK(client)",
    "bound method before install": "import openai; client = CLIENT; ask = client.chat.completions.create; INSTALL; "
    "ask(**ASKED); client.close()",
    "raw accessor before install": "import openai; client = CLIENT; raw = client.chat.completions.with_raw_response; "
    "INSTALL; raw.create(**ASKED); client.close()",
    "install twice": "INSTALL; import openai; INSTALL; ASK(CLIENT)",
    "install, uninstall, install": "INSTALL; import openai; usage_tracker.uninstall(); INSTALL; ASK(CLIENT)",
    "uninstall before the import": "INSTALL; usage_tracker.uninstall(); import openai; INSTALL; ASK(CLIENT)",
}


@pytest.mark.parametrize("order", ORDERS)
def test_each_order_of_imports_gives_one_event(order: str, provider: StandIn, tmp_path: object) -> None:
    script = ORDERS[order]
    script = script.replace("INSTALL", f"usage_tracker.install(ship=False, spool_dir={str(tmp_path)!r})")
    script = script.replace("CLIENT", f"openai.OpenAI(api_key='sk-none-at-all', base_url={provider.base_url!r})")
    script = (
        "import usage_tracker\n"
        "ASKED = {'model': 'gpt-4o-mini', 'messages': [{'role': 'user', 'content': 'x'}]}\n"
        "def ASK(client):\n    with client: client.chat.completions.create(**ASKED)\n"
        f"{script}\nprint(usage_tracker.stats().captured)"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("1\n", "")


def test_uninstalling_puts_back_the_identical_objects() -> None:
    before = dict(vars(BASE))
    usage_tracker.install(ship=False)
    assert vars(BASE)["request"] is not before["request"]
    usage_tracker.uninstall()
    assert all(vars(BASE)[name] is before[name] for name in before)


def test_a_stream_that_is_open_while_we_leave_is_read_to_its_end(capturing: Capturing) -> None:
    stream = capturing.client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}], stream=True
    )
    next(stream)
    usage_tracker.uninstall()
    assert all(chunk.choices for chunk in stream)
    assert [event.status for _, event in capturing.captured] == ["ok"]


def test_another_wrapper_around_ours_stays_and_ours_goes_silent(capturing: Capturing) -> None:
    ours = vars(BASE)["request"]
    calls = []

    def theirs(self: object, *args: object, **kwargs: object) -> object:
        calls.append(1)
        return ours.__get__(self, BASE)(*args, **kwargs)

    theirs.__wrapped__ = ours  # type: ignore[attr-defined]  # as functools.wraps does
    BASE.request = theirs  # type: ignore[method-assign, assignment]  # that is what is tested
    try:
        usage_tracker.uninstall()
        capturing.client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "x"}])
        assert vars(BASE)["request"] is theirs
    finally:
        BASE.request = ours.__wrapped__  # type: ignore[method-assign]  # back
    assert calls == [1]
    assert capturing.captured == []


def test_an_sdk_of_another_shape_is_left_as_it_is_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    module = ModuleType("somesdk._client")
    sys.modules[module.__name__] = module
    point = ChokePoint("somesdk", module.__name__, "Client.request", "stainless", "request")
    patches = Patches([point], lambda point: lambda *_: None)
    patches.apply()
    assert patches.states() == {point: "shape unknown"}
    assert "its calls are not counted" in caplog.text
    patches.revert()
    del sys.modules[module.__name__]


def test_a_choke_point_is_known_by_the_name_that_older_versions_give_it() -> None:
    module = ModuleType("somesdk._client")
    sys.modules[module.__name__] = module
    module.Old = type("Old", (), {"request": lambda self: "theirs"})  # type: ignore[attr-defined]  # a module of ours
    before = vars(module.Old)["request"]
    point = ChokePoint("somesdk", module.__name__, "New.request", "stainless", "request", formerly="Old.request")
    patches = Patches([point], lambda point: lambda *_: "ours")
    patches.apply()
    assert (patches.states(), module.Old().request()) == ({point: "patched"}, "ours")
    patches.revert()
    assert vars(module.Old)["request"] is before
    del sys.modules[module.__name__]


def test_an_sdk_that_is_not_imported_stays_so() -> None:
    point = ChokePoint("somesdk", "somesdk._client", "Client.request", "stainless", "request")
    patches = Patches([point], lambda point: lambda *_: None)
    patches.apply()
    assert patches.states() == {point: "not imported"}
    patches.revert()


def test_the_choke_points_are_where_the_installed_sdks_have_them() -> None:
    installed = [point for point in CHOKE_POINTS if version_of(point.sdk) is not None]
    assert installed
    for point in installed:
        assert point.optional or owner_of(import_module(point.module), point.attribute) is not None
