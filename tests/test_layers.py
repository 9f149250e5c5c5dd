"""Rules about the code as a whole that neither the import contract of setup.cfg nor ruff can state."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import usage_tracker

PACKAGE = Path(usage_tracker.__file__).parent
FILES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")}
HEAVY = {"click", "genai_prices", "psycopg2", "pydantic", "rich", "wrapt"}
HEAVY_AT_IMPORT = {"patched.py", "capture/litellm_streams.py", "stores/postgres", "cli", "web/command.py"}
"""Whose purpose is one of these, and which are themselves imported where they are needed."""


def imported_at_import(tree: ast.Module) -> Iterator[str]:
    """Packages that are imported as soon as the module is; not inside functions, nor for type checkers."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_heavy_is_imported_where_it_is_used(name: str) -> None:
    if not name.startswith(tuple(HEAVY_AT_IMPORT)):
        assert not HEAVY & set(imported_at_import(FILES[name]))


@pytest.mark.parametrize("name", sorted(FILES))
def test_only_the_guard_catches_everything(name: str) -> None:
    """And it does so in `__exit__`: there is no `except` for every error anywhere."""
    broad = {"BaseException", "Exception"}
    for node in ast.walk(FILES[name]):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            caught = {part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}
            raises_again = isinstance(node.body[-1], ast.Raise)
            assert raises_again or not broad & caught, f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
            assert not broad & {ast.unparse(argument) for argument in node.args}, f"line {node.lineno}"
