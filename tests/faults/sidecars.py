"""A sidecar beside the apps of the bench."""


def sidecar_script(*words: str) -> str:
    """The source of a program that is `usage-tracker ship` with these words, until the bench says stop."""
    return f"""
import os, signal, sys, threading, time
from usage_tracker.cli import main
def stop_with_the_others():
    while not os.path.exists(os.environ["STOP"]): time.sleep(0.01)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=stop_with_the_others, daemon=True).start()
sys.argv[1:] = {["ship", *words]!r}
main()
"""
