"""What docs/clickhouse.md says to type works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = (Path(__file__).parent.parent / "docs" / "clickhouse.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
ADDRESS = "clickhouse://default:password@localhost:8123/usage"


def test_the_commands_work_in_their_order(empty_clickhouse_dsn: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
        "TRACKER_EXIT_TIMEOUT": "60",
    }
    script = "".join(BLOCKS).replace(ADDRESS, empty_clickhouse_dsn.replace("'", "%27"))
    assert script != "".join(BLOCKS)
    done = subprocess.run(
        ["sh", "-eu", "-c", script], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    assert re.search(r"acme-1.*alpha.*1,200", done.stdout)
    assert "0001_events_and_rollups" in done.stdout
    assert re.search(r"ClickHouse 2\d\.", done.stdout)
    assert re.search(r"alpha\W+\S*\W+1\b", done.stdout)
