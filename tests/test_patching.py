"""Patches: applied, reverted to the identical objects, and never in the way of others who patch."""

import sys
from collections.abc import Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import openai
import pytest
from capturing import Capturing

import usage_tracker
from usage_tracker.choke_points import CHOKE_POINTS, ChokePoint
from usage_tracker.patching import LOOKED_FOR, Patches, owner_of, version_of

BASE = openai._base_client.SyncAPIClient


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
    rest = list(stream)
    assert rest
    assert all(chunk.choices for chunk in rest)
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


@pytest.fixture
def somesdk() -> Iterator[Any]:
    """An SDK with a client, a client of its client, and a function."""
    module = ModuleType("somesdk._client")
    exec(
        "class Base:\n    def request(self): return 'theirs'\n"
        "class Client(Base): pass\n"
        "class Overriding(Base):\n    def request(self): return super().request() + '!'\n"
        "def ask(): return 'theirs'",
        vars(module),
    )
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture
def patches(somesdk: Any) -> Iterator[Patches]:
    points = [ChokePoint("somesdk", somesdk.__name__, name, "stainless", "request") for name in ("Base.request", "ask")]

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return "ours, " + wrapped(*args, **kwargs)

    patches = Patches(points, lambda _: wrapper)
    yield patches
    patches.revert()


def test_what_was_taken_while_we_were_installed_is_ours_again_when_we_come_back(somesdk: Any, patches: Patches) -> None:
    patches.apply()
    taken = [somesdk.ask, somesdk.Client().request]
    patches.revert()
    assert [ask() for ask in taken] == ["theirs", "theirs"]
    patches.apply()
    assert [ask() for ask in taken] == ["ours, theirs", "ours, theirs"]


def test_a_subclass_where_others_wrapped_the_function_is_patched_too(somesdk: Any, patches: Patches) -> None:
    @wraps(somesdk.Base.request)
    def around(self: Any) -> str:
        return "around, " + str(around.__wrapped__(self))

    somesdk.Client.request = around
    patches.apply()
    assert somesdk.Client().request() == "ours, around, theirs"
    assert somesdk.Overriding().request() == "ours, theirs!"
    assert "request" in vars(somesdk.Overriding)
    patches.revert()
    assert vars(somesdk.Client)["request"] is around


def test_what_others_put_back_is_patched_when_we_are_installed_again(somesdk: Any, patches: Patches) -> None:
    before = somesdk.ask
    for _ in range(2):
        patches.apply()
        patches.apply()
        assert somesdk.ask() == "ours, theirs"
        somesdk.ask = before


def test_an_app_that_installs_us_with_each_of_its_requests_gathers_nothing(somesdk: Any, patches: Patches) -> None:
    patches.apply()
    before = sys.getrefcount(somesdk.ask)
    for _ in range(10):
        patches.apply()
    after = sys.getrefcount(somesdk.ask)
    assert after == before


def test_ours_that_others_put_back_as_a_class_shows_it_is_still_ours(somesdk: Any, patches: Patches) -> None:
    before = vars(somesdk.Base)["request"]
    patches.apply()
    shown = somesdk.Base.request
    for _ in range(2):
        somesdk.Base.request = lambda self: "around"
        somesdk.Base.request = shown
        assert somesdk.Client().request() == "ours, theirs"
        patches.apply()
        assert somesdk.Client().request() == "ours, theirs"
    somesdk.Base.request = shown
    patches.revert()
    assert vars(somesdk.Base)["request"] is before


def test_ours_that_others_put_back_after_we_left_is_ours_again(somesdk: Any, patches: Patches) -> None:
    patches.apply()
    ours = somesdk.ask
    somesdk.ask = wraps(ours)(lambda: "around, " + ours())
    patches.revert()
    assert somesdk.ask() == "around, theirs"
    somesdk.ask = ours
    patches.apply()
    assert somesdk.ask() == "ours, theirs"


@pytest.mark.parametrize("has_clients", [False, True])
def test_what_an_sdk_looks_for_among_loaded_modules_is_loaded_with_it_if_we_import_it(
    has_clients: bool, somesdk: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a thread of ours imports it, calls would find half of it."""
    (tmp_path / "somelibrary.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(LOOKED_FOR, somesdk.__name__, ("notinstalled", "somelibrary"))
    patches = Patches([], lambda point: lambda *_: None, has_clients=has_clients)
    patches.apply()
    assert ("somelibrary" in sys.modules) == has_clients
    patches.revert()
    sys.modules.pop("somelibrary", None)


def test_an_sdk_that_is_not_imported_stays_so() -> None:
    point = ChokePoint("somesdk", "somesdk._client", "Client.request", "stainless", "request")
    patches = Patches([point], lambda point: lambda *_: None)
    patches.apply()
    assert patches.states() == {point: "not imported"}
    patches.revert()


@pytest.mark.filterwarnings("ignore::FutureWarning")  # SDKs whose end is in sight say so when they are imported
def test_the_choke_points_are_where_the_installed_sdks_have_them() -> None:
    installed = [point for point in CHOKE_POINTS if version_of(point.sdk) is not None]
    assert installed
    for point in installed:
        assert point.optional or owner_of(import_module(point.module), point.attribute) is not None


def test_a_function_that_packages_export_again_is_patched_there_too_and_put_back() -> None:
    names = ("somesdk", "somesdk.inner", "somesdk.inner.main")
    top, inner, main = (sys.modules.setdefault(name, ModuleType(name)) for name in names)

    def ask() -> str:
        return "asked"

    def another() -> str:
        return "another"

    another.__wrapped__ = ask  # type: ignore[attr-defined]  # as of a function that is made around it
    main.ask = top.ask = ask  # type: ignore[attr-defined]  # modules take any name
    inner.ask = another  # type: ignore[attr-defined]
    patches = Patches(
        [ChokePoint("somesdk", "somesdk.inner.main", "ask", "stainless", "request")],
        lambda point: lambda wrapped, *_: f"watched: {wrapped()}",
    )
    patches.apply()
    assert top.ask is main.ask
    assert (top.ask(), inner.ask()) == ("watched: asked", "another")
    patches.revert()
    assert main.ask is top.ask is ask
    for name in names:
        del sys.modules[name]
