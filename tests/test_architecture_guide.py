"""The map of the package has every module at its root, and no other; and each file says what it is for."""

import ast
import re
from pathlib import Path

import usage_tracker

PACKAGE = Path(usage_tracker.__file__).parent
GUIDE = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")


def rows(text: str) -> list[str]:
    return re.findall(r"^\| `(\w+/?)` \| \S", text, re.MULTILINE)


def test_each_module_and_folder_of_the_package_has_one_row() -> None:
    modules = [path.stem for path in PACKAGE.glob("*.py")]
    folders = [f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")]
    of_package, _ = GUIDE.split("## Beside the package")
    assert sorted(rows(of_package)) == sorted([*modules, *folders])


def test_the_folders_beside_the_package_are_there() -> None:
    _, beside = GUIDE.split("## Beside the package")
    assert all((PACKAGE.parent / name).is_dir() for name in rows(beside))


def test_each_file_says_what_it_is_for() -> None:
    said = {path: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in PACKAGE.rglob("*.py")}
    assert [path for path, words in said.items() if not words] == []
