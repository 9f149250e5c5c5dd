"""The guide to settings has every one of them, and no other."""

import re
from pathlib import Path

from usage_tracker.config import Settings

GUIDE = (Path(__file__).parent.parent / "docs" / "settings.md").read_text(encoding="utf-8")


def test_the_table_has_every_setting() -> None:
    described = set(re.findall(r"^\| `(TRACKER_\w+)`", GUIDE, re.MULTILINE))
    only_arguments = {"on_alert"}
    assert described == {f"TRACKER_{name.upper()}" for name in Settings._fields if name not in only_arguments}
