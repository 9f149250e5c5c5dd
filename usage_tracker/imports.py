"""Be told when the app imports a module, without importing it for the app.

wrapt has such hooks too, but importing wrapt imports asyncio and importlib.metadata, 20 ms that an app pays even
where it never makes a call; wrapt itself is imported when there is something to patch.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from usage_tracker.guard import guarded

Hook = Callable[[ModuleType], None]


class Finder:
    """Stands first among the importers. Leaves finding to the others and only adds a step after loading."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[Hook]] = {}
        """By the module's name; kept, as a module may be reloaded, or imported anew by who has taken it out."""
        self._finding: set[str] = set()

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.hooks or name in self._finding:
            return None
        self._finding.add(name)
        try:
            spec = found_by_others(name, path, target)
        finally:
            self._finding.discard(name)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = Loader(spec.loader, self)  # type: ignore[assignment]  # a loader by duck type
        return spec

    def loaded(self, name: str, module: ModuleType) -> None:
        for hook in tuple(self.hooks.get(name, ())):
            with guarded("import hook"):
                hook(module)


def found_by_others(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """As the importer itself asks all others. `importlib.util.find_spec` would import the parent first, by a
    `__import__` that others may have replaced to do something with each import of the app."""
    for other in sys.meta_path[:]:
        if other is not finder and hasattr(other, "find_spec"):
            spec = other.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


class Loader:
    """The module's own loader, in everything; after it has run the module's code, the hooks are called."""

    def __init__(self, loader: Any, finder: Finder) -> None:
        self._loader = loader
        self._finder = finder

    def exec_module(self, module: ModuleType) -> None:
        # from here on the module looks as if we had never been there
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._finder.loaded(module.__name__, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class UnderWay(ModuleSpec):
    """The spec of a module that runs already, such as in another thread that imports it, and so past the finder. The
    importer notes there when that is over, and then the hooks are called."""

    @property
    def _initializing(self) -> bool:
        return bool(vars(self)["_initializing"])

    @_initializing.setter
    def _initializing(self, running: bool) -> None:
        # from here on the module looks as if we had never been there
        vars(self)["_initializing"] = running
        self.__class__ = ModuleSpec  # type: ignore[assignment]  # what it was
        module = sys.modules.get(self.name)
        if module is not None:  # else it has failed, and may be imported again
            finder.loaded(self.name, module)


finder = Finder()


def is_under_way(spec: ModuleSpec | None) -> bool:
    """Whether the module's own code still runs; what others put in a module's place may have no spec."""
    return bool(getattr(spec, "_initializing", False))


def when_imported(name: str, hook: Hook) -> None:
    """Call the hook with the module whenever the app has imported it, and at once where it has already. Errors of the
    hook are ours alone."""
    hooks = finder.hooks.setdefault(name, [])
    if hook not in hooks:
        hooks.append(hook)
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
    module = sys.modules.get(name)
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    if module is not None and not is_under_way(spec):
        with guarded("import hook"):
            hook(module)
    elif type(spec) is ModuleSpec:
        spec.__class__ = UnderWay
        if not is_under_way(spec):  # it has just ended
            spec._initializing = False  # type: ignore[attr-defined]  # as the importer says it


def forget(name: str, hook: Hook) -> None:
    """Take a hook back."""
    if hook in finder.hooks.get(name, ()):
        finder.hooks[name].remove(hook)
        if not finder.hooks[name]:
            del finder.hooks[name]
    if not finder.hooks and finder in (sys.meta_path or ()):  # none at the interpreter's end
        sys.meta_path.remove(finder)
