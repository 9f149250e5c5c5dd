"""A Spark cluster of this machine: a standalone master and two workers of one core each, on the loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

START_SECONDS = 120


class SparkCluster:
    """Both workers have an executor each for whoever asks. What they say is in `spark.log` in the folder."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"  # for the program that asks, too
        home = Path(pyspark.__file__).parent
        self._program = str(home / "bin" / "spark-class")
        self._environ = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_NO_DAEMONIZE": "1",
            "SPARK_DAEMON_MEMORY": "512m",
            "SPARK_WORKER_DIR": str(folder / "work"),
            "PYSPARK_PYTHON": sys.executable,
        }
        self._log = (folder / "spark.log").open("ab")
        self._started: list[subprocess.Popen[bytes]] = []
        self._page = f"http://127.0.0.1:{free_port()}/json/"
        port = free_port()
        self.master = f"spark://127.0.0.1:{port}"
        self._start("master.Master", "--port", str(port), "--webui-port", self._page.split(":")[2].partition("/")[0])
        self._wait(0)
        for _ in range(2):
            self._start("worker.Worker", "--cores", "1", "--memory", "2g", "--webui-port", "0", self.master)
        self._wait(2)

    def _start(self, what: str, *words: str) -> None:
        self._started.append(
            subprocess.Popen(
                [self._program, f"org.apache.spark.deploy.{what}", "--host", "127.0.0.1", *words],
                env=self._environ,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
        )

    def _wait(self, workers: int) -> None:
        """Until the master says that it has so many."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(self._page, timeout=5) as answer:
                if json.load(answer)["aliveworkers"] == workers:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"no Spark with {workers} workers after {START_SECONDS} s; see {self._log.name}")

    def kill_a_worker(self) -> None:
        """With -9, and its executor too."""
        kill_session(self._started[1].pid)

    def stop(self) -> None:
        for program in self._started:
            kill_session(program.pid)
            program.wait()
        self._log.close()


@contextmanager
def spark_cluster(folder: Path) -> Iterator[SparkCluster]:
    """Stopped at the end."""
    cluster = SparkCluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()


class WorkerLost:
    """While it is entered, a worker is killed as soon as both compute. Afterwards, how many of their tasks failed."""

    def __init__(self, cluster: SparkCluster) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._stage: int | None = None
        self.tasks = 0

    def __enter__(self) -> Self:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.join()
        assert self._stage is not None, "the question was answered before both workers were at it"
        self.tasks = self._tracker().getStageInfo(self._stage).numFailedTasks

    def _watch(self) -> None:
        tracker = self._tracker()
        while not self._over.wait(0.01):
            for stage in tracker.getActiveStageIds():
                told = tracker.getStageInfo(stage)
                if told is not None and told.numActiveTasks == 2:
                    self._cluster.kill_a_worker()
                    self._stage = stage
                    return

    def _tracker(self):  # type: ignore[no-untyped-def]  # of pyspark
        from pyspark import SparkContext

        return SparkContext.getOrCreate().statusTracker()


def kill_session(session: int) -> None:
    """A program and those that it has started, in a session of their own."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[3]) == session:
                os.kill(int(path.parent.name), signal.SIGKILL)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
