"""Run the tests of each SDK with its oldest, middle and newest versions, each in an environment of its own, and write
the README's table of what was seen working: `make sdk-matrix`.

What a version lacks is said by the tests themselves, which skip with "… has it since …".
"""

import argparse
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
README = PROJECT / "README.md"
START, END = "<!-- sdk-matrix -->\n", "<!-- /sdk-matrix -->"


class Sdk(NamedTuple):
    """An SDK, the versions to try and the tests that call it."""

    name: str
    versions: tuple[str, ...]
    tests: tuple[str, ...]
    beside: tuple[str, ...] = ()
    """What the tests need besides."""


OPENAI = "openai>=3"
MATRIX = (
    Sdk(
        "openai",
        ("1.40.0", "1.66.0", "1.109.1", "2.54.0", "3.57.0"),
        ("test_call.py", "test_streams.py", "test_websockets.py", "test_background.py"),
        ("websockets>=13", "httpx<0.28"),
    ),
    Sdk(
        "anthropic",
        ("1.0.0", "1.17.0", "2.14.0"),
        ("test_anthropic.py", "test_anthropic_streams.py"),
        (OPENAI, "boto3", "google-auth", "requests"),
    ),
    Sdk(
        "google-genai",
        ("1.0.0", "1.24.0", "1.60.0", "2.0.0", "2.34.0", "3.6.1"),
        ("test_google_genai.py", "test_google_genai_streams.py", "test_google_interactions.py", "test_google_live.py"),
        (OPENAI, "aiohttp"),
    ),
    Sdk("google-generativeai", ("0.8.0", "0.8.6"), ("test_google_generativeai.py",), (OPENAI,)),
    Sdk(
        "litellm",
        ("1.106.2", "1.110.2"),
        tuple(f"with_litellm/test_litellm{part}.py" for part in ("", "_streams", "_cache", "_router")),
        ("backoff", "fastapi", "mcp", "orjson", "redis", "soundfile", "tenacity"),
    ),
)


class Seen(NamedTuple):
    """What became of one version's tests."""

    passed: int
    lacking: int
    failed: list[str]


def main() -> int:
    options = parse()
    rows = []
    for sdk in MATRIX:
        for version in sdk.versions:
            if options.sdk and f"{sdk.name}=={version}" not in options.sdk and sdk.name not in options.sdk:
                continue
            python = environment(options.folder, sdk, version)
            if options.install_only:
                continue
            seen = run_tests(python, sdk)
            rows.append((sdk.name, version, python_version(python), seen))
            print(f"{sdk.name} {version}: {seen.passed} passed, {seen.lacking} not in this version", flush=True)
            for name in seen.failed:
                print(f"  FAILED {name}", flush=True)
    if options.write:
        write(rows)
    return 1 if any(seen.failed for *_, seen in rows) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("sdk", nargs="*", help="only these, such as openai or openai==1.40.0")
    parser.add_argument("--folder", type=Path, default=PROJECT / ".sdk-matrix", help="where the environments are kept")
    parser.add_argument("--install-only", action="store_true", help="make the environments, and run no tests")
    parser.add_argument("--write", action="store_true", help="write them into the README's table; other rows stay")
    options = parser.parse_args()
    known = {name for sdk in MATRIX for name in (sdk.name, *(f"{sdk.name}=={version}" for version in sdk.versions))}
    if unknown := sorted(set(options.sdk) - known):
        parser.error(f"not in the matrix: {', '.join(unknown)}")
    return options


def environment(folder: Path, sdk: Sdk, version: str) -> Path:
    """The Python of the environment for that version, made where it isn't there."""
    home = folder / f"{sdk.name}-{version}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install(python, "--editable", f"{PROJECT}[tests]", f"{sdk.name}=={version}", *sdk.beside)
        ready.touch()
    return python


def install(python: Path, *wanted: str) -> None:
    """By uv, which is quicker; by pip where uv isn't there or doesn't reach the package index."""
    uv = Path(sys.executable).with_name("uv")
    by_uv = [str(uv), "pip", "install", "--quiet", "--python", str(python), *wanted]
    if not uv.exists() or subprocess.run(by_uv, stderr=subprocess.DEVNULL, check=False).returncode:
        by_pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        subprocess.run(by_pip, check=True)


def run_tests(python: Path, sdk: Sdk) -> Seen:
    report = python.parent.parent / "tests.xml"
    report.unlink(missing_ok=True)
    command = [str(python), "-m", "pytest", "--quiet", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += [f"tests/{name}" for name in sdk.tests]
    run = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        print(run.stdout)
    return read(report)


def read(report: Path) -> Seen:
    """The outcomes in pytest's report. Raises FileNotFoundError where the tests did not even begin."""
    passed, lacking, failed = 0, 0, []
    for case in ET.parse(report).iter("testcase"):
        outcomes = {part.tag for part in case}
        if outcomes & {"failure", "error"}:
            failed.append(f"{case.get('classname')}::{case.get('name')}")
        elif "skipped" in outcomes:
            lacking += 1
        else:
            passed += 1
    return Seen(passed, lacking, failed)


def python_version(python: Path) -> str:
    asked = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()


def write(rows: list[tuple[str, str, str, Seen]]) -> None:
    """Into the README, in the order of the matrix; versions that are no more in it go."""
    before = README.read_text(encoding="utf-8")
    marked = re.compile(f"{re.escape(START)}(.*?){re.escape(END)}", re.DOTALL)
    [shown] = marked.findall(before)
    head, line, *known = shown.strip().splitlines()
    lines = {tuple(row.strip("| ").split(" | ")[:2]): row for row in known}
    for sdk, version, python, seen in rows:
        figures = f"{seen.passed} | {seen.lacking} | {len(seen.failed)}"
        lines[sdk, version] = f"| {sdk} | {version} | {python} | {figures} |"
    ordered = [lines[sdk.name, version] for sdk in MATRIX for version in sdk.versions if (sdk.name, version) in lines]
    text = "\n".join(["", head, line, *ordered, "", ""])
    README.write_text(marked.sub(lambda _: f"{START}{text}{END}", before), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
