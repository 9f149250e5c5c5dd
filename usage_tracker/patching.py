"""The choke points, patched when the app imports an SDK and reverted over the same rows."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from usage_tracker.choke_points import ChokePoint
from usage_tracker.imports import forget, when_imported
from usage_tracker.scoped import innermost

if TYPE_CHECKING:
    from usage_tracker.capture import Wrapper
    from usage_tracker.patched import Patched

logger = logging.getLogger("usage_tracker")

State = Literal["patched", "not imported", "not in this version", "shape unknown"]

LOOKED_FOR = {"openai._httpx2": ("httpx2", "httpx"), "google.genai._common": ("requests",)}
"""Modules of SDKs that look with each call for libraries among those that are loaded, and what they look for:
https://github.com/openai/openai-python/blob/v2.54.0/src/openai/_httpx2.py,
https://github.com/openai/openai-python/blob/v3.57.0/src/openai/_httpx2.py,
https://github.com/googleapis/python-genai/blob/v3.6.1/google/genai/_common.py."""
WITH_PRICES = "httpx2"
"""What price data imports of those."""


class Patches:
    """The choke points of one `install()`."""

    def __init__(
        self, points: Iterable[ChokePoint], wrapper_for: "Callable[[ChokePoint], Wrapper]", *, has_clients: bool = False
    ) -> None:
        """`has_clients`: whether a thread of ours imports those of sinks or exports, and with them any library."""
        self.points = list(points)
        self._wrapper_for = wrapper_for
        self._has_clients = has_clients
        self._states: dict[ChokePoint, State] = {}
        self._patched: dict[int, Patched] = {}
        """By identity; each once, as an app may install us with every request."""

    def apply(self) -> None:
        """Patch what is imported already; the rest when the app imports it. Imports no SDK itself. Again, it patches
        what others have put in our place since."""
        for name in LOOKED_FOR:
            when_imported(name, self._load_looked_for)
        for name in dict.fromkeys(point.module for point in self.points):
            when_imported(name, self._patch_module)

    def _load_looked_for(self, module: ModuleType) -> None:
        """What such a module would find half loaded while a thread of ours imports it, which fails the app's calls, is
        loaded with it."""
        for library in LOOKED_FOR[module.__name__]:
            if library == WITH_PRICES or self._has_clients:
                with suppress(ImportError):  # what isn't installed is never found
                    import_module(library)

    def _patch_module(self, module: ModuleType) -> None:
        for point in self.points:
            if point.module == module.__name__:
                self._patch(point, module)

    def _patch(self, point: ChokePoint, module: ModuleType) -> None:
        found = found_in(module, point)
        if found is None and point.optional:
            self._states[point] = "not in this version"
            return
        if found is None:
            if point not in self._states:
                logger.warning(
                    "%s %s has no %s.%s: its calls are not counted; `usage-tracker doctor` lists what is",
                    point.sdk, version_of(point.sdk), point.module, point.attribute,
                )  # fmt: skip
            self._states[point] = "shape unknown"
            return
        from usage_tracker.patched import patched

        for owner, name, held in (found, *overrides(*found), *reexports(module, *found)):
            ours = patched(held)
            ours.switch(self._wrapper_for(point))
            self._patched[id(ours)] = ours
            if ours is not held:
                setattr(owner, name, ours)
        self._states[point] = "patched"

    def revert(self) -> None:
        """Put back the identical original objects wherever we are still outermost, and do nothing in other places."""
        for name in LOOKED_FOR:
            forget(name, self._load_looked_for)
        for name in dict.fromkeys(point.module for point in self.points):
            forget(name, self._patch_module)
        for each in self._patched.values():
            each.switch(None)
        for point, state in self._states.items():
            module = sys.modules.get(point.module)
            if module is not None and state == "patched" and (found := found_in(module, point)):
                from usage_tracker.patched import unpatched

                for owner, name, held in (found, *overrides(*found), *reexports(module, *found)):
                    original = unpatched(held)
                    if original is not held:
                        setattr(owner, name, original)
        for style in {point.style for point, state in self._states.items() if state == "patched"}:
            release = getattr(sys.modules.get(f"usage_tracker.capture.{style}"), "release", None)
            if release is not None:
                release()
        self._states.clear()
        self._patched.clear()

    def states(self) -> dict[ChokePoint, State]:
        """Each row and what became of it."""
        return {point: self._states.get(point, "not imported") for point in self.points}


def found_in(module: ModuleType | None, point: ChokePoint) -> tuple[Any, str, Any] | None:
    """Where a row is in this version of the SDK, by the name that it has there."""
    found = owner_of(module, point.attribute)
    return owner_of(module, point.formerly) if found is None and point.formerly else found


def owner_of(module: ModuleType | None, attribute: str) -> tuple[Any, str, Any] | None:
    """The object that holds the attribute, its name there and the raw value; None where this SDK has no such thing."""
    owner: Any = module
    *path, name = attribute.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    held = vars(owner).get(name) if owner is not None else None
    return None if held is None else (owner, name, held)


def overrides(owner: Any, name: str, original: Any) -> Iterator[tuple[Any, str, Any]]:
    """Where another instrumentation has wrapped the same function in a subclass, past which calls would go, as
    OpenInference does with `OpenAI.request`; as `owner_of`."""
    subclasses: list[type] = owner.__subclasses__() if isinstance(owner, type) else []
    for subclass in subclasses:
        held = vars(subclass).get(name)
        if held is not None and innermost(held) is innermost(original):
            yield subclass, name, held
        yield from overrides(subclass, name, original)


def reexports(module: ModuleType, owner: Any, name: str, original: Any) -> Iterator[tuple[Any, str, Any]]:
    """Where the packages above a module have the very same function by the same name, as `litellm.rerank` is that of
    `litellm.rerank_api.main`; as `owner_of`."""
    from usage_tracker.patched import unpatched

    parent = module.__name__ if owner is module else ""
    while parent := parent.rpartition(".")[0]:
        held = vars(sys.modules[parent]).get(name) if parent in sys.modules else None
        if held is not None and unpatched(held) is unpatched(original):
            yield sys.modules[parent], name, held


def version_of(package: str) -> str | None:
    """The installed version of an SDK."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
