"""`usage-tracker init`: with questions and without."""

import tomllib
from pathlib import Path

import pytest
from click.testing import Result
from commanding import invoke
from postgres_server import LOCKED_ROLE, PostgresServer

from usage_tracker.cli.init import lacks_password, with_password
from usage_tracker.config_file import config_path, is_open_to_others


def init(*words: str, typed: str | None = None) -> Result:
    return invoke("init", *words, input=typed)


def written() -> dict[str, object]:
    return tomllib.loads(config_path().read_text())


def test_without_questions_it_writes_what_its_options_say(tmp_path: Path) -> None:
    dsn = f"sqlite:///{tmp_path}/usage.db"
    result = init("--no-input", "--dsn", dsn, "--app", "shop", "--tz", "Europe/Berlin")
    assert (result.exit_code, result.stdout) == (0, "")
    assert written() == {"dsn": dsn, "app": "shop", "tz": "Europe/Berlin"}
    assert not is_open_to_others(config_path())
    assert (tmp_path / "usage.db").exists()
    assert "No calls" in invoke("report").stderr


def test_without_any_option_it_is_the_sqlite_file_of_the_user() -> None:
    result = init("--no-input")
    assert result.exit_code == 0
    assert written() == {}
    assert "usage.db will be made" in result.stderr


def test_a_relative_file_is_written_as_where_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    init("--no-input", "--dsn", "sqlite:///here.db")
    assert written()["dsn"] == f"sqlite:///{tmp_path}/here.db"


def test_the_store_that_was_tried_is_the_one_that_is_written_whatever_its_files_name(tmp_path: Path) -> None:
    init("--no-input", "--dsn", f"sqlite:///{tmp_path}/100%2541%3F.db")
    assert [path.name for path in tmp_path.glob("*.db")] == ["100%41?.db"]
    assert "No calls" in invoke("report").stderr


def test_a_file_that_is_there_is_replaced_only_by_force() -> None:
    init("--no-input", "--app", "first")
    refused = init("--no-input", "--app", "second")
    assert (refused.exit_code, "--force replaces it" in refused.stderr) == (1, True)
    assert init("--no-input", "--app", "second", "--force").exit_code == 0
    assert written() == {"app": "second"}


def test_a_store_that_is_away_is_said_and_nothing_is_written() -> None:
    result = init("--no-input", "--dsn", "postgresql://me:geheim@127.0.0.1:9/usage")
    assert result.exit_code == 4
    assert "can't be reached" in result.stderr
    assert "geheim" not in result.stderr
    assert not config_path().exists()


def test_where_there_is_no_terminal_it_asks_for_no_input() -> None:
    result = init(typed="\n\n\n\n\n")
    assert (result.exit_code, "--no-input" in result.stderr) == (2, True)


class TestQuestions:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("usage_tracker.cli.init.can_ask", lambda: True)

    def test_they_are_asked_until_the_answers_can_be_used(self, tmp_path: Path) -> None:
        dsn = f"sqlite:///{tmp_path}/usage.db"
        result = init(typed=f"mysql://db\n{dsn}\nshop\n\nMars\nEurope/Berlin\n\n")
        assert result.exit_code == 0
        assert "unknown scheme 'mysql'" in result.stderr
        assert "'Mars' is not a time zone" in result.stderr
        assert written() == {"dsn": dsn, "app": "shop", "tz": "Europe/Berlin"}
        assert "Its schema is up to date" in result.stderr

    def test_what_options_say_is_not_asked(self, tmp_path: Path) -> None:
        words = ("--dsn", f"sqlite:///{tmp_path}/usage.db", "--app", "shop", "--project", "alpha", "--tz", "UTC")
        assert init(*words, "--no-migrate", typed="").exit_code == 0
        assert not (tmp_path / "usage.db").exists()

    def test_a_password_is_asked_for_and_never_shown(self, own_postgres: PostgresServer) -> None:
        name = own_postgres.create(migrated=True)
        own_postgres.let_in("ge@heim")
        own_postgres.run(f"GRANT USAGE ON SCHEMA usage_tracker TO {LOCKED_ROLE}", name)
        own_postgres.run(f"GRANT SELECT ON usage_tracker.schema_migration TO {LOCKED_ROLE}", name)
        address = f"postgresql://{LOCKED_ROLE}@127.0.0.1:{own_postgres.port}/{name}"
        result = init(typed=f"{address}\nwrong\nn\n{address}\nge@heim\n\n\n\n")
        own_postgres.drop(name)
        assert result.exit_code == 0
        assert "can be reached" in result.stderr
        assert "heim" not in result.output
        assert written() == {"dsn": with_password(address, "ge@heim")}

    def test_a_store_that_is_away_may_be_used_all_the_same(self) -> None:
        address = "postgresql://127.0.0.1:9/usage"
        assert init(typed=f"{address}\ny\n\n\n\n").exit_code == 0
        assert written() == {"dsn": address}

    def test_leaving_in_the_middle_writes_nothing(self) -> None:
        result = init(typed="\n")
        assert result.exit_code == 130
        assert not config_path().exists()


def test_only_an_address_with_a_user_and_no_password_wants_one() -> None:
    assert lacks_password("postgresql://me@db/usage")
    named = ("postgresql://me:x@db/usage", "postgresql://me@db/usage?password=x", "postgresql://me@db/usage?passfile=x")
    for text in ("postgresql://db/usage", "sqlite:///a.db", "host=db user=me", *named):
        assert not lacks_password(text), text
