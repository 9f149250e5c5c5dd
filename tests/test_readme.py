"""What the README tells a newcomer to type works as it stands there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from commanding import invoke
from psycopg2.extensions import parse_dsn

from usage_tracker.demo.standin import StandIn

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
DSN = "postgresql://tracker:secret@db.example.com/usage"
INSTALL = f"{sys.executable} -m pip install --quiet --no-deps --no-build-isolation --target site {ROOT}"
"""As `pip install .` in the clone, with what it needs taken from here, and beside what is installed here."""


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"console", "python", "sh", "text"}
    assert all(line.startswith("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines())


@pytest.mark.timeout(360)
def test_every_block_that_can_run_runs(tmp_path: Path, provider: StandIn, postgres_dsn: str) -> None:
    """In order, in one folder. Only OPENAI_BASE_URL and the database's address differ, and that a busy machine has the
    time to store what is left at the end of a program."""
    server = parse_dsn(postgres_dsn)
    address = f"postgresql:///{server.pop('dbname')}?{urlencode(server)}"
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
        "TRACKER_EXIT_TIMEOUT": "60",
    }

    def run(command: list[str]) -> str:
        done = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    assert README.count(DSN) == 1
    shown = []
    for kind, text in BLOCKS:
        if kind == "python":
            (tmp_path / "app.py").write_text(text)
            run([sys.executable, "app.py"])
        elif kind == "sh":
            shown.append(run(["sh", "-eu", "-c", text.replace(DSN, address).replace("pip install .", INSTALL)]))
    assert "gpt-4o-mini-2024-07-18" in shown[0]
    assert "gpt-4o-mini-2024-07-18" in shown[1]

    by_app = json.loads(run(["usage-tracker", "report", "--by", "app,project,user", "-o", "json"]))
    said = {(row["app"], row["project"], row["user"]): row["calls"] for row in by_app["rows"]}
    assert said == {
        ("app.py", None, None): 1,
        ("shop", "support-bot", "u-123"): 1,
        ("shop", "search", None): 1,
    }
    in_postgres = json.loads(run(["usage-tracker", "report", "--dsn", address, "--by", "app", "-o", "json"]))
    assert [(row["app"], row["calls"]) for row in in_postgres["rows"]] == [("app.py", 1)]
    assert (tmp_path / "site" / "usage_tracker" / "stores" / "sql").is_dir()


def test_the_report_that_it_shows_is_that_of_the_demo(tmp_path: Path) -> None:
    def columns(report: str) -> list[str]:
        return next(line.split() for line in report.splitlines() if line.startswith("Model"))

    def models(report: str) -> set[str]:
        return set(re.findall(r"^([a-z][\w.-]+) +\d", report, re.MULTILINE))

    (shown,) = [text for kind, text in BLOCKS if kind == "text"]
    by_model, _ = invoke("demo", "--folder", str(tmp_path)).stdout.split("Usage by project")
    assert columns(shown) == columns(by_model)
    assert models(shown) == models(by_model)
    notes = re.compile(r"^\d+ calls? .*$", re.MULTILINE)
    assert notes.findall(shown) == notes.findall(by_model.replace(f" --dsn sqlite:///{tmp_path}/usage.db", ""))


def test_the_report_stands_right_below_the_first_line_of_code() -> None:
    kinds = [kind for kind, _ in BLOCKS]
    assert BLOCKS[kinds.index("python") + 1] == ("sh", "usage-tracker report\n")
