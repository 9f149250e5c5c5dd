"""The guide to settings has every one of them, and no other."""

import re
from pathlib import Path

from usage_tracker.config import Settings
from usage_tracker.config_file import KEYS, ONLY_VARIABLES

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_the_table_has_every_setting() -> None:
    described = set(re.findall(r"^\| `(TRACKER_\w+)`", GUIDE, re.MULTILINE))
    only_arguments = {"on_alert"}
    assert described == {f"TRACKER_{name.upper()}" for name in Settings._fields if name not in only_arguments}


def test_doctor_knows_every_variable_that_a_guide_names() -> None:
    guides = GUIDE + (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\bTRACKER_[A-Z_]*[A-Z]\b", guides)) == {
        f"TRACKER_{key.upper()}" for key in KEYS + ONLY_VARIABLES
    }


def test_every_variable_that_the_package_names_is_in_a_guide() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "usage_tracker").rglob("*.py"))
    guides = GUIDE + (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bTRACKER_[A-Z_]*[A-Z]\b", code))
    assert named <= set(re.findall(r"\bTRACKER_\w+", guides))
