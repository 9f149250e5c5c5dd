"""What is installed from a wheel or built from an sdist is what lies here: all of the package, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent
SHIPPED = {
    "usage_tracker", "tests", "benchmarks", "deploy", "docs", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "README.md", "SECURITY.md", "pyproject.toml", "setup.cfg",
}  # fmt: skip
"""The folders and files of an sdist, besides its own."""
NOT_PYTHON = {
    "usage_tracker/py.typed",
    "usage_tracker/pricing/own.toml",
    "usage_tracker/stores/sql/postgres/grant_writer.sql",
    "usage_tracker/stores/sql/sqlite/0001_events_and_rollups.sql",
    "usage_tracker/web/static/app.js",
    "usage_tracker/web/static/vendor/echarts.min.js",
    "usage_tracker/web/templates/page.html",
}
"""One of each kind of file that the package needs and Python doesn't import."""


def hatchling(folder: Path, *words: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", *words],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def git(folder: Path, *words: str) -> None:
    who = (
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.com",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    )
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def of_the_package(folder: Path) -> set[str]:
    files = (path for path in (folder / "usage_tracker").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if "__pycache__" not in path.parts}


def in_wheel(wheel: Path) -> tuple[set[str], set[str]]:
    """The files of a wheel: those of the package, and those about it without their folder's name."""
    with ZipFile(wheel) as opened:
        names = set(opened.namelist())
    about = {name for name in names if ".dist-info/" in name}
    return names - about, {name.partition("/")[2] for name in about}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, and the sdist unpacked."""
    folder = tmp_path_factory.mktemp("built")
    hatchling(ROOT, "build", "--directory", str(folder))
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sdist:
        sdist.extractall(folder / "unpacked", filter="data")
    return next(folder.glob("*.whl")), next((folder / "unpacked").iterdir())


def test_a_wheel_has_the_whole_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    package, about = in_wheel(built[0])
    assert package == of_the_package(ROOT)
    assert package >= NOT_PYTHON
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt"} | {
        f"licenses/{path}" for path in ("LICENSE", *(name for name in package if name.endswith(".LICENSE")))
    }


def test_an_sdist_has_what_its_tests_and_its_readers_need(built: tuple[Path, Path]) -> None:
    unpacked = built[1]
    assert {path.name for path in unpacked.iterdir()} == SHIPPED | {"PKG-INFO", ".gitignore"}
    assert of_the_package(unpacked) == of_the_package(ROOT)
    for folder in ("tests", "docs", "benchmarks", "deploy"):
        here = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        there = {path.relative_to(unpacked) for path in (unpacked / folder).rglob("*") if path.is_file()}
        assert there == {path for path in here if not {"__pycache__", ".hypothesis"} & set(path.parts)}


def test_a_wheel_of_the_sdist_is_the_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, unpacked = built
    hatchling(unpacked, "build", "--target", "wheel", "--directory", str(tmp_path))
    [again] = tmp_path.glob("*.whl")
    assert (again.name, in_wheel(again)) == (wheel.name, in_wheel(wheel))


def test_the_version_is_that_of_the_tag(built: tuple[Path, Path], tmp_path: Path) -> None:
    tagged, shallow, archived = tmp_path / "tagged", tmp_path / "shallow", tmp_path / "archived"
    tagged.mkdir()
    shutil.copy(built[1] / "pyproject.toml", tagged)
    git(tagged, "init", "--quiet")
    git(tagged, "add", ".")
    git(tagged, "commit", "--quiet", "--message", "first")
    git(tagged, "tag", "v7.1.0")
    assert hatchling(tagged, "version") == "7.1.0"
    git(tagged, "commit", "--quiet", "--message", "second", "--allow-empty")
    assert hatchling(tagged, "version").startswith("7.1.1.dev1+g")
    git(tmp_path, "clone", "--quiet", "--depth", "1", "--no-tags", tagged.as_uri(), "shallow")
    assert hatchling(shallow, "version").startswith("0.1.dev1+g")
    archived.mkdir()
    shutil.copy(built[1] / "pyproject.toml", archived)
    assert hatchling(archived, "version", GIT_CEILING_DIRECTORIES=str(tmp_path)) == "0.1.dev0"
