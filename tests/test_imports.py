"""Hooks on imports: told when the app imports a module, and the app can't tell."""

import builtins
import importlib
import importlib.machinery
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from usage_tracker import guard, imports


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "somesdk").mkdir()
    (tmp_path / "somesdk" / "__init__.py").write_text("from somesdk import _client\n")
    (tmp_path / "somesdk" / "_client.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "somesdk._client"
    for name in ("somesdk", "somesdk._client"):
        sys.modules.pop(name, None)
    for hook in imports.finder.hooks.get("somesdk._client", ())[:]:
        imports.forget("somesdk._client", hook)


def test_the_hook_is_called_when_the_app_imports_the_module(package: str) -> None:
    seen: list[ModuleType] = []
    imports.when_imported(package, seen.append)
    assert package not in sys.modules
    importlib.import_module("somesdk")
    assert [module.__name__ for module in seen] == [package]


def test_a_module_that_is_there_already_is_told_of_at_once(package: str) -> None:
    module = importlib.import_module(package)
    seen: list[ModuleType] = []
    imports.when_imported(package, seen.append)
    assert seen == [module]


def test_a_module_that_is_imported_anew_is_told_of_each_time(package: str) -> None:
    """As notebooks do that reload what has changed, and tests that put `sys.modules` back as it was."""
    first = importlib.import_module(package)
    seen: list[ModuleType] = []
    imports.when_imported(package, seen.append)
    importlib.reload(first)
    del sys.modules[package], sys.modules["somesdk"]
    second = importlib.import_module(package)
    assert seen == [first, first, second]
    assert second is not first


def test_the_module_looks_as_if_nobody_had_been_there(package: str) -> None:
    plain = importlib.import_module(package)
    plain_spec = plain.__spec__
    del sys.modules[package], sys.modules["somesdk"]
    imports.when_imported(package, lambda module: None)
    watched = importlib.import_module(package)
    assert watched.__spec__ is not None
    assert plain_spec is not None
    assert type(watched.__spec__.loader) is type(plain_spec.loader)
    assert watched.__loader__ is watched.__spec__.loader


def test_who_looks_at_each_import_of_the_app_sees_none_of_ours(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as AgentOps, which imports more of the SDK then: the module ran twice, and we were told of neither time."""
    seen: list[ModuleType] = []

    def import_monitored(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        module = app_imports(name, *args, **kwargs)
        if name == "somesdk":
            app_imports(package)
        return module

    app_imports = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", import_monitored)
    imports.when_imported(package, seen.append)
    importlib.import_module(package)
    assert seen == [sys.modules[package]]
    assert vars(sys.modules["somesdk"])["_client"] is seen[0]


def test_a_failing_hook_does_not_fail_the_import(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "report", guard.count)

    def fail(module: ModuleType) -> None:
        raise KeyError("hook")

    imports.when_imported(package, fail)
    assert importlib.import_module(package).value == 1


def test_a_missing_module_stays_missing() -> None:
    imports.when_imported("no_such_sdk", lambda module: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_sdk")
    imports.forget("no_such_sdk", imports.finder.hooks["no_such_sdk"][0])


def test_forgotten_hooks_leave_nothing_behind(package: str) -> None:
    seen: list[ModuleType] = []
    hook = seen.append
    imports.when_imported(package, hook)
    imports.forget(package, hook)
    importlib.import_module(package)
    imports.when_imported(package, hook)
    imports.forget(package, hook)
    importlib.reload(seen.pop())
    assert seen == []
    assert imports.finder not in sys.meta_path


def test_hooks_can_be_forgotten_when_the_interpreter_ends(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a `capture_usage()` that a program has entered for good; there are no importers any more by then."""
    seen: list[ModuleType] = []
    hook = seen.append
    imports.when_imported(package, hook)
    with monkeypatch.context() as end:
        end.setattr(sys, "meta_path", None)
        imports.forget(package, hook)
    sys.meta_path.remove(imports.finder)


@pytest.fixture
def gate(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The module's own code waits here, once it has begun."""
    gate = SimpleNamespace(begun=threading.Event(), opened=threading.Event(), broken=False)
    code = "import gate\ngate.begun.set()\ngate.opened.wait()\nassert not gate.broken\nvalue = 1\n"
    (tmp_path / "somesdk" / "_client.py").write_text(code)
    monkeypatch.setitem(sys.modules, "gate", gate)
    yield gate
    gate.opened.set()


def test_a_module_that_another_thread_imports_at_that_moment_is_told_of_once_it_is_there(
    package: str, gate: SimpleNamespace
) -> None:
    seen: list[int] = []
    importing = threading.Thread(target=importlib.import_module, args=(package,))
    importing.start()
    gate.begun.wait()
    imports.when_imported(package, lambda module: seen.append(module.value))
    assert seen == []
    gate.opened.set()
    importing.join()
    assert seen == [1]
    spec = sys.modules[package].__spec__
    assert type(spec) is importlib.machinery.ModuleSpec
    assert vars(spec)["_initializing"] is False


def test_a_module_whose_import_fails_at_that_moment_is_told_of_with_the_next(
    package: str, gate: SimpleNamespace
) -> None:
    def fail_to_import() -> None:
        with pytest.raises(AssertionError):
            importlib.import_module(package)

    seen: list[int] = []
    importing = threading.Thread(target=fail_to_import)
    importing.start()
    gate.begun.wait()
    imports.when_imported(package, lambda module: seen.append(module.value))
    gate.broken = True
    gate.opened.set()
    importing.join()
    assert seen == []
    gate.broken = False
    importlib.import_module(package)
    assert seen == [1]


def test_a_stand_in_for_a_module_that_has_no_spec_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tests of an app put there."""
    seen: list[object] = []
    hook = seen.append
    monkeypatch.setitem(sys.modules, "no_such_sdk", SimpleNamespace())
    imports.when_imported("no_such_sdk", hook)
    imports.forget("no_such_sdk", hook)
    assert seen == [sys.modules["no_such_sdk"]]
