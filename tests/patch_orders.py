"""Programs that import an SDK, make its clients and install us in every order; each in a process of its own."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from interpreters import Interpreters

from usage_tracker.event import Origin, UsageEvent
from usage_tracker.journal import Spool


class Sdk(NamedTuple):
    """What a program says to an SDK. Each is Python; `BASE_URL` is where the SDK's provider listens."""

    name: str
    imports: str
    client: str
    """An expression, once it is imported."""
    from_imports: str
    """As `imports`, with a name taken out of the SDK's module."""
    from_client: str
    ask: str
    """What is called on `client` to ask: `client` and an attribute, which is also held, and called later."""
    asked: str
    """Its arguments."""
    stream: str
    """An iterator over the answer."""
    raw: str | None = None
    """As `ask`, for the raw response; what comes before the last dot is held, and used later."""
    close: str = "client.close()"
    prepare: str = ""
    """Said after the import, before the first client is made."""
    options: tuple[str, ...] = ("-W", "error")
    """Of the interpreter: an SDK that warns when it is imported can't have its warnings made errors."""


class Order(NamedTuple):
    """One order, and how many events it gives."""

    program: str
    events: int = 1


ORDERS = {
    "import, then install": Order("IMPORT; INSTALL; CLIENT; ASK"),
    "install, then import": Order("INSTALL; IMPORT; CLIENT; ASK"),
    "auto, then import": Order("import usage_tracker.auto; IMPORT; CLIENT; ASK"),
    "import, then auto": Order("IMPORT; import usage_tracker.auto; CLIENT; ASK"),
    "from-import before install": Order("FROM_IMPORT; INSTALL; FROM_CLIENT; ASK"),
    "client before install": Order("IMPORT; CLIENT; INSTALL; ASK"),
    "used client before install": Order("IMPORT; CLIENT; ASK; INSTALL; ASK"),
    "bound method before install": Order("IMPORT; CLIENT; HOLD_ASK; INSTALL; ASK_HELD"),
    "raw accessor before install": Order("IMPORT; CLIENT; HOLD_RAW; INSTALL; ASK_RAW"),
    "install twice": Order("INSTALL; IMPORT; INSTALL; CLIENT; ASK"),
    "install again with other settings": Order("INSTALL; IMPORT; CLIENT; INSTALL_OTHERWISE; ASK"),
    "install, uninstall, install": Order("INSTALL; IMPORT; CLIENT; UNINSTALL; INSTALL; ASK"),
    "bound method while installed": Order("INSTALL; IMPORT; CLIENT; HOLD_ASK; UNINSTALL; INSTALL; ASK_HELD"),
    "uninstall before the import": Order("INSTALL; UNINSTALL; IMPORT; INSTALL; CLIENT; ASK"),
    "uninstall": Order("INSTALL; IMPORT; CLIENT; HOLD_ASK; UNINSTALL; ASK; ASK_HELD", events=0),
    "uninstall with a stream open": Order("INSTALL; IMPORT; CLIENT; STREAM; UNINSTALL; READ; ASK"),
    "install with a stream open": Order("IMPORT; CLIENT; STREAM; INSTALL; READ; ASK"),
}

OTHERS = {
    "theirs, then ours": Order("IMPORT; CLIENT; THEIRS; INSTALL; ASK"),
    "ours, then theirs": Order("INSTALL; IMPORT; CLIENT; THEIRS; ASK"),
    "theirs around ours, ours leaves": Order("INSTALL; IMPORT; CLIENT; THEIRS; UNINSTALL; ASK", events=0),
    "ours around theirs, ours leaves": Order("IMPORT; CLIENT; THEIRS; INSTALL; UNINSTALL; ASK", events=0),
    "theirs around ours, ours comes back": Order("INSTALL; IMPORT; CLIENT; THEIRS; UNINSTALL; INSTALL; ASK"),
    "theirs around ours, theirs leaves": Order("INSTALL; IMPORT; CLIENT; THEIRS; THEIRS_LEAVE; ASK"),
    "ours around theirs, theirs leaves": Order("IMPORT; CLIENT; THEIRS; INSTALL; THEIRS_LEAVE; INSTALL; ASK"),
}
"""With another instrumentation in the same process."""

BEGINNINGS = (["IMPORT"], ["INSTALL", "IMPORT"])
"""What many orders begin with, and what takes most of their time: it is done once, and forked for each. Those that
begin with `auto` or take a name out of the SDK do all in a process of their own."""


def statements(sdk: Sdk, theirs: str = "") -> Mapping[str, str]:
    """What the words of an order stand for."""
    holder, _, method = (sdk.raw or sdk.ask).rpartition(".")
    return {
        "IMPORT": f"{sdk.imports}; {sdk.prepare or 'pass'}",
        "FROM_IMPORT": f"{sdk.from_imports}; {sdk.prepare or 'pass'}",
        "CLIENT": f"client = {sdk.client}",
        "FROM_CLIENT": f"client = {sdk.from_client}",
        "ASK": f"{sdk.ask}({sdk.asked})",
        "HOLD_ASK": f"held = {sdk.ask}",
        "ASK_HELD": f"held({sdk.asked})",
        "HOLD_RAW": f"held = {holder}",
        "ASK_RAW": f"held.{method}({sdk.asked})",
        "STREAM": f"stream = {sdk.stream}; next(stream)",
        "READ": "list(stream)",
        "INSTALL": "import usage_tracker; usage_tracker.install()",
        "INSTALL_OTHERWISE": "usage_tracker.install(project='other')",
        "UNINSTALL": "usage_tracker.uninstall()",
        "THEIRS": f"{theirs}; theirs.instrument()",
        "THEIRS_LEAVE": "theirs.uninstrument()",
    }


def run(
    interpreters: Interpreters, sdk: Sdk, order: Order, base_url: str, home: Path, theirs: str = ""
) -> list[tuple[Origin, UsageEvent]]:
    """Run the program of that order. It says nothing and warns of nothing; its events, as they are in the journal."""
    words = statements(sdk, theirs)
    steps = order.program.split("; ")
    shared = next((len(begun) for begun in BEGINNINGS if steps[: len(begun)] == begun), 0)
    lines = [words.get(step, step) for step in steps]
    beginning = "\n".join([f"BASE_URL = {base_url!r}", *lines[:shared]])
    rest = "\n".join([*lines[shared:], sdk.close])
    spool = interpreters.folder / "spool"
    environment = {
        "PATH": os.environ["PATH"],
        "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
        "HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "TRACKER_SPOOL_DIR": str(spool),
        "TRACKER_SHIP": "off",
        **{name: value for name, value in os.environ.items() if name.startswith("LITELLM_LOCAL")},
    }
    ran = interpreters.run(beginning, rest, sdk.options, environment, home / "said")
    events = journaled(spool)
    shutil.rmtree(spool, ignore_errors=True)
    assert ran == ("", 0), f"{beginning}\n{rest}\n{ran.said}"
    return events


def journaled(folder: Path) -> list[tuple[Origin, UsageEvent]]:
    """What lies in a spool folder that nobody ships."""
    if not folder.exists():
        return []
    spool, found = Spool(folder), []
    for path in spool.segments():
        segment = spool.open(path)
        assert segment is not None
        found += [(each.origin, each.event) for each in segment.reader.read(10**6, ended=True).events]
        segment.close()
    return found


def check(interpreters: Interpreters, sdk: Sdk, order: Order, base_url: str, home: Path, theirs: str = "") -> None:
    """One event for each call that is made while we are there, complete; none for others."""
    events = run(interpreters, sdk, order, base_url, home, theirs)
    assert len(events) == order.events
    for origin, event in events:
        assert (origin.sdk, event.status) == (sdk.name, "ok")
        assert event.usage.input_tokens is not None
        assert event.usage.output_tokens is not None
