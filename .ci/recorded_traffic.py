"""Run the check on recorded traffic for some SDKs, on SQLite and on a Postgres of its own.

What an SDK can't read even without usage_tracker is left out, and named: LiteLLM raises errors of its own at some of
the recorded answers.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile

from postgres_server import PostgresServer

from usage_tracker import tracker

MAY_FAIL_ALONE = ("litellm",)


def main(check: Path, sdks: list[str]) -> int:
    chosen = [word for sdk in sdks for word in ("--sdk", sdk)]
    if set(sdks) & set(MAY_FAIL_ALONE):
        chosen += [word for found in readable(check.parent, sdks) for word in ("--id", found)]
    command = [sys.executable, str(check), *chosen]
    server = PostgresServer()
    try:
        server.start()
        with TemporaryFile() as said:  # by the second, which runs beside the first
            beside = subprocess.Popen([*command, "--dsn", server.dsn("postgres")], stdout=said, stderr=said)
            print(f"recorded traffic of {', '.join(sdks)}, stored in SQLite", flush=True)
            status = subprocess.run(command, check=False).returncode
            status |= beside.wait()
            print(f"recorded traffic of {', '.join(sdks)}, stored in Postgres", flush=True)
            said.seek(0)
            sys.stdout.buffer.write(said.read())
    finally:
        server.close()
    return status


def readable(folder: Path, sdks: list[str]) -> list[str]:
    """The ids of the recorded calls that the SDKs, alone, bring to the end that was recorded."""
    sys.path.insert(0, str(folder))
    import replay

    records = replay.load(folder / "recorded.jsonl")
    found, unreadable = [], []
    with replay.ReplayServer(records) as server:
        for record in records:
            driven = [sdk for sdk in replay.sdks_for(record) if sdk in sdks]
            for result in replay.replay([record], driven, server) if driven else ():
                (unreadable if result["outcome"] == "error" else found).append(record["id"])
    assert tracker.installed is None
    print(f"left out, because {', '.join(sdks)} alone can't read them: {' '.join(unreadable) or 'none'}", flush=True)
    return found


if __name__ == "__main__":
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or litellm's import tries to download it
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
