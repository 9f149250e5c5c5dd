"""What `usage-tracker doctor` finds: sentences for people, facts for programs."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One line of the examination."""

    what: str
    found: str
    remedy: str | None = None
    """What to do, where something is wrong."""


class Findings:
    """All of them in order, and the facts behind them by section."""

    def __init__(self) -> None:
        self.lines: list[Finding] = []
        self.facts: dict[str, object] = {}

    def add(self, what: str, found: str, remedy: str | None = None) -> None:
        self.lines.append(Finding(what, found, remedy))

    @property
    def healthy(self) -> bool:
        return not any(line.remedy for line in self.lines)
