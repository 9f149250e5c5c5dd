"""Settings in a file: below arguments and environment, above defaults, and never in an app's way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commanding import invoke
from rights import CAN_BE_SHUT, SHUT_OUT

from usage_tracker.config import load_settings
from usage_tracker.config_file import config_path, is_open_to_others, read_config, with_config, write_config
from usage_tracker.errors import ConfigError


@pytest.fixture
def config(own_environment: Path) -> Path:
    """Where the user's config file belongs."""
    path = config_path()
    path.parent.mkdir(parents=True)
    return path


def test_it_stands_below_the_environment_and_above_defaults(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('app = "from-file"\nproject = "from-file"\nteam = "from-file"\nbatch_size = 7\n')
    monkeypatch.setenv("TRACKER_PROJECT", "from-environment")
    monkeypatch.setenv("TRACKER_TEAM", "from-environment")
    settings = load_settings(with_config(), team="from-argument")
    assert (settings.app, settings.project, settings.team, settings.batch_size) == (
        "from-file",
        "from-environment",
        "from-argument",
        7,
    )


def test_values_are_what_toml_has_for_them(config: Path) -> None:
    config.write_text('tags = ["eu", "tier:pro"]\nship = false\nexit_timeout = 0.5\ntz = "Europe/Berlin"\n')
    settings = load_settings(with_config())
    assert (settings.tags, settings.ship, settings.exit_timeout) == (("eu", "tier:pro"), False, 0.5)
    assert read_config()["TRACKER_TZ"] == "Europe/Berlin"


def test_the_mark_that_windows_puts_before_utf_8_is_none_of_it(config: Path) -> None:
    config.write_text('app = "shop"\r\n', encoding="utf-8-sig")
    assert read_config() == {"TRACKER_APP": "shop"}


def test_an_empty_variable_is_none(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('project = "alpha"\n')
    monkeypatch.setenv("TRACKER_PROJECT", "")
    assert load_settings(with_config()).project == "alpha"


def test_without_a_file_the_environment_is_all(own_environment: Path) -> None:
    assert with_config() is os.environ


@pytest.mark.skipif(not CAN_BE_SHUT, reason="root may enter every folder")
def test_in_a_home_that_may_not_be_entered_there_is_none(config: Path) -> None:
    """As that of root is for a server that root has started and that has become another user."""
    config.write_text('project = "of-root"\n')
    asked = [*SHUT_OUT, sys.executable, "-c", "from usage_tracker.config_file import read_config; print(read_config())"]
    for shut, said in ((config, "Permission denied"), (Path.home(), "{}\n")):
        shut.chmod(0)
        try:
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
        finally:
            shut.chmod(0o700)
        assert said in done.stdout + done.stderr


def test_a_folder_that_cannot_be_looked_into_for_another_reason_is_no_sign_that_there_is_no_file(config: Path) -> None:
    """Such as that of a share that is away: events wait then, and don't go to another store."""
    config.parent.rmdir()
    config.parent.symlink_to(config.parent)
    with pytest.raises(ConfigError, match="can't be read"):
        read_config()


def test_another_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tracker.toml").write_text('app = "shop"\n')
    monkeypatch.setenv("TRACKER_CONFIG", str(tmp_path / "tracker.toml"))
    assert load_settings(with_config()).app == "shop"
    monkeypatch.setenv("TRACKER_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigError, match="there is no"):
        with_config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prject = "x"', "did you mean project?"),
        ("dsn = postgresql://me:geheim@db", "is no TOML"),
        ("dsn = { password = 'geheim' }", "dsn in"),
        ("[store]\ndsn = 'x'", "unknown setting 'store'"),
        ("tags = ['geheim,b']", "tags in"),
        ('tags = ["eu", "geheim\\u0000"]', "TRACKER_TAGS"),
        ("on_alert = 'geheim'", "unknown setting 'on_alert'"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_secrets(config: Path, text: str, said: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml") as error:
        read_config()
    assert said in str(error.value)
    assert "geheim" not in str(error.value)


def test_what_is_written_is_read_again_and_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "tracker.toml"
    values = {"dsn": 'postgresql://me:p"w\\\x7f@db/x', "app": "größe\n"}
    write_config(path, values)
    write_config(path, values)
    assert not is_open_to_others(path)
    monkeypatch.setenv("TRACKER_CONFIG", str(path))
    assert read_config() == {f"TRACKER_{name.upper()}": value for name, value in values.items()}
    path.chmod(0o644)
    assert is_open_to_others(path)


def test_commands_read_it(config: Path, tmp_path: Path) -> None:
    config.write_text(f'dsn = "sqlite:///{tmp_path}/mine.db"\ntz = "Asia/Tokyo"\n')
    result = invoke("report")
    assert f"No events yet in sqlite:///{tmp_path}/mine.db" in result.stderr
    invoke("migrate")
    assert "Asia/Tokyo" in invoke("report").stderr
    assert not [name for name in os.environ if name.startswith("TRACKER_")]


def test_the_demo_does_not_read_it(config: Path, tmp_path: Path) -> None:
    config.write_text('project = "mine"\nship = false\n')
    shown = invoke("demo", "--folder", str(tmp_path)).stdout
    assert "gpt-5" in shown
    assert "mine" not in shown


def test_none_is_read_from_the_null_device(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('project = "mine"\n')
    monkeypatch.setenv("TRACKER_CONFIG", os.devnull)
    assert with_config() is os.environ


def test_a_broken_one_stops_commands_with_a_sentence_and_doctor_names_it(config: Path) -> None:
    config.write_text("nonsense")
    for words in (["report"], []):
        result = invoke(*words)
        assert (result.exit_code, "is no TOML" in result.stderr) == (1, True)
    assert invoke("completion", "fish").exit_code == 0


def test_a_program_under_run_starts_whatever_is_in_it_and_finds_nothing_of_it_in_its_environment(
    config: Path, tmp_path: Path
) -> None:
    def run(script: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "usage_tracker", "run", "--", sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=True)

    config.write_text("nonsense")
    broken = run("print('ran')")
    assert broken.stdout == "ran\n"
    assert "is no TOML" in broken.stderr
    config.write_text(f'dsn = "sqlite:///{tmp_path}/mine.db"\nexit_timeout = 60\n')
    recorded = run(
        "import os, usage_tracker\n"
        "usage_tracker.record(provider='acme', model='m', input_tokens=1)\n"
        "print([name for name in os.environ if name.startswith('TRACKER_')])"
    )
    assert (recorded.stdout, recorded.stderr) == ("[]\n", "")
    counted = invoke("report", "-o", "csv", "--fields", "calls").stdout
    assert counted == "model,calls\nm,1\n"


def test_a_broken_one_never_reaches_the_app_and_its_events_wait(config: Path) -> None:
    config.write_text("nonsense")
    script = (
        "import usage_tracker.auto, usage_tracker\n"
        "usage_tracker.record(provider='acme', model='m', input_tokens=1)\n"
        "print(usage_tracker.stats().captured)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert "is no TOML" in done.stderr
    data = Path(os.environ["HOME"]) / ".local" / "share" / "usage-tracker"
    assert not (data / "usage.db").exists()
    config.unlink()
    patient = {**os.environ, "TRACKER_EXIT_TIMEOUT": "60"}
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=patient)
    assert again.stderr == ""
    counted = invoke("report", "-o", "csv", "--fields", "calls").stdout
    assert counted == "model,calls\nm,2\n"


def test_with_a_bad_line_events_are_for_whom_the_others_say_and_wait_until_it_is_mended(config: Path) -> None:
    script = (
        "import usage_tracker.auto, usage_tracker\nusage_tracker.record(provider='acme', model='m', input_tokens=1)\n"
    )
    patient = {**os.environ, "TRACKER_EXIT_TIMEOUT": "60"}
    for line, said in (('projct = "alpha"', "did you mean project?"), ('project = "alpha"', "")):
        config.write_text(f'app = "shop"\n{line}\n')
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=patient)
        assert said in done.stderr
    counted = invoke("report", "--by", "app", "-o", "csv", "--fields", "calls").stdout
    assert counted == "app,calls\nshop,2\n"
