"""What tests do with a Postgres of their own, past our store."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from postgres_server import Databases, PostgresServer

from usage_tracker.dsn import parse_dsn
from usage_tracker.stores.grants import grants
from usage_tracker.stores.postgres import PostgresStore


@pytest.fixture
def fragile(own_postgres: PostgresServer) -> Iterator[PostgresStore]:
    """A store on the server that tests may stop."""
    name = own_postgres.create(migrated=True)
    opened = PostgresStore(parse_dsn(own_postgres.dsn(name)))
    yield opened
    opened.close()
    own_postgres.start()
    own_postgres.drop(name)


def database_of(dsn: str) -> str:
    return str(psycopg2.extensions.parse_dsn(dsn)["dbname"])


def one(store: PostgresStore, sql: str) -> Any:
    [(found,)] = store.select(sql)
    return found


def run(dsn: str, *statements: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def rows_of(store: PostgresStore, table: str) -> int:
    found = one(store, f"SELECT count(*) FROM usage_tracker.{table}")
    assert isinstance(found, int)
    return found


@contextmanager
def writer_role(databases: Databases, database: str) -> Iterator[PostgresStore]:
    """A store of a role that has what a writer needs, and nothing else."""
    role = f"writer_{uuid4().hex[:8]}"
    databases.run(f"CREATE ROLE {role} LOGIN")
    databases.run(grants("writer", role), database)
    opened = PostgresStore(parse_dsn(databases.dsn(database, user=role)))
    yield opened
    opened.close()
    databases.run(f"DROP OWNED BY {role}", database)
    databases.run(f"DROP ROLE {role}")
