"""The spool folder itself: whose it is, and who else may use it."""

import errno
import os
import stat
from pathlib import Path
from uuid import uuid4

from usage_tracker.errors import UsageTrackerError


class SpoolUnusable(UsageTrackerError):
    """The folder can't be used safely: it is a symbolic link, belongs to somebody else or can be written by others than
    those who share it."""


def prepare(folder: Path, group: int | None) -> None:
    """Make the folder, private to this user or shared with that group. Raises SpoolUnusable for one that others could
    tamper with."""
    if not os.path.lexists(folder):
        make(folder, group)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise SpoolUnusable(f"{folder} is not a folder; set TRACKER_SPOOL_DIR to one of your own")
    if group is not None:
        if found.st_gid != group or found.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            raise SpoolUnusable(
                f"{folder} is not for the group {group} alone; `chgrp` and `chmod 2770` it, or set TRACKER_SPOOL_DIR "
                "to a folder that is not there yet"
            )
        return
    if found.st_uid != os.geteuid():
        raise SpoolUnusable(
            f"{folder} belongs to another user; set TRACKER_SPOOL_DIR to a folder of your own, or TRACKER_SPOOL_GROUP "
            "to share it"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SpoolUnusable(f"{folder} can be written by others; `chmod 700` it, or set TRACKER_SPOOL_DIR")


def make(folder: Path, group: int | None) -> None:
    """Nobody sees a shared one before its group may use it. What is made in it will be the group's too.

    Raises SpoolUnusable where this user is not in the group.
    """
    if group is None:
        # those above as well: an SQLite file goes into one of them, and their mode would be what the umask leaves
        for missing in reversed([each for each in (folder, *folder.parents) if not os.path.lexists(each)]):
            missing.mkdir(mode=0o700, exist_ok=True)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unready = folder.with_name(f".{folder.name}-{uuid4()}")
    unready.mkdir(mode=0o700)
    try:
        os.chown(unready, -1, group)
        unready.chmod(0o2770)
        os.rename(unready, folder)
    except OSError as error:
        unready.rmdir()
        if isinstance(error, PermissionError):
            raise SpoolUnusable(f"this user is not in the group {group} that TRACKER_SPOOL_GROUP names") from None
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # somebody else was faster
            raise
