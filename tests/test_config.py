"""Settings: what is accepted, what is refused with which sentence, and what never shows."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.config import Dsn, default_spool, load_settings, parse_dsn
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
    "text",
    [
        "mysql://app:geheim@db/usage",
        "usage.db",
        "sqlite://usage.db",
        "sqlite:///",
        "sqlite:///usage.db?mode=geheim",
        "postgresql://app:geheim@db:port/usage",
        "postgresql://app:geheim@db:99999/usage",
        "postgresql://app:geheim@db/usage?sslmod=require",
        "postgresql://app:geheim@db/usage#fragment",
        "postgresql://app:12/geheim@db/usage",
        "postgresql://app:12@geheim@db/usage",
        "postgresql://app:1?geheim@db/usage",
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


def test_a_relative_sqlite_path_means_the_same_store_wherever_a_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_dsn("sqlite:///usage.db").text == str(tmp_path / "usage.db")


def test_a_changed_password_leaves_the_spool_folder_as_it_is() -> None:
    one, other = parse_dsn("postgresql://app:one@db/usage"), parse_dsn("postgresql://app:other@db/usage")
    assert default_spool(one, "app", {"HOME": "/home/me"}) == default_spool(other, "app", {"HOME": "/home/me"})
    assert one.identity != parse_dsn("postgresql://app@db/elsewhere").identity


def test_arguments_win_over_the_environment_and_that_over_defaults() -> None:
    environ = {"HOME": "/home/me", "TRACKER_PROJECT": "alpha", "TRACKER_TAGS": "a, b,", "TRACKER_EXIT_TIMEOUT": "0.5"}
    settings = load_settings(environ, project="beta")
    assert (settings.project, settings.tags, settings.exit_timeout, settings.batch_size) == (
        "beta",
        ("a", "b"),
        0.5,
        5000,
    )


def test_without_a_dsn_the_store_is_a_file_of_the_user() -> None:
    settings = load_settings({"HOME": "/home/me", "XDG_DATA_HOME": "/home/me/data"})
    assert settings.dsn is not None
    assert settings.dsn.text == "/home/me/data/usage-tracker/usage.db"


def test_beside_a_sidecar_an_app_knows_no_store() -> None:
    settings = load_settings({"HOME": "/home/me", "TRACKER_SHIP": "off", "TRACKER_SPOOL_DIR": "/spool"})
    assert (settings.dsn, settings.spool_dir) == (None, Path("/spool"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRACKER_EXIT_TIMEOUT", "soon"),
        ("TRACKER_EXIT_TIMEOUT", "-1"),
        ("TRACKER_BATCH_SIZE", "0"),
        ("TRACKER_SHIP", "maybe"),
        ("TRACKER_SPOOL_MAX_BYTES", "nan"),
        ("TRACKER_STREAM_USAGE", "perhaps"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({"HOME": "/home/me", name: value})


def test_a_group_may_be_named_or_numbered() -> None:
    import grp

    known = grp.getgrgid(0)
    assert load_settings({"TRACKER_SPOOL_GROUP": known.gr_name}).spool_group == 0
    assert load_settings({"TRACKER_SPOOL_GROUP": "30000"}).spool_group == 30_000
    assert load_settings({}).spool_group is None
    with pytest.raises(ConfigError, match="TRACKER_SPOOL_GROUP"):
        load_settings({"TRACKER_SPOOL_GROUP": "no such group"})


def test_several_words_are_a_sequence_or_a_text_with_commas() -> None:
    for tags in (["a", " b ", ""], ("a", "b"), "a, b,", iter("ab")):
        assert load_settings({}, tags=tags).tags == ("a", "b")


def test_what_gets_alerts_can_be_called() -> None:
    assert load_settings({}, on_alert=print).on_alert is print
    with pytest.raises(ConfigError, match="on_alert"):
        load_settings({}, on_alert="print")
