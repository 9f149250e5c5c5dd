"""Processes that come from others: every way of forking that apps use."""

import os
import sys
import urllib.request
from signal import SIGKILL, SIGTERM

from ports import free_port

from faults.bench import PREAMBLE, Bench
from faults.cases import case


@case("os.fork without exec")
def forked(bench: Bench) -> None:
    bench.start(
        """
work(10)
children = []
for ending in (lambda: os._exit(0), lambda: sys.exit(0), lambda: None, lambda: os.kill(os.getpid(), 9)):
    child = os.fork()
    if child == 0:
        work(20)
        if os.fork() == 0:  # a grandchild
            work(10)
            os._exit(0)
        os.wait()
        ending()
        break
    children.append(child)
else:
    work(20)
    [os.waitpid(child, 0) for child in children]
"""
    ).wait()
    bench.recover()
    assert len(bench.made()) == 10 + 4 * 30 + 20


@case("os.fork with exec, and exec without fork")
def executed(bench: Bench) -> None:
    second = bench.folder / "second.py"
    second.write_text(PREAMBLE + "work(10)")
    bench.start(
        f"""
work(10)
if os.fork() == 0:
    work(10)
    os.execv(sys.executable, [sys.executable, {str(second)!r}])
work(10)
os.wait()
os.execv(sys.executable, [sys.executable, {str(second)!r}])
"""
    ).wait()
    bench.recover()
    assert len(bench.made()) == 50


@case("os.fork while threads hold our locks")
def forked_with_locks_held(bench: Bench) -> None:
    bench.start(
        """
from usage_tracker import tracker
from usage_tracker.forking import undivided
work(10)
pipeline = tracker.installed.pipeline()
held = [pipeline.journal._lock, pipeline._start_lock, undivided(), pipeline.shipping.shipper.turn,
    tracker._install_lock, tracker.installed._lock]
ready, done = threading.Barrier(len(held) + 1), threading.Event()
def hold(lock):
    with lock:
        ready.wait()
        done.wait()
threads = [threading.Thread(target=hold, args=(lock,)) for lock in held]
[thread.start() for thread in threads]
ready.wait()
started = time.monotonic()
children = [os.fork()]
if children[0] == 0:
    work(20)
    sys.exit(0)
assert time.monotonic() - started < 30, "the fork waits"
done.set()
[thread.join() for thread in threads]
work(20)
assert os.waitpid(children[0], 0)[1] == 0
"""
    ).wait()
    bench.recover()
    assert len(bench.made()) == 50, bench.said()


@case("os.fork in one thread while others call")
def forked_among_threads(bench: Bench) -> None:
    bench.start(
        """
work(3)  # the SDK builds its models at its first call, under a lock that a child would inherit
calling = [threading.Thread(target=work, args=(60,)) for _ in range(4)]
[thread.start() for thread in calling]
children = []
for _ in range(12):
    time.sleep(0.02)
    child = os.fork()
    if child == 0:
        work(5)
        os._exit(0)
    children.append(child)
[thread.join() for thread in calling]
[os.waitpid(child, 0) for child in children]
"""
    ).wait()
    bench.recover()
    assert len(bench.made()) == 3 + 4 * 60 + 12 * 5, bench.said()


@case("multiprocessing: fork, spawn, forkserver, and a pool")
def multiprocessing(bench: Bench) -> None:
    app = bench.start(
        """
import multiprocessing
if __name__ == "__main__":
    work(5)
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=work, args=(10,)) for _ in range(2)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, [5, 5, 5, 5])
""",
        fresh=True,
    )
    assert app.wait() == 0, bench.said()
    bench.recover()
    assert len(bench.made()) == 5 + 3 * 20 + 20


@case("gunicorn with preload; a worker killed -9")
def gunicorn(bench: Bench) -> None:
    port = free_port()
    (bench.folder / "shop.py").write_text(
        PREAMBLE
        + """
work(3)
def app(environ, start_response):
    work(3)
    start_response("200 OK", [("content-type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
    )
    command = (
        sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--worker-class", "gthread", "--threads", "4",
        "--bind", f"127.0.0.1:{port}", "--no-control-socket", "--log-level", "warning", "shop:app",
    )  # fmt: skip
    app = bench.start(fresh=True, command=command)

    def asked() -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                return int(answer.read())
        except OSError:
            return 0

    bench.wait_for(asked, "gunicorn answers")
    workers = {asked() for _ in range(10)}
    os.kill(max(workers), SIGKILL)
    bench.wait_for(lambda: asked() not in workers | {0}, "a new worker")
    app.send(SIGTERM)
    assert app.wait() == 0, bench.said()
    bench.unclaimed = 3
    bench.recover()
    assert len(bench.made()) >= 3 + 11 * 3


@case("celery prefork; a worker killed -9, then all")
def celery(bench: Bench) -> None:
    queue, at_work = bench.folder / "queue", bench.folder / "at_work"
    queue.mkdir()
    (bench.folder / "tasks.py").write_text(
        PREAMBLE
        + f"""
import celery, pathlib
folders = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), {str(queue)!r})
app = celery.Celery("tasks", broker="filesystem://")
app.conf.update(broker_transport_options={{**folders, "polling_interval": 0.05}}, worker_hijack_root_logger=False)
@app.task
def ask(calls):
    work(calls)
@app.task
def ask_for_long():
    pathlib.Path({str(at_work)!r}).write_text(str(os.getpid()))
    work()
"""
    )
    command = (
        sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2",
        "--loglevel", "error", "--without-gossip", "--without-mingle", "--without-heartbeat",
    )  # fmt: skip
    app = bench.start(fresh=True, command=command, settings={"C_FORCE_ROOT": "1"})
    # the broker goes by the milliseconds at which a task was sent
    tasks = "ask_for_long.delay()\ntime.sleep(0.05)\nfor _ in range(12): ask.delay(5)"
    bench.start(tasks, preamble="import time\nfrom tasks import ask, ask_for_long\n", fresh=True)
    bench.wait_for(lambda: at_work.exists() and bench.calls_of(int(at_work.read_text() or 0)) >= 20, "a long task")
    # in the middle of a task: one that waits for its next would take the lock of the pool's queue with it
    killed = int(at_work.read_text())
    os.kill(killed, SIGKILL)
    bench.unclaimed = 1
    bench.wait_for(lambda: len(bench.made()) - bench.calls_of(killed) >= 12 * 5, "the other tasks")
    os.killpg(app.pid, SIGKILL)
    app.wait()
    bench.unclaimed = 3
    bench.recover()
