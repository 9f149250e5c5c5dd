"""What docs/operating.md says to type works, and so do the command lines and environments of deploy/."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest
import yaml
from postgres_server import Databases, PostgresServer
from psycopg2.extensions import parse_dsn
from test_sidecar import SETPRIV, as_user

from usage_tracker.config import Settings
from usage_tracker.demo.standin import StandIn

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
DEPLOYED = ("compose.yaml", "kubernetes.yaml", "usage-tracker.service")
DSN = "postgresql://owner:secret@db.example.com/usage"
APP = """
import usage_tracker
from openai import OpenAI
for number in range(3):
    OpenAI().responses.create(model="gpt-5-mini", input="Hello!")
"""


@pytest.fixture
def volume() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tracker-volume-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def environment(provider: StandIn, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": os.environ["HOME"],
        "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.base_url, "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1", **more,
    }  # fmt: skip


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"console", "python", "sh"}
    assert all(line.startswith("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines())


def test_every_setting_that_it_names_exists() -> None:
    known = {f"TRACKER_{name.upper()}" for name in Settings._fields}
    for text in (GUIDE, *((ROOT / "deploy" / name).read_text() for name in DEPLOYED)):
        assert set() < set(re.findall(r"TRACKER_\w+", text)) <= known


def test_the_commands_work_in_their_order(
    tmp_path: Path, empty_postgres_dsn: str, postgres_databases: Databases, provider: StandIn
) -> None:
    server = parse_dsn(empty_postgres_dsn)
    database = server.pop("dbname")
    address = f"postgresql:///{database}?{urlencode(server)}"
    unique = database.rpartition("_")[2]
    roles = {name: f"{name}_{unique}" for name in ("shop", "sidecar", "bi")}
    for role in roles.values():
        postgres_databases.run(f"CREATE ROLE {role} LOGIN")
    shown = []
    for kind, text in BLOCKS:
        if kind == "sh":
            named = re.sub(r"(?<=--)(writer|shipper|reader) (\w+)", lambda m: f"{m[1]} {roles[m[2]]}", text)
            done = subprocess.run(
                ["sh", "-eu", "-c", named.replace(DSN, address)],
                env=environment(provider, TRACKER_DSN=address, TRACKER_SDKS="openai"),
                check=False, cwd=tmp_path, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
            shown.append(done.stdout)
    assert "0001_events_and_rollups" in shown[0]
    postgres_databases.run((tmp_path / "grants.sql").read_text(), database)
    may = "SELECT has_table_privilege('{}', 'usage_tracker.usage_event', '{}')"
    for name, privilege in (("shop", "INSERT"), ("sidecar", "INSERT"), ("bi", "SELECT")):
        assert postgres_databases.run(may.format(roles[name], privilege), database) == [(True,)]
    for role in roles.values():
        postgres_databases.run(f"DROP OWNED BY {role}", database)
        postgres_databases.run(f"DROP ROLE {role}")


def test_the_handler_stores_its_call_before_it_returns(tmp_path: Path, provider: StandIn) -> None:
    [handler] = [text for kind, text in BLOCKS if kind == "python"]
    check = """
import os
assert handler({"question": "Why?"}, None)
assert usage_tracker.stats()[:3] == (1, 1, 0), usage_tracker.stats()
os._exit(0)
"""
    subprocess.run(
        [sys.executable, "-c", handler + check], check=True, timeout=60,
        env=environment(
            provider, TRACKER_DSN=f"sqlite:///{tmp_path}/usage.db", TRACKER_SPOOL_DIR=str(tmp_path / "usage"),
            TRACKER_EXIT_TIMEOUT="30",
        ),
    )  # fmt: skip


class Container(dict[str, Any]):
    """What a manifest says of one: `command`, `env`, `user`, and `groups`."""


def compose(server: PostgresServer, database: str, volume: Path) -> list[Container]:
    """The services in the order in which they depend on each other, with the database's real place."""
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    assert services["app"]["environment"].keys() & {"TRACKER_DSN"} == set()
    assert (
        services["sidecar"]["volumes"] == services["app"]["volumes"] == services["spool"]["volumes"] == ["spool:/spool"]
    )
    found = []
    for name in ("spool", "sidecar", "app"):
        user = int(services[name].get("user", "0").partition(":")[0])
        env = services[name].get("environment", {})
        if "TRACKER_DSN" in env:
            assert env["TRACKER_DSN"] == "postgresql://postgres@database/usage"
            assert env["PGPASSWORD"] == "${POSTGRES_PASSWORD}"  # any, also one that an address can't hold as it is
            env["TRACKER_DSN"] = f"postgresql://postgres@127.0.0.1:{server.port}/{database}"
        env.pop("OPENAI_API_KEY", None)
        found.append(Container(command=services[name]["command"], env=env, user=user, groups=[user]))
    return found


def kubernetes(server: PostgresServer, database: str, volume: Path) -> list[Container]:
    """The containers of the pod; its volume is as the kubelet makes it for an `fsGroup`."""
    pod = yaml.safe_load((ROOT / "deploy" / "kubernetes.yaml").read_text())["spec"]["template"]["spec"]
    group = pod["securityContext"]["fsGroup"]
    if SETPRIV:
        os.chown(volume, 0, group)
    volume.chmod(0o2777)
    assert [each["name"] for each in pod["volumes"]] == ["spool"]
    found = []
    for each in [*pod["initContainers"], *pod["containers"]]:
        assert each["volumeMounts"] == [{"name": "spool", "mountPath": "/spool"}]
        env = {entry["name"]: entry.get("value") for entry in each["env"]}
        assert env["TRACKER_SPOOL_GROUP"] == str(group)
        if "TRACKER_DSN" in env:
            assert each is pod["initContainers"][0]
            assert each["restartPolicy"] == "Always"
            env["TRACKER_DSN"] = f"postgresql://postgres@127.0.0.1:{server.port}/{database}"
        if not SETPRIV:
            env["TRACKER_SPOOL_GROUP"] = str(os.getegid())
        user = each["securityContext"]["runAsUser"]
        found.append(Container(command=each["command"], env=env, user=user, groups=[group]))
    return found


def systemd(server: PostgresServer, database: str, volume: Path) -> list[Container]:
    """The unit in its state directory, and a program with what the unit's first lines give it."""
    lines = (ROOT / "deploy" / "usage-tracker.service").read_text().splitlines()
    unit = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    user, group = 10002, 10001
    if SETPRIV:
        os.chown(volume, user, group)
    volume.chmod(int(unit["StateDirectoryMode"], 8))

    def environ(words: str, **more: str) -> dict[str, str]:
        env = dict(word.split("=", 1) for word in words.split()) | more
        assert env["TRACKER_SPOOL_GROUP"] == unit["User"]
        state = f"/var/lib/{unit['StateDirectory']}/"
        assert env["TRACKER_SPOOL_DIR"].startswith(state)
        folder = env["TRACKER_SPOOL_DIR"].replace(state, "/spool/")
        return env | {"TRACKER_SPOOL_GROUP": str(group if SETPRIV else os.getegid()), "TRACKER_SPOOL_DIR": folder}

    _, _, command = unit["ExecStart"].rpartition("/")
    dsn = f"postgresql://postgres@127.0.0.1:{server.port}/{database}"
    [given] = [line.lstrip("# ") for line in lines if "TRACKER_SHIP=off" in line]
    sidecar = Container(command=command.split(), env=environ(unit["Environment"], TRACKER_DSN=dsn), user=user)
    program = ["usage-tracker", "run", "--", "python", "app.py"]
    app = Container(command=program, env=environ(given, TRACKER_APP="shop"), user=10001)
    return [Container(each, groups=[group]) for each in (sidecar, app)]


@pytest.mark.parametrize("manifest", [compose, kubernetes, systemd])
def test_what_a_manifest_starts_ships_what_its_program_calls(
    manifest: Any, volume: Path, own_postgres: PostgresServer, provider: StandIn
) -> None:
    """Its very commands and environments, as processes of its users; only places differ."""
    (volume / "app.py").write_text(APP)
    (volume / "spool").mkdir()
    database = own_postgres.create(migrated=False)
    containers = manifest(own_postgres, database, volume / "spool")
    started = []
    for container in containers:
        command = [word.replace("/spool", f"{volume}/spool") for word in container["command"]]
        env = {name: value.replace("/spool", f"{volume}/spool") for name, value in container["env"].items()}
        if command[0] == "install" and not SETPRIV:
            command = command[:4] + command[-1:]  # without the owner, whom only root can choose
        prefix = as_user(container["user"], container["user"], container["groups"]) if container["user"] else []
        process = subprocess.Popen(
            [*prefix, *command], env=environment(provider, **env), cwd=volume, stderr=subprocess.PIPE, text=True
        )
        if command[:2] == ["usage-tracker", "ship"]:
            started.append(process)
            assert process.stderr is not None
            assert process.stderr.readline().startswith("Shipping ")
        else:
            _, said = process.communicate(timeout=60)
            assert (process.returncode, said) == (0, "")
    deadline = time.monotonic() + 60
    while True:
        try:
            stored = own_postgres.run("SELECT app, count(*) FROM usage_tracker.events GROUP BY 1", database)
        except psycopg2.errors.UndefinedTable:
            stored = []
        if stored == [("shop", 3)]:
            break
        assert time.monotonic() < deadline, stored
        time.sleep(0.1)
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    own_postgres.drop(database)
