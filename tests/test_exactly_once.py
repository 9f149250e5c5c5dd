"""The promise in one test: threads and forked processes call through the real SDK, one is killed and Postgres restarts,
and in the end every call is in the store, once."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from postgres_server import PostgresServer

from usage_tracker.demo.standin import StandIn

PROGRAM = """
import os, sys, threading
import usage_tracker.auto, usage_tracker
import openai

calls, folder = int(sys.argv[1]), sys.argv[2]

def work(name):
    client = openai.OpenAI(api_key="sk-none-at-all", base_url=os.environ["BASE_URL"], max_retries=5)
    with open(f"{folder}/{name}", "a", buffering=1) as made:
        for number in range(calls):
            messages = [{"role": "user", "content": f"{name} {number}"}]
            made.write(client.chat.completions.create(model="gpt-4o-mini", messages=messages).id + chr(10))

children = []
for number in range(8):
    child = os.fork()
    if child == 0:
        work(f"process-{number}")
        os._exit(0)
    children.append(child)
print(*children, flush=True)
threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
[os.waitpid(child, 0) for child in children]
print(usage_tracker.flush(60))
"""

CALLS = 64
"""For each of 8 threads and 8 processes: 1,024 in all."""


@pytest.mark.timeout(240)
def test_a_thousand_calls_arrive_once_through_a_kill_and_a_restart(
    own_postgres: PostgresServer, tmp_path: Path, own_environment: Path
) -> None:
    database = own_postgres.create(migrated=False)
    made = tmp_path / "made"
    made.mkdir()
    with StandIn() as provider:
        provider.delay = 0.005
        environ = {
            "PATH": os.environ["PATH"],
            "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
            "HOME": str(own_environment),
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "BASE_URL": provider.base_url,
            "TRACKER_DSN": own_postgres.dsn(database),
        }
        command = [sys.executable, "-c", PROGRAM, str(CALLS), str(made)]
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert program.stderr is not None
            errors: list[str] = []
            reading = threading.Thread(target=lambda: errors.extend(program.stderr or ()))
            reading.start()
            children = [int(word) for word in program.stdout.readline().split()]
            wait_for_calls(provider, 300)
            os.kill(random.choice(children), signal.SIGKILL)
            wait_for_calls(provider, 450)
            own_postgres.restart()
            assert program.stdout.readline() == "True\n", "".join(errors)
            program.wait(30)
            reading.join()

    ids = [line for file in made.iterdir() for line in file.read_text().split()]
    killed = next(file for file in made.iterdir() if len(file.read_text().split()) < CALLS)
    assert len(ids) > 900
    assert len(set(ids)) == len(ids)
    rows = own_postgres.run("SELECT response_id FROM usage_tracker.events", database)
    stored = [str(row[0]) for row in rows]
    assert len(stored) == len(set(stored))
    assert set(ids) <= set(stored)
    # what the killed process had captured and had no time to write down itself
    assert len(set(stored) - set(ids)) <= 1, killed
    rolled_up = own_postgres.run("SELECT sum(calls) FROM usage_tracker.by_day", database)
    assert rolled_up == [(len(stored),)]
    own_postgres.drop(database)


def wait_for_calls(provider: StandIn, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(provider.requests) < count:
        assert time.monotonic() < deadline, f"{len(provider.requests)} calls in a minute"
        time.sleep(0.005)
