"""Notebooks and IPython: `%load_ext usage_tracker.frameworks.jupyter` records what cells call, and gives them

%usage                      what this session has used so far
%%usage                     as a cell's first line: what this cell has used, said below it
%attribute project=alpha    who the calls from here on are for; `tags=a,b`
%%attribute user=u-1        as a cell's first line: who this cell's calls are for
"""

import shlex
from typing import Any

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from usage_tracker import tracker
from usage_tracker.measuring import measure
from usage_tracker.scopes import Scope, attribute, attribution_of

CELL = "--cell"
"""What `%%usage` is rewritten to, so that its cell runs as any other one does, with `await` and its last value."""


class Notebook:
    """A session. Each cell may run in a context of its own, so what holds for all is entered by each."""

    def __init__(self) -> None:
        self._used = measure()
        self._said = attribute()
        self._cell: list[Scope] = []

    def begin_cell(self, _: object = None) -> None:
        self._enter(self._used)
        self._enter(self._said)

    def end_cell(self, _: object = None) -> None:
        import click

        while self._cell:
            scope = self._cell.pop()
            scope.__exit__()
            if isinstance(scope, measure) and scope is not self._used:
                click.echo(Used(scope))

    def usage(self, line: str) -> "Used | None":
        if line.strip() == CELL:
            self._enter(measure())
            return None
        if line.strip():
            raise UsageError("%usage takes nothing; %%usage, as a cell's first line, says what the cell has used")
        return Used(self._used)

    def attribute(self, line: str) -> None:
        try:
            *_, said = words = [word for word in shlex.split(line) if word != CELL] or [""]
        except ValueError as error:
            raise UsageError(f'{error}; say user="O\'Brien" where a value has a quote in it') from None
        if any("=" not in word for word in words):
            raise UsageError(f"say %attribute project=alpha user=u-1 tags=a,b, not {said!r}")
        told: dict[str, Any] = dict(word.split("=", 1) for word in words)
        told["tags"] = told.get("tags", "").split(",")
        try:
            scope = attribute(**attribution_of(told)._asdict())
        except TypeError as error:
            raise UsageError(str(error)) from None
        self._enter(scope)
        if CELL not in line.split():
            self._said = attribute(**attribution_of(told).over(self._said.said)._asdict())

    def _enter(self, scope: Scope) -> None:
        scope.__enter__()
        self._cell.append(scope)


class Used:
    """What was used, in a line."""

    def __init__(self, used: measure) -> None:
        self._used = used

    def __repr__(self) -> str:
        used = self._used
        parts = [
            "1 call" if used.calls == 1 else f"{used.calls:,} calls",
            f"{shown(used.input_tokens)} input tokens",
            f"{shown(used.output_tokens)} output tokens",
            "cost unknown" if used.cost is None else f"${used.cost:f}",
        ]
        if used.unpriced:
            parts.append(f"{used.unpriced} unpriced")
        return " · ".join(parts)


def shown(count: int | None) -> str:
    return "—" if count is None else f"{count:,}"


def as_line_magic(lines: list[str]) -> list[str]:
    """A cell that begins with one of our cell magics, as a cell that begins with the line magic."""
    for magic in ("%%usage", "%%attribute"):
        if lines and lines[0].split()[:1] == [magic]:
            return [f"{lines[0].rstrip()[1:]} {CELL}\n", *lines[1:]]
    return lines


notebooks: dict[InteractiveShell, Notebook] = {}


def load_ipython_extension(shell: InteractiveShell) -> None:
    if tracker.installed is None:
        tracker.install_from_environment()
    notebook = notebooks[shell] = Notebook()
    shell.magics_manager.register_function(notebook.usage, "line", "usage")
    shell.magics_manager.register_function(notebook.attribute, "line", "attribute")
    shell.input_transformers_cleanup.append(as_line_magic)
    shell.events.register("pre_run_cell", notebook.begin_cell)
    shell.events.register("post_run_cell", notebook.end_cell)
    notebook.begin_cell()  # the cell that loads us


def unload_ipython_extension(shell: InteractiveShell) -> None:
    notebook = notebooks.pop(shell)
    notebook.end_cell()
    shell.events.unregister("pre_run_cell", notebook.begin_cell)
    shell.events.unregister("post_run_cell", notebook.end_cell)
    shell.input_transformers_cleanup.remove(as_line_magic)
    for name in ("usage", "attribute"):
        del shell.magics_manager.magics["line"][name]
