"""Which colour a value has: the same one in every chart and table, as far as the palette reaches."""

import hashlib
from collections.abc import Iterable

from usage_tracker.report.ranking import OTHERS
from usage_tracker.report.sums import Group

PALETTE = 12
"""How many colours static/app.css has: `--series-0` and so on."""
GREY = "rest"
"""The colour of Others, of calls without a value, and of what the palette has no colour left for."""


def assign(groups: Iterable[Group]) -> dict[Group, str]:
    """A colour's name for each group of values, the first ones first. A value's own colour comes of its name, so that
    it keeps it from page to page; where two of one view have the same, the later one takes the next that is free."""
    taken: set[int] = set()
    colours: dict[Group, str] = {}
    for group in groups:
        if len(taken) == PALETTE or (group and all(value is OTHERS or value is None for value in group)):
            colours[group] = GREY
            continue
        slot = own_colour(group)
        while slot in taken:
            slot = (slot + 1) % PALETTE
        taken.add(slot)
        colours[group] = str(slot)
    return colours


def own_colour(group: Group) -> int:
    if not group:  # of all calls together
        return 0
    digest = hashlib.blake2b("\0".join(map(str, group)).encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest) % PALETTE
