"""Segments that move from one spool folder to another: those of an app whose DSN was wrong or could not be used."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from usage_tracker.descriptors import Descriptor
from usage_tracker.journal.disk import lock, open_regular, share
from usage_tracker.journal.files import header_in
from usage_tracker.journal.header import STORED_AT
from usage_tracker.journal.spool import LARGEST_FILE, SUFFIX, Spool


def take_over(spool: Spool, other: Path) -> int:
    """Move the ended segments of another folder here; how many. Raises OSError, SpoolFull and SpoolUnusable."""
    return move(spool, other, as_ours=False)


def adopt(spool: Spool, other: Path) -> int:
    """As `take_over`, for segments that another store was meant to have: from here on they are this store's."""
    return move(spool, other, as_ours=True)


def move(spool: Spool, other: Path, *, as_ours: bool) -> int:
    if not other.is_dir():
        return 0
    spool.prepare()
    if other.samefile(spool.folder):
        return 0
    moved = 0
    for path in Spool(other).segments():
        found = open_regular(path)
        if found is None:
            continue
        descriptor = Descriptor(found)
        try:
            if not lock(found):
                continue
            header = header_in(found)
            if as_ours and header is not None:
                os.pwrite(found, header._replace(store=spool.store).pack()[:STORED_AT], 0)
            share(found, spool.group)
            move_file(spool, path, found)
            moved += 1
        finally:
            descriptor.close()
    with suppress(OSError):
        other.rmdir()
    return moved


def move_file(spool: Spool, path: Path, descriptor: int) -> None:
    """Killed in between, it leaves two of the same segment: the ledger knows that they are one. Where this folder has
    the segment, what comes is a copy, which may lack the end."""
    known = (spool.folder / path.name).exists()
    name = f"{uuid4()}{SUFFIX}" if known else path.name
    try:
        os.rename(path, spool.folder / name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        spool.restore(name, os.pread(descriptor, LARGEST_FILE, 0))
        path.unlink()
