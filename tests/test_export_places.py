"""Where exported files go: a Delta table, an object store; and what becomes of a run that is killed or overtaken."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from commanding import invoke
from made_events import NOON, made_event, store_events
from migrated import migrated
from ports import free_port
from s3_server import s3_server

from usage_tracker.errors import ConfigError, StoreUnavailable, UsageTrackerError
from usage_tracker.exporting import Plan, open_destination, open_exporter
from usage_tracker.exports import Exported
from usage_tracker.exports.buckets import Bucket, read_counted
from usage_tracker.exports.delta import TABLE, Delta, Overtaken
from usage_tracker.exports.places import Folder
from usage_tracker.exports.reading import read_events
from usage_tracker.lake import LakeFigures, open_lake
from usage_tracker.report import Query, answer, run
from usage_tracker.stores import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with migrated(f"sqlite:///{tmp_path}/usage.db") as store:
        store_events(store, [made_event(NOON + timedelta(days=number % 3), tags=("tier:pro",)) for number in range(9)])
        yield store


def only_bucket(store: Store) -> Bucket:
    return next(iter(read_counted(store, "day")))


def test_of_two_that_make_a_file_at_once_one_does(tmp_path: Path) -> None:
    """As where a folder is mounted at two places, so that nobody knows that they are one."""

    def quick(path: Path) -> int:
        return path.write_text("quick")

    def slow(path: Path) -> int:
        with path.open("w") as file:
            file.write("the slow one's, which is longer")
            file.flush()
            Folder(tmp_path).put("day=2026-08-15/usage", quick)
            return file.write(" still")

    with pytest.raises(FileNotFoundError):
        Folder(tmp_path).put("day=2026-08-15/usage", slow)
    assert {path.name: path.read_text() for path in (tmp_path / "day=2026-08-15").iterdir()} == {"usage": "quick"}


class TestDelta:
    def test_a_day_is_replaced_in_one_transaction(self, store: Store, tmp_path: Path) -> None:
        from deltalake import DeltaTable

        plan = Plan(str(tmp_path / "table"), "delta")
        assert open_exporter(store, plan).run() == Exported(files=3, rows=9)
        assert open_exporter(store, plan).run() == Exported()
        store_events(store, [made_event(NOON)])
        assert open_exporter(store, plan).run() == Exported(files=1, rows=4)
        table = DeltaTable(str(tmp_path / "table"))
        assert table.version() == 4, "it was made, filled with three days, and one of them replaced"
        assert table.to_pyarrow_dataset().count_rows() == 10

    def test_a_run_that_was_killed_after_its_commit_is_written_over(self, store: Store, tmp_path: Path) -> None:
        plan = Plan(str(tmp_path / "table"), "delta")
        bucket, table = only_bucket(store), open_destination(store, plan)
        table.put(bucket, read_events(store, bucket), 5)  # and nothing is noted
        assert open_exporter(store, plan).run().rows == 9
        assert answer(LakeFigures(open_lake(plan.to)), Query(by=())).total.calls == 9
        assert table.version(bucket) == 6

    def test_the_writer_refuses_a_version_that_the_table_has(self, store: Store, tmp_path: Path) -> None:
        bucket, table = only_bucket(store), Delta(str(tmp_path / "table"), "12345678")
        table.put(bucket, read_events(store, bucket), 2)
        with pytest.raises(Overtaken):
            table.put(bucket, read_events(store, bucket), 2)

    def test_whoever_is_overtaken_between_look_and_commit_writes_nothing(self, store: Store, tmp_path: Path) -> None:
        bucket, table = only_bucket(store), Delta(str(tmp_path / "table"), "12345678")
        table.put(bucket, read_events(store, bucket), 1)

        def overtaken() -> Iterator[pa.RecordBatch]:
            yield from read_events(store, bucket)
            store_events(store, [made_event(NOON)])
            batches = iter(list(read_events(store, bucket)))
            quicker = threading.Thread(target=table.put, args=(bucket, batches, 3))
            quicker.start()
            quicker.join(30)

        with pytest.raises(Overtaken):
            table.put(bucket, overtaken(), 2)
        assert answer(LakeFigures(open_lake(str(tmp_path / "table"))), Query(by=())).total.calls == 4

    def test_the_app_goes_on_while_an_object_store_is_waited_for(self) -> None:
        """Else the server of this program would never come to answer."""
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        environment |= {"AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
        subprocess.run([sys.executable, "-c", ANSWERED_BY_ITSELF], env=environment, check=True, timeout=60)

    def test_what_keeps_the_store_from_giving_rows_is_said_as_it_is(self, tmp_path: Path) -> None:
        def rows() -> Iterator[pa.RecordBatch]:
            yield from ()
            raise StoreUnavailable("the store is away")

        bucket = Bucket(datetime(2026, 8, 15, tzinfo=UTC), "day")
        with pytest.raises(StoreUnavailable, match=r"^the store is away$"):
            Delta(str(tmp_path / "table"), "12345678").put(bucket, rows(), 1)

    def test_a_table_of_an_older_version_gets_its_new_columns(self, store: Store, tmp_path: Path) -> None:
        from deltalake import DeltaTable

        plan = Plan(str(tmp_path / "table"), "delta", again=True)
        older = pa.schema([field for field in TABLE if field.name not in ("completes", "ttft_ms")])
        DeltaTable.create(plan.to, older, partition_by=["day", "store"])
        assert open_exporter(store, plan).run() == Exported(files=3, rows=9)
        lake = open_lake(plan.to)
        assert answer(LakeFigures(lake), Query()).rows == run(store, Query()).rows
        lake.close()

    def test_a_table_that_is_damaged_is_said(self, store: Store, tmp_path: Path) -> None:
        plan = Plan(str(tmp_path / "table"), "delta")
        open_exporter(store, plan).run()
        for log in (tmp_path / "table" / "_delta_log").glob("*.json"):
            log.write_text("{broken")
        for ask in (lambda: open_exporter(store, plan).run(), lambda: open_lake(plan.to)):
            with pytest.raises(UsageTrackerError, match=f"^{plan.to} can't be used: "):
                ask()


ANSWERED_BY_ITSELF = """
import os, threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from usage_tracker.exports.buckets import Bucket
from usage_tracker.exports.delta import Delta

class Nothing(BaseHTTPRequestHandler):
    def do_GET(self):
        listed = "list-type" in self.path
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" if listed else b""
        self.send_response(200 if listed else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
assert not Delta("s3://lake/table", "12345678").has(Bucket(datetime(2026, 8, 15, tzinfo=UTC), "day"))
"""


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as variables:
        yield variables


@pytest.fixture
def bucket(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket there, which clients are led to."""
    import s3fs

    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("lake")
    yield "s3://lake"
    system.rm("lake", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


class TestObjectStore:
    def test_files_are_put_there_and_replaced_there(self, store: Store, bucket: str) -> None:
        plan = Plan(f"{bucket}/usage")
        assert open_exporter(store, plan).run() == Exported(files=3, rows=9)
        assert open_exporter(store, plan).run() == Exported()
        store_events(store, [made_event(NOON)])
        assert open_exporter(store, plan).run() == Exported(files=1, rows=4)
        lake = open_lake(plan.to)
        for by in ((), ("day", "model"), ("tag",)):
            assert answer(LakeFigures(lake), Query(by=by)).rows == run(store, Query(by=by)).rows
        lake.close()

    def test_a_delta_table_may_be_there(self, store: Store, bucket: str) -> None:
        plan = Plan(f"{bucket}/table", "delta")
        assert open_exporter(store, plan).run().rows == 9
        assert open_exporter(store, plan).run() == Exported()
        lake = open_lake(plan.to)
        assert answer(LakeFigures(lake), Query(by=())).total.cost == Decimal("0.09")
        lake.close()

    @pytest.mark.parametrize("form", ["parquet", "delta"])
    def test_a_bucket_that_is_not_there_is_named(self, store: Store, bucket: str, form: str) -> None:
        with pytest.raises(UsageTrackerError, match=r"s3://other/usage can't be used: .*bucket does not exist"):
            open_exporter(store, Plan("s3://other/usage", form)).run()


NOTHING = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
LISTED = b"""<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>usage/day=2026-08-15/usage.parquet</Key>
<LastModified>2026-08-16T00:00:00.000Z</LastModified><Size>4000</Size></Contents></ListBucketResult>"""


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked for of a store that lists one file and, whoever asks for it, closes the connection. botocore tries
    once each time, or it would wait for longer and longer in between."""
    asked: list[str] = []

    class Cutting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.partition("?")[0].endswith(".parquet"):
                asked.append(self.path)
                return
            body = NOTHING if "_delta_log" in self.path else LISTED
            self.send_response(200 if "list-type" in self.path else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4000")
            self.send_header("Last-Modified", "Sun, 16 Aug 2026 00:00:00 GMT")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests have enough to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Cutting)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}"), ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_MAX_ATTEMPTS", "1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    yield asked
    server.shutdown()
    server.server_close()


def test_a_store_that_cuts_each_connection_is_given_up_and_said(cutting: list[str], tmp_path: Path) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    apps_own = s3fs.S3FileSystem()
    dsn = f"sqlite:///{tmp_path}/usage.db"
    found = invoke("report", "--from", "s3://lake/usage", "--since", "all", env={"TRACKER_DSN": dsn})
    assert found.exit_code == 1
    assert "the exported events in s3://lake/usage can't be read: ConnectionClosedError: " in found.output
    assert "hidden" not in found.output
    assert 0 < len(cutting) <= 8
    assert apps_own.retries == 5
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_error_is_one_line_for_a_log(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "hidden"), ("AWS_ALLOW_HTTP", "true")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UsageTrackerError, match=r"^s3://lake/table can't be used: .*Connection refused") as caught:
        open_exporter(store, Plan("s3://lake/table", "delta")).run()
    assert str(caught.value).isprintable()
    assert "hidden" not in str(caught.value)


def test_a_place_that_nobody_knows_is_said(store: Store) -> None:
    with pytest.raises(ConfigError, match="ftps3:// is no place that fsspec knows"):
        open_exporter(store, Plan("ftps3://somewhere"))


@pytest.mark.parametrize("form", ["parquet", "delta"])
@pytest.mark.parametrize("address", ["s3://", "gs:///usage?token=hidden"])
def test_a_variable_that_is_empty_where_the_bucket_should_be_is_said(address: str, form: str, store: Store) -> None:
    with pytest.raises(ConfigError, match="is followed by no bucket") as refusal:
        open_exporter(store, Plan(address, form)).run()
    assert "hidden" not in str(refusal.value)


def test_what_is_remembered_of_a_place_holds_no_secret(store: Store) -> None:
    from usage_tracker.exports.places import without_secrets

    assert without_secrets("s3://key:secret@lake/usage?token=secret") == "s3://lake/usage"
    assert without_secrets("abfss://raw:secret@account.example/usage") == "abfss://account.example/usage"


def test_two_containers_of_one_account_are_two_places(store: Store) -> None:
    from usage_tracker.exports.delta import Delta

    places = [Delta(f"abfss://{name}@account.dfs.core.windows.net/usage", "1a2b3c4d").shown for name in ("raw", "dev")]
    assert places == [f"abfss://{name}@account.dfs.core.windows.net/usage" for name in ("raw", "dev")]


def test_a_place_whose_address_has_a_password_is_shown_without_it(store: Store, tmp_path: Path) -> None:
    place = "memory://me:hidden@lake/usage?token=hidden"
    command = ["export", "--dsn", f"sqlite:///{tmp_path}/usage.db", "--to", place]
    for said in ("written to 3 files in memory://lake/usage.", "memory://lake/usage is up to date."):
        found = invoke(*command)
        assert said in found.stderr
        assert "hidden" not in found.output


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://lake/usage", "s3://lake/usage can't be used: Unable to locate credentials"),
        ("https://me:hidden@127.0.0.1:1/usage", "https://127.0.0.1:1/usage can't be used: Client"),
        ("", "--to names no place"),
        ("simplecache::ftp://me:hidden@127.0.0.1:1/usage", "--to and --from take the address of a place, and no chain"),
        ("s3://me:hidden/part@lake/usage", "s3:// is followed by no host and port; escape special characters as %XX"),
        ("s3://me:hidd[en@lake/usage", "s3:// is followed by no host and port; escape special characters as %XX"),
        ("s3://me:hidden@lake//usage", "s3:// is followed by a path with an empty part (//) or a #"),
        ("s3://me:hidden@lake/usage#1", "s3:// is followed by a path with an empty part (//) or a #"),
    ],
)
def test_a_place_that_cant_be_used_is_named_with_the_reason(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, said: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = invoke("export", "--dsn", f"sqlite:///{tmp_path}/usage.db", "--to", place)
    assert found.exit_code in (1, 2)
    assert said in found.stderr
    assert "hidden" not in found.output
