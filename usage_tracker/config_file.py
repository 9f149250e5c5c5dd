"""The file that settings may be in: TOML, for this user, or wherever TRACKER_CONFIG says.

It stands below the environment: argument > environment > file > default. It is looked for once, by whoever sets up the
tracker or runs a command; without one, that is a single failing open().
"""

import difflib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from usage_tracker.config import Settings, variable
from usage_tracker.errors import ConfigError
from usage_tracker.folders import user_folder

READ_BY_COMMANDS = ("tz",)
"""What only commands read, beside the settings."""
KEYS = (*(name for name in Settings._fields if name != "on_alert"), *READ_BY_COMMANDS)
"""A function is an argument alone."""
ONLY_VARIABLES = (
    "config",
    "serve_viewer_token",
    "serve_writer_token",
    "serve_admin_token",
    "serve_secret",
    "serve_edit_dsn",
)
"""What no file says: where it is, and what `usage-tracker serve` reads."""


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is, or would be."""
    if named := environ.get("TRACKER_CONFIG"):
        return Path(os.path.expanduser(named))
    return user_folder(environ, "XDG_CONFIG_HOME", Path(".config")) / "config.toml"


def with_config() -> Mapping[str, str]:
    """The environment, and below it what the file says, as if it were TRACKER_* variables. Raises ConfigError."""
    return below_environment(read_config())


def with_usable_config() -> Mapping[str, str]:
    """As `with_config`, of those lines alone that can be used."""
    said: dict[str, str] = {}
    with suppress(ConfigError):
        path = config_path()
        for key, value in read_toml(path).items():
            with suppress(ConfigError):
                said[variable(key)] = text_of(path, key, value)
    return below_environment(said)


def below_environment(said: Mapping[str, str]) -> Mapping[str, str]:
    """The environment, and what the file said where that says nothing."""
    if not said:
        return os.environ
    return {**said, **{name: value for name, value in os.environ.items() if value or name not in said}}


def read_config() -> dict[str, str]:
    """What the file says, by the names of variables; nothing where there is none. Raises ConfigError, with the line or
    the key, for one that can't be used."""
    path = config_path()
    return {variable(key): text_of(path, key, value) for key, value in read_toml(path).items()}


def read_toml(path: Path) -> dict[str, object]:
    """Nothing where there is no file and none is asked for. Raises ConfigError."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        if os.environ.get("TRACKER_CONFIG"):
            raise ConfigError(f"TRACKER_CONFIG: there is no {path}; `usage-tracker init` writes it") from None
        return {}
    except OSError as error:
        shut_out = isinstance(error, PermissionError) and not os.path.lexists(path)
        if shut_out and not os.environ.get("TRACKER_CONFIG"):
            return {}  # in the home of root, which this user may not enter, as that of a server that was root
        raise ConfigError(
            f"{path} can't be read ({error.strerror}); mend that or name another: TRACKER_CONFIG"
        ) from None
    import tomllib

    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None


def text_of(path: Path, key: str, value: object) -> str:
    """A value as a variable would hold it. Raises ConfigError; what may be a secret is not repeated."""
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(KEYS)}"
        raise ConfigError(f"{path} has the unknown setting {key!r}; {meant}")
    if key == "sinks" and isinstance(value, dict):
        value = [f"{name}={address}" for name, address in value.items()]
    if isinstance(value, bool):
        text = "on" if value else "off"
    elif isinstance(value, list) and all(isinstance(word, str) and "," not in word for word in value):
        text = ",".join(value)
    elif isinstance(value, str | int | float):
        text = str(value)
    else:
        raise ConfigError(f"{key} in {path} is neither a text, a number, true, false nor a list of texts")
    if "\0" in text:
        raise ConfigError(f"{path} has a NUL character in what {variable(key)} stands for, which no variable can hold")
    return text


def is_open_to_others(path: Path) -> bool:
    """Whether somebody else could read a password in it."""
    try:
        return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def write_config(path: Path, values: Mapping[str, str]) -> None:
    """Write the file, for this user's eyes only. Raises OSError."""
    lines = ["# Settings of usage_tracker. TRACKER_* variables and arguments of install() go before them.\n"]
    lines += [f"{key} = {quoted(value)}\n" for key, value in values.items()]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.writelines(lines)
    part.replace(path)


def quoted(text: str) -> str:
    """As a basic string of TOML."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
