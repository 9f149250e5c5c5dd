"""Two replicas of Debian's ClickHouse, of 2018, with the ZooKeeper that they share, as programs of this machine.

`apt-get install clickhouse-server zookeeper`; neither runs as a service here.
"""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from clickhouse_servers import START_SECONDS, wait_until_there
from ports import free_port

CONFIG = """
<yandex>
    <logger><level>warning</level><log>{folder}/log</log><errorlog>{folder}/errors</errorlog></logger>
    <listen_host>127.0.0.1</listen_host>
    <http_port>{http}</http_port> <tcp_port>{tcp}</tcp_port>
    <interserver_http_port>{interserver}</interserver_http_port>
    <interserver_http_host>127.0.0.1</interserver_http_host>
    <path>{folder}/data/</path> <tmp_path>{folder}/tmp/</tmp_path>
    <mark_cache_size>67108864</mark_cache_size>
    <users_config>{folder}/users.xml</users_config>
    <default_profile>default</default_profile> <default_database>default</default_database>
    <zookeeper>
        <node><host>127.0.0.1</host><port>{zookeeper}</port></node>
        <session_timeout_ms>4000</session_timeout_ms>
    </zookeeper>
    <macros><shard>{shard}</shard><replica>{replica}</replica></macros>
    <remote_servers><usage>{shards}</usage></remote_servers>
    <distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>
</yandex>
"""
USERS = """
<yandex>
    <profiles><default><max_memory_usage>2000000000</max_memory_usage></default></profiles>
    <users><default>
        <password>{password}</password><networks><ip>127.0.0.1</ip></networks>
        <profile>default</profile><quota>default</quota>
    </default></users>
    <quotas><default></default></quotas>
</yandex>
"""
SECRET = "hush"


def is_there() -> bool:
    """Whether the programs are installed."""
    return shutil.which("clickhouse-server") is not None and Path("/usr/share/java/zookeeper.jar").exists()


class ZooKeeper:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        config = folder / "zoo.cfg"
        config.write_text(
            f"tickTime=1000\ndataDir={folder}/data\nclientPort={self.port}\nadmin.enableServer=false\n"
            "clientPortAddress=127.0.0.1\n"
        )
        program = ["java", "-Xmx256m", "-cp", "/usr/share/java/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain"]
        with (folder / "out").open("wb") as said:
            self._process = subprocess.Popen([*program, str(config)], stdout=said, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.port):
            assert time.monotonic() < deadline, (folder / "out").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def answers(port: int) -> bool:
    """Whether ZooKeeper serves: it lets connections in before. ClickHouse of that age dies of a statement for a
    cluster without it."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as asking:
            asking.sendall(b"srvr")
            return b"Mode:" in asking.recv(4096, socket.MSG_WAITALL)
    except OSError:
        return False


class Replica:
    """One server."""

    def __init__(self, folder: Path, zookeeper: int, shard: int, name: str) -> None:
        self._folder = folder
        self._zookeeper, self._shard, self._name = zookeeper, shard, name
        self.http, self.tcp, self._interserver = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, shards: str) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / "users.xml").write_text(USERS.format(password=SECRET))
        (self._folder / "config.xml").write_text(
            CONFIG.format(
                folder=self._folder, http=self.http, tcp=self.tcp, interserver=self._interserver,
                zookeeper=self._zookeeper, shard=self._shard, replica=self._name, shards=shards,
            )
        )  # fmt: skip

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.http}"

    def start(self) -> None:
        for name in ("data", "tmp"):
            (self._folder / name).mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            ["clickhouse-server", f"--config-file={self._folder}/config.xml"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_there(f"clickhouse://default:{SECRET}@{self.host}/default")

    def kill(self) -> None:
        """As `kill -9` does."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Cluster:
    """The cluster `usage`: that many shards, each of that many replicas."""

    def __init__(self, folder: Path, shards: int, replicas: int) -> None:
        self._zookeeper = ZooKeeper(folder / "zookeeper")
        self.shards = [
            [
                Replica(folder / f"server-{shard}-{place}", self._zookeeper.port, shard, f"r{shard}{place}")
                for place in range(replicas)
            ]
            for shard in range(shards)
        ]
        described = "".join(
            "<shard><internal_replication>true</internal_replication>"
            + "".join(
                f"<replica><host>127.0.0.1</host><port>{server.tcp}</port><password>{SECRET}</password></replica>"
                for server in shard
            )
            + "</shard>"
            for shard in self.shards
        )
        for server in self.servers:
            server.configure(described)
            server.start()

    @property
    def servers(self) -> list[Replica]:
        return [server for shard in self.shards for server in shard]

    def dsn(self, database: str, *servers: Replica) -> str:
        hosts = ",".join(server.host for server in servers or self.servers)
        return f"clickhouse://default:{SECRET}@{hosts}/{database}?cluster=usage"

    def stop(self) -> None:
        for server in self.servers:
            server.kill()
        self._zookeeper.stop()
