"""A store's address: what is accepted, what is refused with which sentence, and what never shows."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.dsn import Dsn, file_address, parse_dsn
from usage_tracker.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:geheim@db:5432/usage?sslmode=require", "postgresql://app@db:5432/usage?sslmode=require"),
        ("postgres://app:geheim@db/usage", "postgresql://app@db/usage"),
        ("postgresql:///usage?host=/run/postgresql", "postgresql:///usage?host=/run/postgresql"),
        ("postgresql://app@[::1]:5433/usage", "postgresql://app@[::1]:5433/usage"),
        ("postgresql://app@one:1,two:2/usage", "postgresql://app@one:1,two:2/usage"),
        ("host=db dbname=usage password='ge heim' user=app", "dbname='usage' host='db' user='app'"),
        ("sqlite:////var/lib/usage.db", "sqlite:////var/lib/usage.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
    ],
)
def test_a_dsn_is_shown_without_its_secrets(text: str, shown: str) -> None:
    dsn = parse_dsn(text)
    assert dsn.shown == shown
    assert "geheim" not in repr(dsn) + shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://", "postgresql://?dbname=usage&host=db&user=app"),
        ("postgresql://me@other:5433/mine", "postgresql://me@other:5433/mine"),
        ("postgresql://me@:5433", "postgresql://me@:5433?dbname=usage&host=db"),
        ("postgresql:///mine?user=me", "postgresql:///mine?host=db&user=me"),
        ("user=me host=other", "dbname='usage' host='other' user='me'"),
    ],
)
def test_what_an_address_leaves_to_the_environment_is_a_part_of_it(
    text: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise programs with the same TRACKER_DSN and another PGDATABASE would share a spool folder."""
    for name, value in {"PGHOST": "db", "PGDATABASE": "usage", "PGUSER": "app", "PGPASSWORD": "geheim"}.items():
        monkeypatch.setenv(name, value)
    dsn = parse_dsn(text)
    assert dsn.shown == shown
    monkeypatch.setenv("PGDATABASE", "another")
    assert (parse_dsn(text).identity == dsn.identity) == ("usage" not in shown)


def test_what_the_environment_holds_need_be_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of a database have no encoding."""
    found = set()
    for name in ("gr\udcf6\udcdfe", "gr\udcfc\udcdfe"):
        monkeypatch.setenv("PGDATABASE", name)
        found |= {parse_dsn("postgresql://").identity, parse_dsn("user=me").identity}
    assert len(found) == 4


@pytest.mark.parametrize(
    "keyword", ["password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"]
)
def test_no_keyword_of_a_secret_is_shown(keyword: str) -> None:
    for text in (f"host=db dbname=usage {keyword}=geheim", f"postgresql://db/usage?{keyword}=geheim"):
        dsn = parse_dsn(text)
        assert dsn.has_secret
        assert "geheim" not in dsn.shown


@pytest.mark.parametrize(
    "text",
    [
        "mysql://app:geheim@db/usage",
        "usage.db",
        "sqlite://usage.db",
        "sqlite:///",
        "sqlite:///usage.db?mode=geheim",
        "sqlite:///usage%00.db",
        "postgresql://app:geheim@db:port/usage",
        "postgresql://app:geheim@db:99999/usage",
        "postgresql://app:geheim@db/usage?sslmod=require",
        "postgresql://app:geheim@db/usage#fragment",
        "postgresql://app:12/geheim@db/usage",
        "postgresql://app:12@geheim@db/usage",
        "postgresql://app:1?geheim@db/usage",
        "postgresql://app@db/usage?password=1&geheim=2",
        "postgresql://app@db/usage?password=1&user=2&geheim=3",
        "host=db password=1 geheim=2",
        "host=db password='geheim",
        "host=db passwort=geheim",
        "host db=geheim",
    ],
)
def test_what_is_no_dsn_is_refused_with_the_valid_forms_and_without_secrets(text: str) -> None:
    with pytest.raises(ConfigError, match="valid forms are postgresql://") as refusal:
        parse_dsn(text)
    assert "geheim" not in str(refusal.value)
    assert refusal.value.__cause__ is None


@given(st.text(max_size=60))
def test_any_text_is_a_dsn_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(parse_dsn(text), Dsn)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_a_file_of_any_name_is_the_same_one_when_its_address_is_read_again(name: str) -> None:
    path = os.path.abspath(f"/srv/{name}.db")
    found = parse_dsn(file_address(path))
    assert found.text == path
    assert parse_dsn(found.setting) == found


def test_a_relative_sqlite_path_means_the_same_store_wherever_a_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_dsn("sqlite:///usage.db").text == str(tmp_path / "usage.db")
