"""The tables of the long run, for README.md and benchmarks/RESULTS.md, and the file that its runs are kept in."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.bench import Outcome
from faults.nursery import ROOT

BEGIN, END = "<!-- faults: written by make faults -->", "<!-- /faults -->"
COLUMNS = (
    "runs", "events made", "stored", "lost", "doubled", "longest stall", "longest exit", "OpenTelemetry’s queue loses"
)  # fmt: skip


class Kept:
    """What became of each run, one line of JSON for each as it ends: several processes may write at once, and who is
    interrupted goes on where it was."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, run: str, name: str, group: str, outcome: Outcome) -> None:
        self._write(run, name, group, outcome=outcome._asdict())

    def add_baseline(self, run: str, name: str, group: str, made_and_lost: tuple[int, int] | None) -> None:
        self._write(run, name, group, baseline=made_and_lost)

    def _write(self, run: str, name: str, group: str, **found: object) -> None:
        with self._file.open("a") as lines:
            lines.write(json.dumps({"run": run, "name": name, "group": group, **found}) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._file.read_text().splitlines()] if self._file.exists() else []

    def runs(self) -> set[str]:
        """Those that need not be run again."""
        return {line["run"] for line in self._lines()}

    def rows(self, names: Iterable[str] = ()) -> dict[str, "Row"]:
        """In the order of these names."""
        rows: dict[str, Row] = defaultdict(Row, {name: Row() for name in names})
        for line in self._lines():
            row = rows[line["name"]]
            row.group = line["group"]
            if "outcome" in line:
                row.add(Outcome(**line["outcome"]))
            else:
                row.add_baseline(line["baseline"])
        return {name: row for name, row in rows.items() if row.runs}


@dataclass
class Row:
    """What became of all runs of one fault, or of a group of them."""

    group: str = ""
    runs: int = 0
    made: int = 0
    stored: int = 0
    lost: int = 0
    destroyed: int = 0
    twice: int = 0
    longest_stall: float = 0.0
    longest_exit: float = 0.0
    baseline_made: int = 0
    baseline_lost: int = 0

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.made += outcome.made
        self.stored += outcome.made - outcome.lost - outcome.destroyed
        self.lost += outcome.lost
        self.destroyed += outcome.destroyed
        self.twice += outcome.twice
        self.longest_stall = max(self.longest_stall, outcome.longest_stall)
        self.longest_exit = max(self.longest_exit, outcome.longest_exit)

    def add_baseline(self, made_and_lost: tuple[int, int] | None) -> None:
        made, lost = made_and_lost or (0, 0)
        self.baseline_made += made
        self.baseline_lost += lost

    def add_row(self, row: "Row") -> None:
        self.runs += row.runs
        self.made += row.made
        self.stored += row.stored
        self.lost += row.lost
        self.destroyed += row.destroyed
        self.twice += row.twice
        self.longest_stall = max(self.longest_stall, row.longest_stall)
        self.longest_exit = max(self.longest_exit, row.longest_exit)
        self.add_baseline((row.baseline_made, row.baseline_lost))

    def line(self, name: str) -> str:
        destroyed = f" ({self.destroyed:,} overwritten by the fault)" if self.destroyed else ""
        baseline = f"{self.baseline_lost:,} of {self.baseline_made:,}" if self.baseline_made else "–"
        longest_stall = f"{self.longest_stall * 1000:,.0f} ms" if self.longest_stall else "–"
        longest_exit = f"{self.longest_exit:.1f} s" if self.longest_exit else "–"
        return (
            f"| {name} | {self.runs} | {self.made:,} | {self.stored:,}{destroyed} | {self.lost} | {self.twice} "
            f"| {longest_stall} | {longest_exit} | {baseline} |\n"
        )


def write_tables(rows: Mapping[str, Row], *, write: bool) -> None:
    """Print the table of every fault; with `write`, put it and the one by groups into their files."""
    total = Row()
    groups: dict[str, Row] = defaultdict(Row)
    for row in rows.values():
        groups[row.group].add_row(row)
        total.add_row(row)
    each, grouped = (
        head() + "".join(row.line(name) for name, row in lines.items()) + total.line("**all**")
        for lines in (rows, groups)
    )
    print(each)
    if write:
        for file, table in (("benchmarks/RESULTS.md", each), ("README.md", grouped)):
            path = ROOT / file
            text = path.read_text()
            before, rest = text.split(BEGIN)
            path.write_text(f"{before}{BEGIN}\n{table}{END}{rest.split(END, 1)[1]}")


def head() -> str:
    return f"| fault | {' | '.join(COLUMNS)} |\n|---{'|--:' * len(COLUMNS)}|\n"
