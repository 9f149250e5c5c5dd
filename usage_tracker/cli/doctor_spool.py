"""What `usage-tracker doctor` finds of the journal: its folder, who ships it, and what is left in it."""

import os
import shlex
from glob import glob
from pathlib import Path

from usage_tracker.cli.figures import counted, show_bytes
from usage_tracker.cli.findings import Findings
from usage_tracker.config import Settings
from usage_tracker.folders import data_folder
from usage_tracker.journal import Spool
from usage_tracker.journal.aside import CORRUPT, DROPS, REFUSED, noted_dropped
from usage_tracker.journal.backlog import has_others, read_backlog
from usage_tracker.journal.spool import SAME_STORE
from usage_tracker.pipeline import open_spool

NEARLY_FULL = 0.8

ASIDE = (
    (REFUSED, "refused", "events that the store refused"),
    (CORRUPT, "corrupt", "unreadable journal bytes"),
)


def examine_spool(settings: Settings, findings: Findings) -> None:
    spool = open_spool(settings)
    leader, size = spool.leader(), size_of(spool)
    facts: dict[str, object] = {
        "folder": str(settings.spool_dir),
        "bytes": size,
        "max_bytes": settings.spool_max_bytes,
        "leader": None if leader is None else {"pid": leader.pid, "state": leader.state},
        "waiting": None,
        "dropped": noted_dropped(settings.spool_dir),
        "refused": None,
        "corrupt": None,
        "problem": None,
    }
    findings.facts["spool"] = facts
    findings.facts["other_spools"] = others = list[dict[str, object]]()
    findings.add("spool", str(settings.spool_dir) if size is None else f"{settings.spool_dir}, {show_bytes(size)}")
    examine_place(settings.spool_dir, findings, facts)
    if size is not None:
        examine_room(size, settings, findings)
        examine_stores(spool, settings, findings)
    if leader:
        away = not leader.ships
        remedy = "its store is away: see its log, or the line above" if away else None
        findings.add("leader", f"process {leader.pid}, {leader.state}", remedy)
    elif settings.ship:
        findings.add("leader", "none now: the next program that records ships this folder")
    else:
        findings.add("leader", "none now, and programs don't ship where TRACKER_SHIP is off: `usage-tracker ship` does")
    folders = {settings.spool_dir, *(data_folder() / name for name in glob("spool/*/", root_dir=data_folder()))}
    for folder in sorted(folders, key=lambda path: (path != settings.spool_dir, path)):
        own = folder == settings.spool_dir
        try:
            waiting = read_backlog(Spool(folder)).events
        except OSError as error:
            if own:
                facts["problem"] = str(error)
            findings.add("waiting", f"{folder} can't be read", str(error))
            continue
        if own:
            facts["waiting"] = waiting
        elif waiting:
            others.append({"folder": str(folder), "waiting": waiting})
        if waiting and not (own and leader):
            command = "usage-tracker ship --once" + ("" if own else f" --from {shlex.quote(str(folder))}")
            remedy = f"`{command}` ships to this store what is there"
            if settings.dsn is None:
                remedy = f"`{command}` ships what is there to the store of TRACKER_DSN: run it where that is set"
            findings.add("waiting", f"{counted(waiting, 'event')} in {folder}", remedy)
        elif own:
            findings.add("waiting", counted(waiting, "event"))
        examine_aside(folder, findings, facts if own else {})


def size_of(spool: Spool) -> int | None:
    """None where this user may not look: why is said of what waits there."""
    try:
        return spool.size()
    except OSError:
        return None


def examine_stores(spool: Spool, settings: Settings, findings: Findings) -> None:
    if settings.dsn is not None and has_others(spool):
        findings.add("spool", "has events for another store, which aren't shipped to this one", SAME_STORE)


def examine_place(folder: Path, findings: Findings, facts: dict[str, object]) -> None:
    """Whether this user may write there; where nothing is yet, the first program makes it."""
    nearest = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not os.access(nearest, os.W_OK | os.X_OK):
        facts["problem"] = problem = f"{nearest} can't be written by this user"
        findings.add("spool", problem, "make the folder and give it to them, or name another TRACKER_SPOOL_DIR")


def examine_room(size: int, settings: Settings, findings: Findings) -> None:
    if size > NEARLY_FULL * settings.spool_max_bytes:
        findings.add(
            "spool",
            f"nearly full: {show_bytes(size)} of {show_bytes(settings.spool_max_bytes)}",
            "mend the store, or raise TRACKER_SPOOL_MAX_BYTES: when it is full, new events are dropped",
        )


def examine_aside(folder: Path, findings: Findings, facts: dict[str, object]) -> None:
    for name, key, meaning in ASIDE:
        facts[key] = there = (folder / name).exists()
        if there:
            findings.add("set aside", f"{meaning}: {folder / name}", "look at them, then delete them")
    if dropped := noted_dropped(folder):
        findings.add(
            "dropped",
            f"{counted(dropped, 'event')}, as the spool was full or could not be written",
            f"see that the store keeps up, or raise TRACKER_SPOOL_MAX_BYTES; then delete {folder / DROPS}",
        )
