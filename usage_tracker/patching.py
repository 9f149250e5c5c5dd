"""Where we touch an SDK: a table of choke points, applied when the app imports the SDK and reverted over the same rows."""

import logging
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Literal, NamedTuple

import wrapt

from usage_tracker.capture.stainless import Wrapper
from usage_tracker.guard import guarded

logger = logging.getLogger("usage_tracker")

State = Literal["patched", "not imported", "shape unknown"]


class ChokePoint(NamedTuple):
    """One function of an SDK that every call goes through."""

    sdk: str
    """The SDK's package, as it is imported."""
    module: str
    attribute: str
    """`Class.method` or `function` in that module."""
    wrapper: Wrapper


class Patches:
    """The choke points of one `install()`."""

    def __init__(self, points: Iterable[ChokePoint]) -> None:
        self.points = list(points)
        self._states: dict[ChokePoint, State] = {}
        self._active = True

    def apply(self) -> None:
        """Patch what is imported already; the rest when the app imports it. Imports nothing itself."""
        for module in dict.fromkeys(point.module for point in self.points):
            wrapt.register_post_import_hook(self._hook(module), module)

    def _hook(self, name: str) -> Callable[[ModuleType], None]:
        def patch_module(module: ModuleType) -> None:
            # An exception here would make the app's own import fail.
            with guarded("patch"):
                if self._active:
                    for point in self.points:
                        if point.module == name:
                            self._patch(point, module)

        return patch_module

    def _patch(self, point: ChokePoint, module: ModuleType) -> None:
        found = owner_of(module, point.attribute)
        if found is None:
            self._states[point] = "shape unknown"
            logger.warning(
                "%s %s has no %s.%s: its calls are not counted; `usage-tracker doctor` lists what is",
                point.sdk, version_of(point.sdk), point.module, point.attribute,
            )  # fmt: skip
            return
        owner, name, original = found
        if not isinstance(original, Patched):
            setattr(owner, name, Patched(original, point.wrapper))
        self._states[point] = "patched"

    def revert(self) -> None:
        """Put back the identical original objects, wherever we are still outermost; else switch ourselves off."""
        self._active = False
        for point, state in self._states.items():
            if state == "patched" and (found := owner_of(sys.modules.get(point.module), point.attribute)):
                owner, name, current = found
                if isinstance(current, Patched):
                    setattr(owner, name, current.__wrapped__)
                else:
                    switch_off(current)
        self._states.clear()

    def states(self) -> dict[ChokePoint, State]:
        """Each row and what became of it."""
        return {point: self._states.get(point, "not imported") for point in self.points}


class Patched(wrapt.FunctionWrapper):  # type: ignore[misc]  # wrapt's class has no type
    """Our wrapper around an SDK's function; its own type, so that we recognise it."""

    def __init__(self, wrapped: Any, wrapper: Wrapper) -> None:
        self._self_on = True
        super().__init__(wrapped, wrapper, enabled=lambda: self._self_on)


def switch_off(outermost: object) -> None:
    """Another instrumentation has wrapped our wrapper: leave it in place, and have ours do nothing."""
    found = outermost
    while found is not None and not isinstance(found, Patched):
        found = getattr(found, "__wrapped__", None)
    if found is not None:
        found._self_on = False


def owner_of(module: ModuleType | None, attribute: str) -> tuple[Any, str, Any] | None:
    """The object that holds the attribute, its name there and the raw value; None where this SDK has no such thing."""
    owner: Any = module
    *path, name = attribute.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    held = vars(owner).get(name) if owner is not None else None
    return None if held is None else (owner, name, held)


def version_of(package: str) -> str | None:
    """The installed version of an SDK."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
