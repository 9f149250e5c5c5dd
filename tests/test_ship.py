"""`usage-tracker ship` as a process."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import signal, sys, threading, time
from usage_tracker.cli import main

def get_the_signal():
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.01)
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

threading.Thread(target=get_the_signal, daemon=True).start()
sys.argv[1:] = ["ship"]
main()
"""


def test_it_ends_also_where_the_system_gives_the_signal_to_another_thread(
    tmp_path: Path, own_environment: Path
) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "TRACKER_SPOOL_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0 events shipped" in done.stderr + done.stdout
