"""What docs/litellm.md says to type works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from spend_logs import make_table

GUIDE = (Path(__file__).parent.parent / "docs" / "litellm.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert [kind for kind, _ in BLOCKS] == ["yaml", "sh", "sh"]  # a proxy with the first is in tests/with_litellm


def test_the_commands_work_in_their_order(tmp_path: Path, empty_postgres_dsn: str) -> None:
    make_table(empty_postgres_dsn, 300)
    environment = {
        **os.environ,
        "LITELLM_DATABASE_URL": empty_postgres_dsn,
        "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    for kind, text in BLOCKS:
        if kind == "sh":
            done = subprocess.run(
                ["sh", "-eu", "-c", text], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            shown = done.stdout + done.stderr
            assert ("300 calls brought" in shown) == ("report" in text)
            assert ("end-user-6" in shown) == ("report" in text)
