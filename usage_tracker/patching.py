"""Where we touch an SDK: a table of choke points, applied when the app imports the SDK and reverted over the same
rows."""

import logging
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from usage_tracker.imports import forget, when_imported

if TYPE_CHECKING:
    from usage_tracker.capture.stainless import Wrapper

logger = logging.getLogger("usage_tracker")

State = Literal["patched", "not imported", "shape unknown"]


class ChokePoint(NamedTuple):
    """One function of an SDK that every call goes through."""

    sdk: str
    """The SDK's package, as it is imported."""
    module: str
    attribute: str
    """`Class.method` or `function` in that module."""
    role: Literal["request", "response"]
    """What it does for the SDK: make the call, or take an HTTP response on its behalf."""


CHOKE_POINTS = (
    ChokePoint("openai", "openai._base_client", "SyncAPIClient.request", "request"),
    ChokePoint("openai", "openai._base_client", "AsyncAPIClient.request", "request"),
    ChokePoint("openai", "openai._base_client", "SyncAPIClient._process_response", "response"),
    ChokePoint("openai", "openai._base_client", "AsyncAPIClient._process_response", "response"),
)
"""All that we ever touch."""


class Patches:
    """The choke points of one `install()`."""

    def __init__(self, points: Iterable[ChokePoint], wrapper_for: "Callable[[ChokePoint], Wrapper]") -> None:
        self.points = list(points)
        self._wrapper_for = wrapper_for
        self._states: dict[ChokePoint, State] = {}

    def apply(self) -> None:
        """Patch what is imported already; the rest when the app imports it. Imports nothing itself."""
        for name in dict.fromkeys(point.module for point in self.points):
            when_imported(name, self._patch_module)

    def _patch_module(self, module: ModuleType) -> None:
        for point in self.points:
            if point.module == module.__name__:
                self._patch(point, module)

    def _patch(self, point: ChokePoint, module: ModuleType) -> None:
        found = owner_of(module, point.attribute)
        if found is None:
            self._states[point] = "shape unknown"
            logger.warning(
                "%s %s has no %s.%s: its calls are not counted; `usage-tracker doctor` lists what is",
                point.sdk, version_of(point.sdk), point.module, point.attribute,
            )  # fmt: skip
            return
        from usage_tracker.patched import Patched

        owner, name, original = found
        if not isinstance(original, Patched):
            setattr(owner, name, Patched(original, self._wrapper_for(point)))
        self._states[point] = "patched"

    def revert(self) -> None:
        """Put back the identical original objects, wherever we are still outermost; else switch ourselves off."""
        for name in dict.fromkeys(point.module for point in self.points):
            forget(name, self._patch_module)
        for point, state in self._states.items():
            if state == "patched" and (found := owner_of(sys.modules.get(point.module), point.attribute)):
                from usage_tracker.patched import Patched, switch_off

                owner, name, current = found
                if isinstance(current, Patched):
                    setattr(owner, name, current.__wrapped__)
                else:
                    switch_off(current)
        self._states.clear()

    def states(self) -> dict[ChokePoint, State]:
        """Each row and what became of it."""
        return {point: self._states.get(point, "not imported") for point in self.points}


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
