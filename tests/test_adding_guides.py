"""What docs/adding-a-provider.md and docs/adding-a-store.md name is there, and their examples run."""

import re
from inspect import signature
from pathlib import Path
from types import ModuleType

import pytest

from usage_tracker.providers import anthropic, google_genai, openai
from usage_tracker.stores.store import Store

DOCS = Path(__file__).parent.parent / "docs"
PROVIDER = (DOCS / "adding-a-provider.md").read_text(encoding="utf-8")
STORE = (DOCS / "adding-a-store.md").read_text(encoding="utf-8")


def test_the_examples_run() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PROVIDER, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})


@pytest.mark.parametrize("module", [openai, anthropic], ids=lambda module: str(module.__name__))
def test_a_provider_has_the_functions_that_are_listed(module: ModuleType) -> None:
    listed = re.findall(r"^\| `(\w+)\((.*?)\)` \|", PROVIDER, re.MULTILINE)
    assert len(listed) > 4
    for name, arguments in listed:
        if name == "wants_usage" and module is anthropic:
            continue  # its streams say what they used without being asked
        function = getattr(module, name)
        function = getattr(function, "__wrapped__", function)
        code = function.__code__
        assert ", ".join(code.co_varnames[: code.co_argcount]) == arguments, name


@pytest.mark.parametrize("module", [anthropic, google_genai], ids=lambda module: str(module.__name__))
def test_what_capture_asks_of_a_provider_takes_the_same_in_each(module: ModuleType) -> None:
    """One wrapper captures all clients that Stainless generates, and asks a module for whatever it has."""
    named = [name for name in re.findall(r"`(\w+)", PROVIDER) if callable(getattr(openai, name, None))]
    assert {"observe", "deployment_in"} <= set(named)
    for name in filter(vars(module).get, named):
        taken = list(signature(getattr(openai, name)).parameters)
        assert list(signature(getattr(module, name)).parameters)[: len(taken)] == taken, name


def test_a_store_has_the_methods_that_are_listed_and_no_others() -> None:
    rows = re.findall(r"^\| (`\w+`.*?) \|", STORE, re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(name for name in vars(Store) if not name.startswith("_"))
