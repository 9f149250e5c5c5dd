"""What the apps of the bench do: call through the real SDK, and write down the id of each answer once the call has
returned.

So an id that is written down was captured before. A process that is killed between the two leaves an event whose id
nobody wrote down, and never the other way round.
"""

import atexit
import ctypes
import json
import os
import threading
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    import openai

    from usage_tracker.event import Origin, UsageEvent

KEY = "sk-secret-of-the-bench-0123456789"

IDS_IN_A_FILE = 100
"""Small files: a bound on how large they may be stands for a full disk."""

clients: dict[int, "openai.OpenAI"] = {}


def client() -> "openai.OpenAI":
    """One for each process: connections are not carried across a fork."""
    import openai

    if os.getpid() not in clients:
        # without TLS, which takes 20 ms to set up and is not used
        http = openai.DefaultHttpxClient(verify=False)
        clients[os.getpid()] = openai.OpenAI(
            api_key=KEY, base_url=os.environ["BASE_URL"], max_retries=4, http_client=http
        )
    return clients[os.getpid()]


def work(calls: int | None = None) -> None:
    """Call so often, or until the bench says stop."""
    folder, stop, pause = Path(os.environ["MADE"]), os.environ["STOP"], float(os.environ["PAUSE"])
    name = f"{os.getpid()}-{uuid4().hex[:8]}"
    ask = client().chat.completions.create
    written = -1
    for number in count() if calls is None else range(calls):
        if calls is None and os.path.exists(stop):
            break
        if number % IDS_IN_A_FILE == 0:
            if written >= 0:
                os.close(written)
            file = folder / f"{name}-{number}.ids"
            written = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        started = time.perf_counter()
        answer = ask(model="gpt-4o-mini", max_tokens=1, messages=[{"role": "user", "content": f"{name} {number}"}])
        took = time.perf_counter() - started
        os.write(written, f"{answer.id} {took:.6f} {stalled():.6f}\n".encode())
        if pause:
            time.sleep(pause)
    if written >= 0:
        os.close(written)


def note(name: str) -> None:
    """Write down one id."""
    with open(Path(os.environ["MADE"]) / f"{os.getpid()}-{uuid4().hex[:8]}.ids", "a") as written:
        written.write(f"{name} 0 0\n")


def wait_for_start() -> None:
    """Until the bench says go, to all at once."""
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.005)


def rename_host(name: str) -> None:
    """Of this process alone, which must have no thread yet when it is renamed for the first time."""
    new_host_name, new_user_namespace = 0x04000000, 0x10000000
    libc = ctypes.CDLL(None, use_errno=True)
    if threading.active_count() == 1:
        ask = new_host_name | (0 if os.geteuid() == 0 else new_user_namespace)
        if libc.unshare(ask):
            raise OSError(ctypes.get_errno(), "this process can't have a host name of its own")
    if libc.sethostname(name.encode(), len(name)):
        raise OSError(ctypes.get_errno(), "the host can't be renamed")


def work_in_threads(threads: int, calls: int | None = None) -> None:
    started = [threading.Thread(target=work, args=(calls,)) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def become_powerless() -> None:
    """Where we are root: let permissions count for us too. In a user namespace of its own, without a mapping, root may
    do what its files' modes let their owner do."""
    if os.geteuid() == 0:
        new_user_namespace = 0x10000000
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(new_user_namespace):
            raise OSError(ctypes.get_errno(), "root can't give up its powers here")


def note_end() -> None:
    """When the interpreter began to end, and what the guard has swallowed until then."""
    from usage_tracker import guard

    noted = {
        "at": time.monotonic(),
        "starved": seconds_starved(os.getpid()),
        "errors": dict(guard.errors),
        "last": guard.last_error,
    }
    (Path(os.environ["MADE"]) / f"{os.getpid()}.end").write_text(json.dumps(noted))


def watch_stalls() -> None:
    """Let `stalled` know what calls wait for us. Before the tracker is installed."""
    from usage_tracker.pipeline import Pipeline

    keep = Pipeline.keep

    def watched(pipeline: Pipeline, origin: "Origin", event: "UsageEvent") -> None:
        started, starved = time.perf_counter(), seconds_starved("thread-self")
        keep(pipeline, origin, event)
        stalls.last = time.perf_counter() - started - seconds_starved("thread-self") + starved

    Pipeline.keep = watched  # type: ignore[assignment, method-assign]


class Stalls(threading.local):
    """Of one thread."""

    last = 0.0


stalls = Stalls()


def stalled() -> float:
    """Seconds for which this thread's last call was held up by us, without those in which the machine had no core."""
    return stalls.last


def seconds_starved(process: int | str) -> float:
    """How long the main thread of a process, which may have ended, or this thread (`thread-self`) could have run and
    the machine had no core for it. 0 where the system doesn't count that
    (https://docs.kernel.org/scheduler/sched-stats.html)."""
    try:
        _, waited, _ = Path(f"/proc/{process}/schedstat").read_text().split()
    except (FileNotFoundError, ValueError):
        return 0.0
    return int(waited) / 1e9


def note_our_end() -> None:
    """Before the tracker's own end, so after it was imported: the last to register is the first to run."""
    atexit.register(note_end)
