"""Where files of ours are for this user, unless a setting says otherwise."""

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from usage_tracker.dsn import Dsn


def data_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's SQLite file and spool live: XDG on Linux, Application Support on macOS."""
    return user_folder(environ, "XDG_DATA_HOME", Path(".local", "share"))


def user_folder(environ: Mapping[str, str], variable: str, usual: Path) -> Path:
    """A folder of ours for this user. It is the same wherever a program stands: what the environment says of it counts
    as an absolute path alone (https://specifications.freedesktop.org/basedir-spec/latest/), and the home of a user who
    has none is /, as in containers."""
    home = Path("/", (environ.get("HOME") or os.path.expanduser("~")).removeprefix("~"))
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "usage-tracker"
    said = environ.get(variable, "")
    return (Path(said) if os.path.isabs(said) else home / usual) / "usage-tracker"


def located(name: str) -> Path:
    """A file or folder as people name it: ~ is this user's home, also where no shell says so, and what is relative is
    so to where the program stands now: it may go elsewhere later."""
    return Path(os.path.abspath(os.path.expanduser(name)))


def default_dsn(environ: Mapping[str, str] = os.environ) -> Dsn:
    """The SQLite file under the user's data folder."""
    path = data_folder(environ) / "usage.db"
    return Dsn("sqlite", str(path), f"sqlite:///{path}")


def default_spool(dsn: Dsn, environ: Mapping[str, str] = os.environ) -> Path:
    """A folder for each store."""
    return data_folder(environ) / "spool" / dsn.identity


def unassigned_spool(app: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The app's own, in which its events wait where its DSN can't be used."""
    return data_folder(environ) / "spool" / f"unassigned-{hashlib.blake2b(app.encode(), digest_size=8).hexdigest()}"
