"""Claims: what names a process in the store while something there is its alone."""

import os
import secrets
from pathlib import Path


def make_claim() -> str:
    """A claim of this process that is like no other: its host, whose process ids are meant, its own, and a token."""
    return " ".join((*here(), str(os.getpid()), secrets.token_hex(8)))


def here() -> tuple[str, str]:
    """This host, and whose process ids are ours: those of a container mean nothing outside of it."""
    try:
        return os.uname().nodename, os.readlink("/proc/self/ns/pid")
    except OSError:
        return os.uname().nodename, "-"


def is_valid(until: float, now: float, seconds: float) -> bool:
    """Whether a claim of so many seconds holds still; not one of far more, which was made by a clock that was ahead."""
    return now < until <= now + 2 * seconds


def is_dead(claim: str) -> bool:
    """Whether it is of a process of this host that is no more: nobody has to wait for it."""
    match claim.split(" "):
        case [host, space, process, _] if (host, space) == here():
            try:
                os.kill(int(process), 0)
            except ProcessLookupError:
                return True
            except PermissionError:  # it is another user's
                return False
            return has_ended(int(process))
    return False


def has_ended(process: int) -> bool:
    """Whether it is a process that nobody has waited for yet, as where the first one of a container never does."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2].startswith("Z")


def shown(claim: str) -> str:
    """For people."""
    match claim.split(" "):
        case [host, _, process, _]:
            return f"{host} process {process}"
    return claim
