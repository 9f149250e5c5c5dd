"""Settings: where they come from, what is accepted, and what is refused with which sentence."""

import os
from enum import Enum
from pathlib import Path

import pytest

from usage_tracker.config import load_settings, load_usable
from usage_tracker.config_file import config_path
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.folders import data_folder, default_spool


class Tier(str, Enum):  # noqa: UP042  as apps have it, whose `str` is its name
    PRO = "pro"


def test_a_changed_password_leaves_the_spool_folder_as_it_is() -> None:
    one, other = parse_dsn("postgresql://app:one@db/usage"), parse_dsn("postgresql://app:other@db/usage")
    assert default_spool(one, {"HOME": "/home/me"}) == default_spool(other, {"HOME": "/home/me"})
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


def test_its_folders_stay_where_they_are_when_the_program_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings({"HOME": "/home/me"}, spool_dir="spool", prices="prices.toml", export_to="lake")
    assert (settings.spool_dir, settings.prices) == (tmp_path / "spool", tmp_path / "prices.toml")
    assert settings.export_to == str(tmp_path / "lake")
    assert load_settings({"HOME": "/home/me"}, export_to="s3://bucket/lake").export_to == "s3://bucket/lake"
    assert data_folder({"HOME": "/home/me", "XDG_DATA_HOME": "data"}) == Path("/home/me/.local/share/usage-tracker")
    assert config_path({"HOME": "/home/me", "XDG_CONFIG_HOME": "x"}) == Path(
        "/home/me/.config/usage-tracker/config.toml"
    )


def test_a_user_without_a_home_gets_no_folder_wherever_a_program_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user id that the machine doesn't know
    assert data_folder({}) == Path("/.local/share/usage-tracker")


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


def test_of_what_is_done_beside_shipping_what_can_not_be_used_is_left_out_and_said() -> None:
    environ = {
        "HOME": "/home/me",
        "TRACKER_TEAM": "shop",
        "TRACKER_ALERT_SECRET": "s",
        "TRACKER_ALERT_WEBHOOK": "http://example.com/geheim",
        "TRACKER_ALERT_SLACK": "https://hooks.example.com/x",
        "TRACKER_ALERT_SMTP": "smtp://example.com",
        "TRACKER_SINKS": "nonsense",
        "TRACKER_EXPORT_TO": "/lake",
        "TRACKER_EXPORT_FORMAT": "paper",
    }
    settings, sentences = load_usable(environ)
    assert [sentence.split()[0] for sentence in sentences] == [
        "TRACKER_ALERT_WEBHOOK",
        "alerts",
        "TRACKER_SINKS:",
        "TRACKER_EXPORT_FORMAT='paper'",
    ]
    assert "geheim" not in "".join(sentences)
    assert (settings.alert_webhook, settings.alert_smtp, settings.sinks, settings.export_to) == ((), None, (), None)
    assert (settings.team, settings.alert_secret, len(settings.alert_slack)) == ("shop", "s", 1)
    good = {"HOME": "/home/me", "TRACKER_SINKS": "https://example.com/hook"}
    assert load_usable(good) == (load_settings(good), [])
    with pytest.raises(ConfigError, match="TRACKER_BATCH_SIZE"):
        load_usable({**environ, "TRACKER_BATCH_SIZE": "many"})


def test_a_group_may_be_named_or_numbered() -> None:
    import grp

    known = grp.getgrgid(0)
    assert load_settings({"TRACKER_SPOOL_GROUP": known.gr_name}).spool_group == 0
    assert load_settings({"TRACKER_SPOOL_GROUP": "30000"}).spool_group == 30_000
    assert load_settings({}).spool_group is None
    for wrong in ("no such group", "4294967296"):
        with pytest.raises(ConfigError, match="TRACKER_SPOOL_GROUP"):
            load_settings({"TRACKER_SPOOL_GROUP": wrong})


def test_several_words_are_a_sequence_or_a_text_with_commas() -> None:
    for tags in (["a", " b ", ""], ("a", "b"), "a, b,", iter("ab")):
        assert load_settings({}, tags=tags).tags == ("a", "b")
    assert load_settings({}, tags={"tier": "pro", "beta": None, "region": "eu"}).tags == ("tier:pro", "region:eu")


def test_a_member_of_an_enum_of_texts_goes_by_its_value() -> None:
    settings = load_settings({}, team=Tier.PRO, tags=[Tier.PRO])
    assert (settings.team, settings.tags) == ("pro", ("pro",))


def test_what_gets_alerts_can_be_called() -> None:
    assert load_settings({}, on_alert=print).on_alert is print
    with pytest.raises(ConfigError, match="on_alert"):
        load_settings({}, on_alert="print")
