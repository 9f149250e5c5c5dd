"""Many real processes that do the same thing to one store at once."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import io, os, signal, sys
sys.path[:0] = {path!r}
signal.alarm(100)
start, go = os.pipe()
children = []
for number in range({processes}):
    child = os.fork()
    if child == 0:
        os.close(go)
        os.read(start, 1)
        sys.stdout = printed = io.StringIO()
        try:
            work(number, {dsn!r})
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
            os._exit(1)
        os.write(1, printed.getvalue().encode())  # at once: all print to one pipe
        os._exit(0)
    children.append(child)
os.close(go)
failed = [status for _, status in (os.waitpid(child, 0) for child in children) if status]
sys.exit(len(failed))
"""


def race(work: str, dsn: str, processes: int) -> list[str]:
    """The lines that the processes print. `work` is the source of `def work(number, dsn)`; all start at once."""
    path = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    program = f"import sys; sys.path[:0] = {path!r}\n{work}\n" + PROGRAM.format(path=path, processes=processes, dsn=dsn)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()
