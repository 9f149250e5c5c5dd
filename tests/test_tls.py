"""The TLS options of a DSN reach libpq: a server is believed where its certificate says so, and nowhere else."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from certificates import certificate
from made_events import made_event, store_events
from postgres_server import PostgresServer, unprivileged_account

from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreUnavailable
from usage_tracker.stores import open_store


@pytest.fixture
def encrypted(own_postgres: PostgresServer, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A database of a server that speaks TLS as `localhost`, and its root certificate."""
    found, key = certificate(tmp_path / "server", "localhost")
    [(data,)] = own_postgres.run("SHOW data_directory")
    for name, source in (("tls.crt", found), ("tls.key", key)):
        shutil.copy(source, Path(data) / name)
        (Path(data) / name).chmod(0o600)
        if account := unprivileged_account():
            shutil.chown(Path(data) / name, account)
    for name, value in (("ssl", "on"), ("ssl_cert_file", "tls.crt"), ("ssl_key_file", "tls.key")):
        own_postgres.run(f"ALTER SYSTEM SET {name} = '{value}'")
    own_postgres.restart()
    database = own_postgres.create(migrated=True)
    yield f"postgresql://postgres@localhost:{own_postgres.port}/{database}?hostaddr=127.0.0.1&", found
    own_postgres.run("ALTER SYSTEM RESET ALL")
    own_postgres.restart()
    own_postgres.drop(database)


def test_a_certificate_is_checked_against_the_root_that_the_dsn_names(
    encrypted: tuple[str, Path], tmp_path: Path, own_postgres: PostgresServer
) -> None:
    address, root = encrypted
    store = open_store(parse_dsn(f"{address}sslmode=verify-full&sslrootcert={root}&ssl_min_protocol_version=TLSv1.3"))
    store_events(store, [made_event()])
    [encryption] = store.select("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert encryption == (True, "TLSv1.3")
    store.close()

    other, _ = certificate(tmp_path / "other", "localhost")
    refused = {
        f"sslmode=verify-full&sslrootcert={other}": "verify failed: it has expired, or is signed by none of those",
        f"sslmode=verify-full&sslrootcert={tmp_path}/missing.crt": "certificate file … does not exist: sslrootcert=…",
        f"sslmode=verify-full&sslrootcert={root}&host=127.0.0.1": "does not match host name",
    }
    for options, said in refused.items():
        store = open_store(parse_dsn(address + options))
        with pytest.raises(StoreUnavailable, match=said):
            store.positions([uuid4()])
        store.close()


def test_a_server_without_tls_is_refused_where_the_dsn_wants_it(own_postgres: PostgresServer) -> None:
    store = open_store(
        parse_dsn(f"host=127.0.0.1 port={own_postgres.port} user=postgres sslmode=require dbname=postgres")
    )
    with pytest.raises(StoreUnavailable, match="server does not support SSL, but SSL was required"):
        store.positions([uuid4()])
