"""What Celery's tasks call is for whom they were sent: in real workers, with a broker between."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import celery
import pytest
from celery.signals import before_task_publish, task_postrun, task_prerun

from usage_tracker import attribute
from usage_tracker.attribution import NOBODY, Attribution, current
from usage_tracker.demo.standin import StandIn
from usage_tracker.frameworks.celery import HEADER, attribute_tasks

TASKS = """
import os, time, uuid
import celery, openai, usage_tracker
from kombu.transport import filesystem
from kombu.utils.json import dumps
from usage_tracker.frameworks.celery import attribute_tasks

def put(channel, queue, payload, **_):
    # kombu's own lets a worker read, and lose, a message that is half written
    name = f"{time.monotonic_ns()}_{uuid.uuid4()}.{queue}.msg"
    with open(f"half-{name}", "w") as file:
        file.write(dumps(payload))
    os.rename(f"half-{name}", os.path.join(channel.data_folder_out, name))

filesystem.Channel._put = put

usage_tracker.install(app="shop", batch_seconds=0.05)
attribute_tasks()
app = celery.Celery("tasks", broker="filesystem://")
folders = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), "queue")
app.conf.update(broker_transport_options={**folders, "polling_interval": 0.05})

@app.task
def ask():
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello!"}])

@app.task
def ask_again():
    ask()
    ask.delay()
    with usage_tracker.attribute(user="u-2"):
        ask.delay()
"""
SENDER = """
import usage_tracker
from tasks import ask, ask_again

ask.delay()
with usage_tracker.attribute(project="alpha", user="u-1", tags=["tier:pro"]):
    ask_again.delay()
"""
WORKER = (
    "-m", "celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", "2", "--loglevel", "error",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
)  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--max-tasks-per-child", "1")], ids=["many-tasks", "one-task"])
def test_a_workers_calls_are_for_whom_their_tasks_were_sent(
    options: tuple[str, ...], tmp_path: Path, provider: StandIn
) -> None:
    """They are stored while it runs, also where each of its processes ends with its first task."""
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "queue").mkdir()
    store = tmp_path / "usage.db"
    environment = {
        **os.environ,
        "C_FORCE_ROOT": "1",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "TRACKER_DSN": f"sqlite:///{store}",
        "TRACKER_SPOOL_DIR": str(tmp_path / "spool"),
        "TRACKER_EXIT_TIMEOUT": "60",
    }

    def stored() -> list[tuple[Any, ...]]:
        if not store.exists():
            return []
        with closing(sqlite3.connect(store)) as connection:
            try:
                rows = connection.execute("SELECT project, user_id, tags FROM events").fetchall()
            except sqlite3.OperationalError:
                return []
        return sorted((project or "", user or "", *json.loads(tags)) for project, user, tags in rows)

    subprocess.run([sys.executable, "-c", SENDER], check=True, cwd=tmp_path, env=environment)
    command = [sys.executable, *WORKER, *options]
    worker = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while len(stored()) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    assert stored() == [
        ("", "", "task:tasks.ask"),
        ("alpha", "u-1", "tier:pro", "task:tasks.ask_again"),
        ("alpha", "u-1", "tier:pro", "task:tasks.ask_again", "task:tasks.ask"),
        ("alpha", "u-2", "tier:pro", "task:tasks.ask_again", "task:tasks.ask"),
    ]


@pytest.fixture
def app() -> Iterator[Any]:
    """A broker in memory, and our receivers, which are gone afterwards."""
    app = celery.Celery("shop", broker="memory://", set_as_current=False)
    attribute_tasks(tagged=False)
    yield app
    for each in (before_task_publish, task_prerun, task_postrun):
        each.disconnect(dispatch_uid=HEADER)
    app.close()


def test_tasks_that_run_at_once_are_for_whom_their_caller_runs(app: Any) -> None:
    app.conf.task_always_eager = True
    found = []

    @app.task  # type: ignore[untyped-decorator]  # Celery has no types
    def ask() -> None:
        found.append(current.get().user)

    with attribute(user="u-1"):
        ask.delay()
    ask.delay()
    assert found == ["u-1", None]
    assert current.get() == NOBODY


@pytest.mark.parametrize("header", [None, "text", {"customer": "c-1"}, {"user": 7, "tags": "alone"}])
def test_messages_of_others_do_no_harm(app: Any, header: object) -> None:
    found = []

    @app.task  # type: ignore[untyped-decorator]  # Celery has no types
    def ask() -> None:
        found.append(current.get())

    ask.apply(headers={HEADER: header})
    understood = isinstance(header, dict) and "user" in header
    assert (found[0].user, found[0].tags) == (("7", ("alone",)) if understood else (None, ()))


def test_the_last_word_on_tags_counts(app: Any) -> None:
    found = []

    @app.task(name="ask")  # type: ignore[untyped-decorator]  # Celery has no types
    def ask() -> None:
        found.append(current.get().tags)

    for tagged in (True, False, True):
        attribute_tasks(tagged=tagged)
        ask.apply()
    assert found == [("task:ask",), (), ("task:ask",)]


def test_a_task_that_fails_ends_its_scope(app: Any) -> None:
    @app.task  # type: ignore[untyped-decorator]  # Celery has no types
    def ask() -> None:
        raise KeyError

    ask.apply(headers={HEADER: {"user": "u-1"}})
    assert current.get() == NOBODY


def test_a_task_that_is_delivered_again_while_it_runs_ends_each_scope(app: Any) -> None:
    """As brokers do when they wait for too long: the worker's next tasks are for nobody, in either thread."""
    begun = threading.Barrier(2)

    @app.task  # type: ignore[untyped-decorator]  # Celery has no types
    def ask() -> None:
        begun.wait(60)

    assert ask.name  # makes the task: two threads that ask it for something first can't

    def deliver(_: int) -> Attribution:
        ask.apply(task_id="1", headers={HEADER: {"user": "u-1"}})
        return current.get()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(deliver, range(2))) == [NOBODY, NOBODY]
