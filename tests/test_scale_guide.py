"""What docs/scale.md says to type works as it stands there; only the servers are on this machine."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import psycopg2
from faults.pgbouncer import PgBouncer
from psycopg2.extensions import parse_dsn

GUIDE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "ini"}


def test_the_commands_work_through_a_pgbouncer_that_is_set_like_this(postgres_dsn: str) -> None:
    place = parse_dsn(postgres_dsn)
    [text] = [text for kind, text in BLOCKS if kind == "ini"]
    said = configparser.ConfigParser()
    said.read_string(text)
    bouncer = PgBouncer(int(place["port"]), **dict(said["pgbouncer"]))
    bouncer.start()
    try:
        script = "".join(text for kind, text in BLOCKS if kind == "sh")
        named = "postgresql://app@pgbouncer.internal:6432/usage"
        assert named in script
        script = script.replace(named, f"postgresql://postgres@127.0.0.1:{bouncer.port}/{place['dbname']}")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-eu", "-c", script],
            check=False,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "GRANT" in done.stdout
        assert "PostgreSQL" in done.stdout
        admin = psycopg2.connect(host="127.0.0.1", port=bouncer.port, user="postgres", dbname="pgbouncer")
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("SHOW CONFIG")
            held = {row[0]: row[1] for row in cursor.fetchall()}
        admin.close()
        assert {name: held[name] for name in said["pgbouncer"]} == dict(said["pgbouncer"])
    finally:
        bouncer.close()
