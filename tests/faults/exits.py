"""Every way in which a process ends."""

from signal import SIGINT, SIGKILL, SIGTERM

from faults import breaking
from faults.bench import Bench
from faults.cases import case


@case("normal exit")
def returns(bench: Bench) -> None:
    bench.start("work(50)").wait()
    assert bench.stored_by_itself()


@case("sys.exit in a thread, and in the main thread")
def sys_exit(bench: Bench) -> None:
    bench.start(
        "def end():\n    work(25)\n    sys.exit(3)\n"
        "thread = threading.Thread(target=end)\nthread.start()\nwork(25)\nthread.join()\nsys.exit(4)"
    ).wait()
    assert bench.stored_by_itself()


@case("an exception that nobody catches")
def uncaught(bench: Bench) -> None:
    bench.start("work(25)\nraise ZeroDivisionError").wait()
    assert bench.stored_by_itself()
    assert "ZeroDivisionError" in bench.said()


@case("SIGTERM")
def terminated(bench: Bench) -> None:
    bench.start()
    other = bench.start()
    bench.more_calls(100)
    for app in bench.apps[:]:
        app.send(SIGTERM)
        assert app.wait() == -SIGTERM
    bench.unclaimed = 2
    bench.recover()
    assert other.status == -SIGTERM


@case("SIGTERM that the app makes an exit")
def terminated_softly(bench: Bench) -> None:
    app = bench.start("import signal\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nwork()")
    bench.more_calls(100)
    app.send(SIGTERM)
    assert app.wait() == 0
    bench.unclaimed = 1
    assert bench.stored_by_itself()


@case("SIGINT")
def interrupted(bench: Bench) -> None:
    app = bench.start("work_in_threads(2)")
    bench.more_calls(100)
    app.send(SIGINT)  # the main thread leaves its join; the others go on until they are told
    bench.more_calls(20)
    bench.finish()
    bench.unclaimed = 1
    bench.in_flight = 1  # an interrupted join takes its thread for ended, before Python 3.13, and nobody waits for it
    assert bench.stored_by_itself()


@case("os._exit")
def left_at_once(bench: Bench) -> None:
    bench.start("work(50)\nos._exit(0)").wait()
    bench.recover()


@case("abort")
def aborted(bench: Bench) -> None:
    bench.start("import resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nwork(50)\nos.abort()").wait()
    bench.recover()


@case("exit while Postgres hangs")
def exit_while_frozen(bench: Bench) -> None:
    exit_frozen_within(2.0, bench)


@case("exit while Postgres hangs, with a timeout of 0 s")
def exit_at_once(bench: Bench) -> None:
    exit_frozen_within(0.0, bench)


def exit_frozen_within(seconds: float, bench: Bench) -> None:
    bench.exit_timeout = seconds
    first = bench.start()
    bench.leader()
    second = bench.start()
    bench.more_calls(100)
    with breaking.frozen(bench):
        bench.more_calls(50)
        bench.finish()
        assert not first.runs()
        assert not second.runs()
    bench.recover()


@case("exit while Postgres is away")
def exit_while_away(bench: Bench) -> None:
    bench.exit_timeout = 2.0
    bench.start()
    bench.more_calls(100)
    with breaking.stopped(bench):
        bench.more_calls(50)
        bench.finish()
    bench.recover()


@case("daemon threads that call while the interpreter shuts down")
def daemon_threads(bench: Bench) -> None:
    bench.start(
        "for _ in range(4):\n    threading.Thread(target=work, daemon=True).start()\nwork(50)\n",
    ).wait()
    bench.unclaimed = bench.in_flight = 4
    bench.recover()


@case("calls in the app's own exit handlers")
def exit_handlers(bench: Bench) -> None:
    bench.start(
        "work(5)\natexit.register(work, 20)",
        preamble="import atexit\nfrom faults.program import *\natexit.register(work, 20)\nimport usage_tracker.auto\n",
    ).wait()
    bench.recover()
    assert len(bench.made()) == 45


@case("asyncio.run that ends with tasks pending")
def pending_tasks(bench: Bench) -> None:
    bench.start(
        """
import asyncio, openai
async def main():
    client = openai.AsyncOpenAI(api_key=KEY, base_url=os.environ["BASE_URL"])
    async def ask(number):
        message = {"role": "user", "content": f"async {number}"}
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=[message])
        note(answer.id)
    await asyncio.gather(*[ask(number) for number in range(20)])
    for number in range(20, 40):
        asyncio.ensure_future(ask(number))
    await asyncio.sleep(0.01)
asyncio.run(main())
"""
    ).wait()
    # cancelled in the middle: the provider may have answered, and the event says so
    bench.unclaimed = 20
    bench.recover()


@case("SIGKILL in the middle of a normal exit")
def killed_in_exit(bench: Bench) -> None:
    app = bench.start("atexit.register(time.sleep, 5)\nwork(50)\nprint('done', flush=True)\ntime.sleep(30)")
    bench.wait_for(lambda: "done" in bench.said(), "it is done")
    app.send(SIGKILL)
    app.wait()
    bench.recover()
