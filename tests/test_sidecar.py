"""A sidecar alone holds the database's password: programs, of one user or several, need a folder and nothing else."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from postgres_server import LOCKED_ROLE, PostgresServer

from usage_tracker.journal import Spool
from usage_tracker.journal.folder import SpoolUnusable
from usage_tracker.stores.grants import grants

PASSWORD = "another"
SETPRIV = shutil.which("setpriv") if os.geteuid() == 0 else None
GROUP = 30_000 if SETPRIV else os.getegid()


def as_user(user: int, group: int, groups: Sequence[int] = ()) -> list[str]:
    """What goes before a command that another user runs, where we may choose one. It may read Python's own files, which
    are perhaps in our home, but writes what that user may."""
    if SETPRIV is None:
        return []
    kept = "-all,+dac_read_search"
    return [
        SETPRIV, f"--reuid={user}", f"--regid={group}",
        f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups", f"--inh-caps={kept}",
        f"--ambient-caps={kept}", "--",
    ]  # fmt: skip


APP = """
import os, sys, time, usage_tracker.auto, usage_tracker
for number in range(int(sys.argv[1])):
    usage_tracker.record(provider="openai", model="gpt-4o-mini", response_id=f"{sys.argv[2]}-{number}", input_tokens=9)
    time.sleep(0.002)
print("recorded", flush=True)
if sys.argv[3:] == ["stay"]:
    time.sleep(600)
print(usage_tracker.flush(60))
"""


class Pod:
    """Programs and a sidecar that share a volume and a group, each with a user of its own where we may choose one."""

    def __init__(self, volume: Path, dsn: str) -> None:
        self.volume = volume
        self.dsn = dsn
        self.running: list[subprocess.Popen[str]] = []
        self._users = 20_000

    def start(self, *words: str, **environ: str) -> "subprocess.Popen[str]":
        self._users += 1
        program = subprocess.Popen(
            [*as_user(self._users, GROUP), sys.executable, *words],
            env={
                "PATH": os.environ["PATH"], "HOME": str(self.volume), "PYTHONPATH": str(Path(__file__).parent.parent),
                "PYTHONDONTWRITEBYTECODE": "1", "TRACKER_SPOOL_DIR": str(self.volume / "spool"),
                "TRACKER_SPOOL_GROUP": str(GROUP), **environ,
            },
            cwd=self.volume, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.running.append(program)
        return program

    def app(self, count: int, name: str, *more: str) -> "subprocess.Popen[str]":
        return self.start("-c", APP, str(count), name, *more, TRACKER_SHIP="off")

    def sidecar(self, *words: str) -> "subprocess.Popen[str]":
        sidecar = self.start("-m", "usage_tracker", "ship", *words, TRACKER_DSN=self.dsn)
        assert sidecar.stderr is not None
        assert sidecar.stderr.readline().startswith("Shipping ")
        return sidecar

    def close(self) -> None:
        for program in self.running:
            program.kill()
            program.communicate()


@pytest.fixture
def volume() -> Iterator[Path]:
    """A folder as a container finds one: anybody's."""
    folder = Path(tempfile.mkdtemp(prefix="tracker-volume-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def database(own_postgres: PostgresServer) -> Iterator[str]:
    name = own_postgres.create(migrated=True)
    own_postgres.let_in(PASSWORD)
    own_postgres.run(grants("shipper", LOCKED_ROLE), name)
    yield name
    own_postgres.run(f"DROP OWNED BY {LOCKED_ROLE}", name)
    own_postgres.drop(name)


@pytest.fixture
def pod(volume: Path, own_postgres: PostgresServer, database: str) -> Iterator[Pod]:
    pod = Pod(volume, f"postgresql://{LOCKED_ROLE}:{PASSWORD}@127.0.0.1:{own_postgres.port}/{database}")
    yield pod
    pod.close()


@pytest.mark.timeout(300)
def test_programs_without_credentials_lose_nothing_while_their_sidecar_is_killed_and_restarted(
    pod: Pod, own_postgres: PostgresServer, database: str
) -> None:
    apps = [pod.app(150, f"app{number}") for number in range(3)]
    killed = pod.app(40, "killed", "stay")
    assert killed.stdout is not None
    killed.stdout.readline()
    killed.kill()
    first = pod.sidecar()
    deadline = time.monotonic() + 120
    while not own_postgres.run("SELECT 1 FROM usage_tracker.events LIMIT 1", database):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.kill()
    first.wait()
    second = pod.sidecar("--processes", "2")
    for app in apps:
        assert app.communicate(timeout=180) == ("recorded\nTrue\n", "")
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=30)
    assert " shipped to postgresql://locked@127.0.0.1:" in said
    assert PASSWORD not in said
    expected = {f"app{number}-{call}" for number in range(3) for call in range(150)}
    expected |= {f"killed-{call}" for call in range(40)}
    found = own_postgres.run("SELECT response_id FROM usage_tracker.events", database)
    assert len(found) == len(expected)
    assert {response_id for (response_id,) in found} == expected
    for path in [pod.volume / "spool", *(pod.volume / "spool").rglob("*")]:
        mode = path.lstat().st_mode
        assert mode & 0o7 == 0, "nobody else may look into it"
        assert path.lstat().st_gid == GROUP
        assert not stat.S_ISREG(mode) or PASSWORD.encode() not in path.read_bytes()


class TestSharedFolder:
    def test_it_and_its_files_are_the_groups(self, volume: Path) -> None:
        spool = Spool(volume / "spool", group=GROUP)
        assert spool.lead()
        own = spool.create(1 << 20)
        assert stat.S_IMODE((volume / "spool").stat().st_mode) == 0o2770
        files = list((volume / "spool").iterdir())
        assert {(path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in files} == {(GROUP, 0o660)}
        own.close()
        spool.resign()

    @pytest.mark.parametrize("mode", [0o2777, 0o2775])
    def test_one_that_others_see_into_is_refused(self, volume: Path, mode: int) -> None:
        (volume / "spool").mkdir()
        os.chown(volume / "spool", -1, GROUP)
        (volume / "spool").chmod(mode)
        with pytest.raises(SpoolUnusable, match="chmod 2770"):
            Spool(volume / "spool", group=GROUP).prepare()

    def test_one_of_another_group_is_refused(self, volume: Path) -> None:
        Spool(volume / "spool", group=GROUP).prepare()
        with pytest.raises(SpoolUnusable, match="chgrp"):
            Spool(volume / "spool", group=GROUP + 1).prepare()

    def test_a_symbolic_link_is_refused(self, volume: Path) -> None:
        Spool(volume / "elsewhere", group=GROUP).prepare()
        (volume / "spool").symlink_to(volume / "elsewhere")
        with pytest.raises(SpoolUnusable, match="not a folder"):
            Spool(volume / "spool", group=GROUP).prepare()

    def test_without_the_setting_it_is_refused(self, volume: Path) -> None:
        Spool(volume / "spool", group=GROUP).prepare()
        with pytest.raises(SpoolUnusable, match="chmod 700"):
            Spool(volume / "spool").prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_is_refused_and_events_are_kept_in_memory(volume: Path) -> None:
    (volume / "spool").mkdir(mode=0o700)
    os.chown(volume / "spool", 20_001, 20_001)
    with pytest.raises(SpoolUnusable, match=r"belongs to another user.*TRACKER_SPOOL_GROUP"):
        Spool(volume / "spool").prepare()


@pytest.mark.skipif(SETPRIV is None, reason="only root changes users")
def test_who_is_not_in_the_group_is_told(volume: Path) -> None:
    code = "from usage_tracker.journal.folder import prepare; from pathlib import Path; prepare(Path('spool'), 30001)"
    done = subprocess.run(
        [*as_user(20_001, 20_001), sys.executable, "-c", code], cwd=volume, check=False,
        env={"PYTHONPATH": str(Path(__file__).parent.parent)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "SpoolUnusable: this user is not in the group 30001" in done.stderr
    assert list(volume.iterdir()) == []


VIEW = """
import sys
from budgeted import budget, known
from pathlib import Path
from usage_tracker.budgets.view import ViewFile
from usage_tracker.journal import Spool

folder, group = Path("spool"), int(sys.argv[1])
Spool(folder, group=group).prepare()
if sys.argv[2] == "save":
    ViewFile(folder, group).save(known(budget()))
else:
    print([each.name for each in ViewFile(folder, group).changed().budgets])
"""


def test_programs_of_other_users_learn_of_budgets_from_the_sidecar_as_well(volume: Path) -> None:
    path = os.pathsep.join(str(Path(__file__).parent / folder) for folder in ("..", "."))

    def run(user: int, *words: str) -> str:
        return subprocess.run(
            [*as_user(user, GROUP), sys.executable, "-c", VIEW, str(GROUP), *words],
            env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=volume, capture_output=True, text=True, check=True, timeout=60,
        ).stdout  # fmt: skip

    for _ in range(2):
        run(20_001, "save")
        assert run(20_002, "look") == run(20_001, "look") == "['b']\n"
        run(20_003, "save")
