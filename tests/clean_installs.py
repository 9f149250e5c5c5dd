"""The wheel in a clean environment for each extra, as a user has it: nothing of ours beside it, and the command runs.

`make installs` runs it; it takes its packages from the index, which no test does.
"""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
NOT_FOR_USERS = re.compile("dev|tests")
RECORD = """
import usage_tracker
usage_tracker.install(app="shop")
usage_tracker.record(provider="openai", model="gpt-4o-mini", input_tokens=1000, output_tokens=10)
assert usage_tracker.flush(30)
"""


def run(*words: str | Path, home: Path, code: int = 0) -> str:
    done = subprocess.run(
        words, cwd=home, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        raise SystemExit(f"{words}: {done.returncode} instead of {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def install(folder: Path, *what: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    uv = Path(sys.executable).with_name("uv")
    pip: list[str | Path] = [uv, "pip", "install", "--python", folder / "bin" / "python"]
    if not uv.exists():
        pip = [folder / "bin" / "python", "-m", "pip", "install"]
    subprocess.run([*pip, "--quiet", *what], check=True)


def try_out(wheel: Path, extra: str, home: Path) -> None:
    install(home / "venv", f"{wheel}[{extra}]" if extra else str(wheel))
    python, command = home / "venv" / "bin" / "python", home / "venv" / "bin" / "usage-tracker"
    run(python, "-W", "error", "-c", RECORD, home=home)
    assert "gpt-4o-mini" in run(command, "report", home=home)
    run(command, "doctor", home=home)
    if extra in ("all", "dashboard"):
        run(python, "-W", "error", "-c", "import usage_tracker.web.app", home=home)
    if not extra:
        assert "pip install openai" in run(command, "demo", home=home, code=1)
        assert "dashboard" in run(command, "serve", home=home, code=1)


def main() -> None:
    extras = metadata.metadata("usage-tracker-llm").get_all("Provides-Extra") or []
    with TemporaryDirectory() as folder:
        building = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
        subprocess.run(building, cwd=ROOT, check=True, capture_output=True)
        [wheel] = Path(folder).glob("*.whl")
        for extra in ["", *(each for each in extras if not NOT_FOR_USERS.match(each))]:
            home = Path(folder) / (extra or "none")
            home.mkdir()
            try_out(wheel, extra, home)
            print(f"installed with {extra or 'no extra'}: works", flush=True)


if __name__ == "__main__":
    main()
