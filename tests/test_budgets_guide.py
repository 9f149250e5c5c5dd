"""What docs/budgets.md says to type works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from usage_tracker.budgets import estimates, gate, holding, reservations, reserving
from usage_tracker.cli.budgets import COMMANDS
from usage_tracker.demo.standin import StandIn
from usage_tracker.outgoing import ATTEMPT_SECONDS

GUIDE = (Path(__file__).parent.parent / "docs" / "budgets.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "python", "sql"}


def test_the_commands_work_in_their_order_and_the_program_is_held_to_them(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
        "TRACKER_EXIT_TIMEOUT": "60",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    [program] = [text for kind, text in BLOCKS if kind == "python"]
    program = f"from usage_tracker.budgets import holding; holding.FIRST_SECONDS = 60.0\n{program}"  # a busy machine
    with StandIn() as provider:
        environment |= {"OPENAI_BASE_URL": provider.base_url, "OPENAI_API_KEY": "sk-test"}
        for kind, text in BLOCKS:
            if kind == "sh":
                run("sh", "-eu", "-c", text)
        assert run(sys.executable, "-c", program) == ""
        assert len(provider.requests) == 1
        run("usage-tracker", "budget", "set", "frontend", "--limit", "0.000001", "--on-limit", "block")
        said = run(sys.executable, "-c", program)
        assert said.startswith("The budget 'frontend' (team=frontend) has used $0.0000")
        assert len(provider.requests) == 1


def test_the_figures_are_those_of_the_code() -> None:
    assert f"after up to {gate.SEEN_SECONDS:.0f} seconds" in GUIDE
    assert f"within {gate.SEEN_SECONDS:.0f} seconds" in GUIDE
    assert f"or else {estimates.DEFAULT_OUTPUT:,} tokens" in GUIDE
    assert f"expires after {reservations.EXPIRE_SECONDS:.0f} seconds" in GUIDE
    assert f"an attempt ends after {ATTEMPT_SECONDS:.0f} seconds" in GUIDE
    assert estimates.CHARACTERS_PER_TOKEN == 3
    assert f"leaves a process without an answer for {reserving.SILENT_SECONDS:.0f} seconds" in GUIDE
    assert f"more than {reserving.RESERVE_SECONDS:.0f} seconds for its turn" in GUIDE
    assert holding.FIRST_SECONDS == 2


def test_every_command_is_shown() -> None:
    assert all(f"budget {name}" in GUIDE or name in ("show", "rm") for name in COMMANDS)
